//! Module paths ⇄ the names of a checkpoint.
//!
//! The modules' fields are named as the checkpoint names them, so that a name is the path joined with dots.
//! `ModulePath` removes what Burn adds (an enum's variant); the functions put the prefix of each part in front. A
//! parameter with a `*` in its name holds several tensors, one after the other along its first dimension.

use crate::Result;
use crate::config::{ParrotConfig, ProjectorKind, TowerKind, VisionConfig};
use crate::quantization::PANEL;

/// The prefix of a vision tower's names in a Parrot checkpoint; the tower's own folder does not have it.
const TOWER_PREFIX: &str = "model.vision_tower.vision_tower.";

/// The path of the parameter that a traversal of a module has reached.
#[derive(Debug, Default)]
pub struct ModulePath {
    segments: Vec<String>,
    /// Whether each module on the way has added a segment.
    added: Vec<bool>,
}

impl ModulePath {
    /// Follows [`ModuleVisitor::enter_module`](burn::module::ModuleVisitor::enter_module).
    pub fn enter(&mut self, name: &str, container: &str) {
        let adds = !container.starts_with("Enum:");
        self.added.push(adds);
        if adds {
            self.segments.push(name.to_string());
        }
    }

    /// Follows [`ModuleVisitor::exit_module`](burn::module::ModuleVisitor::exit_module).
    pub fn exit(&mut self) {
        if self.added.pop() == Some(true) {
            self.segments.pop();
        }
    }

    /// The path, as the functions of this module take it.
    #[must_use]
    pub fn segments(&self) -> &[String] {
        &self.segments
    }
}

/// Names of a [`ParrotModel`](crate::parrot::ParrotModel)'s parameters.
///
/// # Errors
///
/// [`Error::Config`](crate::Error::Config) for an unknown `mm_projector_type`.
pub fn parrot(config: &ParrotConfig) -> Result<impl Fn(&[String]) -> String + use<>> {
    let projector_name = projector(ProjectorKind::parse(&config.mm_projector_type)?);
    Ok(move |path: &[String]| match path {
        [part, rest @ ..] if part == "language_model" => decoder(rest),
        [part, rest @ ..] if part == "vision_tower" => in_checkpoint(&vision_tower(rest)),
        [part, rest @ ..] if part == "mm_projector" => projector_name(rest),
        [part, rest @ ..] if part == "moe_model" => moe(rest),
        path => format!("model.{}", path.join(".")),
    })
}

/// Names of a [`Decoder`](crate::language::Decoder)'s parameters; the same in a checkpoint of the decoder alone.
#[must_use]
pub fn decoder(path: &[String]) -> String {
    match path {
        [first, ..] if first == "lm_head" => path.join("."),
        path => format!("model.{}", path.join(".")),
    }
}

/// Names of a [`VisionTower`](crate::vision::VisionTower)'s parameters in the tower's own folder.
pub(super) fn vision_tower(path: &[String]) -> String {
    format!("vision_model.{}", path.join("."))
}

/// Names of a [`Projector`](crate::projector::Projector)'s parameters: `nn.Sequential` counts the
/// activations between the layers, a lone linear layer has no number.
pub fn projector(kind: ProjectorKind) -> impl Fn(&[String]) -> String {
    move |path: &[String]| match path {
        [_, _, leaf @ ..] if kind == ProjectorKind::Linear => {
            format!("model.mm_projector.{}", leaf.join("."))
        }
        [_, index, leaf @ ..] => {
            let position = index.parse::<usize>().map_or_else(|_| index.clone(), |i| (2 * i).to_string());
            format!("model.mm_projector.{position}.{}", leaf.join("."))
        }
        path => format!("model.mm_projector.{}", path.join(".")),
    }
}

/// Names of a [`TextGuidedMoe`](crate::projector::TextGuidedMoe)'s parameters: `experts.*.gate_proj.weight` stands for
/// those of all experts.
#[must_use]
pub fn moe(path: &[String]) -> String {
    match path {
        [experts, projection] if experts == "experts" => {
            format!("model.moe_model.experts.*.{projection}.weight")
        }
        path => format!("model.moe_model.{}", path.join(".")),
    }
}

