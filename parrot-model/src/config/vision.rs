//! The vision tower's own `config.json`, of every family.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::keys::{Keys, quoted};
use super::{SelectFeature, extra, limits};
use crate::files::Files;
use crate::{Error, Result};

/// Which family a vision tower belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TowerKind {
    /// A class token, a norm before the encoder, patches embedded without a bias.
    Clip,
    /// CLIP's network, trained on pictures squeezed into a square; the tower of the paper's table 7.
    ChineseClip,
    /// No class token, patches embedded with a bias. SigLIP 2 of one resolution is the same network.
    Siglip,
}

impl TowerKind {
    /// Its name as its makers write it: `CLIP`, `Chinese-CLIP`, `SigLIP`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Clip => "CLIP",
            Self::ChineseClip => "Chinese-CLIP",
            Self::Siglip => "SigLIP",
        }
    }
}

/// The activation of a vision tower's feed-forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum HiddenAct {
    /// `x · σ(1.702 x)`, OpenAI's CLIP.
    QuickGelu,
    /// The exact Gaussian error linear unit.
    Gelu,
    /// Its tanh approximation, SigLIP.
    GeluPytorchTanh,
}

/// Shapes of a vision tower.
#[derive(Debug, Clone, PartialEq)]
pub struct VisionConfig {
    /// Its family.
    pub kind: TowerKind,
    /// Width.
    pub hidden_size: usize,
    /// Width of the feed-forward.
    pub intermediate_size: usize,
    /// Encoder layers that the tower's own configuration counts. See [`stored_layers`](Self::stored_layers).
    pub num_hidden_layers: usize,
    /// Attention heads.
    pub num_attention_heads: usize,
    /// Side of the square input, in pixels.
    pub image_size: usize,
    /// Side of a patch, in pixels.
    pub patch_size: usize,
    /// Activation of the feed-forward.
    pub hidden_act: HiddenAct,
    /// ε of the layer norms.
    pub layer_norm_eps: f64,
}

/// The tower's part of a `config.json`, of which every key may be missing.
#[derive(Debug, Deserialize)]
struct File {
    hidden_size: Option<usize>,
    intermediate_size: Option<usize>,
    num_hidden_layers: Option<usize>,
    num_attention_heads: Option<usize>,
    image_size: Option<usize>,
    patch_size: Option<usize>,
    hidden_act: Option<HiddenAct>,
    layer_norm_eps: Option<f64>,
    num_channels: Option<usize>,
    attention_bias: Option<bool>,
    #[serde(flatten)]
    others: Keys,
}

/// What a whole model's `config.json` has besides.
#[derive(Debug, Deserialize)]
struct Nesting {
    model_type: Option<String>,
    vision_config: Option<Keys>,
    /// What the first versions of transformers wrote, beside the same as `vision_config`.
    vision_config_dict: Option<Keys>,
}

/// The `model_type` of a file, the key that the tower's part stands under with a dot behind it, and that part.
fn tower_part(keys: Keys) -> Result<(Option<String>, &'static str, Keys)> {
    let Nesting { model_type, vision_config, vision_config_dict } = super::keys::from_fields(keys.clone())?;
    if let (Some(config), Some(dict)) = (&vision_config, &vision_config_dict) {
        // Which of two counts depends on who reads them.
        let differs =
            |(key, value): &(&String, &Value)| config.get(*key).is_some_and(|other| other != *value);
        if let Some((key, found)) = dict.iter().find(differs) {
            let expected = format!("{} as in vision_config", config[key]);
            return Err(Error::config(&format!("vision_config_dict.{key}"), expected, found));
        }
    }
    Ok(match (vision_config, vision_config_dict) {
        (Some(config), _) => (model_type, "vision_config.", config),
        (None, Some(dict)) => (model_type, "vision_config_dict.", dict),
        (None, None) => (model_type, "", keys),
    })
}

impl VisionConfig {
    /// The towers of the released models, by the last part of their name: a checkpoint may say
    /// `openai/clip-vit-large-patch14-336` or the path that it had where it was trained.
    pub(crate) fn well_known(name: &str) -> Option<Self> {
        match Path::new(name).file_name()?.to_str()? {
            "clip-vit-large-patch14-336" => Some(Self::clip_vit_large_336()),
            "siglip-so400m-patch14-384" => Some(Self::siglip_so400m_384()),
            _ => None,
        }
    }

