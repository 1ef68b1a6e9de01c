//! `parrot serve`: models behind HTTP.

mod log;
mod models;
mod signals;

use std::future::Future;
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use clap::builder::RangedU64ValueParser;
use clap::value_parser;
use parrot_infer::EngineOptions;
use parrot_model::untrusted;
use parrot_serve::{ServeOptions, Server, TEXT_INTERVAL};
use tokio::runtime::Runtime;

use crate::options::DeviceOptions;
use crate::terminal::print_notice;

/// The most seconds of a limit: what is longer is as good as none, and no clock reaches the largest.
const DAY: u64 = 86_400;

/// The largest file of keys.
const MAX_KEYS: u64 = 1 << 20;

/// Answer over HTTP, with a page for people and the interfaces of OpenAI and Ollama for programs
///
/// Prints its address and answers until it gets SIGTERM or Ctrl-C; then it finishes what it is at, and a second one ends it
/// at once. It listens on this machine only unless --host says otherwise.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// A model's folder or id, as NAME=PATH@DEVICE if it should have another name than its folder's or its own device; give it
    /// once per model, the first answers who names none [default: $PARROT_MODEL, or assets/parrot-mini]
    #[arg(long = "model", value_name = "MODEL", help_heading = "Model")]
    models: Vec<String>,
    #[command(flatten, next_help_heading = "Model")]
    device: DeviceOptions,

    /// The address to listen on; 0.0.0.0 is every one of this machine
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1", help_heading = "Network")]
    host: IpAddr,
    /// The port to listen on; 0 is any that is free
    #[arg(long, value_name = "N", default_value_t = 8080, help_heading = "Network")]
    port: u16,
    /// A site whose pages may ask from within a browser, or *; may be given several times
    #[arg(long, value_name = "ORIGIN", help_heading = "Network")]
    cors_origin: Vec<String>,
    /// Let requests name images by http and https addresses, which are then fetched from the public internet
    #[arg(long = "allow-url-pictures", help_heading = "Network")]
    allow_url_images: bool,

    /// A key that requests have to bring; may be given several times. Others can read it in the list of processes:
    /// $PARROT_API_KEY or --api-key-file are safer
    #[arg(long, value_name = "KEY", help_heading = "Keys")]
    api_key: Vec<String>,
    /// A file with a key on each line; lines that begin with # are passed over
    #[arg(long, value_name = "FILE", help_heading = "Keys")]
    api_key_file: Option<PathBuf>,

    #[command(flatten)]
    limits: Limits,

    /// How requests are logged on stderr
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t, help_heading = "Logging")]
    log: log::Format,
    /// Log questions and answers, too
    #[arg(long, help_heading = "Logging")]
    log_words: bool,
}

/// What the server takes on.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Limits")]
struct Limits {
    /// Answers that are computed together
    #[arg(long, value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(1..),
        default_value_t = EngineOptions::default().max_running)]
    max_running: usize,
    /// Questions that may wait; who comes then is told to come back
    #[arg(long, value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(1..),
        default_value_t = EngineOptions::default().max_waiting)]
    max_waiting: usize,
    /// Memory for the running answers' keys and values, of each model
    #[arg(long, value_name = "MB", value_parser = value_parser!(u64).range(1..),
        default_value_t = EngineOptions::default().cache_bytes >> 20)]
    cache_mb: u64,
    /// Memory for images that have been looked at, of each model
    #[arg(long, value_name = "MB", default_value_t = EngineOptions::default().image_cache_bytes >> 20)]
    image_cache_mb: u64,
    /// The largest request
    #[arg(long, value_name = "MB", value_parser = RangedU64ValueParser::<usize>::new().range(1..),
        default_value_t = ServeOptions::default().max_body_bytes >> 20)]
    max_body_mb: usize,
    /// The requests that are being read, all together
    #[arg(long, value_name = "MB", value_parser = RangedU64ValueParser::<usize>::new().range(1..),
        default_value_t = ServeOptions::default().max_bodies_bytes >> 20)]
    max_bodies_mb: usize,
    /// Width times height of the largest image
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..),
        default_value_t = ServeOptions::default().max_pixels)]
    max_pixels: u64,
    /// Open connections
    #[arg(long, value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(1..),
        default_value_t = ServeOptions::default().max_connections)]
    max_connections: usize,
    /// How long an answer may take, waiting included
    #[arg(long, value_name = "SECONDS", value_parser = value_parser!(u64).range(1..=DAY),
        default_value_t = ServeOptions::default().request_timeout.as_secs())]
    request_timeout: u64,
    /// How long a client may take to send a request, or to read what was sent
    #[arg(long, value_name = "SECONDS", value_parser = value_parser!(u64).range(1..=DAY),
        default_value_t = ServeOptions::default().client_timeout.as_secs())]
    client_timeout: u64,
    /// How long answers may go on once the server has been told to stop
    #[arg(long, value_name = "SECONDS", value_parser = value_parser!(u64).range(..=DAY),
        default_value_t = ServeOptions::default().shutdown_timeout.as_secs())]
    shutdown_timeout: u64,
}

