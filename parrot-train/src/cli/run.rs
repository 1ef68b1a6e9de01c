//! `parrot-train run`: a recipe from its first step, or from where it was stopped, to `model/` and `report.html`.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use parrot_model::device::{matmul_rate, training_dtype, weight_dtype};
use parrot_model::untrusted::printable;
use parrot_train::Error;
use parrot_train::checkpoint::{RunFolder, newest_first, read_state};
use parrot_train::data::mix::{Mix, bad_records, write_bad_records};
use parrot_train::data::preparation::Preparation;
use parrot_train::data::record::BadRecord;
use parrot_train::data::{Dataset, TrainingSample};
use parrot_train::distributed::World;
use parrot_train::metrics::{Metrics, REPORT_FILE, report};
use parrot_train::recipe::{BAD_RECORDS_FILE, DecoderDtype, InitialModel, MODEL, Recipe, SaveDtype};
use parrot_train::trainer::{Run, Trainer};

use super::device::choose;
use super::display::{Display, RunSummary};
use super::{RecipeArguments, hub_progress, loading_progress, say};

/// What `parrot-train run` takes on the command line.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    recipe: RecipeArguments,
    /// Where to train: auto, cpu, cuda:0, vulkan:discrete:0, …
    #[arg(long, value_name = "NAME", default_value = "auto")]
    device: String,
    /// Show a dashboard on the whole terminal
    #[arg(long, conflicts_with = "quiet")]
    tui: bool,
    /// Show no progress
    #[arg(long, short)]
    quiet: bool,
}

/// Trains; the exit status is 0 when the stage is done or was stopped on request and saved.
///
/// If one of several processes fails, it says which one it is and ends all of them: the others would wait for it forever.
pub(crate) fn command(arguments: &Arguments) -> Result<ExitCode> {
    let world = World::join()?;
    train(arguments, &world).inspect_err(|error| {
        if world.size() > 1 {
            say(&format!("error: {}: {error:#}", world.name()));
            world.abort();
        }
    })
}

