//! `preprocessor_config.json` as it stands on disk, read into and written from an [`ImageProcessorConfig`].

use std::ops::RangeInclusive;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::Value;

use super::{ImageProcessorConfig, Resample, Resize};
use crate::config::extra;
use crate::config::keys::{Keys, from_fields, read_keys};
use crate::error::{Error, Result};
use crate::files::Files;
use crate::layout::{COMBINED_PROCESSOR_FILE, PROCESSOR_FILE};

/// No vision tower has a larger input; a larger number means a damaged file.
const MAX_SIDE: u32 = 16_384;

/// Standard deviations by which pixels are divided, in single precision. Those of known towers are from 0.2 to 1; far from
/// them, pixels become infinite or all alike.
const STD: RangeInclusive<f64> = 1e-3..=1e3;

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
    #[serde(deserialize_with = "three_numbers")]
    image_mean: [f64; 3],
    #[serde(deserialize_with = "three_numbers")]
    image_std: [f64; 3],
    /// Pads after resizing: not what these towers do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    do_pad: Option<bool>,
    #[serde(flatten, skip_serializing)]
    others: Keys,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a number of pixels, `shortest_edge`, or `height` and `width`")]
enum Size {
    Number(u32),
    ShortestEdge { shortest_edge: u32 },
    Sides { height: u32, width: u32 },
}

/// Serde's own words for a list of another length name its types.
fn three_numbers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[f64; 3], D::Error> {
    let value = Value::deserialize(deserializer)?;
    Deserialize::deserialize(value).map_err(|_| de::Error::custom("expected 3 numbers"))
}

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
        let file = file.into();
        let keys = read_keys(&file)?;
        Said { file, place: "", keys }.read()
    }

    /// Reads what a folder says: its `processor_config.json`, as transformers does since version 5, else its
    /// `preprocessor_config.json`; `None` where it says nothing.
    ///
    /// # Errors
    ///
    /// As [`from_file`](Self::from_file).
    pub fn from_folder(folder: impl Into<Files>) -> Result<Option<Self>> {
        Said::find(&folder.into())?.map(Said::read).transpose()
    }

    /// The keys of what a folder says that this crate neither uses nor knows to be without effect on pixels.
    ///
    /// # Errors
    ///
    /// [`Error::Io`](crate::Error::Io) and [`Error::Json`](crate::Error::Json), or [`Error::Config`](crate::Error::Config) for a
    /// key of a wrong type.
    pub fn unknown_keys(folder: impl Into<Files>) -> Result<Vec<String>> {
        // What transformers writes beside: names of classes, how arrays lie in memory, what is off.
        const WITHOUT_EFFECT: [&str; 11] = [
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
        let Some(said) = Said::find(&folder.into())? else { return Ok(Vec::new()) };
        let unknown = said.fields()?.others.into_iter().filter(|(key, value)| {
            !WITHOUT_EFFECT.contains(&key.as_str()) && extra::could_matter(key, value)
        });
        Ok(unknown.map(|(key, _)| key).collect())
    }

    /// Refuses another size than the tower's.
    ///
    /// - folder: which said it
    pub(crate) fn check_size(&self, tower: usize, folder: &Files) -> Result<()> {
        if self.image_size as usize == tower {
            return Ok(());
        }
        let key = if self.crops() { "crop_size" } else { "size" };
        let expected = format!("the vision tower's image_size = {tower}");
        let error = Error::config(key, expected, self.image_size);
        Err(match Said::find(folder)? {
            Some(said) => said.name_in(error),
            None => error,
        })
    }

    fn crops(&self) -> bool {
        matches!(self.resize, Resize::ShortestEdge(_)) || self.image_size != self.resize.edge()
    }
}

/// What a file says of the processing.
struct Said {
    file: Files,
    /// The key that the others stand under, with a dot behind it.
    place: &'static str,
    keys: Keys,
}

