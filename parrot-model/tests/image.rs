//! Pictures → pixels against what Pillow and Hugging Face's processors make of the same files, and against
//! files that mean harm. `golden-pre/cases.json` holds the SHA-256 of the reference's results.

use std::{collections::BTreeMap, fs, io::Cursor, path::PathBuf};

use image::{DynamicImage, ImageBuffer, ImageFormat, Luma, Rgb, RgbImage, imageops};
use parrot_model::{
    Error,
    config::TowerKind,
    image::{
        AspectRatio, DecodeLimits, DecodeOptions, ImageProcessorConfig, Pixels, Resample, Resize, decode_rgb,
        open_rgb, resize_bicubic,
    },
};
use sha2::{Digest, Sha256};

#[derive(serde::Deserialize)]
struct Case {
    id: String,
    image: String,
    /// What Pillow decodes, where JPEG leaves room for rounding.
    decoded: Option<String>,
    processor: String,
    size: u32,
    /// Floats after padding; null where the reference fails.
    pad_sha256: Option<String>,
    /// Floats after resize and centre crop alone.
    nopad_sha256: Option<String>,
    /// 8-bit RGB after padding and resizing.
    u8_sha256: Option<String>,
}

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden-pre").join(name)
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn float_sha256(images: &[Pixels]) -> String {
    let floats = images.iter().flat_map(|pixels| &pixels.data);
    sha256(&floats.flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>())
}

fn open(name: &str) -> RgbImage {
    open_rgb(&golden(name), &DecodeOptions::reference()).unwrap()
}

fn encode(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Vec::new();
    image.write_to(&mut Cursor::new(&mut bytes), format).unwrap();
    bytes
}

fn image_error(bytes: &[u8], options: &DecodeOptions) -> String {
    match decode_rgb(bytes, "test", options) {
        Err(Error::Image { name, reason }) if name == "test" => reason,
        other => panic!("expected Error::Picture, got {other:?}"),
    }
}

#[test]
fn every_golden_image_is_exact() {
    let cases: Vec<Case> = serde_json::from_slice(&fs::read(golden("cases.json")).unwrap()).unwrap();
    assert!(cases.len() > 30);
    for case in cases {
        let config = match case.processor.as_str() {
            "siglip" => ImageProcessorConfig::siglip(case.size),
            _ => ImageProcessorConfig::clip(case.size),
        };
        let image = open(case.decoded.as_deref().unwrap_or(&case.image));
        let floats = |aspect| float_sha256(&[config.preprocess(&image, aspect)]);
        // The reference misreads pictures of these heights; parrot-verify does as well.
        let is_misread = |height: u32| height == 1 || height == 3;
        if let Some(expected) = case.pad_sha256.filter(|_| !is_misread(image.width().max(image.height()))) {
            assert_eq!(floats(AspectRatio::Pad), expected, "{} padded", case.id);
        }
        if let Some(expected) = case.nopad_sha256.filter(|_| !is_misread(image.height())) {
            assert_eq!(floats(AspectRatio::None), expected, "{} not padded", case.id);
        }
        if let Some(expected) = case.u8_sha256 {
            let resized = config.preprocess_u8(&image, AspectRatio::Pad);
            assert_eq!(sha256(&resized), expected, "{} in 8 bits", case.id);
        }
    }
}

#[test]
fn jpegs_decode_as_with_libjpeg() {
    for name in ["base444", "cmyk", "gray", "prog420", "exif6"] {
        let (ours, theirs) = (open(&format!("{name}.jpg")), open(&format!("{name}_jpg.png")));
        assert!(ours == theirs, "{name}");
    }
}

/// `golden-pillow/cases.json` holds what Pillow 13 makes of each file with `exif_transpose`: the size, and the SHA-256 of the
/// RGB bytes; null where it refuses the file. Made by `reference/pillow.py`.
#[test]
fn odd_files_are_read_as_pillow_reads_them_or_refused() {
    #[derive(serde::Deserialize)]
    struct Expected {
        size: (u32, u32),
        sha256: String,
    }
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden-pillow");
    let cases: BTreeMap<String, Option<Expected>> =
        serde_json::from_slice(&fs::read(folder.join("cases.json")).unwrap()).unwrap();
    assert!(cases.len() > 70);
    // What Pillow shows and we refuse, by the words that say why.
    let refused = BTreeMap::from([
        ("bmp_5x4_badoff.bmp", "its pixels are said to begin at byte 30"),
        ("bomb-canvas.gif", "decompression bomb"),
        ("j_arith.jpg", "arithmetic coding"),
        ("png-palette-of-4-bytes.png", "its palette has 4 bytes, no multiple of a colour's 3"),
        ("t_half_plus_eoi.jpg", "cut short"),
        ("t_noise_in_scan.jpg", "damaged"),
    ]);
    for (name, expected) in &cases {
        let found = open_rgb(&folder.join(name), &DecodeOptions::default());
        match (found, expected) {
            (Ok(image), Some(expected)) => {
                assert_eq!(image.dimensions(), expected.size, "{name}");
                assert_eq!(sha256(&image), expected.sha256, "{name}");
            }
            (Ok(_), None) => panic!("{name} is read, where Pillow refuses it"),
            (Err(error), _) => {
                let error = error.to_string();
                assert!(error.contains(name.as_str()), "{error}");
                let reason = refused.get(name.as_str());
                assert!(expected.is_none() || reason.is_some_and(|reason| error.contains(reason)), "{error}");
            }
        }
    }
}