fn train(arguments: &Arguments, world: &World) -> Result<ExitCode> {
    let recipe = arguments.recipe.read()?;
    let quiet = arguments.quiet || !world.is_first();
    let choice = choose(&arguments.device, world)?;
    if let Some(notice) = choice.notice.as_ref().filter(|_| world.is_first()) {
        say(&format!("note: {notice}"));
    }
    let dtype = training_dtype(&choice.device, recipe.model.dtype.float())?;
    let decoder = recipe.model.decoder_dtype.map(DecoderDtype::format);
    if let Some(format) = decoder {
        weight_dtype(&choice.device, Some(format.into()))?;
    }
    let device = choice.device.autodiff();

    let initial = InitialModel::open(&recipe, Some(hub_progress()))?;
    let preparation = recipe.check_start(&initial)?;
    // From here on no other run can be at work in the folder.
    let held = if world.is_first() { Some(RunFolder::open(&recipe.out)?) } else { None };
    world.barrier();
    let checkpoints = newest_first(&recipe.out)?;
    let mix = open_mix(&recipe, preparation, world, checkpoints.is_empty())?;
    if !quiet {
        say(mix.to_string().trim_end());
        if let Some(format) = decoder {
            let name = format.name();
            say(&format!(
                "the decoder is frozen in {name}; what is saved is what it was quantised from, adapters merged"
            ));
        }
    }
    let bad: Vec<BadRecord> = mix.bad_records().cloned().collect();
    let stage = recipe.check_stage(mix.len(), &initial.description.config)?;
    let data: Arc<dyn Dataset<Sample = TrainingSample>> = Arc::new(mix);

    let goes_on = checkpoints.iter().any(|path| read_state(path).is_ok());
    device.seed(recipe.seed);
    // Adapters go on the decoder that they started on, and blocks are made anew; what else a checkpoint holds need not be loaded
    // or drawn first.
    let needs_base = recipe.lora.is_some() || decoder.is_some();
    let model = if goes_on && !needs_base {
        initial.empty(&device)?
    } else {
        initial.load(&device, loading_progress())?
    };
    let stop = Arc::new(AtomicBool::new(false));
    let description = &initial.description;
    let run = Run {
        world: Some(world),
        held: held.as_ref(),
        dtype: Some(dtype),
        ..Run::new(&recipe.out, description, &stop)
    };
    let trainer = Trainer::open(&stage, model, &data, &run)?;
    stop_on_interrupt(&stop, world.is_first())?;

    // Nothing in the folder has changed so far: what belongs to another run has been refused.
    let mut metrics = None;
    if world.is_first() {
        write_bad_records(&bad, &recipe.out.join(BAD_RECORDS_FILE))?;
        let cost = stage.cost(&description.config, &description.vision)?;
        let peak = if quiet { None } else { Some(matmul_rate(&device, dtype)?.flops) };
        let subject = RunSummary { stage: printable(&stage.name).into_owned(), steps: stage.steps, peak };
        let (files, earlier) = Metrics::open(&recipe.out, cost, trainer.steps_done())?;
        let display = match (quiet, arguments.tui) {
            (true, _) => Display::Quiet,
            (false, true) => {
                let dashboard = Display::dashboard(&subject, earlier, Arc::clone(&stop));
                dashboard.context("cannot draw on the terminal")?
            }
            (false, false) => Display::bar(&subject, trainer.steps_done()),
        };
        metrics = Some((files, display));
    }
    let mut failed = None;
    let outcome = trainer.train(|step, report| {
        let Some((files, display)) = &mut metrics else { return };
        match files.record(step, report) {
            Ok(record) => display.show(record),
            // A full disk is no reason to lose the weights: the stage saves and stops.
            Err(error) => {
                stop.store(true, Ordering::Relaxed);
                failed.get_or_insert(error);
            }
        }
    });
    if let Some((_, display)) = metrics {
        display.finish();
    }
    let outcome = outcome?;
    if let Some(error) = failed {
        return Err(error).context(format!("stopped and saved after step {}", outcome.steps));
    }
    if !world.is_first() {
        return Ok(ExitCode::SUCCESS);
    }
    if outcome.interrupted {
        say(&format!(
            "stopped after step {} of {}; the same command goes on from there",
            outcome.steps, stage.steps
        ));
        return Ok(ExitCode::SUCCESS);
    }
    let Some(folder) = held.as_ref() else { return Ok(ExitCode::SUCCESS) };
    let dtype = recipe.save_dtype.map(SaveDtype::float);
    let (out, replaced) =
        folder.publish_model(MODEL, |aside| description.save(&outcome.model, aside, dtype))?;
    for file in replaced {
        say(&format!(
            "note: {} differed from what the run writes, and is replaced",
            out.join(file).display()
        ));
    }
    let page = recipe.out.join(REPORT_FILE);
    let written = match report::write(&recipe.out, &stage.name, &page) {
        Ok(()) => format!("{} and {}", out.display(), page.display()),
        // What is left of the metrics is not enough; the model is whole all the same.
        Err(error @ Error::Data { .. }) => {
            say(&format!("note: no report is written: {error}"));
            out.display().to_string()
        }
        Err(error) => return Err(error.into()),
    };
    if !quiet {
        say(&written);
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads the data. Where more records cannot be used than may, or none can, a folder without checkpoints gets the list of
/// them.
fn open_mix(recipe: &Recipe, preparation: Preparation, world: &World, is_new: bool) -> Result<Mix> {
    let mix = Mix::open(&recipe.sources(), preparation, recipe.data.max_bad_records, recipe.seed);
    if let Err(error) = &mix {
        let is_about_records =
            matches!(error, Error::BadRecords { .. } | Error::Setting { key: "data.source", .. });
        if is_about_records && world.is_first() && is_new {
            write_bad_records(&bad_records(&recipe.sources())?, &recipe.out.join(BAD_RECORDS_FILE))?;
        }
        // Wait until the list is written: the first process to fail ends all of them.
        world.barrier();
    }
    Ok(mix?)
}

/// The first Ctrl-C lets the step in progress be finished and saved.
fn stop_on_interrupt(stop: &Arc<AtomicBool>, speaks: bool) -> Result<()> {
    let stop = Arc::clone(stop);
    ctrlc::set_handler(move || {
        // The second time the user does not want to wait.
        if stop.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        if speaks {
            say("saving and stopping after this step; once more ends at once");
        }
    })?;
    Ok(())
}