    /// openai/clip-vit-large-patch14-336, the tower of the released models.
    #[must_use]
    pub fn clip_vit_large_336() -> Self {
        Self {
            kind: TowerKind::Clip,
            hidden_size: 1024,
            intermediate_size: 4096,
            num_hidden_layers: 24,
            num_attention_heads: 16,
            image_size: 336,
            patch_size: 14,
            hidden_act: HiddenAct::QuickGelu,
            layer_norm_eps: 1e-5,
        }
    }

    /// google/siglip-so400m-patch14-384.
    #[must_use]
    pub fn siglip_so400m_384() -> Self {
        Self {
            kind: TowerKind::Siglip,
            hidden_size: 1152,
            intermediate_size: 4304,
            num_hidden_layers: 27,
            num_attention_heads: 16,
            image_size: 384,
            patch_size: 14,
            hidden_act: HiddenAct::GeluPytorchTanh,
            layer_norm_eps: 1e-6,
        }
    }

    /// openai/clip-vit-base-patch32, whose shapes are transformers' defaults.
    fn clip_vit_base_32() -> Self {
        Self {
            hidden_size: 768,
            intermediate_size: 3072,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            image_size: 224,
            patch_size: 32,
            ..Self::clip_vit_large_336()
        }
    }

    /// The tower of the default model: 72 × 72 pixels in 6 × 6 patches.
    #[must_use]
    pub fn clip_vit_mini() -> Self {
        Self {
            kind: TowerKind::Clip,
            hidden_size: 128,
            intermediate_size: 512,
            num_hidden_layers: 4,
            num_attention_heads: 4,
            image_size: 72,
            patch_size: 12,
            hidden_act: HiddenAct::QuickGelu,
            layer_norm_eps: 1e-5,
        }
    }

    /// Reads a tower's `config.json` of any family, as that of a tower alone (`clip_vision_model`) or of the whole
    /// model (`clip`), which nests the tower's.
    ///
    /// Missing keys take the defaults of transformers' `CLIPVisionConfig`, `ChineseCLIPVisionConfig` and
    /// `SiglipVisionConfig`.
    ///
    /// # Errors
    ///
    /// [`Error::Io`], [`Error::Json`], or [`Error::Config`] for an unknown `model_type`, a SigLIP 2 whose patch grid
    /// follows each picture (NaFlex), or shapes that cannot be.
    pub fn from_file(file: impl Into<Files>) -> Result<Self> {
        let file = file.into();
        let keys = super::keys::read_keys(&file)?;
        Self::from_keys(keys).map_err(|error| error.in_file(file.path()))
    }

    fn from_keys(keys: Keys) -> Result<Self> {
        let (model_type, place, tower) = tower_part(keys)?;
        let defaults = Self::defaults(model_type.as_deref())?;
        let in_place = |error: Error| {
            error.under(|key| format!("{place}{}", key.strip_prefix("vision ").unwrap_or(key)))
        };
        super::keys::from_fields(tower).and_then(|file| Self::over(defaults, file)).map_err(in_place)
    }

    /// What missing keys mean in a tower of this `model_type`.
    fn defaults(model_type: Option<&str>) -> Result<Self> {
        Ok(match model_type.unwrap_or_default() {
            "clip" | "clip_vision_model" => Self::clip_vit_base_32(),
            "chinese_clip" | "chinese_clip_vision_model" => {
                Self { kind: TowerKind::ChineseClip, ..Self::clip_vit_base_32() }
            }
            "siglip" | "siglip_vision_model" => Self {
                kind: TowerKind::Siglip,
                patch_size: 16,
                hidden_act: HiddenAct::GeluPytorchTanh,
                layer_norm_eps: 1e-6,
                ..Self::clip_vit_base_32()
            },
            naflex @ ("siglip2" | "siglip2_vision_model") => {
                let expected = "siglip, as SigLIP 2 towers of one resolution have it";
                let found = format!("{naflex}, whose patch grid follows each picture (NaFlex)");
                return Err(Error::config("model_type", expected, found));
            }
            other => {
                let expected = "clip, chinese_clip or siglip, alone or with _vision_model behind it";
                let found = model_type.map_or("no such key".into(), |_| quoted(other));
                return Err(Error::config("model_type", expected, found));
            }
        })
    }

