//! Benchmarks: reading their files, asking a model, scoring answers, reporting.
//!
//! Numbers on MMMB have been published under three incompatible [`Protocol`]s; each is implemented under its name,
//! without a judge model, and every result says which one it is. The steps:
//!
//! - [`Dataset::open`] reads a TSV file as pandas does, pictures included;
//! - [`Dataset::prompt`] is what a model is asked, byte for byte; [`jobs`] and [`generate`] ask;
//! - [`score`] reads the answers and counts them; [`Report`] puts several datasets together.
//!
//! Files that other programs asked can be scored ([`PredictionFile`], [`assign`]). Whatever is wrong with a row is a
//! [`Problem`] with its file and line; the row stays in the denominator.
//!
//! ```
//! use parrot_eval::{Asker, Dataset, ImageStore, PredictionFile, Protocol, assign, score};
//!
//! # let folder = tempfile::tempdir()?;
//! # let data = folder.path().join("mmmb_tr.tsv");
//! # let answers = folder.path().join("other_mmmb_tr.jsonl");
//! # let image = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
//! # std::fs::write(&data, format!("index\timage\tquestion\tA\tB\tanswer\n1\t{image}\tBu kedi mi?\tEvet\tHayır\tA\n"))?;
//! # std::fs::write(&answers, "{\"index\": 1, \"prediction\": \"Evet.\"}\n")?;
//! let dataset = Dataset::open(&data, &mut ImageStore::default())?;
//! let protocol = Protocol::Paper2024_06;
//! let prompt = dataset.prompt(&dataset.rows[0], protocol.usual_run_as(), Asker::Parrot);
//! assert!(prompt.ends_with("Verilen seçeneklerden doğrudan seçeneğin harfi ile cevap verin."));
//!
//! let predictions = PredictionFile::read(&answers)?;
//! let scored = score(&dataset, &assign(&dataset, &[predictions]), protocol);
//! assert_eq!(scored.result.headline(), 100.0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod answers;
mod ask;
mod benchmarks;
mod compare;
mod data;
mod dataset;
mod error;
mod judge;
mod language;
mod language_code;
mod line_file;
mod predictions;
mod prompt;
mod protocol;
mod ratings;
mod report;

pub use answers::extract::{Extracted, extract};
pub use answers::post_process::post_process;
pub use answers::yes_no::extract_yes_no;
pub use ask::answers::{Answers, answers};
pub use ask::generate::{GenerateOptions, Share, batches, generate};
pub use ask::job::{Job, JobImage, jobs};
pub use ask::journal::{Answered, Conditions, Journal, QuestionOutcome};
pub use ask::parts::Parts;
pub use benchmarks::ai2d::Ai2d;
pub use benchmarks::benchmark::Benchmark;
pub use benchmarks::by_name::benchmark_of_name;
pub use benchmarks::candidate::Candidate;
pub use benchmarks::catalogue::{Listed, ListedFile, benchmark_named, catalogue};
pub use benchmarks::hallusion::HallusionBench;
pub use benchmarks::known::KnownFile;
pub use benchmarks::llava_bench::LlavaBench;
pub use benchmarks::mmbench::{Circular, MmBench};
pub use benchmarks::mme::Mme;
pub use benchmarks::mmmb::Mmmb;
pub use benchmarks::mmmu::Mmmu;
pub use benchmarks::mmstar::MmStar;
pub use benchmarks::mtvqa::MtVqa;
pub use benchmarks::ocr_bench::OcrBench;
pub use benchmarks::open_set::OpenSet;
pub use benchmarks::own_choice::OwnChoice;
pub use benchmarks::pope::Pope;
pub use benchmarks::real_world_qa::RealWorldQa;
pub use benchmarks::science_qa::ScienceQa;
pub use benchmarks::seed_bench::SeedBench;
pub use benchmarks::text_vqa::TextVqa;
pub use benchmarks::verdict::{How, Judged, Level, Score, Verdict, percent};
pub use compare::{ChangedAnswer, Compared, Comparison, Difference};
pub use data::image::{EncodedImage, ImageStore};
pub use data::problem::{Problem, ProblemKind, count_problems, problem_counts};
pub use data::row::{GROUP, Row};
pub use data::table::{Table, TableRecord, is_missing};
pub use dataset::Dataset;
pub use error::{Error, Result};
pub use judge::endpoint::{Judge, JudgeInfo};
pub use judge::rate::rate;
pub use language::Language;
pub use language_code::LanguageCode;
pub use predictions::write::{check_fits_xlsx, write_tsv, write_xlsx};
pub use predictions::{
    Assigned, Prediction, PredictionFile, assign, assign_by_name, through_spreadsheet, unassigned,
};
pub use prompt::{Asker, ENGLISH_ENDING, PromptStyle, choice_ending, multiple_choice, yes_or_no};
pub use protocol::{AskedAs, Extractor, Grouping, ImageEncoding, Method, Protocol, RunAs};
pub use ratings::{Rating, Ratings};
pub use report::html::ReportPage;
pub use report::published::{Published, published};
pub use report::results::{Asked, Collection, ModelInfo, Report, Versions};
pub use report::score::{DatasetResult, Extraction, Scored, score};
pub use report::wrong::{WrongAnswer, wrong_answers};