/// The tensors that a parameter is stored as: itself or, if its name has a `*`, one for each index of its first dimension.
pub fn tensors<'s>(name: &str, shape: &'s [usize]) -> Vec<(String, &'s [usize])> {
    match (name.split_once('*'), shape) {
        (Some((before, after)), [count, shape @ ..]) => {
            (0..*count).map(|index| (format!("{before}{index}{after}"), shape)).collect()
        }
        _ => vec![(name.to_string(), shape)],
    }
}

/// Whether a parameter is the weight of products, or a table that tokens have rows of, and large enough to be held in
/// [blocks](crate::quantization): the router and the positions of patches are small, and stay numbers. Several matrices in one
/// parameter have to be whole panels.
pub(crate) fn is_product_weight(path: &[String], shape: &[usize]) -> bool {
    let is_product = !path.iter().any(|name| name == "gate" || name == "position_embedding");
    is_product
        && match shape {
            [_, _] => true,
            [_, rows, _] => rows % PANEL == 0,
            _ => false,
        }
}

/// The name inside a Parrot checkpoint of what the tower's own folder calls `name`.
fn in_checkpoint(name: &str) -> String {
    format!("{TOWER_PREFIX}{name}")
}

/// The reverse: the name in the tower's own folder, if this is a tensor of the tower.
pub(super) fn in_tower_folder(name: &str) -> Option<&str> {
    name.strip_prefix(TOWER_PREFIX)
}

/// What wraps a model whose names all begin so, and how to take it off; nothing where they do not.
pub(super) fn wrapped<'n>(mut names: impl Iterator<Item = &'n str>) -> Option<String> {
    const WRAPPERS: [(&str, &str); 4] = [
        ("base_model.model.", "a PEFT adapter's model: save what `merge_and_unload` returns"),
        ("_orig_mod.", "a compiled module: save the model's `_orig_mod`"),
        ("module.", "DataParallel or DeepSpeed: save the model's `module`"),
        ("model._orig_mod.", "a compiled module: save the model's `_orig_mod`"),
    ];
    let wrapper_of = |name: &str| WRAPPERS.into_iter().find(|(prefix, _)| name.starts_with(prefix));
    let (prefix, wrapper) = names.find_map(wrapper_of)?;
    Some(format!("its names begin with `{prefix}`, of {wrapper}"))
}

/// Buffers that transformers stored until 4.31.
pub(super) fn is_buffer(name: &str) -> bool {
    name.ends_with(".position_ids") || name.ends_with(".inv_freq")
}

/// Whether a checkpoint may hold this tensor although the model has no place for it.
pub(super) fn is_surplus(name: &str, config: &ParrotConfig, vision: &VisionConfig) -> bool {
    if is_buffer(name) {
        return true;
    }
    // A mixture of experts that is switched off and not even described.
    if name.starts_with("model.moe_model.") {
        return !config.use_moe && config.moe_hidden_size.is_none();
    }
    // What the reference drops of SigLIP: its pooling head and its last layer.
    let Some(name) = in_tower_folder(name).filter(|_| vision.kind == TowerKind::Siglip) else { return false };
    let last_layer = format!("vision_model.encoder.layers.{}.", vision.num_hidden_layers - 1);
    name.starts_with("vision_model.head.") || name.starts_with(&last_layer)
}

#[cfg(test)]
mod tests {
    use super::super::load;
    use super::super::testing::Tiny;
    use super::*;

    #[test]
    fn a_wrapped_model_is_named() {
        assert_eq!(wrapped(["model.norm.weight", "lm_head.weight"].into_iter()), None);
        for (name, wrapper) in [
            ("module.model.norm.weight", "DataParallel"),
            ("_orig_mod.model.norm.weight", "compiled"),
            ("base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight", "PEFT"),
        ] {
            let found = wrapped([name].into_iter()).unwrap();
            assert!(found.contains(wrapper), "{found}");
        }
    }

