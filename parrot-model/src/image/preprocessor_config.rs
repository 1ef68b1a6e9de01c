//! `preprocessor_config.json` as it stands on disk, read into and written from an [`ImageProcessorConfig`].

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::Value;

use super::{ImageProcessorConfig, Resample, Resize};
use crate::config::keys::{Keys, from_fields, read_keys};
use crate::error::{Error, Result};
use crate::files::Files;
use crate::layout::{COMBINED_PROCESSOR_FILE, PROCESSOR_FILE};

/// No vision tower has a larger input; a larger number means a damaged file.
const MAX_SIDE: u32 = 16_384;

/// The file as it stands.
#[derive(Serialize, Deserialize)]
struct PreprocessorConfig {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    image_processor_type: Option<String>,
    #[serde(default = "yes")]
    do_resize: bool,
    size: Size,
    #[serde(default = "bicubic")]
    resample: u32,
    do_center_crop: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    crop_size: Option<Size>,
    #[serde(default = "yes")]
    do_rescale: bool,
    #[serde(default = "one_255th")]
    rescale_factor: f64,
    #[serde(default = "yes")]
    do_normalize: bool,
    image_mean: [f64; 3],
    image_std: [f64; 3],
    /// Pads after resizing: not what these towers do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    do_pad: Option<bool>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a number of pixels, `shortest_edge`, or `height` and `width`")]
enum Size {
    Number(u32),
    ShortestEdge { shortest_edge: u32 },
    Sides { height: u32, width: u32 },
}

/// The fields of [`PreprocessorConfig`].
const KEYS: [&str; 12] = [
    "crop_size",
    "do_center_crop",
    "do_normalize",
    "do_pad",
    "do_rescale",
    "do_resize",
    "image_mean",
    "image_processor_type",
    "image_std",
    "rescale_factor",
    "resample",
    "size",
];

fn yes() -> bool {
    true
}

/// Pillow's numbers for the kernels.
const BILINEAR: u32 = 2;
const BICUBIC: u32 = 3;

fn bicubic() -> u32 {
    BICUBIC
}

fn one_255th() -> f64 {
    1.0 / 255.0
}

impl ImageProcessorConfig {
    /// Reads a `preprocessor_config.json`.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) and [`Error::Json`](crate::Error::Json) if there is no such file,
    /// [`Error::Config`](crate::Error::Config) if it asks for a
    /// processing that CLIP's and SigLIP's towers do not use.
    pub fn from_file(file: impl Into<Files>) -> Result<Self> {
        Self::from_keys(read_keys(&file.into())?)
    }

    /// Reads what a folder says: its `processor_config.json`, as transformers does since version 5, else its
    /// `preprocessor_config.json`; `None` where it says nothing.
    ///
    /// # Errors
    ///
    /// As [`from_file`](Self::from_file).
    pub fn from_folder(folder: impl Into<Files>) -> Result<Option<Self>> {
        keys_in_folder(&folder.into())?.map(Self::from_keys).transpose()
    }

    /// The keys of what a folder says that this crate neither uses nor knows to be without effect on pixels.
    ///
    /// # Errors
    ///
    /// [`Error::Io`](crate::Error::Io) and [`Error::Json`](crate::Error::Json).
    pub fn unknown_keys(folder: impl Into<Files>) -> Result<Vec<String>> {
        // What transformers writes beside: names of classes, how arrays lie in memory, what is off.
        const WITHOUT_EFFECT: [&str; 12] = [
            "auto_map",
            "data_format",
            "default_to_square",
            "device",
            "disable_grouping",
            "do_convert_rgb",
            "feature_extractor_type",
            "image_seq_length",
            "input_data_format",
            "processor_class",
            "return_tensors",
            "_valid_processor_keys",
        ];
        let Some(keys) = keys_in_folder(&folder.into())? else { return Ok(Vec::new()) };
        let is_known = |key: &str| KEYS.contains(&key) || WITHOUT_EFFECT.contains(&key);
        let is_off = |value: &Value| value.is_null() || *value == Value::Bool(false);
        let unknown = keys.into_iter().filter(|(key, value)| !is_known(key) && !is_off(value));
        Ok(unknown.map(|(key, _)| key).collect())
    }

    fn from_keys(keys: Keys) -> Result<Self> {
        from_fields::<PreprocessorConfig>(keys)?.try_into()
    }
}

impl<'de> Deserialize<'de> for ImageProcessorConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        PreprocessorConfig::deserialize(deserializer)?.try_into().map_err(de::Error::custom)
    }
}

impl Serialize for ImageProcessorConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        PreprocessorConfig::from(self).serialize(serializer)
    }
}

impl TryFrom<PreprocessorConfig> for ImageProcessorConfig {
    type Error = Error;