const EXAMPLES: &str = "\
Examples:
  parrot serve
  parrot serve --host 0.0.0.0 --api-key-file keys.txt
  parrot serve --model small=assets/parrot-mini@cpu --model large=AIDC-AI/Parrot-7B@cuda:0
  curl -N http://127.0.0.1:8080/v1/chat/completions -H 'content-type: application/json' \\
    -d '{\"messages\": [{\"role\": \"user\", \"content\": \"Hello\"}], \"stream\": true}'";

impl Args {
    /// Logs requests on stderr, or what `RUST_LOG` says.
    pub(crate) fn log_requests(&self) {
        self.log.init();
    }

    fn serve_options(&self) -> Result<ServeOptions> {
        let limits = &self.limits;
        Ok(ServeOptions {
            api_keys: self.keys()?,
            cors_origins: self.cors_origin.clone(),
            max_body_bytes: limits.max_body_mb.saturating_mul(1 << 20),
            max_bodies_bytes: limits.max_bodies_mb.saturating_mul(1 << 20),
            max_pixels: limits.max_pixels,
            max_connections: limits.max_connections,
            request_timeout: Duration::from_secs(limits.request_timeout),
            client_timeout: Duration::from_secs(limits.client_timeout),
            shutdown_timeout: Duration::from_secs(limits.shutdown_timeout),
            allow_url_images: self.allow_url_images,
            log_text: self.log_words,
            ..ServeOptions::default()
        })
    }

    fn engine_options(&self) -> EngineOptions {
        let limits = &self.limits;
        EngineOptions {
            cache_bytes: limits.cache_mb.saturating_mul(1 << 20),
            image_cache_bytes: limits.image_cache_mb.saturating_mul(1 << 20),
            max_running: limits.max_running,
            max_waiting: limits.max_waiting,
            text_interval: TEXT_INTERVAL,
            ..EngineOptions::default()
        }
    }

    fn keys(&self) -> Result<Vec<String>> {
        let mut keys = self.api_key.clone();
        keys.extend(std::env::var("PARROT_API_KEY").ok());
        if let Some(file) = &self.api_key_file {
            let text = untrusted::decode_text(&untrusted::read(file, MAX_KEYS)?);
            let text =
                text.map_err(|reason| anyhow!("cannot read keys from {}: {reason}", file.display()))?;
            let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
            let before = keys.len();
            keys.extend(lines.map(Into::into));
            ensure!(keys.len() > before, "there is no key in {}", file.display());
        }
        // What no client's header can hold would lock everybody out.
        let is_key = |key: &String| key.bytes().all(|byte| byte.is_ascii_graphic()) && !key.is_empty();
        let origin = "--api-key, --api-key-file, PARROT_API_KEY";
        ensure!(keys.iter().all(is_key), "a key should be printable ASCII without spaces ({origin})");
        Ok(keys)
    }
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let options = args.serve_options()?;
    if !args.host.is_loopback() && options.api_keys.is_empty() {
        print_notice(&format!(
            "whoever reaches {} may ask: there is no key (--api-key-file), and without a proxy before it nothing is encrypted",
            args.host
        ));
    }
    let models = models::load(&args.models, &args.device, &args.engine_options())?;
    let runtime = Runtime::new().context("cannot start the threads that answer")?;
    let stopped = block_on(runtime, async {
        let bound = Server::bind(models, (args.host, args.port), options).await;
        let server = bound.map_err(|error| match error.kind() {
            io::ErrorKind::InvalidInput => anyhow!("{error}"),
            _ => anyhow!("cannot listen on {} port {}: {error}", args.host, args.port),
        })?;
        let stop = signals::stop()?;
        writeln!(io::stdout(), "listening on http://{}", server.address())?;
        anyhow::Ok(server.run(stop).await)
    })?;
    if stopped.dropped > 0 {
        print_notice(&format!("{} answers were dropped that were not complete", stopped.dropped));
    }
    Ok(())
}

/// Does `work`, and does not wait for what it has left on the runtime's threads: a request's work there cannot be interrupted.
fn block_on<T>(runtime: Runtime, work: impl Future<Output = T>) -> T {
    let done = runtime.block_on(work);
    runtime.shutdown_background();
    done
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use clap::Parser;

    use super::*;

    #[test]
    fn work_that_goes_on_is_not_waited_for() {
        let (release, held) = channel::<()>();
        let (begun, beginning) = channel();
        // Would wait for ever: what is held is released afterwards.
        block_on(Runtime::new().unwrap(), async move {
            tokio::task::spawn_blocking(move || {
                begun.send(()).unwrap();
                let _ = held.recv();
            });
            beginning.recv().unwrap();
        });
        drop(release);
    }

    #[test]
    fn what_would_serve_nobody_is_refused_by_its_flag() {
        for flag in ["--max-running", "--max-waiting", "--cache-mb", "--max-connections"] {
            let error = crate::Cli::try_parse_from(["parrot", "serve", flag, "0"]).unwrap_err().to_string();
            assert!(error.contains(flag) && error.contains("0 is not in 1.."), "{error}");
        }
    }
}
