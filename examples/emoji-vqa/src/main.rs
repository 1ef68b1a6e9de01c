//! emoji-vqa
fn main() {}