    fn try_from(file: PreprocessorConfig) -> Result<Self> {
        for (key, value) in [
            ("do_resize", file.do_resize),
            ("do_rescale", file.do_rescale),
            ("do_normalize", file.do_normalize),
        ] {
            if !value {
                return Err(Error::config(key, true, value));
            }
        }
        if file.do_pad == Some(true) {
            return Err(Error::config("do_pad", false, true));
        }
        let resample = match file.resample {
            BILINEAR => Resample::Bilinear,
            BICUBIC => Resample::Bicubic,
            other => return Err(Error::config("resample", "2 (bilinear) or 3 (bicubic)", other)),
        };
        if (file.rescale_factor - one_255th()).abs() > 1e-9 {
            return Err(Error::config("rescale_factor", "1/255", file.rescale_factor));
        }
        let crop = file.crop_size.filter(|_| file.do_center_crop.unwrap_or(true));
        let resize = match (file.size, crop) {
            // Without a crop only a square resize gives a square: old files of Chinese-CLIP and SigLIP.
            (Size::Number(edge), None) => Resize::Square(edge),
            (Size::Number(edge) | Size::ShortestEdge { shortest_edge: edge }, Some(_)) => {
                Resize::ShortestEdge(edge)
            }
            (Size::ShortestEdge { .. }, None) => {
                return Err(Error::config("do_center_crop", "true with size.shortest_edge", false));
            }
            (Size::Sides { height, width }, _) => Resize::Square(square("size", height, width)?),
        };
        let image_size = match crop {
            None => resize.edge(),
            Some(Size::Number(side) | Size::ShortestEdge { shortest_edge: side }) => side,
            Some(Size::Sides { height, width }) => square("crop_size", height, width)?,
        };
        if !(1..=MAX_SIDE).contains(&resize.edge()) {
            return Err(Error::config("size", format_args!("1 to {MAX_SIDE}"), resize.edge()));
        }
        if !(1..=resize.edge()).contains(&image_size) {
            return Err(Error::config("crop_size", format_args!("1 to {}", resize.edge()), image_size));
        }
        let (image_mean, image_std) = (file.image_mean, file.image_std);
        if !image_mean.iter().all(|mean| (0.0..=1.0).contains(mean)) {
            return Err(Error::config("image_mean", "between 0 and 1", format_args!("{image_mean:?}")));
        }
        if !image_std.iter().all(|std| *std > 0.0 && std.is_finite()) {
            return Err(Error::config("image_std", "greater than 0", format_args!("{image_std:?}")));
        }
        Ok(Self { image_size, resize, resample, image_mean, image_std })
    }
}

/// The keys of the file that counts; `None` where there is none.
fn keys_in_folder(folder: &Files) -> Result<Option<Keys>> {
    let file = folder.join(COMBINED_PROCESSOR_FILE);
    if file.is_file()
        && let Some(Value::Object(keys)) = read_keys(&file)?.remove("image_processor")
    {
        return Ok(Some(keys));
    }
    let file = folder.join(PROCESSOR_FILE);
    if file.is_file() { read_keys(&file).map(Some) } else { Ok(None) }
}

fn square(key: &str, height: u32, width: u32) -> Result<u32> {
    if height == width {
        Ok(height)
    } else {
        Err(Error::config(key, "a square", format_args!("{width}×{height}")))
    }
}

impl From<&ImageProcessorConfig> for PreprocessorConfig {
    fn from(config: &ImageProcessorConfig) -> Self {
        let sides = |side| Size::Sides { height: side, width: side };
        let (kind, size) = match config.resize {
            Resize::ShortestEdge(edge) => ("CLIPImageProcessor", Size::ShortestEdge { shortest_edge: edge }),
            Resize::Square(edge) => ("SiglipImageProcessor", sides(edge)),
        };
        let crops =
            matches!(config.resize, Resize::ShortestEdge(_)) || config.image_size != config.resize.edge();
        Self {
            image_processor_type: Some(kind.to_owned()),
            do_resize: true,
            size,
            resample: match config.resample {
                Resample::Bilinear => BILINEAR,
                Resample::Bicubic => BICUBIC,
            },
            do_center_crop: Some(crops),
            crop_size: crops.then(|| sides(config.image_size)),
            do_rescale: true,
            rescale_factor: one_255th(),
            do_normalize: true,
            image_mean: config.image_mean,
            image_std: config.image_std,
            do_pad: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// transformers 5: `ProcessorMixin.save_pretrained` writes one file, and reads it first.
    #[test]
    fn a_folder_says_it_in_either_file() {
        let folder = tempfile::tempdir().unwrap();
        let read = || ImageProcessorConfig::from_folder(folder.path()).unwrap();
        assert_eq!(read(), None);
        let [plain, combined] = [[0.25; 3], [0.75; 3]]
            .map(|image_mean| ImageProcessorConfig { image_mean, ..ImageProcessorConfig::clip(8) });
        fs::write(folder.path().join(PROCESSOR_FILE), serde_json::to_string(&plain).unwrap()).unwrap();
        assert_eq!(read(), Some(plain.clone()));
        let file = folder.path().join(COMBINED_PROCESSOR_FILE);
        fs::write(&file, r#"{"processor_class": "CLIPProcessor"}"#).unwrap();
        assert_eq!(read(), Some(plain));
        let nested = serde_json::json!({ "image_processor": combined, "processor_class": "CLIPProcessor" });
        fs::write(&file, nested.to_string()).unwrap();
        assert_eq!(read(), Some(combined));
    }

    /// What transformers 5 writes for a CLIP, and a key that nobody knows.
    #[test]
    fn keys_that_could_change_pixels_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let json = r#"{"crop_size": {"height": 8, "width": 8}, "data_format": "channels_first", "device": null,
            "default_to_square": false, "do_center_crop": true, "do_convert_rgb": true, "do_normalize": true, "do_pad": null,
            "do_rescale": true, "do_resize": true, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5],
            "image_processor_type": "CLIPImageProcessorFast", "resample": 3, "rescale_factor": 0.00392156862745098,
            "size": {"shortest_edge": 8}, "size_divisor": null, "gamma": 2.2}"#;
        fs::write(folder.path().join(PROCESSOR_FILE), json).unwrap();
        assert_eq!(ImageProcessorConfig::unknown_keys(folder.path()).unwrap(), ["gamma"]);
        let keys: Keys =
            serde_json::from_value(serde_json::to_value(ImageProcessorConfig::clip(8)).unwrap()).unwrap();
        assert!(keys.keys().all(|key| KEYS.contains(&key.as_str())));
    }
}
