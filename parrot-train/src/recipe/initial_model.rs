//! The model that a recipe starts from: a Parrot, or a new one around a pretrained decoder and tower.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::module::{Module, ModuleMapper, Param};
use burn::prelude::*;
use burn::tensor::FloatDType;
use parrot_model::checkpoint::{
    Checkpoint, DecoderDescription, Description, DownloadProgress, Weights, load_module, load_vision_tower,
    names, resolve_description, resolve_part, resolve_part_description, resolve_with,
};
use parrot_model::config::{ModelSize, ParrotConfig, VisionConfig};
use parrot_model::device::{PartDtypes, WeightDtype, activation_dtype, parameter_dtype};
use parrot_model::image::{AspectRatio, ImageProcessorConfig};
use parrot_model::layout::CONFIG_FILE;
use parrot_model::parrot::ParrotModel;
use parrot_model::quantization::BlockFormat;
use parrot_model::text::{ChatTemplate, Tokenizer};
use parrot_model::untrusted::printable;
use sha2::{Digest, Sha256};

use super::{DecoderDtype, ModelRecipe, Recipe, SaveDtype, TrainingDtype};
use crate::checkpoint::ModelDescription;
use crate::data::preparation::{Preparation, SampleLimits};
use crate::part::{Part, training_dtypes};
use crate::{Error, Result};

/// The model that a recipe starts from: its description, and where its weights come from. None of them is loaded yet.
#[derive(Debug)]
pub struct InitialModel {
    /// What checkpoints say of the model besides the weights.
    pub description: ModelDescription,
    /// How its pictures are preprocessed.
    pub image_processor: ImageProcessorConfig,
    dtypes: PartDtypes,
    /// The parts that learn.
    learning: BTreeSet<Part>,
    origin: Origin,
}

#[derive(Debug)]
enum Origin {
    /// The folder of a whole Parrot.
    Parrot(PathBuf),
    /// Folders of a decoder and a tower; what has none starts at random.
    Parts { language_model: Option<PathBuf>, vision_tower: Option<PathBuf> },
}

impl Origin {
    /// What distinguishes the weights from those of another model: a hash over the names and the first bytes of all tensors, so
    /// that not all of them have to be read. `None` where a folder's cannot be read, for a run that goes on without them.
    fn weights_hash(&self) -> Option<String> {
        const BYTES_OF_TENSOR: usize = 256;
        let folders = match self {
            Self::Parrot(folder) => vec![folder],
            Self::Parts { language_model, vision_tower } => {
                language_model.iter().chain(vision_tower).collect()
            }
        };
        let mut hash = Sha256::new();
        for folder in folders {
            let weights = Weights::from_folder(folder).ok()?;
            for (name, stored) in weights.names().filter_map(|name| Some((name, weights.get(name)?))) {
                hash.update(name.len().to_le_bytes());
                hash.update(name);
                hash.update(stored.bytes.len().to_le_bytes());
                hash.update(&stored.bytes[..stored.bytes.len().min(BYTES_OF_TENSOR)]);
            }
        }
        let hash = format!("{:x}", hash.finalize());
        Some(hash[..16].into())
    }
}

impl TrainingDtype {
    /// The same as a dtype of Burn.
    #[must_use]
    pub fn float(self) -> FloatDType {
        match self {
            Self::F32 => FloatDType::F32,
            Self::Bf16 => FloatDType::BF16,
        }
    }
}

impl DecoderDtype {
    /// The same as a format of blocks.
    #[must_use]
    pub fn format(self) -> BlockFormat {
        match self {
            Self::Q8 => BlockFormat::Q8,
            Self::Q4 => BlockFormat::Q4,
        }
    }
}

impl SaveDtype {
    /// The same as a dtype of Burn.
    #[must_use]
    pub fn float(self) -> FloatDType {
        match self {
            Self::F32 => FloatDType::F32,
            Self::F16 => FloatDType::F16,
            Self::Bf16 => FloatDType::BF16,
        }
    }
}

impl ModelRecipe {
    /// What the parts are held in.
    #[must_use]
    pub fn dtypes(&self) -> PartDtypes {
        let others = WeightDtype::from(self.dtype.float());
        let decoder = self.decoder_dtype.map_or(others, |dtype| dtype.format().into());
        PartDtypes { decoder, ..others.into() }
    }
}