/// Over the files that `reference/pillow.py` writes, about 2,690 of them: run it first, then this with `PILLOW_GRID` set
/// to its folder.
#[test]
#[ignore = "needs Pillow: see reference/pillow.py"]
fn the_grid_is_decoded_as_pillow_decodes_it() {
    let folder = PathBuf::from(std::env::var_os("PILLOW_GRID").expect("PILLOW_GRID names the folder"));
    let cases: BTreeMap<String, Option<String>> =
        serde_json::from_slice(&fs::read(folder.join("cases.json")).unwrap()).unwrap();
    let (mut equal, mut refused) = (0, 0);
    let mut different = Vec::new();
    for (name, expected) in cases {
        let found =
            open_rgb(&folder.join(&name), &DecodeOptions { clip_grey16: true, ..DecodeOptions::default() });
        match (found, expected) {
            (Ok(image), Some(expected)) if sha256(&image) == expected => equal += 1,
            (Err(_), None) => refused += 1,
            // By decision: see the table in docs/pictures.md.
            (Err(_), Some(_)) if name.contains("badoff") => refused += 1,
            (found, _) => different.push(format!("{name}: {:?}", found.map(|image| image.dimensions()))),
        }
    }
    println!("{equal} equal, {refused} refused");
    assert!(different.is_empty(), "{different:#?}");
}

#[test]
fn a_batch_stacks_its_images() {
    let config = ImageProcessorConfig::clip(56);
    let images =
        ["wide.png", "tall.png", "square.png"].map(|name| config.preprocess(&open(name), AspectRatio::Pad));
    assert_eq!(float_sha256(&images), "d06256d765dc476bf2effbc48623665a269eead953867f81ec19369c2ddbfb15");
    let tensor = Pixels::to_tensor(&images, &Default::default());
    assert_eq!(tensor.dims(), [3, 3, 56, 56]);
    let second = tensor.narrow(0, 1, 1).into_data();
    assert_eq!(second.as_slice::<f32>().unwrap(), images[1].data);
}

#[test]
fn a_picture_of_the_mean_colour_is_the_references() {
    let config = ImageProcessorConfig::clip(56);
    assert_eq!(config.pad_color(), [122, 116, 104]);
    let mean = RgbImage::from_pixel(56, 56, Rgb(config.pad_color()));
    let mean = config.preprocess(&mean, AspectRatio::Pad);
    assert_eq!(float_sha256(&[mean]), "b8026be587dbd1c9b83a1cceeb29b71ea068c7ff00b34505fe24549b183316b9");
}

#[test]
fn tiny_images_are_images() {
    let config = ImageProcessorConfig::clip(56);
    let tiny = RgbImage::from_fn(3, 3, |x, y| Rgb([80 * x as u8, 80 * y as u8, 9]));
    let ours = config.preprocess_u8(&tiny, AspectRatio::Pad);
    assert_eq!(ours, resize_bicubic(&tiny, 56, 56));

    let dot = RgbImage::from_pixel(1, 1, Rgb([1, 2, 3]));
    let enlarged = config.preprocess_u8(&dot, AspectRatio::Pad);
    assert!(enlarged.pixels().all(|pixel| pixel.0 == [1, 2, 3]));
}

#[test]
fn a_line_is_resized_without_the_square_or_the_strip() {
    // The padded square would take 0.8 GB, the strip with a shortest edge of 336 5.4 GB.
    let config = ImageProcessorConfig::clip(336);
    for line in [RgbImage::new(16_000, 1), RgbImage::new(1, 16_000)] {
        for aspect in [AspectRatio::Pad, AspectRatio::None] {
            assert_eq!(config.preprocess(&line, aspect).data.len(), 3 * 336 * 336);
        }
    }
}

