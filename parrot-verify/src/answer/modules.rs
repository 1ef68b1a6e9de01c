//! Parts of the network by themselves: projector, mixture of experts, vision tower.

use burn::tensor::{Tensor, s};
use parrot_model::checkpoint::names;
use parrot_model::config::ProjectorKind;
use parrot_model::config::{DecoderConfig, ParrotConfig, SelectFeature};
use parrot_model::projector::{Projector, Routing, TextGuidedMoe};
use parrot_model::text::IMAGE_TOKEN_INDEX;
use serde::Deserialize;

use super::load;
use crate::Result;
use crate::golden::{Array, Case, CaseVerdict, Checks, Fixture, Loaded, Quantity};

#[derive(Deserialize)]
struct ProjectorCase {
    mm_projector_type: String,
}

/// `projector`: any depth, with the case's own weights.
pub(super) fn projector(fixture: &Fixture, case: &Case) -> Result<CaseVerdict> {
    let directory = &fixture.directory;
    let ProjectorCase { mm_projector_type } = directory.fields(case)?;
    let (x, y) = (directory.require(case, "x")?, directory.require(case, "y")?);
    let width = |array: &Array| array.shape.last().copied().unwrap_or(1);
    let kind = ProjectorKind::parse(&mm_projector_type)?;
    let projector = Projector::init(kind, width(&x), width(&y), &fixture.device);
    let projector = fixture.fill(projector, case, "model.mm_projector.", names::projector(kind))?;
    let mut checks = fixture.checks();
    checks.tensor(Quantity::Module, "y", projector.forward(fixture.tensor(case, &x)?), &y);
    Ok(checks.into())
}

/// `projector_error`: types that the reference does not know.
pub(super) fn projector_error(fixture: &Fixture, case: &Case) -> Result<CaseVerdict> {
    let ProjectorCase { mm_projector_type } = fixture.directory.fields(case)?;
    Ok(match ProjectorKind::parse(&mm_projector_type) {
        Err(own) => CaseVerdict::OwnError(own.to_string()),
        Ok(_) => {
            let mut checks = fixture.checks();
            checks.require(false, || format!("{mm_projector_type} was accepted, the reference refuses it"));
            checks.into()
        }
    })
}

#[derive(Deserialize)]
struct MoeUnitCase {
    num_experts: usize,
    use_moe_residual: bool,
    moe_weight: f64,
}

/// `moe_unit`: the mixture of experts on random text and features, with the case's own weights.
pub(super) fn moe_unit(fixture: &Fixture, case: &Case) -> Result<CaseVerdict> {
    let directory = &fixture.directory;
    let fields: MoeUnitCase = directory.fields(case)?;
    let image_features = directory.require(case, "image_features")?;
    let text_embeds = directory.require(case, "text_embeds")?;
    let up_proj = directory.require(case, "w.experts.0.up_proj.weight")?;
    let hidden = image_features.shape.last().copied().unwrap_or(1);
    let config = ParrotConfig {
        decoder: DecoderConfig { hidden_size: hidden, ..DecoderConfig::default() },
        moe_hidden_size: Some(hidden),
        moe_intermediate_size: up_proj.shape.first().copied(),
        num_experts: Some(fields.num_experts),
        use_moe_residual: fields.use_moe_residual,
        moe_weight: fields.moe_weight,
        mm_vision_select_feature: SelectFeature::ClsPatch,
        ..ParrotConfig::default()
    };
    let moe =
        fixture.fill(TextGuidedMoe::init(&config, &fixture.device), case, "model.moe_model.", names::moe)?;
    let image_features: Tensor<3> = fixture.tensor(case, &image_features)?;
    // A question without tokens: one masked position, because a tensor cannot have none.
    let (text_embeds, mask) = if text_embeds.values.is_empty() {
        let mask = Tensor::<2>::zeros([1, 1], &fixture.device).bool();
        (Tensor::zeros([1, 1, hidden], (&fixture.device, image_features.dtype())), Some(mask))
    } else {
        (fixture.tensor(case, &text_embeds)?, None)
    };
    let no_text = mask.is_some();
    let routing = moe.route(image_features.clone(), text_embeds, mask);
    let experts_output = moe.experts(image_features.clone());
    let output = moe.mix(image_features, experts_output, routing.routing_weights.clone());
    let mut checks = fixture.checks();
    checks.tensor(Quantity::Module, "output", output, &directory.require(case, "output")?);
    compare_routing(fixture, case, &mut checks, routing, no_text)?;
    Ok(checks.into())
}

