//! `parrot inspect`: what a model is, without loading it.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, Result};
use burn::module::Module;
use burn::tensor::Device;
use parrot_infer::{Parrot, device};
use parrot_model::checkpoint::{Checkpoint, DecoderCheckpoint, DecoderDescription, Description, Weights};
use parrot_model::config::{DecoderConfig, ParrotConfig, VisionConfig};
use parrot_model::language::Decoder;
use parrot_model::layout::CONFIG_FILE;
use parrot_model::parrot::ParrotModel;
use parrot_model::text::Tokenizer;
use parrot_model::untrusted::printable;
use serde::{Serialize, Serializer};

use crate::options::{find_description, named_size};
use crate::report::readable_bytes;
use crate::terminal::print_json;

/// Show what a model consists of and how much memory it needs
///
/// Compares the weights that are there with the network, but loads none, and fails where asking the model would. A size (parrot-mini, parrot-0.5b, parrot-7b, parrot-14b) needs no file; of a model on
/// the hub everything but the weights is downloaded. Of a GGUF it also says what its tensors are stored in.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// A model's folder or id, a text model's GGUF, or a size's name [default: as `parrot ask`]
    model: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  parrot inspect
  parrot inspect parrot-7b
  parrot inspect Qwen2.5-7B-Instruct-Q4_K_M.gguf
  parrot inspect path/to/model --json";

pub(crate) fn run(args: &Args) -> Result<()> {
    let model = match named_size(args.model.as_deref()) {
        Some(size) => {
            let (config, vision) = size.configs();
            Inspection::of_parrot(size.name(), config, &vision)?
        }
        None => {
            let model = find_description(args.model.as_deref())?;
            read(&model).with_context(|| format!("cannot inspect {}", model.display()))?
        }
    };
    if args.json {
        print_json(&serde_json::to_string(&model)?)?;
    } else {
        write!(io::stdout(), "{}", printable(&model.to_text()))?;
    }
    model.weights.map_or(Ok(()), StoredWeights::into_result)?;
    model.refusal.map_or(Ok(()), |error| Err(error).context("the model cannot be used"))
}

/// What the folder or GGUF says.
fn read(model: &Path) -> Result<Inspection> {
    let name = model.display().to_string();
    let is_text_model = DecoderDescription::is_in(model)?;
    let described = if is_text_model {
        Inspection::of_text_model(&name, DecoderDescription::open(model)?.config)
    } else {
        let Description { config, vision, .. } = Description::open(model)?;
        let described = Inspection::of_parrot(&name, config, &vision);
        described.map_err(|error| error.in_file(model.join(CONFIG_FILE)))?
    };
    let tokenizer_size = Some(Tokenizer::open(model)?.vocab_size());
    let file = if model.is_file() { Some(GgufFile::open(model)?) } else { None };
    let weights = Some(StoredWeights::find(model, is_text_model));
    let refusal = Parrot::check_description(model).err();
    Ok(Inspection { tokenizer_size, file, weights, refusal, ..described })
}

/// What there is of a model's weights, and whether it can be loaded.
#[derive(Debug)]
enum StoredWeights {
    /// No file of them is there.
    Absent,
    /// Every tensor that the network needs, in its shape, and nothing else.
    Complete,
    Unusable(parrot_model::Error),
}

impl StoredWeights {
    fn find(model: &Path, is_text_model: bool) -> Self {
        if !Weights::are_in(model) {
            return Self::Absent;
        }
        let checked = if is_text_model {
            DecoderCheckpoint::open(model).and_then(|checkpoint| checkpoint.check(&any_device()))
        } else {
            Checkpoint::open(model).and_then(|checkpoint| checkpoint.check(&any_device()))
        };
        checked.map_or_else(Self::Unusable, |()| Self::Complete)
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Complete => "complete",
            Self::Unusable(_) => "unusable",
        }
    }

    fn into_result(self) -> Result<()> {
        match self {
            Self::Absent | Self::Complete => Ok(()),
            Self::Unusable(error) => Err(error).context("the weights cannot be used"),
        }
    }
}

