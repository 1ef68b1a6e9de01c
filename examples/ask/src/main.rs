//! Asks a picture a question. Run with
//!
//! ```sh
//! cargo run --release --bin ask -- assets/pictures/rocket.png "What is in the picture?"
//! ```

use std::error::Error;

use parrot_infer::{Image, Parrot, device};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(image), Some(question)) = (arguments.next(), arguments.next()) else {
        return Err("usage: ask PICTURE QUESTION".into());
    };
    let parrot = Parrot::load("assets/parrot-mini", &device::open("auto")?)?;
    println!("{}", parrot.ask(&Image::open(image)?, &question)?.text);
    Ok(())
}