    /// The file's values, and the defaults for those that it lacks.
    fn over(defaults: Self, file: File) -> Result<Self> {
        if let Some(found) = file.num_channels.filter(|channels| *channels != 3) {
            return Err(Error::config("vision num_channels", 3, found));
        }
        if file.attention_bias == Some(false) {
            return Err(Error::config("vision attention_bias", true, false));
        }
        let config = Self {
            kind: defaults.kind,
            hidden_size: file.hidden_size.unwrap_or(defaults.hidden_size),
            intermediate_size: file.intermediate_size.unwrap_or(defaults.intermediate_size),
            num_hidden_layers: file.num_hidden_layers.unwrap_or(defaults.num_hidden_layers),
            num_attention_heads: file.num_attention_heads.unwrap_or(defaults.num_attention_heads),
            image_size: file.image_size.unwrap_or(defaults.image_size),
            patch_size: file.patch_size.unwrap_or(defaults.patch_size),
            hidden_act: file.hidden_act.unwrap_or(defaults.hidden_act),
            layer_norm_eps: file.layer_norm_eps.unwrap_or(defaults.layer_norm_eps),
        };
        config.validate()?;
        Ok(config)
    }

    /// The keys of a tower's `config.json` that this crate neither uses nor knows to be without effect on the numbers.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] and [`Error::Json`], or [`Error::Config`] for a key of a wrong type.
    pub fn unknown_keys(file: impl Into<Files>) -> Result<Vec<String>> {
        // What transformers writes beside a tower: the projection into the space shared with text, starting values.
        const WITHOUT_EFFECT: [&str; 9] = [
            "dropout",
            "dtype",
            "initializer_factor",
            "initializer_range",
            "logit_scale_init_value",
            "model_type",
            "projection_dim",
            "torch_dtype",
            "vision_use_head",
        ];
        let file = file.into();
        let (_, _, tower) = tower_part(super::keys::read_keys(&file)?)?;
        let others = super::keys::from_fields::<File>(tower)?.others;
        let unknown = others.iter().filter(|(key, value)| {
            !WITHOUT_EFFECT.contains(&key.as_str()) && extra::could_matter(key, value)
        });
        Ok(unknown.map(|(key, _)| key.clone()).collect())
    }