#[test]
fn exif_orientation_is_applied_unless_the_reference_is_wanted() {
    let path = golden("exif6.jpg");
    let stored = open_rgb(&path, &DecodeOptions::reference()).unwrap();
    let upright = open_rgb(&path, &DecodeOptions::default()).unwrap();
    assert_eq!((stored.dimensions(), upright.dimensions()), ((90, 60), (60, 90)));
    assert_eq!(upright, imageops::rotate90(&stored));
}

#[test]
fn sixteen_bit_grey_keeps_its_high_byte_unless_the_reference_is_wanted() {
    let values = vec![0u16, 200, 255, 256, 0x80ff, 0xffff];
    let grey = ImageBuffer::<Luma<u16>, _>::from_raw(6, 1, values).unwrap();
    let bytes = encode(&DynamicImage::ImageLuma16(grey), ImageFormat::Png);
    let first_channel = |options: DecodeOptions| {
        let image = decode_rgb(&bytes, "grey", &options).unwrap();
        image.pixels().map(|pixel| pixel.0[0]).collect::<Vec<_>>()
    };
    assert_eq!(first_channel(DecodeOptions::default()), [0, 0, 0, 1, 128, 255]);
    assert_eq!(first_channel(DecodeOptions::reference()), [0, 200, 255, 255, 255, 255]);
}

#[test]
fn damaged_files_are_errors() {
    for name in ["corrupt_garbage.png", "corrupt_truncated.jpg"] {
        for options in [DecodeOptions::default(), DecodeOptions::reference()] {
            let error = open_rgb(&golden(name), &options).unwrap_err();
            assert!(matches!(&error, Error::Image { .. }), "{error:?}");
            assert!(error.to_string().contains(name), "{error}");
        }
    }
    assert!(matches!(open_rgb(&golden("no such file"), &DecodeOptions::default()), Err(Error::Io { .. })));
    let options = DecodeOptions::default();
    assert!(image_error(b"", &options).contains("the file is empty"));
    assert!(image_error(b"hello, this is no picture", &options).contains("known picture format"));
}

/// Only headers: nothing could be decoded from these bytes, so the refusal must come before.
#[test]
fn decompression_bombs_are_refused_by_their_header() {
    let options = DecodeOptions::default();
    let mut png = encode(&DynamicImage::new_rgb8(1, 1), ImageFormat::Png);
    png[16..24].copy_from_slice(&[0, 0, 200, 0, 0, 0, 200, 0]);
    let crc = crc32(&png[12..29]).to_be_bytes();
    png[29..33].copy_from_slice(&crc);
    let mut bmp = encode(&DynamicImage::new_rgb8(1, 1), ImageFormat::Bmp);
    bmp[18..22].copy_from_slice(&60_000u32.to_le_bytes());
    bmp[22..26].copy_from_slice(&60_000u32.to_le_bytes());
    let mut gif = fs::read(golden("palette.gif")).unwrap();
    gif[6..10].copy_from_slice(&[0xff; 4]);
    let mut jpeg = encode(&DynamicImage::new_rgb8(8, 8), ImageFormat::Jpeg);
    let frame = jpeg.windows(2).position(|marker| marker == [0xff, 0xc0]).unwrap();
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0xff, 0x00, 0xff, 0x00]);
    for bytes in [png, bmp, gif, jpeg] {
        let reason = image_error(&bytes, &options);
        assert!(reason.contains("too large"), "{reason}");
    }
}

#[test]
fn limits_are_inclusive() {
    let bytes = fs::read(golden("wide.png")).unwrap();
    let exact = DecodeLimits {
        max_pixels: 97 * 40,
        max_side: 97,
        max_bytes: bytes.len() as u64,
        max_memory: 3 * 97 * 40,
    };
    let with = |limits| DecodeOptions { limits, ..DecodeOptions::default() };
    assert!(decode_rgb(&bytes, "test", &with(exact)).is_ok());
    assert!(open_rgb(&golden("wide.png"), &with(exact)).is_ok());
    for limits in [
        DecodeLimits { max_pixels: exact.max_pixels - 1, ..exact },
        DecodeLimits { max_side: exact.max_side - 1, ..exact },
        DecodeLimits { max_bytes: exact.max_bytes - 1, ..exact },
        DecodeLimits { max_memory: exact.max_memory - 1, ..exact },
    ] {
        image_error(&bytes, &with(limits));
        assert!(open_rgb(&golden("wide.png"), &with(limits)).is_err());
    }
}