/// `vision`: every hidden state of the tower, and the projected features.
pub(super) fn vision(fixture: &Fixture, case: &Case) -> Result<CaseVerdict> {
    let directory = &fixture.directory;
    let loaded = load(fixture, case)?;
    let pixel_values = match directory.tensor(case, "pixel_values")? {
        Some(pixel_values) => fixture.tensor(case, &pixel_values)?,
        None => fixture.pixel_values(&loaded, &images(fixture, case)?)?,
    };
    let mut checks = fixture.checks();
    let tower = &loaded.model.vision_tower;
    for (i, found) in tower.hidden_states(pixel_values.clone()).into_iter().enumerate() {
        let name = format!("hidden_states_{i}");
        if let Some(expected) = directory.tensor(case, &name)? {
            checks.tensor(Quantity::Module, &name, first_tokens(found, &expected), &expected);
        }
    }
    let features = tower.forward(pixel_values);
    if let Some(expected) = directory.tensor(case, "features")? {
        checks.tensor(Quantity::Module, "features", first_tokens(features.clone(), &expected), &expected);
    }
    if let Some(expected) = directory.tensor(case, "projected")? {
        let projected = loaded.model.mm_projector.forward(features);
        checks.tensor(Quantity::Module, "projected", first_tokens(projected, &expected), &expected);
    }
    Ok(checks.into())
}

#[derive(Deserialize)]
struct MoeCase {
    input_ids: Vec<i64>,
}

/// `moe`: how a real prompt steers a real picture.
pub(super) fn moe(fixture: &Fixture, case: &Case) -> Result<CaseVerdict> {
    let loaded = load(fixture, case)?;
    let MoeCase { input_ids } = fixture.directory.fields(case)?;
    let pixel_values = fixture.pixel_values(&loaded, &images(fixture, case)?)?;
    let mut checks = fixture.checks();
    compare_moe(fixture, case, &loaded, &mut checks, &input_ids, pixel_values)?;
    Ok(checks.into())
}

/// Compares what the mixture of experts computes for a prompt with one picture.
pub(super) fn compare_moe(
    fixture: &Fixture,
    case: &Case,
    loaded: &Loaded,
    checks: &mut Checks,
    input_ids: &[i64],
    pixel_values: Tensor<4>,
) -> Result<()> {
    let directory = &fixture.directory;
    let model = &loaded.model;
    let Some(moe) = &model.moe_model else {
        return Err(directory.error(format!("case {}: the checkpoint has no mixture of experts", case.id)));
    };
    let images = model.encode_images(pixel_values);
    let text: Vec<i64> = input_ids.iter().copied().filter(|id| *id != IMAGE_TOKEN_INDEX).collect();
    let text_embeds = model.language_model.embed(fixture.ids(&text));
    let routing = moe.route(images.image_features.clone(), text_embeds.clone().unsqueeze(), None);
    let experts_output = moe.experts(images.image_features.clone());
    let output =
        moe.mix(images.image_features.clone(), experts_output.clone(), routing.routing_weights.clone());
    let mut compare = |name: &str, found: Tensor<3>| -> Result<()> {
        if let Some(expected) = directory.tensor(case, name)? {
            checks.tensor(Quantity::Module, name, first_tokens(found, &expected), &expected);
        }
        Ok(())
    };
    compare("text_embeds", text_embeds.unsqueeze())?;
    compare("image_features", images.image_features)?;
    compare("output", output)?;
    compare("experts_output", experts_output.squeeze_dim(0))?;
    compare("attn_scores", routing.attn_scores.unsqueeze())?;
    compare("attn_weights", routing.attn_weights.unsqueeze())?;
    compare("gating_embeds", routing.gating_embeds.unsqueeze())?;
    compare("router_logits", routing.router_logits.unsqueeze())?;
    compare("routing_weights", routing.routing_weights.unsqueeze())
}

fn compare_routing(
    fixture: &Fixture,
    case: &Case,
    checks: &mut Checks,
    routing: Routing,
    no_text: bool,
) -> Result<()> {
    let Routing { attn_scores, attn_weights, gating_embeds, router_logits, routing_weights, .. } = routing;
    for (name, found) in [
        ("attn_scores", attn_scores),
        ("attn_weights", attn_weights),
        ("gating_embeds", gating_embeds),
        ("router_logits", router_logits),
        ("routing_weights", routing_weights),
    ] {
        match fixture.directory.tensor(case, name)? {
            Some(expected) if !(no_text && expected.values.is_empty()) => {
                checks.tensor(Quantity::Module, name, found, &expected);
            }
            _ => {}
        }
    }
    Ok(())
}

/// The first tokens of `found`, as many as the golden tensor keeps: large ones are stored in part.
fn first_tokens(found: Tensor<3>, expected: &Array) -> Tensor<3> {
    let tokens = expected.shape.iter().rev().nth(1).copied().unwrap_or(1);
    if tokens < found.dims()[1] { found.slice(s![.., ..tokens, ..]) } else { found }
}

#[derive(Deserialize)]
struct ImageNames {
    image: Option<String>,
    images: Option<Vec<String>>,
}

/// The picture files of a case: `images`, or the one `image`.
pub(super) fn images(fixture: &Fixture, case: &Case) -> Result<Vec<String>> {
    let ImageNames { image, images } = fixture.directory.fields(case)?;
    Ok(images.unwrap_or_else(|| image.into_iter().collect()))
}
