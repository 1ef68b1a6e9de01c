//! Asks a picture a question. Run with
//!
//! ```sh
//! cargo run --release -p ask -- assets/pictures/rocket.png "What is in the picture?"
//! ```

use std::error::Error;

use parrot_infer::{Parrot, Picture, device};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(picture), Some(question)) = (arguments.next(), arguments.next()) else {
        return Err("usage: ask PICTURE QUESTION".into());
    };
    let parrot = Parrot::load("assets/parrot-mini", &device::open("auto")?)?;
    println!("{}", parrot.ask(&Picture::open(picture)?, &question)?.text);
    Ok(())
}
