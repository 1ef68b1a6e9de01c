//! Pictures → pixels: exact, from the picture as the reference decodes it.

use image::RgbImage;
use parrot_model::config::TowerKind;
use parrot_model::image::{AspectRatio, DecodeOptions, ImageProcessorConfig, Pixels, decode_rgb, open_rgb};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::Result;
use crate::golden::{Array, Case, CaseVerdict, Checks, Fixture, Quantity, reference_image};

#[derive(Deserialize)]
struct ImageCase {
    processor: Option<String>,
    size: Option<u32>,
    image: Option<String>,
    decoded_rgb: Option<String>,
    /// Colour of a picture that is no file.
    color: Option<[u8; 3]>,
    float32_sha256: Option<String>,
    resized_u8: Option<String>,
    resized_u8_sha256: Option<String>,
    #[serde(default)]
    probes: Vec<Probe>,
    #[serde(default)]
    errors: std::collections::BTreeMap<String, String>,
}

/// One pixel of the result.
#[derive(Deserialize)]
struct Probe {
    chw: [usize; 3],
    value: f64,
}

impl ImageCase {
    fn processor(&self, fixture: &Fixture) -> Result<ImageProcessorConfig> {
        match (&self.processor, self.size) {
            (Some(file), _) => Ok(ImageProcessorConfig::from_file(&fixture.directory.path(file)?)?),
            (None, Some(size)) => Ok(ImageProcessorConfig::clip(size)),
            (None, None) => Err(fixture.directory.error("a picture case names neither processor nor size")),
        }
    }

    /// The picture, losslessly, and by how much our own decoder differs from it.
    fn image(&self, fixture: &Fixture, checks: &mut Checks) -> Result<RgbImage> {
        let Some(image) = &self.image else {
            return match (self.size, self.color) {
                (Some(size), Some(color)) => Ok(RgbImage::from_pixel(size, size, image::Rgb(color))),
                _ => Err(fixture.directory.error("a picture case has neither a file nor a colour")),
            };
        };
        let ours = open_rgb(&fixture.directory.path(image)?, &DecodeOptions::reference())?;
        let Some(decoded) = &self.decoded_rgb else { return Ok(ours) };
        let theirs = open_rgb(&fixture.directory.path(decoded)?, &DecodeOptions::reference())?;
        checks.equal("decoded size", &[ours.dimensions()], &[theirs.dimensions()]);
        if ours.dimensions() == theirs.dimensions() {
            let expected: Vec<f64> = theirs.iter().map(|value| f64::from(*value)).collect();
            let found: Vec<f32> = ours.iter().map(|value| f32::from(*value)).collect();
            checks.values(Quantity::DecodedImage, "decoded picture", &found, &expected);
        }
        Ok(theirs)
    }
}

/// `preprocess`: padded to a square, and where recorded by centre crop, at a small size.
pub(super) fn pad_and_crop(fixture: &Fixture, case: &Case) -> Result<CaseVerdict> {
    let directory = &fixture.directory;
    let fields: ImageCase = directory.fields(case)?;
    let mut checks = fixture.checks();
    let processor = fields.processor(fixture)?;
    let image = fields.image(fixture, &mut checks)?;
    let padded = reference_image::preprocess(&processor, &image, AspectRatio::Pad);
    if let Some(error) = fields.errors.get("pad") {
        return Ok(match padded {
            Err(own) => CaseVerdict::OwnError(own.to_string()),
            Ok(_) => {
                checks.require(false, || format!("the reference fails ({error}), this build does not"));
                checks.into()
            }
        });
    }
    let padded = padded?;
    if let Some(expected) = directory.tensor(case, "pixel_values")? {
        compare_pixels(&mut checks, "pixel_values", &padded, &expected);
    }
    if let Some(expected) = directory.tensor(case, "resized_u8_chw")? {
        let resized = processor.preprocess_u8(&image, AspectRatio::Pad);
        checks.values(Quantity::ResizedImage, "resized_u8_chw", &planes(&resized), &expected.values);
    }
    compare_digest(&mut checks, &padded, fields.float32_sha256.as_deref());
    if let Some(expected) = directory.tensor(case, "pixel_values_nopad")? {
        let cropped = reference_image::preprocess(&processor, &image, AspectRatio::None)?;
        compare_pixels(&mut checks, "pixel_values_nopad", &cropped, &expected);
    }
    Ok(checks.into())
}

