//! Asks a model about a picture: what a program of one's own needs. The answer is shown as it comes, and is cancelled after ten
//! seconds from another thread, as a window's button would do it.
//!
//! ```sh
//! cargo run --release --manifest-path examples/embed/Cargo.toml -- assets/parrot-mini assets/pictures/rocket.png "What is this?"
//! ```

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::time::Duration;
use std::{env, error, thread};

use parrot_infer::{AskOptions, CancelToken, Image, Parrot, device};

fn main() -> Result<(), Box<dyn error::Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [model, picture, question] = &arguments[..] else { return Err("give MODEL PICTURE QUESTION".into()) };

    let parrot = Parrot::load(model, &device::open("auto")?)?;
    let image = Image::open(picture)?;

    let cancel = CancelToken::default();
    let options = AskOptions { cancel: Some(cancel.clone()), ..AskOptions::default() };
    thread::spawn(move || {
        thread::sleep(Duration::from_secs(10));
        cancel.cancel();
    });

    let answer = parrot.ask_streaming(&[image], question, &options, |piece| {
        print!("{piece}");
        let shown = io::stdout().flush();
        if shown.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    println!("\n{:?} after {} tokens", answer.finish_reason, answer.token_ids.len());
    Ok(())
}
