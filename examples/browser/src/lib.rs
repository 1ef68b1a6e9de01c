//! Parrot in a browser tab: the same model code, compiled to WebAssembly.
//!
//! This is what `worker.js` calls. A `Model` is made of the files that the page fetched or that were dropped on it, and is
//! asked with a conversation; what happens meanwhile goes to a function of the worker's, which also says when to stop.

#![cfg(target_family = "wasm")]

mod conversation;
#[cfg(feature = "threads")]
pub mod threads;

use js_sys::{Array, Function, Promise, Uint8Array};
use parrot_infer::{AskOptions, Files, Parrot, Sampling, device};
use serde::Serialize;
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use conversation::Request;

/// A loaded model.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Model {
    parrot: Parrot,
}

/// What is told while an answer is made.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Event<'a> {
    /// The weights that the question gave the experts, for each image.
    Routing(&'a [Vec<f32>]),
    /// More of the answer.
    Text(&'a str),
}

/// How an answer ended.
#[derive(Debug, Serialize)]
struct End {
    finish_reason: parrot_infer::FinishReason,
    tokens: usize,
}

#[wasm_bindgen]
impl Model {
    /// Loads a model.
    ///
    /// - device: `cpu` or `webgpu`, whichever this program is built for
    /// - names: of the files, with their paths within the model's folder
    /// - contents: an `Uint8Array` for each name
    ///
    /// # Errors
    ///
    /// In one line: what of the model cannot be used, or why the device cannot.
    pub async fn load(device: String, names: Vec<String>, contents: Array) -> Result<Model, JsError> {
        std::panic::set_hook(Box::new(|info| panicked(&info.to_string())));
        let device = device::open_async(&device).await.map_err(error)?;
        let contents = contents.iter().map(|content| content.unchecked_into::<Uint8Array>().to_vec());
        let is_gguf = |name: &&String| name.to_ascii_lowercase().ends_with(".gguf");
        let gguf = names.iter().find(is_gguf).cloned();
        let files = Files::in_memory("the model", names.into_iter().zip(contents));
        // A text model of llama.cpp's is one file, maybe with others beside it.
        let model = gguf.map_or_else(|| files.clone(), |gguf| files.join(gguf));
        let parrot = Parrot::load(model, &device).map_err(error)?;
        Ok(Self { parrot })
    }

    /// Whether it can be shown images.
    #[wasm_bindgen(getter)]
    #[must_use]
    pub fn has_images(&self) -> bool {
        self.parrot.model().is_some()
    }

    /// The most images that it has learnt to talk about in one conversation, if it says.
    #[wasm_bindgen(getter)]
    #[must_use]
    pub fn max_images(&self) -> Option<usize> {
        self.parrot.max_images_per_conversation()
    }

    /// Answers the last question of a conversation, and says how the answer ended, in JSON.
    ///
    /// - request: a [`Request`] in JSON
    /// - images: the bytes of each image's file, an `Uint8Array` each
    /// - on_event: gets each [`Event`] in JSON; what it returns is waited for, and `false` ends the answer
    ///
    /// # Errors
    ///
    /// In one line, whatever stands in the way of an answer.
    pub async fn ask(&self, request: String, images: Array, on_event: Function) -> Result<String, JsError> {
        let request: Request = serde_json::from_str(&request)?;
        let images = conversation::images(&images).map_err(error)?;
        let options = AskOptions {
            max_new_tokens: request.max_tokens.max(1),
            sampling: Sampling { temperature: Some(request.temperature), ..Sampling::default() },
            ..AskOptions::default()
        };
        let mut answer =
            self.parrot.start(&request.conversation(), &images, &options).await.map_err(error)?;
        if !answer.routing_weights().is_empty() {
            tell(&on_event, &Event::Routing(answer.routing_weights())).await?;
        }
        while let Some(text) = answer.next().await.map_err(error)? {
            if !tell(&on_event, &Event::Text(&text)).await? {
                answer.cancel();
            }
        }
        let answer = answer.finish().await.map_err(error)?;
        let end = End { finish_reason: answer.finish_reason, tokens: answer.token_ids.len() };
        Ok(serde_json::to_string(&end)?)
    }
}

/// Tells the worker something, and waits for what it returns: whether to go on.
async fn tell(on_event: &Function, event: &Event<'_>) -> Result<bool, JsError> {
    let failed = |_| JsError::new("the worker's own function failed");
    let returned = on_event.call1(&JsValue::NULL, &serde_json::to_string(event)?.into()).map_err(failed)?;
    let returned = JsFuture::from(Promise::resolve(&returned)).await.map_err(failed)?;
    Ok(returned != JsValue::FALSE)
}

/// An error and its causes in one line.
fn error(error: impl std::error::Error) -> JsError {
    JsError::new(&parrot_model::error_chain(&error))
}

#[wasm_bindgen]
extern "C" {
    /// The worker's.
    #[wasm_bindgen(js_name = parrotPanicked)]
    fn panicked(text: &str);
}
