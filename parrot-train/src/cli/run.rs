//! `parrot-train run`: a recipe from its first step, or from where it was stopped, to `model/` and `report.html`.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use parrot_model::device;
use parrot_train::checkpoint::{newest_first, read_state};
use parrot_train::data::mix::write_bad_records;
use parrot_train::data::{Dataset, TrainingSample};
use parrot_train::distributed::World;
use parrot_train::flops::{Cost, measured_matmul_rate};
use parrot_train::metrics::{Display, Metrics, Subject, report};
use parrot_train::recipe::{SaveDtype, Start};
use parrot_train::trainer;

use super::{RecipeArguments, hub_progress, loading_progress};

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
/// Of several processes one that fails says which it is and ends all: the others would wait for it for ever.
pub(crate) fn command(arguments: &Arguments) -> Result<ExitCode> {
    let world = World::join()?;
    train(arguments, &world).inspect_err(|error| {
        if world.size() > 1 {
            eprintln!("error: {}: {error:#}", world.name());
            world.abort();
        }
    })
}

fn train(arguments: &Arguments, world: &World) -> Result<ExitCode> {
    let recipe = arguments.recipe.read()?;
    let quiet = arguments.quiet || !world.is_first();
    let choice = device::choose(&arguments.device)?;
    if let Some(notice) = choice.notice.as_ref().filter(|_| world.is_first()) {
        eprintln!("note: {notice}");
    }
    let device = choice.device.clone().autodiff();
    device.seed(recipe.seed);

    let start = Start::open(&recipe.model, recipe.train.moe, Some(hub_progress()))?;
    let mix = recipe.mix(&start, recipe.data.max_bad_records)?;
    if !quiet {
        eprint!("{mix}");
    }
    std::fs::create_dir_all(&recipe.out)
        .with_context(|| format!("cannot create {}", recipe.out.display()))?;
    write_bad_records(mix.bad_records(), &recipe.out.join("bad-records.jsonl"))?;
    let stage = recipe.stage(mix.len());
    let data: Arc<dyn Dataset<Sample = TrainingSample>> = Arc::new(mix);

    // What the newest checkpoint holds need not be loaded or drawn first.
    let newest = newest_first(&recipe.out)?.first().and_then(|path| read_state(path).ok());
    let done = newest.map_or(0, |state| state.step);
    let model = match (done, &recipe.lora) {
        // Adapters go on the decoder that they started on.
        (0, _) | (_, Some(_)) => start.load(&device, loading_progress())?,
        _ => start.empty(&device)?,
    };

    let stop = Arc::new(AtomicBool::new(false));
    let handler = Arc::clone(&stop);
    let speaks = world.is_first();
    ctrlc::set_handler(move || {
        // The second time the user does not want to wait.
        if handler.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        if speaks {
            eprintln!("saving and stopping after this step; once more ends at once");
        }
    })?;

    let description = &start.description;
    let cost = Cost::of(&stage, &description.config, &description.vision)?;
    let display = match (quiet, arguments.tui) {
        (true, _) => Display::Quiet,
        (false, true) => Display::Dashboard,
        (false, false) => Display::Bar,
    };
    let peak = (!quiet).then(|| measured_matmul_rate(&device, recipe.model.dtype.float()));
    let subject = Subject { stage: stage.name.clone(), steps: stage.steps, cost, peak };
    let mut metrics = match world.is_first() {
        true => Some(Metrics::open(&recipe.out, subject, done, display, Arc::clone(&stop))?),
        false => None,
    };
    let mut failed = None;
    let run = trainer::Run { world: Some(world), ..trainer::Run::new(&recipe.out, description, &stop) };
    let outcome = stage.train(model, &data, &run, |step, report| {
        // A full disk is no reason to lose the weights: the stage saves and stops.
        if let Some(Err(error)) = metrics.as_mut().map(|metrics| metrics.record(step, report)) {
            stop.store(true, Ordering::Relaxed);
            failed.get_or_insert(error);
        }
    });
    if let Some(metrics) = metrics {
        metrics.finish();
    }
    let outcome = outcome?;
    if let Some(error) = failed {
        return Err(error).context(format!("stopped and saved after step {}", outcome.steps));
    }
    if !world.is_first() {
        return Ok(ExitCode::SUCCESS);
    }
    if outcome.interrupted {
        eprintln!(
            "stopped after step {} of {}; the same command goes on from there",
            outcome.steps, stage.steps
        );
        return Ok(ExitCode::SUCCESS);
    }
    let out = recipe.out.join("model");
    description.save(&outcome.model, &out, recipe.save_dtype.map(SaveDtype::float))?;
    report::write(&recipe.out, &stage.name, &recipe.out.join("report.html"))?;
    if !quiet {
        eprintln!("{} and {}", out.display(), recipe.out.join("report.html").display());
    }
    Ok(ExitCode::SUCCESS)
}
