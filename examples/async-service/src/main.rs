//! Serves the default model on <http://127.0.0.1:8080>. Run with
//!
//! ```sh
//! cargo run --release --bin async-service
//! curl --data-binary @assets/pictures/rocket.png "http://127.0.0.1:8080/ask?question=What+is+this%3F"
//! ```

use std::error::Error;

use parrot_infer::{Parrot, device};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let parrot = Parrot::load("assets/parrot-mini", &device::open("auto")?)?;
    let listener = TcpListener::bind("127.0.0.1:8080").await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, async_service::router(parrot)).await?;
    Ok(())
}
