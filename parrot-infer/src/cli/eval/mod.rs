//! `parrot eval`: benchmarks.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use parrot_infer::eval::{
    self, Asked, Asker, Assigned, Benchmark, Conditions, Dataset, DatasetResult, GenerateOptions, Job,
    Journal, MmBench, Mme, Mmmb, ModelInfo, Outcome, PictureStore, Pope, PredictionFile, Problem,
    ProblemKind, Protocol, Report, ReportPage, RunAs, WrongAnswer,
};

use super::model_info::model_info;
use super::options::ModelOptions;
use super::terminal::print_notice;

/// Measure a model on MMMB, MMBench, POPE and MME, or score answers that another program gave
///
/// Reads the published TSV files. Numbers on MMMB exist under three incompatible protocols, so each is computed under its
/// name: paper-2024-06 counts a yes/no pair as one question, kit-2024-08 and kit-2026-08 (VLMEvalKit) count rows. The
/// tables go to stdout; predictions, results.json, results.md and report.html to the folder --out, where an interrupted run
/// goes on.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Benchmark files, or folders of them
    #[arg(long, value_name = "TSV_OR_DIR", num_args = 1.., required = true)]
    data: Vec<PathBuf>,
    /// Whose rules: paper-2024-06, kit-2024-08, kit-2026-08 or all
    #[arg(long, value_name = "NAME", default_value = "all", value_parser = parse_protocol)]
    protocol: Protocols,
    /// Prompts end as when files are run by their own names or as a collection [default: as the protocol's users did]
    #[arg(long, value_name = "NAME")]
    run_as: Option<RunAsName>,
    /// What the files are, where their names do not say so
    #[arg(long, value_name = "NAME")]
    benchmark: Option<BenchmarkName>,
    /// Only print the prompts, a JSON object per line
    #[arg(long, conflicts_with_all = ["score", "out"])]
    prompts_only: bool,
    /// With --prompts-only: the prompts of Parrot, or of models that bring none of their own
    #[arg(long, value_name = "MODEL", default_value = "parrot", requires = "prompts_only")]
    prompts_for: AskerName,
    /// Score these answers (.tsv, .xlsx or .jsonl with index and prediction) instead of asking a model
    #[arg(long, value_name = "FILE", num_args = 1..)]
    score: Vec<PathBuf>,
    /// Where results go [default: runs/eval/MODEL; with --score nowhere]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print results.json instead of the tables
    #[arg(long, conflicts_with = "prompts_only")]
    json: bool,
    /// Wrong answers in the report
    #[arg(long, value_name = "N", default_value_t = 60)]
    wrong: usize,
    /// Questions computed at the same time
    #[arg(long, value_name = "N", default_value_t = GenerateOptions::default().batch_size)]
    batch_size: usize,
    /// Pictures whose features are kept; more find longer runs of questions of equal length
    #[arg(long, value_name = "N", default_value_t = GenerateOptions::default().pictures)]
    pictures: usize,
    /// Longest answer, in tokens
    #[arg(long, value_name = "N", default_value_t = GenerateOptions::default().max_new_tokens)]
    max_new_tokens: usize,
    /// Save pictures as JPEG and read them again first, as the kits do
    #[arg(long)]
    jpeg_roundtrip: bool,
    #[command(flatten)]
    model: ModelOptions,
}

const EXAMPLES: &str = "\
Examples:
  parrot eval --data ~/LMUData --model AIDC-AI/Parrot-7B
  parrot eval --data mmmb_en.tsv mmmb_tr.tsv --protocol kit-2026-08
  parrot eval --data mmmb_tr.tsv --protocol paper-2024-06 --prompts-only > prompts.jsonl
  parrot eval --data mmmb_tr.tsv --score InternVL_MMMB_tr.xlsx --json";

/// What `--protocol` names.
#[derive(Debug, Clone)]
struct Protocols(Vec<Protocol>);