/// `preprocess_u8`: at the size of a real tower, mostly by digest.
pub(super) fn full_size(fixture: &Fixture, case: &Case) -> Result<CaseVerdict> {
    let directory = &fixture.directory;
    let fields: ImageCase = directory.fields(case)?;
    let mut checks = fixture.checks();
    let processor = match (&fields.processor, fields.size) {
        // The reference's SigLIP processor has no file.
        (Some(name), Some(size)) if name.starts_with("SigLip") => ImageProcessorConfig::siglip(size),
        _ => fields.processor(fixture)?,
    };
    let image = fields.image(fixture, &mut checks)?;
    let resized = processor.preprocess_u8(&image, AspectRatio::Pad);
    if let Some(file) = &fields.resized_u8 {
        let expected = open_rgb(&directory.path(file)?, &DecodeOptions::reference())?;
        let expected: Vec<f64> = planes(&expected).into_iter().map(f64::from).collect();
        checks.values(Quantity::ResizedImage, "resized_u8", &planes(&resized), &expected);
    }
    if let Some(expected) = fields.resized_u8_sha256 {
        checks.equal("resized_u8_sha256", &[hex_digest(resized.as_raw())], &[expected]);
    }
    let pixels = reference_image::preprocess(&processor, &image, AspectRatio::Pad)?;
    compare_digest(&mut checks, &pixels, fields.float32_sha256.as_deref());
    for Probe { chw: [channel, y, x], value } in fields.probes {
        let found = pixels.data.get((channel * pixels.size + y) * pixels.size + x);
        checks.value(Quantity::PixelValues, "probe", found.copied().unwrap_or(f32::NAN), value);
    }
    if let Some(expected) = directory.tensor(case, "pixel_values_center48")? {
        let side = expected.shape.last().copied().unwrap_or(0).min(pixels.size);
        let start = (pixels.size - side) / 2;
        let row = |channel: usize, y: usize| {
            let first = (channel * pixels.size + start + y) * pixels.size + start;
            &pixels.data[first..first + side]
        };
        let centre: Vec<f32> =
            (0..3 * side).flat_map(|line| row(line / side, line % side).iter().copied()).collect();
        checks.values(Quantity::PixelValues, "pixel_values_center48", &centre, &expected.values);
    }
    Ok(checks.into())
}

#[derive(Deserialize)]
struct BatchCase {
    images: Vec<String>,
    size: u32,
}

/// `preprocess_batch`: several pictures in one tensor.
pub(super) fn batch(fixture: &Fixture, case: &Case) -> Result<CaseVerdict> {
    let BatchCase { images, size } = fixture.directory.fields(case)?;
    let processor = ImageProcessorConfig::clip(size);
    let mut found = Vec::new();
    for image in &images {
        let pixels = reference_image::preprocess(&processor, &fixture.image(image)?, AspectRatio::Pad)?;
        found.extend(pixels.data);
    }
    let mut checks = fixture.checks();
    let expected = fixture.directory.require(case, "pixel_values")?;
    checks.values(Quantity::PixelValues, "pixel_values", &found, &expected.values);
    Ok(checks.into())
}

/// `preprocess_error`: files that the reference cannot read.
pub(super) fn error(fixture: &Fixture, case: &Case) -> Result<CaseVerdict> {
    let fields: ImageCase = fixture.directory.fields(case)?;
    let image = fields.image.ok_or_else(|| fixture.directory.error("a picture case names no file"))?;
    let path = fixture.directory.path(&image)?;
    let bytes = std::fs::read(&path)
        .map_err(|source| fixture.directory.error(format!("case {}: {image}: {source}", case.id)))?;
    match decode_rgb(&bytes, &image, &DecodeOptions::reference()) {
        Err(own @ parrot_model::Error::Image { .. }) => Ok(CaseVerdict::OwnError(own.to_string())),
        Err(other) => Err(other.into()),
        Ok(_) => {
            let mut checks = fixture.checks();
            checks.require(false, || format!("{image} was read, the reference refuses it"));
            Ok(checks.into())
        }
    }
}

#[derive(Deserialize)]
struct QuirkCase {
    image: Option<String>,
    /// Shape of the reference's result, where it has one.
    result: Option<Vec<usize>>,
}

/// `preprocess_quirk`: what the reference's processors do with input that they were not made for.
///
/// They take pictures of any colour type, and fail on grey ones. Here a picture is RGB from the decoder on,
/// so nothing else can reach the processor. The reference's SigLIP processor works only through `pad`;
/// [`AspectRatio::from_key`] says so.
pub(super) fn quirk(fixture: &Fixture, case: &Case) -> Result<CaseVerdict> {
    let QuirkCase { image, result } = fixture.directory.fields(case)?;
    match (image, result) {
        (Some(image), Some(shape)) => {
            let size = shape.last().copied().and_then(|size| u32::try_from(size).ok()).unwrap_or(1);
            let pixels = reference_image::preprocess(
                &ImageProcessorConfig::clip(size),
                &fixture.image(&image)?,
                AspectRatio::Pad,
            )?;
            let mut checks = fixture.checks();
            checks.equal("shape", &[1, 3, pixels.size, pixels.size], &shape);
            Ok(if checks.is_clean() { CaseVerdict::Reproduced } else { checks.into() })
        }
        (Some(_), None) => {
            Ok(CaseVerdict::OwnError("only RGB pictures can be given to the processor".into()))
        }
        (None, _) => match AspectRatio::from_key(None, TowerKind::Siglip) {
            Err(own) => Ok(CaseVerdict::OwnError(own.to_string())),
            Ok(_) => Ok(CaseVerdict::Skipped("the case gives no input".into())),
        },
    }
}

fn compare_pixels(checks: &mut Checks, name: &str, found: &Pixels, expected: &Array) {
    checks.values(Quantity::PixelValues, name, &found.data, &expected.values);
}

fn compare_digest(checks: &mut Checks, pixels: &Pixels, expected: Option<&str>) {
    let Some(expected) = expected else { return };
    let bytes: Vec<u8> = pixels.data.iter().flat_map(|value| value.to_le_bytes()).collect();
    checks.equal("float32_sha256", &[hex_digest(&bytes)], &[expected.to_string()]);
}

fn hex_digest(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

/// All red values, then all green, then all blue.
fn planes(image: &RgbImage) -> Vec<f32> {
    (0..3).flat_map(|channel| image.pixels().map(move |pixel| f32::from(pixel.0[channel]))).collect()
}