impl InitialModel {
    /// Finds the folders, downloading from the hub what is named by an id, and reads their configurations.
    ///
    /// # Errors
    ///
    /// The model's own error for a folder or configuration that cannot be used, and [`Error::Setting`] for a
    /// new model without a tokenizer.
    pub fn open(recipe: &Recipe, progress: Option<DownloadProgress>) -> Result<Self> {
        let part = |id: &str| resolve_part(id, progress.clone());
        let mut initial = Self::find(recipe, |id| resolve_with(id, progress.clone()), part)?;
        initial.description.weights_hash = initial.origin.weights_hash();
        if recipe.model.decoder_dtype.is_some() {
            let weights = Weights::from_folder(&initial.description.source)?;
            refuse_blocks(&weights)?;
            initial.description.decoder_weights = Some(Arc::new(weights));
        }
        Ok(initial)
    }

    /// Refuses weights that [`load`](Self::load) would, as far as the headers of their files tell. A folder of this machine has to
    /// hold its weights; those of a model on the hub need not have been downloaded.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load); [`Error::Setting`] for a quantised model whose decoder should be quantised once more.
    pub(super) fn check_weights(&self, recipe: &ModelRecipe) -> Result<()> {
        let are_wanted = |id: &Option<String>, folder: &Path| {
            id.as_ref().is_some_and(|id| Path::new(id).exists()) || Weights::are_in(folder)
        };
        let check_decoder = |folder: &Path| -> Result<()> {
            let weights = Weights::from_folder(folder)?;
            if recipe.decoder_dtype.is_some() {
                refuse_blocks(&weights)?;
            }
            Ok(weights.check_dtype(self.dtypes.decoder)?)
        };
        match &self.origin {
            Origin::Parrot(folder) if are_wanted(&recipe.from, folder) => {
                check_decoder(folder)?;
                Ok(Checkpoint::check_folder(folder, self.description.config.clone())?)
            }
            Origin::Parrot(_) => Ok(()),
            Origin::Parts { language_model, vision_tower } => {
                if let Some(folder) = language_model
                    && are_wanted(&recipe.language_model, folder)
                {
                    check_decoder(folder)?;
                }
                if let Some(folder) = vision_tower
                    && are_wanted(&recipe.vision_tower, folder)
                {
                    Weights::from_folder(folder)?;
                }
                Ok(())
            }
        }
    }