impl Said {
    /// What counts in a folder; `None` where it says nothing.
    fn find(folder: &Files) -> Result<Option<Self>> {
        let file = folder.join(COMBINED_PROCESSOR_FILE);
        if file.is_listed()
            && let Some(Value::Object(keys)) = read_keys(&file)?.remove("image_processor")
        {
            return Ok(Some(Self { file, place: "image_processor.", keys }));
        }
        let file = folder.join(PROCESSOR_FILE);
        if !file.is_listed() {
            return Ok(None);
        }
        let keys = read_keys(&file)?;
        Ok(Some(Self { file, place: "", keys }))
    }

    fn fields(&self) -> Result<PreprocessorConfig> {
        from_fields(self.keys.clone()).map_err(|error| self.name_in(error))
    }

    fn read(self) -> Result<ImageProcessorConfig> {
        ImageProcessorConfig::try_from(self.fields()?).map_err(|error| self.name_in(error))
    }

    /// The error with the file and the key's place in it.
    fn name_in(&self, error: Error) -> Error {
        error.under(|key| format!("{}{key}", self.place)).in_file(self.file.path())
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
                return Err(match file.do_center_crop {
                    Some(false) => Error::config("do_center_crop", "true with size.shortest_edge", false),
                    _ => Error::config("crop_size", "given with size.shortest_edge", "no such key, or null"),
                });
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
        if !image_std.iter().all(|std| STD.contains(std)) {
            let expected = format_args!("from {} to {}", STD.start(), STD.end()).to_string();
            return Err(Error::config("image_std", expected, format_args!("{image_std:?}")));
        }
        Ok(Self { image_size, resize, resample, image_mean, image_std })
    }
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
        let crops = config.crops();
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
            others: Keys::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

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
        let nested = json!({ "image_processor": combined, "processor_class": "CLIPProcessor" });
        fs::write(&file, nested.to_string()).unwrap();
        assert_eq!(read(), Some(combined));
    }

    #[test]
    fn what_cannot_be_used_is_named_with_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let good = serde_json::to_value(ImageProcessorConfig::clip(8)).unwrap();
        let refused = |key: &str, value: Option<serde_json::Value>, file: &str| {
            let mut keys = good.clone();
            match value {
                Some(value) => keys[key] = value,
                None => _ = keys.as_object_mut().unwrap().remove(key),
            }
            let path = folder.path().join(file);
            let keys = if file == PROCESSOR_FILE { keys } else { json!({ "image_processor": keys }) };
            fs::write(&path, keys.to_string()).unwrap();
            let error = ImageProcessorConfig::from_folder(folder.path()).unwrap_err().to_string();
            fs::remove_file(&path).unwrap();
            error.strip_prefix(&format!("{}: ", path.display())).unwrap_or(&error).to_owned()
        };
        let outside = "`image_std` should be from 0.001 to 1000, found";
        for (key, value, expected) in [
            ("image_mean", None, "`image_mean` should be given, found no such key"),
            (
                "image_mean",
                Some(json!([0.5, 0.5, 0.5, 0.5])),
                "`image_mean` should be 3 numbers, found [0.5,0.5,0.5,0.5]",
            ),
            ("image_mean", Some(json!(0.5)), "`image_mean` should be 3 numbers, found 0.5"),
            ("image_std", Some(json!([1e-300, 1e-300, 1e-300])), outside),
            ("image_std", Some(json!([1e300, 1e300, 1e300])), outside),
            ("image_std", Some(json!([0.5, 0.0, 0.5])), outside),
            (
                "crop_size",
                None,
                "`crop_size` should be given with size.shortest_edge, found no such key, or null",
            ),
            ("crop_size", Some(Value::Null), "`crop_size` should be given with size.shortest_edge"),
            ("do_center_crop", Some(json!(false)), "`do_center_crop` should be true with size.shortest_edge"),
            ("resample", Some(json!(7)), "`resample` should be 2 (bilinear) or 3 (bicubic), found 7"),
        ] {
            let found = refused(key, value.clone(), PROCESSOR_FILE);
            assert!(found.starts_with(expected), "{found}");
            let found = refused(key, value, COMBINED_PROCESSOR_FILE);
            assert!(found.starts_with(&expected.replacen('`', "`image_processor.", 1)), "{found}");
        }
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
    }
}
