//! Every case that needs no training.

mod anyres;
mod conversation;
mod generate;
mod modules;
mod network;
mod prepare;
mod preprocess;

use crate::golden::{Case, CaseVerdict, ConfigEdits, Fixture, Loaded};
use serde::Deserialize;

use crate::{Result, unknown_kind};

pub(crate) fn verify_case(fixture: &Fixture, case: &Case) -> Result<CaseVerdict> {
    match case.kind.as_str() {
        "note" => Ok(CaseVerdict::Skipped("notes only explain".into())),
        "preprocess" => preprocess::pad_and_crop(fixture, case),
        "preprocess_u8" => preprocess::full_size(fixture, case),
        "preprocess_batch" => preprocess::batch(fixture, case),
        "preprocess_anyres" => anyres::case(fixture, case),
        "preprocess_error" => preprocess::error(fixture, case),
        "preprocess_quirk" => preprocess::quirk(fixture, case),
        "conversation" => conversation::training_or_query(fixture, case),
        "conversation_query" => conversation::query(fixture, case),
        "conversation_error" => conversation::error(fixture, case),
        "projector" => modules::projector(fixture, case),
        "projector_error" => modules::projector_error(fixture, case),
        "moe_unit" => modules::moe_unit(fixture, case),
        "vision" => modules::vision(fixture, case),
        "moe" => modules::moe(fixture, case),
        "forward_infer" => network::forward_infer(fixture, case),
        "forward_loss" => network::forward_loss(fixture, case),
        "forward_bf16" => network::forward_bf16(fixture, case),
        "variant" => network::variant(fixture, case),
        "variant_error" => network::variant_error(fixture, case),
        "prepare" => prepare::prepare(fixture, case),
        "prepare_error" => prepare::error(fixture, case),
        "generate" => generate::generate(fixture, case),
        "generate_nocache" => generate::with_and_without_cache(fixture, case),
        _ => Err(unknown_kind(fixture, case)),
    }
}

/// The fields that say which network a case runs.
#[derive(Deserialize)]
struct NetworkCase {
    checkpoint: String,
    #[serde(flatten)]
    edits: ConfigEdits,
}

/// The network that a case runs.
fn load(fixture: &Fixture, case: &Case) -> Result<std::rc::Rc<Loaded>> {
    let NetworkCase { checkpoint, edits } = fixture.directory.fields(case)?;
    fixture.load(&checkpoint, &edits, fixture.dtype)
}
