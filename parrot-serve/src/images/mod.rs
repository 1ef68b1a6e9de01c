//! The images of a request: where they are → bytes → pixels, each step within limits.

mod fetch;
mod source;

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use parrot_infer::Image;
use parrot_model::image::{DecodeLimits, DecodeOptions, decode_rgb};
use parrot_model::untrusted::contained;
use tokio::sync::Semaphore;

pub(crate) use source::ImageSource;

use crate::budget::{Budget, Share};
use crate::error::ApiError;
use fetch::Fetcher;

/// Images that are fetched or decoded at a time. Each takes up to [`DecodeLimits::max_memory`].
const AT_ONCE: usize = 2;

/// Bytes of all decoded images whose answers are not complete, those of questions that wait among them.
pub(crate) const DECODED: u64 = 1 << 30;

/// Gets and decodes images.
#[derive(Debug)]
pub(crate) struct Images {
    options: DecodeOptions,
    fetcher: Option<Arc<Fetcher>>,
    turns: Arc<Semaphore>,
    decoded: Budget,
}

impl Images {
    /// - max_pixels: larger images are refused before memory is set aside for them
    /// - decoded: bytes of all images together that are being asked about; at least those of one image with `max_pixels`
    pub(crate) fn new(max_pixels: u64, decoded: u64) -> Self {
        let limits = DecodeLimits { max_pixels, ..DecodeLimits::default() };
        Self {
            options: DecodeOptions { limits, ..DecodeOptions::default() },
            fetcher: None,
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            decoded: Budget::new(
                usize::try_from(decoded.max(max_pixels.saturating_mul(3))).unwrap_or(usize::MAX),
            ),
        }
    }

    /// The same for images that may also be somewhere on the internet.
    pub(crate) fn fetching(self) -> Self {
        Self { fetcher: Some(Arc::new(Fetcher::new())), ..self }
    }

    /// The pixels of all images, in order, and their memory, which is theirs as long as the share that comes with them.
    pub(crate) async fn open(&self, sources: Vec<ImageSource>) -> Result<(Vec<Image>, Share), ApiError> {
        let mut images = Vec::with_capacity(sources.len());
        let mut share = self.decoded.share();
        for (number, source) in (1..).zip(sources) {
            let (options, fetcher) = (self.options.clone(), self.fetcher.clone());
            // The permit goes along: work on a thread goes on when the one who waits for it has gone.
            let turn = self.turns.clone().acquire_owned().await.map_err(|_| ApiError::stopping())?;
            let opened = tokio::task::spawn_blocking(move || {
                let _turn = turn;
                contained(|| open(source, number, &options, fetcher.as_deref()))
            });
            let opened = opened.await.map_err(|error| error.to_string()).flatten();
            let image = opened.map_err(|reason| bad_image(number, &reason))??;
            if !share.grow(image.pixels().as_raw().len()) {
                return Err(if self.decoded.could_hold(&share) { busy() } else { too_many_pixels() });
            }
            images.push(image);
        }
        Ok((images, share))
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

fn busy() -> ApiError {
    let message = "images that are being asked about take all the memory that there is for them";
    let busy = ApiError::new(StatusCode::TOO_MANY_REQUESTS, message).code("too_many_images");
    busy.retry_after(Duration::from_secs(1))
}

fn too_many_pixels() -> ApiError {
    let message = "the images have too many pixels together";
    ApiError::invalid(message).param("messages").code("too_many_images")
}

fn bad_image(number: usize, reason: &str) -> ApiError {
    ApiError::invalid(format!("image {number}: {reason}")).param("messages").code("invalid_image")
}

#[cfg(test)]
mod tests {
    use image::{ImageFormat, RgbImage};

    use super::*;

    #[tokio::test]
    async fn decoded_images_share_a_budget() {
        let mut png = std::io::Cursor::new(Vec::new());
        RgbImage::new(20, 20).write_to(&mut png, ImageFormat::Png).unwrap();
        let images = |count| (0..count).map(|_| ImageSource::Bytes(png.get_ref().clone())).collect();
        // 1,200 bytes each, of which five fit.
        let opener = Images::new(400, 7 << 10);
        let (pixels, first) = opener.open(images(2)).await.unwrap();
        assert_eq!(pixels.len(), 2);
        let second = opener.open(images(3)).await.unwrap();
        let refused = opener.open(images(1)).await.unwrap_err();
        assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
        drop((first, second));
        assert!(opener.open(images(1)).await.is_ok());
        assert_eq!(opener.open(images(9)).await.unwrap_err().status, StatusCode::BAD_REQUEST);
    }
}