    /// [`open`](Self::open) for a look at model or data: no weights are downloaded, nor need there be any.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn describe(recipe: &Recipe, progress: Option<DownloadProgress>) -> Result<Self> {
        let part = |id: &str| resolve_part_description(id, progress.clone());
        Self::find(recipe, |id| resolve_description(id, progress.clone()), part)
    }

    fn find(
        recipe: &Recipe,
        resolve: impl Fn(&str) -> parrot_model::Result<PathBuf>,
        resolve_part: impl Fn(&str) -> parrot_model::Result<PathBuf>,
    ) -> Result<Self> {
        let mut initial = Self::find_as_it_is(&recipe.model, recipe.train.moe, resolve, resolve_part)?;
        initial.learning = recipe.train.parts.iter().copied().collect();
        initial.description.image_processor = Some(initial.image_processor.clone());
        if recipe.train.parts.contains(&Part::VisionTower) {
            let name = &mut initial.description.config.mm_vision_tower;
            *name = name.as_deref().map(trained_tower_name);
        }
        Ok(initial)
    }

    fn find_as_it_is(
        recipe: &ModelRecipe,
        moe: bool,
        resolve: impl Fn(&str) -> parrot_model::Result<PathBuf>,
        resolve_part: impl Fn(&str) -> parrot_model::Result<PathBuf>,
    ) -> Result<Self> {
        let dtypes = recipe.dtypes();
        if let Some(from) = &recipe.from {
            let folder = resolve(from)?;
            let Description {
                config,
                vision,
                image_processor,
                unknown_tower_keys,
                unknown_processor_keys,
                unread_processor,
                ..
            } = Description::open(&folder)?;
            warn_of_unknown_keys("model.from", config.unknown_keys());
            warn_of_unknown_keys("the vision tower of model.from", &unknown_tower_keys);
            warn_of_unknown_keys("the image processor of model.from", &unknown_processor_keys);
            if let Some(notice) = unread_processor {
                tracing::warn!("{}", printable(&notice));
            }
            let config = ParrotConfig { use_moe: moe, ..config };
            let description = ModelDescription::new(config, vision, folder.clone());
            let (learning, origin) = (Default::default(), Origin::Parrot(folder));
            return Ok(Self { description, image_processor, dtypes, learning, origin });
        }
        let (mut config, mut vision) = recipe.size.unwrap_or(ModelSize::ParrotMini).configs();
        let language_model = recipe.language_model.as_deref().map(&resolve_part).transpose()?;
        let vision_tower = recipe.vision_tower.as_deref().map(&resolve_part).transpose()?;
        let Some(source) = language_model.clone() else {
            return Err(Error::Setting {
                key: "model.language_model",
                expected: "the folder or id that a new model takes its tokenizer and decoder from".into(),
                found: "nothing".into(),
            });
        };
        config = with_decoder(config, &source)?;
        config.use_moe = moe;
        let mut image_processor = ImageProcessorConfig::for_tower(&vision);
        if let (Some(folder), Some(id)) = (&vision_tower, &recipe.vision_tower) {
            let file = folder.join(CONFIG_FILE);
            vision = VisionConfig::from_file(&file)?;
            warn_of_unknown_keys("model.vision_tower", &VisionConfig::unknown_keys(&file)?);
            image_processor = ImageProcessorConfig::from_folder(folder.as_path())?
                .unwrap_or_else(|| ImageProcessorConfig::for_tower(&vision));
            let keys = ImageProcessorConfig::unknown_keys(folder.as_path())?;
            warn_of_unknown_keys("the image processor of model.vision_tower", keys);
            let name = Path::new(id).file_name().unwrap_or_default().to_string_lossy();
            config.mm_vision_tower = Some(format!("towers/{name}"));
            config.mm_hidden_size = Some(vision.hidden_size);
        }
        config.validate()?;
        Ok(Self {
            description: ModelDescription::new(config, vision, source),
            image_processor,
            dtypes,
            learning: Default::default(),
            origin: Origin::Parts { language_model, vision_tower },
        })
    }

    /// Makes the model on a device and loads what there is, one tensor at a time. New parts are drawn from the device's seed, before the
    /// function returns, so that they do not depend on what is drawn afterwards.
    ///
    /// # Errors
    ///
    /// The model's own errors, listing every tensor that is missing or does not fit.
    pub fn load(&self, device: &Device, progress: impl FnMut(u64, u64)) -> Result<ParrotModel> {
        let dtypes = training_dtypes(device, self.dtypes, &self.learning);
        match &self.origin {
            Origin::Parrot(folder) => {
                let config = self.description.config.clone();
                Ok(Checkpoint::open_with_config(folder, config)?.load_with(dtypes, device, progress)?)
            }
            Origin::Parts { language_model, vision_tower } => {
                let mut model = self.empty(device)?;
                let PartDtypes { vision_tower: tower, decoder, others } = dtypes;
                if let Some(folder) = language_model {
                    let weights = Weights::from_folder(folder)?;
                    model.language_model =
                        load_module(model.language_model, &weights, names::decoder, decoder)?;
                }
                if let Some(folder) = vision_tower {
                    let weights = Weights::from_folder(folder)?;
                    model.vision_tower = load_vision_tower(model.vision_tower, &weights, tower)?;
                }
                let made = |part| Make { dtype: part, activation_dtype: activation_dtype(device, part) };
                model.vision_tower = model.vision_tower.map(&mut made(tower));
                model.language_model = model.language_model.map(&mut made(decoder));
                model.mm_projector = model.mm_projector.map(&mut made(others));
                model.moe_model = model.moe_model.map(|moe| moe.map(&mut made(others)));
                Ok(model)
            }
        }
    }

    /// How records become samples for the model.
    ///
    /// - max_length: the longest sequence, pictures counted
    ///
    /// # Errors
    ///
    /// The model's own error for a tokenizer that cannot be read or an `image_aspect_ratio` that is not known.
    pub fn preparation(&self, max_length: Option<usize>) -> Result<Preparation> {
        let ModelDescription { config, vision, source, .. } = &self.description;
        let tokenizer = Tokenizer::open(source)?;
        let aspect_ratio = AspectRatio::from_key(config.image_aspect_ratio.as_deref(), vision.kind);
        let aspect_ratio = aspect_ratio.map_err(|error| match &self.origin {
            Origin::Parrot(folder) => error.in_file(folder.join(CONFIG_FILE)),
            _ => error,
        })?;
        Ok(Preparation {
            template: ChatTemplate::for_parrot(source, &tokenizer)?,
            tokenizer: Arc::new(tokenizer),
            processor: self.image_processor.clone(),
            aspect_ratio,
            limits: Some(SampleLimits { config: config.clone(), vision: vision.clone(), max_length }),
        })
    }

    /// A model of the right shape whose weights are not made before they are used: what a run that goes on
    /// from a checkpoint replaces.
    ///
    /// # Errors
    ///
    /// The model's own error for an impossible configuration.
    pub fn empty(&self, device: &Device) -> Result<ParrotModel> {
        Ok(ParrotModel::init(&self.description.config, &self.description.vision, device)?)
    }
}

