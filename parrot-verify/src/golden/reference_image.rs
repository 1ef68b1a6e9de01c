//! How the reference prepares pictures where it errs.

use image::{Rgb, RgbImage};
use parrot_model::image::{AspectRatio, ImageProcessorConfig, Pixels};

use crate::Result;

/// [`ImageProcessorConfig::preprocess`] with the reference's mistake: a picture that is one or three pixels high, after
/// padding, is read as if its rows were its colour channels.
///
/// # Errors
///
/// [`parrot_model::Error::Image`] for a picture that is one pixel high, where the reference fails: it finds one channel and
/// three means.
///
/// # Panics
///
/// If the picture is empty.
pub(crate) fn preprocess(
    processor: &ImageProcessorConfig,
    image: &RgbImage,
    aspect: AspectRatio,
) -> Result<Pixels> {
    let side = image.width().max(image.height());
    let padded_height = if aspect == AspectRatio::Pad { side } else { image.height() };
    match padded_height {
        1 => Err(parrot_model::Error::Image {
            name: "<pixels>".to_owned(),
            reason: "the reference takes a picture one pixel high for a grey one and fails".to_owned(),
        }
        .into()),
        3 => {
            let padded =
                if aspect == AspectRatio::Pad { square(image, side, processor) } else { image.clone() };
            let misread = RgbImage::from_fn(3, padded.width(), |x, y| {
                Rgb([0, 1, 2].map(|row| padded.get_pixel(y, row).0[x as usize]))
            });
            Ok(processor.preprocess(&misread, AspectRatio::None))
        }
        _ => Ok(processor.preprocess(image, aspect)),
    }
}

/// The picture in the middle of a square of the padding's colour, the smaller half of an odd margin first.
fn square(image: &RgbImage, side: u32, processor: &ImageProcessorConfig) -> RgbImage {
    let mut square = RgbImage::from_pixel(side, side, Rgb(processor.pad_color()));
    let offset = |length| i64::from((side - length) / 2);
    image::imageops::replace(&mut square, image, offset(image.width()), offset(image.height()));
    square
}

/// A picture of the padding's colour, which the reference trains on in the place of an unreadable one.
#[must_use]
pub(crate) fn mean_image(processor: &ImageProcessorConfig) -> RgbImage {
    RgbImage::from_pixel(processor.image_size, processor.image_size, Rgb(processor.pad_color()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiny_images_are_misread() {
        let processor = ImageProcessorConfig::clip(56);
        let tiny = RgbImage::from_fn(3, 3, |x, y| Rgb([80 * x as u8, 80 * y as u8, 9]));
        let misread = preprocess(&processor, &tiny, AspectRatio::Pad).unwrap();
        assert_ne!(processor.preprocess(&tiny, AspectRatio::Pad), misread);
        let flat = RgbImage::from_pixel(3, 1, Rgb([7, 8, 9]));
        assert_eq!(preprocess(&processor, &flat, AspectRatio::Pad).unwrap().size, 56);
        let dot = RgbImage::from_pixel(1, 1, Rgb([1, 2, 3]));
        preprocess(&processor, &dot, AspectRatio::Pad).unwrap_err();
        let larger = RgbImage::from_pixel(4, 2, Rgb([1, 2, 3]));
        let same = preprocess(&processor, &larger, AspectRatio::Pad).unwrap();
        assert_eq!(same, processor.preprocess(&larger, AspectRatio::Pad));
    }
}
