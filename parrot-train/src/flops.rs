//! What a step of training costs: parameters, floating-point operations, memory.
//!
//! A product of `[n, k]` and `[k, m]` counts 2·n·k·m operations; norms, activations and the softmax count nothing.
//! In the backward pass a product counts once more for the gradient of its weight, if that learns, and once more for the
//! gradient that passes through it to what comes before.

use std::collections::{BTreeMap, BTreeSet};

use burn::module::{Module, ModuleVisitor, Param};
use burn::prelude::*;
use parrot_model::config::{ParrotConfig, VisionConfig};
use parrot_model::flops::{self, products};
use parrot_model::parrot::ParrotModel;

use crate::Result;
use crate::part::Part;

/// Parameters of a model, part by part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameters {
    parts: BTreeMap<Part, usize>,
}

/// A model's shape, as far as the cost of a step depends on it.
#[derive(Debug, Clone)]
pub struct Cost {
    parameters: Parameters,
    config: ParrotConfig,
    vision: VisionConfig,
    /// Layers of the tower that run.
    vision_layers: usize,
    trainable: BTreeSet<Part>,
    /// Parameters of adapters that are products of their own beside a decoder that does not learn.
    adapters: usize,
    /// Whether the decoder's layers are computed again in the backward pass.
    recomputes: bool,
}

/// What a step works on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Workload {
    /// Sequences.
    pub samples: usize,
    /// Tokens, pictures counted.
    pub tokens: usize,
    /// Pictures.
    pub images: usize,
    /// Tokens that are learnt: only they meet the vocabulary, and only their positions the last layer's feed-forward.
    pub learnt: usize,
}

impl Parameters {
    /// Counts them. Nothing is allocated: a parameter has no values before it is used.
    ///
    /// # Errors
    ///
    /// The model's own error for an impossible configuration.
    pub fn count(config: &ParrotConfig, vision: &VisionConfig) -> Result<Self> {
        let model = ParrotModel::init(config, vision, &Device::default())?;
        let parts = [
            (Part::VisionTower, count(&model.vision_tower)),
            (Part::Projector, count(&model.mm_projector)),
            (Part::Moe, model.moe_model.as_ref().map_or(0, count)),
            (Part::LanguageModel, count(&model.language_model)),
        ];
        Ok(Self { parts: parts.into() })
    }

    /// The parameters of a part.
    #[must_use]
    pub fn in_part(&self, part: Part) -> usize {
        self.parts.get(&part).copied().unwrap_or(0)
    }

    /// The parameters of all parts.
    #[must_use]
    pub fn total(&self) -> usize {
        self.parts.values().sum()
    }
}

fn count(module: &impl Module) -> usize {
    struct Count(usize);

    impl ModuleVisitor for Count {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0 += param.lazy_shape().num_elements();
        }
    }

    let mut count = Count(0);
    module.visit(&mut count);
    count.0
}

impl Cost {
    /// The cost of training these parts of a model.
    ///
    /// # Errors
    ///
    /// The model's own error for an impossible configuration.
    pub(crate) fn new(
        config: &ParrotConfig,
        vision: &VisionConfig,
        trainable: &BTreeSet<Part>,
    ) -> Result<Self> {
        let parameters = Parameters::count(config, vision)?;
        let vision_layers = vision.selected_layers(config.mm_vision_select_layer)?;
        let (config, vision) = (config.clone(), vision.clone());
        let trainable = trainable.clone();
        Ok(Self { parameters, config, vision, vision_layers, trainable, adapters: 0, recomputes: false })
    }

    /// The cost with so many parameters in adapters, whose products come on top of a frozen decoder's.
    pub(crate) fn with_adapters(self, adapters: usize) -> Self {
        Self { adapters, ..self }
    }

    /// The cost when the decoder's layers are computed again in the backward pass.
    pub(crate) fn recomputing(self) -> Self {
        Self { recomputes: true, ..self }
    }

    /// Its parameters.
    #[must_use]
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Positions that a picture takes in a sequence.
    #[must_use]
    pub fn tokens_per_image(&self) -> usize {
        self.vision.tokens_per_image(self.config.mm_vision_select_feature)
    }