/// Refuses weights in blocks where the decoder is to be quantised while it is loaded: what is learnt is merged into them.
fn refuse_blocks(weights: &Weights) -> Result<()> {
    let Some(format) = weights.block_format() else { return Ok(()) };
    Err(Error::Setting {
        key: "model.decoder_dtype",
        expected: "missing, or the model one that is not quantised: what is learnt is merged into it".into(),
        found: format!("{}, which is in {}", weights.path().display(), format.name()),
    })
}

/// What a tower is called once it has been trained: by its old name, a hub's id, readers would fetch what it was before.
fn trained_tower_name(name: &str) -> String {
    if name.starts_with("towers/") || Path::new(name).is_absolute() {
        return name.into();
    }
    format!("towers/{}", name.rsplit('/').next().unwrap_or(name))
}

/// The same Parrot around the decoder of another model's folder.
fn with_decoder(config: ParrotConfig, folder: &Path) -> Result<ParrotConfig> {
    if !DecoderDescription::is_in(folder)? {
        return Err(Error::Setting {
            key: "model.language_model",
            expected: "the folder or GGUF of a qwen2, qwen3, llama or mistral model".into(),
            found: folder.display().to_string(),
        });
    }
    let DecoderDescription { config: decoder, bos_token_id, eos_token_id, unknown_keys, .. } =
        DecoderDescription::open(folder)?;
    warn_of_unknown_keys("model.language_model", &unknown_keys);
    Ok(ParrotConfig {
        bos_token_id: bos_token_id.or(config.bos_token_id),
        eos_token_id: eos_token_id.or(config.eos_token_id.clone()),
        ..config.with_decoder(decoder)
    })
}

/// Says which keys of a part's configuration are not known here: one of them could change the numbers.
fn warn_of_unknown_keys(part: &str, keys: impl IntoIterator<Item = impl AsRef<str>>) {
    let keys: Vec<String> = keys.into_iter().map(|key| printable(key.as_ref()).to_string()).collect();
    if !keys.is_empty() {
        tracing::warn!(
            "the configuration of {part} has keys that are not known here and not used: {}",
            keys.join(", ")
        );
    }
}

/// Has every weight of a part that is numbers in a dtype. Weights that would be drawn when first used are drawn now, in f32.
struct Make {
    /// Of weights that are multiplied with.
    dtype: WeightDtype,
    /// Of the others.
    activation_dtype: FloatDType,
}

impl ModuleMapper for Make {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if !param.val().dtype().is_float() {
            return param;
        }
        let dtype = parameter_dtype(D, self.dtype.float(), self.activation_dtype);
        param.map(|tensor| Tensor::from_inner(tensor.inner().cast(dtype)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tower_known_by_name_is_another_once_it_is_trained() {
        for (name, expected) in [
            ("openai/clip-vit-large-patch14-336", "towers/clip-vit-large-patch14-336"),
            ("towers/mine", "towers/mine"),
            ("owner/some-tower", "towers/some-tower"),
            ("/somewhere/some-tower", "/somewhere/some-tower"),
        ] {
            assert_eq!(trained_tower_name(name), expected);
        }
    }
}
