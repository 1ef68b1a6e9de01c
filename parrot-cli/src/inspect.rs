//! `parrot inspect`: what a model is, without loading it.

use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, Result};
use burn::module::Module;
use parrot_infer::device;
use parrot_model::checkpoint::Description;
use parrot_model::config::{ParrotConfig, VisionConfig};
use parrot_model::layout::TOKENIZER_FILE;
use parrot_model::parrot::ParrotModel;
use parrot_model::text::Tokenizer;
use parrot_model::untrusted::printable;
use serde::{Serialize, Serializer};

use crate::options::{find_description, named_size};
use crate::report::readable_bytes;
use crate::terminal::print_json;

/// Show what a model consists of and how much memory it needs
///
/// Loads no weights. A size (parrot-mini, parrot-0.5b, parrot-7b, parrot-14b) needs no file; of a model on
/// the hub everything but the weights is downloaded.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// A model's folder or id, or a size's name [default: as `parrot ask`]
    model: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  parrot inspect
  parrot inspect parrot-7b
  parrot inspect path/to/model --json";

pub(crate) fn run(args: &Args) -> Result<()> {
    let model = match named_size(args.model.as_deref()) {
        Some(size) => {
            let (config, vision) = size.configs();
            Inspection::new(size.name(), config, &vision, None)?
        }
        None => from_folder(&find_description(args.model.as_deref())?)?,
    };
    if args.json {
        print_json(&serde_json::to_string(&model)?)?;
    } else {
        write!(io::stdout(), "{}", printable(&model.to_text()))?;
    }
    Ok(())
}

fn from_folder(folder: &Path) -> Result<Inspection> {
    let name = folder.display().to_string();
    let description = Description::open(folder).with_context(|| format!("cannot inspect {name}"))?;
    let tokenizer = Tokenizer::from_file(folder.join(TOKENIZER_FILE))?;
    Inspection::new(&name, description.config, &description.vision, Some(tokenizer.vocab_size()))
}

/// What there is to say about a model.
#[derive(Debug, Serialize)]
struct Inspection {
    model: String,
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
    vision_tower: Tower,
    /// Tokens that a picture becomes.
    #[serde(rename = "picture_tokens")]
    image_tokens: usize,
    /// Ids of the tokenizer; `None` where there is no file.
    tokenizer_size: Option<usize>,
    config: ParrotConfig,
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
    fn new(
        model: &str,
        config: ParrotConfig,
        vision: &VisionConfig,
        tokenizer_size: Option<usize>,
    ) -> Result<Self> {
        // Parameters get memory when they are first used, and nobody uses them here. So any device will do,
        // but the CPU needs no driver.
        let device = device::open("cpu").unwrap_or_default();
        let network = ParrotModel::init(&config, vision, &device)?;
        let parameters = vec![
            ("vision_tower", network.vision_tower.num_params()),
            ("mm_projector", network.mm_projector.num_params()),
            ("moe_model", network.moe_model.num_params()),
            ("language_model", network.language_model.num_params()),
        ];
        let total_parameters = parameters.iter().map(|(_, count)| count).sum();
        let kv_elements = 2
            * config.decoder.num_hidden_layers
            * config.decoder.num_key_value_heads()
            * config.decoder.head_dim()
            * config.decoder.max_position_embeddings;
        let in_each_dtype = |elements: usize| BYTES.map(|(dtype, bytes)| (dtype, elements * bytes)).to_vec();
        Ok(Self {
            model: model.into(),
            parameters,
            total_parameters,
            weight_bytes: in_each_dtype(total_parameters),
            kv_cache_bytes: in_each_dtype(kv_elements),
            vision_tower: Tower {
                kind: vision.kind.name(),
                name: config.mm_vision_tower.clone(),
                image_size: vision.image_size,
                patch_size: vision.patch_size,
                layers: vision.num_hidden_layers,
                hidden_size: vision.hidden_size,
            },
            image_tokens: vision.tokens_per_image(config.mm_vision_select_feature),
            tokenizer_size,
            config,
        })
    }

    fn to_text(&self) -> String {
        let Self { config, vision_tower: tower, .. } = self;
        let mut lines = vec![
            self.model.clone(),
            format!(
                "  vision tower     {} {}×{} pixels, patches of {}, {} layers of {}: {} tokens per picture",
                tower.kind,
                tower.image_size,
                tower.image_size,
                tower.patch_size,
                tower.layers,
                tower.hidden_size,
                self.image_tokens
            ),
            format!("  projector        {}", config.mm_projector_type),
            match config.num_experts.filter(|_| config.use_moe && config.moe_hidden_size.is_some()) {
                Some(experts) => {
                    format!("  experts          {experts}, residual weight {}", config.moe_weight)
                }
                None => "  experts          none".into(),
            },
            format!(
                "  language model   {} layers of {}, {} heads ({} for keys and values), context of {} tokens",
                config.decoder.num_hidden_layers,
                config.decoder.hidden_size,
                config.decoder.num_attention_heads,
                config.decoder.num_key_value_heads(),
                config.decoder.max_position_embeddings
            ),
            match self.tokenizer_size {
                Some(size) => {
                    format!("  vocabulary       {} ({size} of them used)", config.decoder.vocab_size)
                }
                None => format!("  vocabulary       {}", config.decoder.vocab_size),
            },
            "parameters".into(),
        ];
        let counts = self.parameters.iter().copied().chain([("total", self.total_parameters)]);
        lines.extend(counts.map(|(part, count)| format!("  {part:<15}  {:>16}", with_spaces(count))));
        let bytes = |count: usize| readable_bytes(count as u64);
        lines.push(format!("memory           {:>16}  {:>20}", "weights", "cache, full context"));
        for ((dtype, weights), (_, cache)) in self.weight_bytes.iter().zip(&self.kv_cache_bytes) {
            lines.push(format!("  {dtype:<15}{:>16}  {:>20}", bytes(*weights), bytes(*cache)));
        }
        lines.join("\n") + "\n"
    }
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
