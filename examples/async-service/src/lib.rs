//! A model inside an asynchronous web service.
//!
//! Answering computes for milliseconds to seconds and never awaits, so it belongs on a thread of its own:
//! [`tokio::task::spawn_blocking`]. [`Parrot`] is `Send` and `Sync` and asked through `&self`; one [`Arc`] serves all
//! requests. Pieces of the answer travel back through a channel; when the client goes away the channel closes, and the
//! model stops at its next piece.

use std::convert::Infallible;
use std::ops::ControlFlow;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::StatusCode;
use axum::routing::post;
use parrot_infer::{AskOptions, Image, Parrot};
use serde::Deserialize;
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

/// The largest picture file that is accepted.
const MAX_IMAGE_BYTES: usize = 10 << 20;

/// What the requests share.
struct Service {
    parrot: Parrot,
    /// One answer at a time keeps every core busy; more at once only make each other slower.
    turn: Semaphore,
}

/// `POST /ask?question=…` with a picture file as the body streams the answer as plain text.
pub fn router(parrot: Parrot) -> Router {
    let service = Arc::new(Service { parrot, turn: Semaphore::new(1) });
    Router::new().route("/ask", post(ask)).layer(DefaultBodyLimit::max(MAX_IMAGE_BYTES)).with_state(service)
}

#[derive(Deserialize)]
struct Asked {
    question: String,
}

async fn ask(
    State(service): State<Arc<Service>>,
    Query(Asked { question }): Query<Asked>,
    file: Bytes,
) -> Result<Body, (StatusCode, String)> {
    let refuse = |reason: String| (StatusCode::BAD_REQUEST, reason);
    if question.trim().is_empty() {
        return Err(refuse("the question is empty".into()));
    }
    let decoded = tokio::task::spawn_blocking(move || Image::from_bytes(&file, "of the request")).await;
    let image =
        decoded.map_err(|error| refuse(error.to_string()))?.map_err(|error| refuse(error.to_string()))?;

    let (sender, pieces) = mpsc::channel::<String>(16);
    tokio::spawn(async move {
        let Ok(_turn) = service.turn.acquire().await else { return };
        let service = Arc::clone(&service);
        let answer = tokio::task::spawn_blocking(move || {
            let on_text = |piece: &str| match sender.blocking_send(piece.into()) {
                Ok(()) => ControlFlow::Continue(()),
                // Nobody is listening any more.
                Err(_) => ControlFlow::Break(()),
            };
            let options = AskOptions::default();
            if let Err(error) = service.parrot.ask_streaming(&[image], &question, &options, on_text) {
                let _ = sender.blocking_send(format!("error: {error}"));
            }
        });
        let _ = answer.await;
    });
    Ok(Body::from_stream(ReceiverStream::new(pieces).map(Ok::<_, Infallible>)))
}