impl Serialize for StoredWeights {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// What there is to say about a model.
#[derive(Debug, Serialize)]
struct Inspection {
    model: String,
    /// What a GGUF is as a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<GgufFile>,
    /// What there is of its weights; a size has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    weights: Option<StoredWeights>,
    /// Why it cannot be asked, whatever its weights are.
    #[serde(skip)]
    refusal: Option<parrot_infer::Error>,
    /// Each part with its number of parameters.
    #[serde(serialize_with = "as_object")]
    parameters: Vec<(&'static str, usize)>,
    total_parameters: usize,
    /// Weights in each dtype, in bytes.
    #[serde(serialize_with = "as_object")]
    weight_bytes: Vec<(&'static str, usize)>,
    /// Keys and values of a full context in each dtype, in bytes.
    #[serde(serialize_with = "as_object")]
    kv_cache_bytes: Vec<(&'static str, usize)>,
    /// A text model has none.
    vision_tower: Option<Tower>,
    /// Tokens that a picture becomes.
    #[serde(rename = "picture_tokens")]
    image_tokens: Option<usize>,
    /// Ids of the tokenizer; `None` where there is no file.
    tokenizer_size: Option<usize>,
    config: Config,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Config {
    Parrot(Box<ParrotConfig>),
    Text {
        model_type: &'static str,
        #[serde(flatten)]
        config: Box<DecoderConfig>,
    },
}

#[derive(Debug, Serialize)]
struct GgufFile {
    bytes: u64,
    /// How many tensors are stored in each type.
    tensors: BTreeMap<&'static str, usize>,
}

impl GgufFile {
    fn open(path: &Path) -> Result<Self> {
        let weights = Weights::from_file(path)?;
        let mut tensors = BTreeMap::new();
        for tensor in weights.names().filter_map(|name| weights.get(name)) {
            *tensors.entry(tensor.encoding()).or_default() += 1;
        }
        Ok(Self { bytes: path.metadata()?.len(), tensors })
    }
}

#[derive(Debug, Serialize)]
struct Tower {
    kind: &'static str,
    name: Option<String>,
    image_size: usize,
    patch_size: usize,
    layers: usize,
    hidden_size: usize,
}

const BYTES: [(&str, usize); 3] = [("f32", 4), ("f16", 2), ("bf16", 2)];

impl Inspection {
    fn of_parrot(model: &str, config: ParrotConfig, vision: &VisionConfig) -> parrot_model::Result<Self> {
        let network = ParrotModel::init(&config, vision, &any_device())?;
        let parameters = vec![
            ("vision_tower", network.vision_tower.num_params()),
            ("mm_projector", network.mm_projector.num_params()),
            ("moe_model", network.moe_model.num_params()),
            ("language_model", network.language_model.num_params()),
        ];
        let vision_tower = Some(Tower {
            kind: vision.kind.name(),
            name: config.mm_vision_tower.clone(),
            image_size: vision.image_size,
            patch_size: vision.patch_size,
            layers: vision.num_hidden_layers,
            hidden_size: vision.hidden_size,
        });
        let image_tokens = Some(vision.tokens_per_image(config.mm_vision_select_feature));
        let described = Self::new(model, parameters, Config::Parrot(Box::new(config)));
        Ok(Self { vision_tower, image_tokens, ..described })
    }

    fn of_text_model(model: &str, config: DecoderConfig) -> Self {
        let parameters = vec![("language_model", Decoder::init(&config, &any_device()).num_params())];
        let model_type = config.family.model_type();
        Self::new(model, parameters, Config::Text { model_type, config: Box::new(config) })
    }

    fn new(model: &str, parameters: Vec<(&'static str, usize)>, config: Config) -> Self {
        let total_parameters = parameters.iter().map(|(_, count)| count).sum();
        let decoder = config.decoder();
        let kv_elements = 2
            * decoder.num_hidden_layers
            * decoder.num_key_value_heads()
            * decoder.head_dim()
            * decoder.max_position_embeddings;
        let in_each_dtype = |elements: usize| BYTES.map(|(dtype, bytes)| (dtype, elements * bytes)).to_vec();
        Self {
            model: model.into(),
            file: None,
            weights: None,
            refusal: None,
            parameters,
            total_parameters,
            weight_bytes: in_each_dtype(total_parameters),
            kv_cache_bytes: in_each_dtype(kv_elements),
            vision_tower: None,
            image_tokens: None,
            tokenizer_size: None,
            config,
        }
    }

    fn to_text(&self) -> String {
        let mut lines = vec![self.model.clone()];
        if let Some(GgufFile { bytes, tensors }) = &self.file {
            let types = tensors.iter().map(|(encoding, count)| format!("{count} in {encoding}"));
            let types = types.collect::<Vec<_>>().join(", ");
            lines.push(format!("  file             GGUF, {}; tensors: {types}", readable_bytes(*bytes)));
        }
        match &self.config {
            Config::Parrot(config) => lines.extend(self.parts_before_decoder(config)),
            Config::Text { model_type, .. } => lines.push(format!(
                "  kind             text model ({model_type}): for `parrot chat --model`, without pictures, or a new Parrot's decoder"
            )),
        }
        let decoder = self.config.decoder();
        lines.push(format!(
            "  language model   {} layers of {}, {} heads ({} for keys and values), context of {} tokens",
            decoder.num_hidden_layers,
            decoder.hidden_size,
            decoder.num_attention_heads,
            decoder.num_key_value_heads(),
            decoder.max_position_embeddings
        ));
        lines.push(match self.tokenizer_size {
            Some(size) => format!("  vocabulary       {} ({size} of them used)", decoder.vocab_size),
            None => format!("  vocabulary       {}", decoder.vocab_size),
        });
        lines.extend(self.weights.as_ref().map(|weights| format!("  weights          {}", weights.name())));
        lines.push("parameters".into());
        let counts = self.parameters.iter().copied().chain([("total", self.total_parameters)]);
        lines.extend(counts.map(|(part, count)| format!("  {part:<15}  {:>16}", with_spaces(count))));
        let bytes = |count: usize| readable_bytes(count as u64);
        lines.push(format!("memory           {:>16}  {:>20}", "weights", "cache, full context"));
        for ((dtype, weights), (_, cache)) in self.weight_bytes.iter().zip(&self.kv_cache_bytes) {
            lines.push(format!("  {dtype:<15}{:>16}  {:>20}", bytes(*weights), bytes(*cache)));
        }
        lines.join("\n") + "\n"
    }

    /// A line for each.
    fn parts_before_decoder(&self, config: &ParrotConfig) -> Vec<String> {
        let mut lines = Vec::new();
        if let (Some(tower), Some(tokens)) = (&self.vision_tower, self.image_tokens) {
            lines.push(format!(
                "  vision tower     {} {}×{} pixels, patches of {}, {} layers of {}: {tokens} tokens per picture",
                tower.kind,
                tower.image_size,
                tower.image_size,
                tower.patch_size,
                tower.layers,
                tower.hidden_size,
            ));
        }
        lines.push(format!("  projector        {}", config.mm_projector_type));
        lines.push(match config.num_experts.filter(|_| config.use_moe && config.moe_hidden_size.is_some()) {
            Some(experts) => format!("  experts          {experts}, residual weight {}", config.moe_weight),
            None => "  experts          none".into(),
        });
        lines
    }
}

impl Config {
    fn decoder(&self) -> &DecoderConfig {
        match self {
            Self::Parrot(config) => &config.decoder,
            Self::Text { config, .. } => config,
        }
    }
}

/// Parameters get memory when they are first used, and nobody uses them here. So any device will do, but the CPU needs no
/// driver.
fn any_device() -> Device {
    device::open("cpu").unwrap_or_default()
}

/// Named numbers as a JSON object, in their order.
fn as_object<S: Serializer>(numbers: &[(&'static str, usize)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(numbers.iter().copied())
}

/// `7 721 324 544`
fn with_spaces(number: usize) -> String {
    let digits = number.to_string();
    let groups = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy);
    groups.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!(with_spaces(7_721_324), "7 721 324");
        assert_eq!(with_spaces(12), "12");
    }
}
