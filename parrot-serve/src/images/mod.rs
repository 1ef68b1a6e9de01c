//! The images of a request: where they are → bytes → pixels, each step within limits.

mod fetch;
mod source;

use std::sync::Arc;

use parrot_infer::Image;
use parrot_model::image::{DecodeLimits, DecodeOptions, decode_rgb};
use parrot_model::untrusted::contained;
use tokio::sync::Semaphore;

pub(crate) use source::ImageSource;

use crate::error::ApiError;
use fetch::Fetcher;

/// Images that are fetched or decoded at a time. Each takes up to [`DecodeLimits::max_memory`].
const AT_ONCE: usize = 2;

/// Gets and decodes images.
#[derive(Debug)]
pub(crate) struct Images {
    options: DecodeOptions,
    fetcher: Option<Arc<Fetcher>>,
    turns: Arc<Semaphore>,
}

impl Images {
    /// - max_pixels: larger images are refused before memory is set aside for them
    /// - may_fetch: whether an image may be somewhere on the internet
    pub(crate) fn new(max_pixels: u64, may_fetch: bool) -> Self {
        let limits = DecodeLimits { max_pixels, ..DecodeLimits::default() };
        Self {
            options: DecodeOptions { limits, ..DecodeOptions::default() },
            fetcher: may_fetch.then(|| Arc::new(Fetcher::new())),
            turns: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// The pixels of all images, in order.
    pub(crate) async fn open(&self, sources: Vec<ImageSource>) -> Result<Vec<Image>, ApiError> {
        let mut images = Vec::with_capacity(sources.len());
        for (number, source) in (1..).zip(sources) {
            let (options, fetcher) = (self.options.clone(), self.fetcher.clone());
            // The permit goes along: work on a thread goes on when the one who waits for it has gone.
            let turn = self.turns.clone().acquire_owned().await.map_err(|_| ApiError::stopping())?;
            let opened = tokio::task::spawn_blocking(move || {
                let _turn = turn;
                contained(|| open(source, number, &options, fetcher.as_deref()))
            });
            let opened = opened.await.map_err(|error| error.to_string()).flatten();
            images.push(opened.map_err(|reason| bad_image(number, &reason))??);
        }
        Ok(images)
    }
}

fn open(
    source: ImageSource,
    number: usize,
    options: &DecodeOptions,
    fetcher: Option<&Fetcher>,
) -> Result<Image, ApiError> {
    let bytes = match source {
        ImageSource::Bytes(bytes) => bytes,
        ImageSource::Url(url) => {
            let Some(fetcher) = fetcher else {
                let message =
                    "this server fetches no images: send them as data URLs (`data:image/png;base64,…`)";
                return Err(ApiError::invalid(format!("image {number}: {message}"))
                    .param("messages")
                    .code("image_url_not_allowed"));
            };
            fetcher.fetch(&url).map_err(|reason| bad_image(number, &reason))?
        }
    };
    Ok(Image::from_rgb(
        decode_rgb(&bytes, &format!("image {number}"), options).map_err(parrot_infer::Error::from)?,
    ))
}

fn bad_image(number: usize, reason: &str) -> ApiError {
    ApiError::invalid(format!("image {number}: {reason}")).param("messages").code("invalid_image")
}