    /// Operations of one step, forward and backward; sequences are taken to be of equal length.
    #[must_use]
    pub fn step(&self, workload: Workload) -> f64 {
        let Workload { samples, tokens, images, learnt } = workload;
        let (config, vision) = (&self.config, &self.vision);
        let parameters = |part: Part| self.parameters.in_part(part);
        let visual = images * self.tokens_per_image();
        let moe = if config.use_moe { products(parameters(Part::Moe), visual) } else { 0.0 };
        let of_decoder = parameters(Part::LanguageModel);
        let decoder = flops::decoder_forward(&config.decoder, of_decoder, samples, tokens, learnt);
        let tower = images as f64 * flops::vision_forward(vision, self.vision_layers);
        // In the order of the forward pass: gradients pass through what comes after the first part that learns.
        let path = [
            (Part::VisionTower, tower),
            (Part::Projector, products(parameters(Part::Projector), visual)),
            (Part::Moe, moe),
            (Part::LanguageModel, decoder),
        ];
        let mut reached = false;
        let mut total = 3.0 * products(self.adapters, tokens);
        for (part, forward) in path {
            let learns = self.trainable.contains(&part);
            total += forward;
            reached |= part == Part::LanguageModel && self.adapters > 0;
            total += if reached { forward } else { 0.0 };
            total += if learns { forward } else { 0.0 };
            reached |= learns;
        }
        // The last layer is computed once, with the head.
        let again = 1.0 - 1.0 / config.decoder.num_hidden_layers as f64;
        let layers = products(flops::layer_parameters(&config.decoder, of_decoder), tokens)
            + flops::causal_attention(&config.decoder, samples, tokens);
        total + if self.recomputes { again * layers } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mini() -> (ParrotConfig, VisionConfig) {
        (ParrotConfig::parrot_mini(), VisionConfig::clip_vit_mini())
    }

    #[test]
    fn parameters_are_those_of_the_model_card_and_of_the_paper() {
        let (config, vision) = mini();
        let mini = Parameters::count(&config, &vision).unwrap();
        let parts = [Part::VisionTower, Part::Projector, Part::Moe, Part::LanguageModel];
        assert_eq!(parts.map(|part| mini.in_part(part)), [853_760, 46_400, 461_760, 1_825_440]);
        let vision = VisionConfig::clip_vit_large_336();
        let full = Parameters::count(&ParrotConfig::parrot_7b(), &vision).unwrap();
        let [tower, projector, moe, decoder] = parts.map(|part| full.in_part(part) as f64 / 1e6);
        assert!((tower - 303.5).abs() < 1.0 && (projector - 21.0).abs() < 0.1, "{tower} {projector}");
        assert!((moe - 302.0).abs() < 0.2 && (decoder - 7721.0).abs() < 1.0, "{moe} {decoder}");
    }

    /// Six operations a parameter and token where all learns, as everyone estimates it.
    #[test]
    fn a_whole_model_costs_about_six_operations_a_parameter_and_token() {
        let (config, vision) = mini();
        let all = [Part::VisionTower, Part::Projector, Part::Moe, Part::LanguageModel].into();
        let cost = Cost::new(&config, &vision, &all).unwrap();
        let text = cost.step(Workload { samples: 1, tokens: 10, images: 0, learnt: 10 });
        let estimate = 6.0 * cost.parameters().in_part(Part::LanguageModel) as f64 * 10.0;
        assert!((text / estimate - 1.0).abs() < 0.02, "{text} {estimate}");
    }

    #[test]
    fn frozen_parts_cost_less_and_recomputing_costs_more() {
        let (config, vision) = mini();
        let workload = Workload { samples: 4, tokens: 4 * 80, images: 4, learnt: 4 * 20 };
        let cost = |parts: &[Part]| Cost::new(&config, &vision, &parts.iter().copied().collect()).unwrap();
        let projector = cost(&[Part::Projector]).step(workload);
        let stage2 = cost(&[Part::Projector, Part::Moe, Part::LanguageModel]);
        let all = cost(&[Part::VisionTower, Part::Projector, Part::Moe, Part::LanguageModel]);
        assert!(projector < stage2.step(workload));
        assert!(stage2.step(workload) < all.step(workload));
        assert!(stage2.step(workload) < stage2.clone().recomputing().step(workload));
    }
}