    /// Writes a flat `config.json` that [`from_file`](Self::from_file) and transformers read.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let model_type = match self.kind {
            TowerKind::Clip => "clip_vision_model",
            TowerKind::ChineseClip => "chinese_clip_vision_model",
            TowerKind::Siglip => "siglip_vision_model",
        };
        let json = serde_json::json!({
            "model_type": model_type,
            "hidden_size": self.hidden_size,
            "intermediate_size": self.intermediate_size,
            "num_hidden_layers": self.num_hidden_layers,
            "num_attention_heads": self.num_attention_heads,
            "num_channels": 3,
            "image_size": self.image_size,
            "patch_size": self.patch_size,
            "hidden_act": self.hidden_act,
            "layer_norm_eps": self.layer_norm_eps,
        });
        std::fs::write(path, format!("{json:#}\n")).map_err(Error::io("write", path))
    }

    /// Checks that a tower of these shapes can exist.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] with the key, what it should be and what was found.
    pub fn validate(&self) -> Result<()> {
        for (key, value, most) in [
            ("vision hidden_size", self.hidden_size, limits::WIDTH),
            ("vision intermediate_size", self.intermediate_size, limits::WIDTH),
            ("vision num_hidden_layers", self.num_hidden_layers, limits::BLOCKS),
            ("vision num_attention_heads", self.num_attention_heads, limits::WIDTH),
            ("vision image_size", self.image_size, limits::EDGE),
            ("vision patch_size", self.patch_size, limits::EDGE),
        ] {
            limits::check(key, value, most)?;
        }
        limits::check_positive("vision layer_norm_eps", self.layer_norm_eps)?;
        if !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            let expected = format!("a multiple of num_attention_heads = {}", self.num_attention_heads);
            return Err(Error::config("vision hidden_size", expected, self.hidden_size));
        }
        // CLIP's own sizes divide. SigLIP-so400m has 384 = 27 · 14 + 6 and ignores the last 6 pixels.
        if self.kind != TowerKind::Siglip && !self.image_size.is_multiple_of(self.patch_size) {
            let expected = format!("a multiple of patch_size = {}", self.patch_size);
            return Err(Error::config("vision image_size", expected, self.image_size));
        }
        if self.image_size < self.patch_size {
            let expected = format!("at least patch_size = {}", self.patch_size);
            return Err(Error::config("vision image_size", expected, self.image_size));
        }
        Ok(())
    }

    /// Whether the class token is the first row of a hidden state. A norm before the encoder comes with it, and
    /// patches embedded without a bias.
    #[must_use]
    pub(crate) fn has_class_token(&self) -> bool {
        self.kind != TowerKind::Siglip
    }

    /// Patches of an image.
    #[must_use]
    pub fn num_patches(&self) -> usize {
        (self.image_size / self.patch_size).pow(2)
    }

    /// Rows of a hidden state: the patches, and the class token where there is one.
    #[must_use]
    pub(crate) fn num_positions(&self) -> usize {
        self.num_patches() + usize::from(self.has_class_token())
    }

    /// Positions that an image takes in a sequence.
    #[must_use]
    pub fn tokens_per_image(&self, select_feature: SelectFeature) -> usize {
        match select_feature {
            SelectFeature::ClsPatch => self.num_positions(),
            SelectFeature::Patch => self.num_patches(),
        }
    }

    /// Encoder layers that a Parrot checkpoint holds: the reference drops SigLIP's last one.
    #[must_use]
    pub fn stored_layers(&self) -> usize {
        if self.kind == TowerKind::Siglip { self.num_hidden_layers - 1 } else { self.num_hidden_layers }
    }

    /// Encoder layers that run: those up to the hidden state that `mm_vision_select_layer` names, counted from the end if
    /// negative. SigLIP ignores the key: the reference drops the last layer and takes what is left.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for a hidden state that the tower does not have.
    pub fn selected_layers(&self, select_layer: i64) -> Result<usize> {
        let layers = self.stored_layers();
        if self.kind == TowerKind::Siglip {
            return Ok(layers);
        }
        let index = if select_layer < 0 { select_layer + layers as i64 + 1 } else { select_layer };
        usize::try_from(index).ok().filter(|index| *index <= layers).ok_or_else(|| {
            let expected = format!("between -{} and {layers}", layers + 1);
            Error::config("mm_vision_select_layer", expected, select_layer)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<VisionConfig> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        std::fs::write(&path, json).unwrap();
        VisionConfig::from_file(&path)
    }

    #[test]
    fn nested_and_flat_configurations_agree() {
        let flat =
            parse(r#"{"model_type": "clip_vision_model", "hidden_size": 48, "num_attention_heads": 4}"#);
        let nested = parse(
            r#"{"model_type": "clip", "vision_config": {"hidden_size": 48, "num_attention_heads": 4}}"#,
        );
        assert_eq!(flat.unwrap(), nested.unwrap());
    }

    /// What google/siglip2-base-patch16-256 says: the keys that transformers does not default.
    #[test]
    fn a_fixed_resolution_siglip2_is_a_siglip() {
        let json = r#"{"model_type": "siglip", "vision_config": {"image_size": 256,
                       "model_type": "siglip_vision_model"}, "text_config": {"vocab_size": 256000}}"#;
        let config = parse(json).unwrap();
        let expected = (TowerKind::Siglip, 768, 12, 256, 16, HiddenAct::GeluPytorchTanh);
        let VisionConfig { kind, hidden_size, num_hidden_layers, image_size, patch_size, hidden_act, .. } =
            config;
        assert_eq!((kind, hidden_size, num_hidden_layers, image_size, patch_size, hidden_act), expected);
        assert_eq!(config.tokens_per_image(SelectFeature::ClsPatch), 256);
        assert_eq!(config.tokens_per_image(SelectFeature::Patch), 256);
    }

    #[test]
    fn a_class_token_is_a_token_unless_patches_are_selected() {
        let config = parse(r#"{"model_type": "chinese_clip"}"#).unwrap();
        assert_eq!(config.kind, TowerKind::ChineseClip);
        assert_eq!(config.tokens_per_image(SelectFeature::ClsPatch), 50);
        assert_eq!(config.tokens_per_image(SelectFeature::Patch), 49);
    }

    #[test]
    fn saved_towers_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        for config in [
            VisionConfig::clip_vit_large_336(),
            VisionConfig::siglip_so400m_384(),
            VisionConfig::clip_vit_mini(),
            VisionConfig { kind: TowerKind::ChineseClip, ..VisionConfig::clip_vit_base_32() },
        ] {
            config.save(&path).unwrap();
            assert_eq!(VisionConfig::from_file(&path).unwrap(), config);
        }
    }

    /// What transformers 5 writes for a SigLIP tower, and a key that nobody knows.
    #[test]
    fn keys_that_could_change_the_numbers_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        let json = r#"{"model_type": "siglip", "text_config": {"scale_everything": 2}, "initializer_factor": 1.0,
            "vision_config": {"attention_dropout": 0.0, "dtype": "float32", "hidden_act": "gelu_pytorch_tanh",
            "model_type": "siglip_vision_model", "num_channels": 3, "vision_use_head": false, "register_tokens": 4}}"#;
        std::fs::write(&path, json).unwrap();
        assert_eq!(VisionConfig::unknown_keys(&path).unwrap(), ["register_tokens"]);
        assert_eq!(VisionConfig::from_file(&path).unwrap().kind, TowerKind::Siglip);
    }

    /// The first CLIPs of the hub say it twice. transformers' CLIPModel follows `vision_config_dict`, its CLIPVisionModel the other.
    #[test]
    fn a_tower_said_twice_has_to_be_the_same() {
        let json = |dict: usize| {
            format!(
                r#"{{"model_type": "clip", "vision_config": {{"hidden_size": 64, "num_attention_heads": 4, "dropout": 0.0}},
                    "vision_config_dict": {{"hidden_size": {dict}, "patch_size": null}}}}"#
            )
        };
        assert_eq!(parse(&json(64)).unwrap().hidden_size, 64);
        let error = parse(&json(128)).unwrap_err().to_string();
        let expected = "`vision_config_dict.hidden_size` should be 64 as in vision_config, found 128";
        assert!(error.contains(expected), "{error}");
        let alone =
            r#"{"model_type": "clip", "vision_config_dict": {"hidden_size": 64, "num_attention_heads": 4}}"#;
        assert_eq!(parse(alone).unwrap().hidden_size, 64);
        let error = parse(r#"{"model_type": "clip", "vision_config": [768]}"#).unwrap_err().to_string();
        assert!(error.contains("`vision_config` should be an object"), "{error}");
    }

    #[test]
    fn impossible_towers_are_refused() {
        for (json, expected) in [
            (
                r#"{"model_type": "resnet"}"#,
                "`model_type` should be clip, chinese_clip or siglip, alone or with _vision_model behind it, found \"resnet\"",
            ),
            (
                "{}",
                "config.json: `model_type` should be clip, chinese_clip or siglip, alone or with _vision_model behind it, found no such key",
            ),
            (
                r#"{"model_type": "clip", "vision_config": {"patch_size": 0}}"#,
                "`vision_config.patch_size` should be at least 1",
            ),
            (
                r#"{"model_type": "clip", "vision_config": {"patch_size": "x"}}"#,
                "`vision_config.patch_size` should be a whole number",
            ),
            (r#"{"model_type": "siglip2", "vision_config": {"num_patches": 256}}"#, "(NaFlex)"),
            (r#"{"model_type": "siglip2_vision_model"}"#, "(NaFlex)"),
            (
                r#"{"model_type": "clip_vision_model", "num_attention_heads": 7}"#,
                "config.json: `hidden_size` should",
            ),
            (r#"{"model_type": "clip_vision_model", "patch_size": 15}"#, "config.json: `image_size` should"),
            (r#"{"model_type": "clip_vision_model", "patch_size": 0}"#, "config.json: `patch_size` should"),
            (
                r#"{"model_type": "clip_vision_model", "image_size": 1000000000}"#,
                "config.json: `image_size` should",
            ),
        ] {
            let error = parse(json).unwrap_err().to_string();
            assert!(error.contains(expected), "{json}: {error}");
        }
    }
}