#[test]
fn mutated_files_return() {
    // Small limits keep a mutated size field from filling half a gigabyte.
    let limits = DecodeLimits { max_pixels: 1 << 20, ..DecodeLimits::default() };
    let options = DecodeOptions { limits, ..DecodeOptions::default() };
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let (mut decoded, mut refused) = (0, 0);
    for entry in fs::read_dir(golden("")).unwrap() {
        let original = fs::read(entry.unwrap().path()).unwrap();
        for round in 0..60 {
            let mut bytes = original.clone();
            for _ in 0..=random(6) {
                // Headers are where a wrong byte does most.
                let at = random(if round % 2 == 0 { bytes.len() } else { bytes.len().min(64) });
                bytes[at] = random(256) as u8;
            }
            if round % 3 == 0 {
                bytes.truncate(random(bytes.len()));
            }
            match decode_rgb(&bytes, "mutated", &options) {
                Ok(image) => {
                    decoded += 1;
                    ImageProcessorConfig::clip(14).preprocess(&image, AspectRatio::Pad);
                }
                Err(Error::Image { .. }) => refused += 1,
                Err(other) => panic!("{other:?}"),
            }
        }
    }
    assert!(decoded > 100 && refused > 100, "{decoded} decoded, {refused} refused");
}

#[test]
fn processor_files_of_both_forms_are_read() {
    let read = |text: &str| serde_json::from_str::<ImageProcessorConfig>(text).map_err(|e| e.to_string());
    let clip = r#""image_mean": [0.48145466, 0.4578275, 0.40821073],
                  "image_std": [0.26862954, 0.26130258, 0.27577711]"#;
    let half = r#""image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]"#;
    let new = format!(
        r#"{{"size": {{"shortest_edge": 336}}, "crop_size": {{"height": 336, "width": 336}}, {clip}}}"#
    );
    let old = format!(r#"{{"size": 336, "crop_size": 336, "do_center_crop": true, "resample": 3, {clip}}}"#);
    let siglip = format!(r#"{{"size": {{"height": 384, "width": 384}}, {half}}}"#);
    assert_eq!(read(&new).unwrap(), ImageProcessorConfig::clip(336));
    assert_eq!(read(&old).unwrap(), ImageProcessorConfig::clip(336));
    assert_eq!(read(&siglip).unwrap(), ImageProcessorConfig::siglip(384));
    // SigLIP 2 of one resolution.
    let bilinear = ImageProcessorConfig { resample: Resample::Bilinear, ..ImageProcessorConfig::siglip(384) };
    assert_eq!(read(&siglip.replacen('{', r#"{"resample": 2, "#, 1)).unwrap(), bilinear);
    // Chinese-CLIP, whose files say the size in either way and never crop.
    for size in ["224", r#"{"height": 224, "width": 224}"#] {
        let chinese_clip = format!(r#"{{"size": {size}, "do_center_crop": false, "crop_size": 9, {clip}}}"#);
        assert_eq!(read(&chinese_clip).unwrap(), ImageProcessorConfig::chinese_clip(224));
    }

    let unequal = ImageProcessorConfig {
        image_size: 224,
        resize: Resize::ShortestEdge(256),
        ..ImageProcessorConfig::clip(224)
    };
    for config in [unequal, bilinear, ImageProcessorConfig::clip(56), ImageProcessorConfig::siglip(384)] {
        assert_eq!(read(&serde_json::to_string(&config).unwrap()).unwrap(), config);
    }

    for (wrong, names) in [
        (new.replace("336", "0"), "size"),
        (new.replace("336", "4000000000"), "size"),
        (new.replacen("336", "224", 1), "crop_size"),
        (new.replacen("336, \"w", "300, \"w", 1), "crop_size"),
        (new.replace("0.26862954", "0"), "image_std"),
        (old.replace("\"resample\": 3", "\"resample\": 1"), "resample"),
        (old.replace("true", "true, \"do_normalize\": false"), "do_normalize"),
        (siglip.replace("\"height\": 384, \"width\": 384", "\"shortest_edge\": 384"), "crop_size"),
        (siglip.replace("[0.5, 0.5, 0.5], \"image_std\"", "[0.5, 127, 0.5], \"image_std\""), "image_mean"),
    ] {
        let error = read(&wrong).unwrap_err();
        assert!(error.contains(names), "{wrong}: {error}");
    }
}

#[test]
fn aspect_ratio_words() {
    let read = |word, tower| AspectRatio::from_key(word, tower).map_err(|error| error.to_string());
    assert_eq!(read(Some("pad"), TowerKind::Siglip), Ok(AspectRatio::Pad));
    assert_eq!(read(None, TowerKind::Clip), Ok(AspectRatio::None));
    assert_eq!(read(Some("square"), TowerKind::Clip), Ok(AspectRatio::None));
    assert!(read(Some("anyres_max_9"), TowerKind::Clip).unwrap_err().contains("image_aspect_ratio"));
    assert!(read(None, TowerKind::Siglip).unwrap_err().contains("image_aspect_ratio"));
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc: u32, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}
