//! The names of a checkpoint's files in the Hugging Face layout: the one list of them.

/// The network's configuration, and that of a tower in its own folder.
pub const CONFIG_FILE: &str = "config.json";

/// Which tokens end an answer, and how tokens are sampled.
pub const GENERATION_CONFIG_FILE: &str = "generation_config.json";

/// How images become pixels.
pub const PROCESSOR_FILE: &str = "preprocessor_config.json";

/// The same among other things, under the key `image_processor`: what transformers writes since version 5.
pub const COMBINED_PROCESSOR_FILE: &str = "processor_config.json";

/// The tokenizer.
pub const TOKENIZER_FILE: &str = "tokenizer.json";

/// Special tokens, and often the chat template.
pub const TOKENIZER_CONFIG_FILE: &str = "tokenizer_config.json";

/// The chat template, where it has a file of its own.
pub const CHAT_TEMPLATE_FILE: &str = "chat_template.jinja";

/// The weights, if they are in one file.
pub const WEIGHTS_FILE: &str = "model.safetensors";

/// Which of several weight files holds which tensor.
pub const INDEX_FILE: &str = "model.safetensors.index.json";

/// What Python's transformers computes the model with, where it has been [exported](crate::checkpoint::export_transformers).
pub const MODELING_FILE: &str = "modeling_parrot.py";

/// Files that a model may have beside configuration and weights: a download fetches them, and
/// [`save`](crate::checkpoint::save) copies them.
pub const COMPANION_FILES: [&str; 9] = [
    TOKENIZER_FILE,
    TOKENIZER_CONFIG_FILE,
    CHAT_TEMPLATE_FILE,
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    GENERATION_CONFIG_FILE,
    PROCESSOR_FILE,
];