fn parse_protocol(name: &str) -> Result<Protocols, String> {
    match name {
        "all" => Ok(Protocols(Protocol::ALL.into())),
        name => Ok(Protocols(vec![name.parse::<Protocol>().map_err(|error| format!("{error}, all"))?])),
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum RunAsName {
    Dataset,
    Collection,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum AskerName {
    Parrot,
    Other,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum BenchmarkName {
    Mmmb,
    Mmbench,
    Pope,
    Mme,
}

impl BenchmarkName {
    fn to_library(self) -> Arc<dyn Benchmark> {
        match self {
            Self::Mmmb => Arc::new(Mmmb),
            Self::Mmbench => Arc::new(MmBench),
            Self::Pope => Arc::new(Pope),
            Self::Mme => Arc::new(Mme),
        }
    }
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let (datasets, skipped) = args.datasets()?;
    if args.prompts_only {
        return args.print_prompts(&datasets, &skipped);
    }
    let mut finished =
        if args.score.is_empty() { args.ask(&datasets)? } else { args.read_predictions(&datasets)? };
    finished.report.problems.splice(0..0, skipped);
    say_problems(&finished.report.problems);
    let mut stdout = io::stdout();
    let (json, markdown) = (finished.report.to_json()?, finished.report.to_markdown());
    if let Some(out) = &finished.out {
        fs::create_dir_all(out).with_context(|| format!("cannot create {}", out.display()))?;
        let page = ReportPage::new(&finished.report, &finished.wrong, finished.wrong_in_all).render()?;
        for (name, text) in [("results.json", &json), ("results.md", &markdown), ("report.html", &page)] {
            write(&out.join(name), text)?;
        }
        print_notice(&format!("results are in {}", out.display()));
    }
    writeln!(stdout, "{}", if args.json { json } else { markdown }.trim_end())?;
    Ok(())
}

impl Args {
    /// The files that are named, and those in folders that are benchmarks; the others there are skipped.
    fn datasets(&self) -> Result<(Vec<Dataset>, Vec<Problem>)> {
        let mut files = Vec::new();
        for path in &self.data {
            if path.is_dir() {
                files.extend(tables_in(path)?.into_iter().map(|file| (file, true)));
            } else {
                files.push((path.clone(), false));
            }
        }
        let benchmark = self.benchmark.map(BenchmarkName::to_library);
        let mut pictures = PictureStore::default();
        let (mut datasets, mut skipped) = (Vec::with_capacity(files.len()), Vec::new());
        for (file, is_found) in &files {
            let opened = match &benchmark {
                Some(benchmark) => Dataset::open_as(file, Arc::clone(benchmark), &mut pictures),
                None => Dataset::open(file, &mut pictures),
            };
            match opened {
                Ok(dataset) => datasets.push(dataset),
                Err(error) if *is_found && benchmark.is_none() && !is_named_as_benchmark(file) => {
                    skipped.push(skipped_file(file, &error));
                }
                Err(error) => return Err(error.into()),
            }
        }
        let what = skipped.iter().map(ToString::to_string).next().unwrap_or_default();
        ensure!(!datasets.is_empty(), "none of the files is a benchmark; {what}");
        let mut names = BTreeSet::new();
        for dataset in &datasets {
            let is_new = names.insert(&dataset.id);
            ensure!(is_new, "there are two files of the dataset {}", dataset.id);
        }
        Ok((datasets, skipped))
    }

    fn run_as(&self, protocol: Protocol) -> RunAs {
        match self.run_as {
            Some(RunAsName::Dataset) => RunAs::Dataset,
            Some(RunAsName::Collection) => RunAs::Collection,
            None => protocol.usual_run_as(),
        }
    }

    /// The different names that the protocols run datasets under.
    fn names(&self) -> Vec<RunAs> {
        let mut names: Vec<RunAs> = Vec::new();
        for protocol in &self.protocol.0 {
            let name = self.run_as(*protocol);
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// Each row's prompt under each name that the protocols run datasets under.
    fn print_prompts(&self, datasets: &[Dataset], skipped: &[Problem]) -> Result<()> {
        let names = self.names();
        let mut stdout = io::BufWriter::new(io::stdout().lock());
        for dataset in datasets {
            for row in &dataset.rows {
                let id = serde_json::json!({"dataset": dataset.id, "index": row.index});
                match self.prompts_for {
                    AskerName::Parrot => {
                        for run_as in &names {
                            let mut line = id.clone();
                            line["run_as"] = serde_json::to_value(run_as)?;
                            line["prompt"] = dataset.prompt(row, *run_as, Asker::Parrot).into();
                            writeln!(stdout, "{line}")?;
                        }
                    }
                    // These are the same under every name.
                    AskerName::Other => {
                        let mut line = id;
                        line["prompt"] = dataset.prompt(row, names[0], Asker::Other).into();
                        writeln!(stdout, "{line}")?;
                    }
                }
            }
        }
        stdout.flush()?;
        say_problems(skipped.iter().chain(datasets.iter().flat_map(|dataset| &dataset.problems)));
        Ok(())
    }

    /// Scores what other programs answered.
    fn read_predictions(&self, datasets: &[Dataset]) -> Result<Finished> {
        let files: Vec<PredictionFile> =
            self.score.iter().map(|file| PredictionFile::read(file)).collect::<Result<_, _>>()?;
        let name = self.score[0].file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let mut scores = Scores::new(self.out.clone());
        scores.problems.extend(files.iter().flat_map(|file| file.problems.clone()));
        scores.problems.extend(eval::unassigned(datasets, &files));
        let assigned: Vec<Assigned> =
            datasets.iter().map(|dataset| eval::assign(dataset, &files, datasets.len() == 1)).collect();
        let has_some = |assigned: &Assigned| assigned.of_rows.iter().any(|texts| !texts.is_empty());
        ensure!(
            assigned.iter().any(has_some),
            "{}: no prediction is for {}; files are matched by a column dataset, by a name like \
             MODEL_{}.xlsx, or by there being one dataset only",
            files.iter().map(|file| &*file.name).collect::<Vec<_>>().join(", "),
            datasets.iter().map(|dataset| &*dataset.id).collect::<Vec<_>>().join(", "),
            datasets[0].id
        );
        for (dataset, assigned) in datasets.iter().zip(assigned) {
            if !has_some(&assigned) {
                scores.problems.push(no_predictions(dataset));
            }
            for (number, protocol) in self.protocol.0.iter().enumerate() {
                let wrong = if number == 0 { self.wrong.div_ceil(datasets.len()) } else { 0 };
                scores.add(dataset, &assigned, *protocol, wrong, |_| ());
            }
            scores.problems.extend(dataset.problems.iter().chain(&assigned.problems).cloned());
        }
        Ok(scores.finish(ModelInfo { name, ..ModelInfo::default() }, None))
    }

    /// Asks a model, or goes on asking it, and scores what it says.
    fn ask(&self, datasets: &[Dataset]) -> Result<Finished> {
        let (folder, parrot) = self.model.find_and_load()?;
        let parrot = parrot.remember_pictures(self.pictures);
        let info = model_info(&parrot, &folder)?;
        let out = self.out.clone().unwrap_or_else(|| Path::new("runs/eval").join(&info.name));
        fs::create_dir_all(&out).with_context(|| format!("cannot create {}", out.display()))?;
        let conditions = Conditions {
            model_sha256: info.sha256.clone().unwrap_or_default(),
            dtype: info.dtype.clone().unwrap_or_default(),
            device: info.device.clone().unwrap_or_default(),
            batch_size: self.batch_size,
            max_new_tokens: self.max_new_tokens,
            jpeg_roundtrip: self.jpeg_roundtrip,
        };
        let mut journal = Journal::open(&out.join("answers.jsonl"), &conditions)?;
        let options = GenerateOptions {
            batch_size: self.batch_size,
            pictures: self.pictures,
            max_new_tokens: self.max_new_tokens,
            jpeg_roundtrip: self.jpeg_roundtrip,
        };
        let jobs = eval::jobs(datasets, &self.names());
        let mut progress = Progress::new(datasets, self.protocol.0[0], jobs.len());
        let started = Instant::now();
        eval::generate(&parrot, datasets, &jobs, &options, &mut journal, |batch, journal, is_new| {
            progress.show(batch, journal, is_new);
            true
        })?;
        let asked = Asked {
            run_as: self.protocol.0.iter().map(|protocol| (*protocol, self.run_as(*protocol))).collect(),
            max_new_tokens: self.max_new_tokens,
            jpeg_roundtrip: self.jpeg_roundtrip,
            batch_size: self.batch_size,
            questions: progress.asked,
            seconds: started.elapsed().as_secs_f64(),
        };
        progress.bar.finish_and_clear();
        self.score_answers(datasets, journal, info, asked, out)
    }

    fn score_answers(
        &self,
        datasets: &[Dataset],
        journal: Journal,
        info: ModelInfo,
        asked: Asked,
        out: PathBuf,
    ) -> Result<Finished> {
        let mut scores = Scores::new(Some(out.clone()));
        for dataset in datasets {
            scores.problems.extend(dataset.problems.iter().cloned());
            let mut known: Vec<Problem> = Vec::new();
            for (number, protocol) in self.protocol.0.iter().enumerate() {
                let mut answers = eval::answers(dataset, self.run_as(*protocol), &journal);
                let folder = out.join(protocol.id());
                fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
                let file = folder.join(format!("{}_{}", info.name, dataset.id));
                eval::write_tsv(&with_ending(&file, "tsv"), dataset, &answers.assigned.of_rows)?;
                let cut = eval::write_xlsx(&with_ending(&file, "xlsx"), dataset, &answers.assigned.of_rows)?;
                answers.assigned.problems.extend(cut);
                let wrong = if number == 0 { self.wrong.div_ceil(datasets.len()) } else { 0 };
                scores.add(dataset, &answers.assigned, *protocol, wrong, |result| {
                    result.prompts_sha256 = Some(answers.prompts_sha256.clone());
                    result.expert_weights.clone_from(&answers.expert_weights);
                });
                let new = answers.assigned.problems.into_iter().filter(|problem| !known.contains(problem));
                known.extend(new.collect::<Vec<_>>());
            }
            scores.problems.extend(known);
        }
        Ok(Finished { _journal: Some(journal), ..scores.finish(info, Some(asked)) })
    }
}

/// Results as they come together.
struct Scores {
    results: Vec<DatasetResult>,
    problems: Vec<Problem>,
    wrong: Vec<WrongAnswer>,
    wrong_in_all: usize,
    out: Option<PathBuf>,
}

/// Results with everything that is written about them.
struct Finished {
    report: Report,
    wrong: Vec<WrongAnswer>,
    wrong_in_all: usize,
    out: Option<PathBuf>,
    /// Held until everything is written, so that no other run writes into the folder.
    _journal: Option<Journal>,
}

impl Scores {
    fn new(out: Option<PathBuf>) -> Self {
        Self { results: Vec::new(), problems: Vec::new(), wrong: Vec::new(), wrong_in_all: 0, out }
    }

    /// Scores a dataset in a protocol; up to `wrong` wrong answers are kept for the report.
    fn add(
        &mut self,
        dataset: &Dataset,
        assigned: &Assigned,
        protocol: Protocol,
        wrong: usize,
        complete: impl FnOnce(&mut DatasetResult),
    ) {
        let mut scored = eval::score(dataset, assigned, protocol);
        complete(&mut scored.result);
        if wrong > 0 {
            self.wrong.extend(eval::wrong_answers(&scored, assigned, wrong));
            self.wrong_in_all += scored.judged.iter().filter(|it| !it.verdict.right).count();
        }
        self.results.push(scored.result);
    }

    fn finish(self, model: ModelInfo, asked: Option<Asked>) -> Finished {
        let Self { results, problems, wrong, wrong_in_all, out } = self;
        let report = Report::new(model, asked, results, problems);
        Finished { report, wrong, wrong_in_all, out, _journal: None }
    }
}

/// A bar over questions with the share of right answers so far.
struct Progress<'a> {
    datasets: &'a [Dataset],
    protocol: Protocol,
    bar: ProgressBar,
    right: usize,
    judged: usize,
    asked: usize,
}

impl<'a> Progress<'a> {
    fn new(datasets: &'a [Dataset], protocol: Protocol, questions: usize) -> Self {
        let style = ProgressStyle::with_template("{bar:30} {pos} of {len} questions, {msg}{eta} left")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::new(questions as u64).with_style(style);
        Self { datasets, protocol, bar, right: 0, judged: 0, asked: 0 }
    }

    fn show(&mut self, batch: &[&Job], journal: &Journal, is_new: bool) {
        for job in batch {
            let Some(Outcome::Answer { text, .. }) = journal.get(&job.id).map(|record| &record.outcome)
            else {
                continue;
            };
            let dataset = &self.datasets[job.dataset];
            let text = eval::through_spreadsheet(&eval::post_process(&job.prompt, text));
            let verdict = dataset.benchmark.judge(&dataset.rows[job.row], &text, self.protocol);
            self.right += usize::from(verdict.right);
            self.judged += 1;
        }
        // What was answered before says nothing about how long the rest takes.
        if is_new && self.asked == 0 {
            self.bar.reset_eta();
        }
        self.asked += if is_new { batch.len() } else { 0 };
        self.bar.inc(batch.len() as u64);
        self.bar.set_message(format!("{:.1} % right so far, ", eval::percent(self.right, self.judged)));
    }
}

/// The TSV files of a folder, by name.
fn tables_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let paths: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    let is_table = |path: &PathBuf| path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("tsv"));
    let mut tables: Vec<PathBuf> = paths.into_iter().filter(is_table).collect();
    ensure!(!tables.is_empty(), "there is no .tsv file in {}", folder.display());
    tables.sort();
    Ok(tables)
}

/// A file that means to be a benchmark has to be read.
fn is_named_as_benchmark(file: &Path) -> bool {
    eval::benchmark_of_name(&file.file_stem().unwrap_or_default().to_string_lossy()).is_some()
}

fn skipped_file(file: &Path, error: &parrot_infer::Error) -> Problem {
    let (line, detail) = match error {
        parrot_infer::Error::Table { line, problem, .. } => (*line, problem.clone()),
        error => (None, error.to_string()),
    };
    let file = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Problem { kind: ProblemKind::SkippedFile, file, line, index: None, detail }
}

fn no_predictions(dataset: &Dataset) -> Problem {
    let detail = format!("there is none at all for {}, all of whose rows count as wrong", dataset.id);
    let file = dataset.file_name();
    Problem { kind: ProblemKind::NoPrediction, file, line: None, index: None, detail }
}

/// The first few problems on stderr, and how many there are of each kind.
fn say_problems<'p>(problems: impl IntoIterator<Item = &'p Problem>) {
    const SHOWN: usize = 10;
    let problems: Vec<&Problem> = problems.into_iter().collect();
    for problem in problems.iter().take(SHOWN) {
        print_notice(&problem.to_string());
    }
    if problems.len() > SHOWN {
        let counts: BTreeMap<_, _> = eval::count_problems(problems.iter().copied());
        let more = problems.len() - SHOWN;
        print_notice(&format!("and {more} more problems, in all {}", eval::problem_counts(&counts)));
    }
}

/// `Path::with_extension` would take `Parrot-1.5_MMMB` for `Parrot-1` with an ending.
fn with_ending(file: &Path, ending: &str) -> PathBuf {
    let mut name = file.as_os_str().to_os_string();
    name.push(".");
    name.push(ending);
    name.into()
}

fn write(file: &Path, text: &str) -> Result<()> {
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}
