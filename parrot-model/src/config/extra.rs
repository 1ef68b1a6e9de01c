//! Keys that checkpoints of Parrot, LLaVA and transformers hold besides those that this crate uses. They change no number of an
//! answer: they say how the model was trained, what transformers returns, how it chooses tokens.

use serde_json::Value;

const WITHOUT_EFFECT: &[&str] = &[
    // transformers' bookkeeping.
    "_attn_implementation",
    "_name_or_path",
    "add_cross_attention",
    "architectures",
    "attn_implementation",
    "auto_map",
    "bad_words_ids",
    "begin_suppress_tokens",
    "chunk_size_feed_forward",
    "cross_attention_hidden_size",
    "decoder_start_token_id",
    "finetuning_task",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "id2label",
    "is_decoder",
    "is_encoder_decoder",
    "label2id",
    "num_labels",
    "output_attentions",
    "output_hidden_states",
    "pad_token_id",
    "prefix",
    "pretraining_tp",
    "problem_type",
    "pruned_heads",
    "remove_invalid_values",
    "return_dict",
    "return_dict_in_generate",
    "sep_token_id",
    "suppress_tokens",
    "task_specific_params",
    "tf_legacy_loss",
    "tie_encoder_decoder",
    "tokenizer_class",
    "torchscript",
    "transformers_version",
    "unsloth_fixed",
    "unsloth_version",
    "use_bfloat16",
    "use_cache",
    // Randomness of training.
    "attention_dropout",
    "hidden_dropout",
    "resid_pdrop",
    // How tokens were chosen, which generation_config.json and the caller say.
    "diversity_penalty",
    "do_sample",
    "early_stopping",
    "encoder_no_repeat_ngram_size",
    "exponential_decay_length_penalty",
    "length_penalty",
    "max_length",
    "min_length",
    "no_repeat_ngram_size",
    "num_beam_groups",
    "num_beams",
    "num_return_sequences",
    "output_scores",
    "repetition_penalty",
    "temperature",
    "top_k",
    "top_p",
    "typical_p",
    // For Python, written by an export: the tower's own files say the same.
    "mm_image_processor",
    "mm_vision_config",
    // LLaVA's and Parrot's training.
    "freeze_mm_mlp_adapter",
    "freeze_vision_tower",
    "image_crop_resolution",
    "image_grid_pinpoints",
    "image_split_resolution",
    "mm_patch_merge_type",
    "mm_projector_lr",
    "mm_resampler_type",
    "mm_vision_tower_lr",
    "pretrain_mm_mlp_adapter",
    "pretrain_moe",
    "tune_entire_model",
    "tune_mm_mlp_adapter",
    "tune_moe",
    "unfreeze_mm_vision_tower",
    "unfreeze_vision_tower",
    "use_mm_proj",
];

/// Whether a key that is not read could change the numbers of an answer: it is set, and not known to be without effect.
pub(crate) fn could_matter(key: &str, value: &Value) -> bool {
    let is_off = value.is_null() || *value == Value::Bool(false);
    // What our own quantised models say for other readers; the weight files say the same.
    let is_own =
        key == "quantization_config" && value.get("quant_method").is_some_and(|method| method == "parrot");
    !is_off && !is_own && !WITHOUT_EFFECT.contains(&key)
}