    /// The layout that the reference writes.
    #[test]
    fn a_clip_model_has_the_reference_names_and_shapes() {
        let tiny = Tiny::clip();
        let mut found: Vec<String> = load::parameters(&tiny.model, &parrot(&tiny.config).unwrap())
            .into_iter()
            .map(|wanted| format!("{} {:?}", wanted.name, wanted.shape))
            // The second of each kind of layer has the same names as the first.
            .filter(|name| !name.contains("layers.1.") && !name.contains("experts.1."))
            .collect();
        found.sort();
        let tower = "model.vision_tower.vision_tower.vision_model";
        let mut expected: Vec<String> = [
            "lm_head.weight [24, 16]",
            "model.embed_tokens.weight [24, 16]",
            "model.layers.0.input_layernorm.weight [16]",
            "model.layers.0.mlp.down_proj.weight [16, 20]",
            "model.layers.0.mlp.gate_proj.weight [20, 16]",
            "model.layers.0.mlp.up_proj.weight [20, 16]",
            "model.layers.0.post_attention_layernorm.weight [16]",
            "model.layers.0.self_attn.k_proj.bias [8]",
            "model.layers.0.self_attn.k_proj.weight [8, 16]",
            "model.layers.0.self_attn.o_proj.weight [16, 16]",
            "model.layers.0.self_attn.q_proj.bias [16]",
            "model.layers.0.self_attn.q_proj.weight [16, 16]",
            "model.layers.0.self_attn.v_proj.bias [8]",
            "model.layers.0.self_attn.v_proj.weight [8, 16]",
            "model.mm_projector.0.bias [16]",
            "model.mm_projector.0.weight [16, 12]",
            "model.mm_projector.2.bias [16]",
            "model.mm_projector.2.weight [16, 16]",
            "model.moe_model.experts.0.down_proj.weight [16, 10]",
            "model.moe_model.experts.0.gate_proj.weight [10, 16]",
            "model.moe_model.experts.0.up_proj.weight [10, 16]",
            "model.moe_model.gate.weight [2, 16]",
            "model.norm.weight [16]",
        ]
        .map(String::from)
        .into();
        expected.extend(
            [
                "embeddings.class_embedding [12]",
                "embeddings.patch_embedding.weight [12, 3, 4, 4]",
                "embeddings.position_embedding.weight [5, 12]",
                "encoder.layers.0.layer_norm1.bias [12]",
                "encoder.layers.0.layer_norm1.weight [12]",
                "encoder.layers.0.layer_norm2.bias [12]",
                "encoder.layers.0.layer_norm2.weight [12]",
                "encoder.layers.0.mlp.fc1.bias [18]",
                "encoder.layers.0.mlp.fc1.weight [18, 12]",
                "encoder.layers.0.mlp.fc2.bias [12]",
                "encoder.layers.0.mlp.fc2.weight [12, 18]",
                "encoder.layers.0.self_attn.k_proj.bias [12]",
                "encoder.layers.0.self_attn.k_proj.weight [12, 12]",
                "encoder.layers.0.self_attn.out_proj.bias [12]",
                "encoder.layers.0.self_attn.out_proj.weight [12, 12]",
                "encoder.layers.0.self_attn.q_proj.bias [12]",
                "encoder.layers.0.self_attn.q_proj.weight [12, 12]",
                "encoder.layers.0.self_attn.v_proj.bias [12]",
                "encoder.layers.0.self_attn.v_proj.weight [12, 12]",
                "post_layernorm.bias [12]",
                "post_layernorm.weight [12]",
                "pre_layrnorm.bias [12]",
                "pre_layrnorm.weight [12]",
            ]
            .map(|name| format!("{tower}.{name}")),
        );
        expected.sort();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_siglip_model_lacks_the_class_token_and_a_tied_head() {
        let tiny = Tiny::siglip();
        let names: Vec<String> = load::parameters(&tiny.model, &parrot(&tiny.config).unwrap())
            .into_iter()
            .map(|wanted| wanted.name)
            .collect();
        let has = |name: &str| names.iter().any(|found| found.ends_with(name));
        assert!(has("vision_model.embeddings.patch_embedding.bias"));
        assert!(has("vision_model.encoder.layers.1.mlp.fc1.weight"));
        for absent in ["class_embedding", "pre_layrnorm.weight", "layers.2.mlp.fc1.weight", "lm_head.weight"]
        {
            assert!(!has(absent), "{absent}");
        }
    }

    #[test]
    fn a_linear_projector_has_no_number() {
        let path = |text: &str| text.split('.').map(String::from).collect::<Vec<_>>();
        let linear = projector(ProjectorKind::Linear);
        assert_eq!(linear(&path("layers.0.weight")), "model.mm_projector.weight");
        let mlp = projector(ProjectorKind::Mlp(3));
        assert_eq!(mlp(&path("layers.2.bias")), "model.mm_projector.4.bias");
    }
}
