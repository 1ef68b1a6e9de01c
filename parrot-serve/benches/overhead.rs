//! What HTTP and the engine's scheduling add to an answer when a single client asks:
//! `cargo bench --workspace --bench overhead -- [MODEL] [IMAGE] [ROUNDS]`
//!
//! The same questions, with the same seeds and therefore the same answers, are asked by turns through [`Parrot::ask_streaming`]
//! in this process and through a server on a socket, streamed. Prints medians.

use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parrot_infer::{AskOptions, Engine, EngineOptions, Image, Parrot, Sampling, device};
use parrot_serve::{Model, ServeOptions, Server, TEXT_INTERVAL};
use serde_json::{Value, json};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// How an answer went.
struct Measured {
    text: String,
    tokens: usize,
    took: Duration,
    /// From the first text to the last.
    writing: Duration,
}

fn main() -> Result<()> {
    // Cargo adds `--bench`.
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench");
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let model = args.next().unwrap_or_else(|| format!("{root}/assets/parrot-mini"));
    let picture = std::fs::read(args.next().unwrap_or_else(|| format!("{root}/assets/pictures/rocket.png")))?;
    let rounds: u64 = args.next().map_or(Ok(200), |rounds| rounds.parse())?;

    let load = || -> Result<Parrot> { Ok(Parrot::load(&model, &device::open("cpu")?)?) };
    let parrot = load()?;
    let mut client = Client::connect(serve(load()?)?, &picture)?;
    let image = Image::from_bytes(&picture, "the picture")?;
    let Some(&end) = parrot.ask(&image, "What is this?")?.token_ids.last() else {
        return Err("no answer".into());
    };

    println!("| answers | tokens | in this process | over HTTP | more | tokens/s | over HTTP | fewer |");
    println!("|---|--:|--:|--:|--:|--:|--:|--:|");
    for (name, tokens) in [("as they come", None), ("of 200 tokens", Some(200))] {
        let mut options = AskOptions { max_new_tokens: tokens.unwrap_or(64), ..AskOptions::default() };
        options.sampling.temperature = Some(2.0);
        if tokens.is_some() {
            // An answer that may not end.
            options.sampling.logit_bias = vec![(end, -100.0)];
        }
        let (mut alone, mut served) = (Vec::new(), Vec::new());
        // The first round has the picture's encoding in it and is not counted.
        for round in 0..=rounds {
            let question = format!("Describe the picture. ({round})");
            options.sampling = Sampling { seed: round, ..options.sampling };
            let here = ask(&parrot, &image, &question, &options)?;
            let there = client.ask(&question, &options)?;
            if here.text != there.text {
                return Err(format!(
                    "{question}: {:?} in this process, {:?} over HTTP",
                    here.text, there.text
                )
                .into());
            }
            if round > 0 {
                alone.push(here);
                served.push(there);
            }
        }
        print_row(name, &alone, &served);
    }
    Ok(())
}

/// Starts a server on a thread of its own.
fn serve(parrot: Parrot) -> Result<SocketAddr> {
    let options = EngineOptions { text_interval: TEXT_INTERVAL, ..EngineOptions::default() };
    let engine = Engine::start(parrot, options)?;
    let models = vec![Model { name: "parrot".into(), engine }];
    let runtime = tokio::runtime::Runtime::new()?;
    let server = runtime.block_on(Server::bind(models, "127.0.0.1:0", ServeOptions::default()))?;
    let address = server.address();
    std::thread::spawn(move || runtime.block_on(server.run(std::future::pending())));
    Ok(address)
}

fn ask(parrot: &Parrot, image: &Image, question: &str, options: &AskOptions) -> Result<Measured> {
    let (started, mut first) = (Instant::now(), None);
    let answer = parrot.ask_streaming(std::slice::from_ref(image), question, options, |_| {
        first.get_or_insert_with(Instant::now);
        std::ops::ControlFlow::Continue(())
    })?;
    let (took, writing) = (started.elapsed(), first.map_or(Duration::ZERO, |first| first.elapsed()));
    Ok(Measured { text: answer.text, tokens: answer.token_ids.len(), took, writing })
}

/// A client that keeps its connection.
struct Client {
    stream: BufReader<TcpStream>,
    image_url: String,
}

impl Client {
    fn connect(address: SocketAddr, picture: &[u8]) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let image_url = format!("data:image/png;base64,{}", STANDARD.encode(picture));
        Ok(Self { stream: BufReader::new(stream), image_url })
    }

    fn ask(&mut self, question: &str, options: &AskOptions) -> Result<Measured> {
        let bias: Vec<_> =
            options.sampling.logit_bias.iter().map(|(id, bias)| (id.to_string(), json!(bias))).collect();
        let request = json!({
            "messages": [{"role": "user", "content": [
                {"type": "image_url", "image_url": {"url": self.image_url}},
                {"type": "text", "text": question},
            ]}],
            "stream": true,
            "stream_options": {"include_usage": true},
            "max_tokens": options.max_new_tokens,
            "temperature": options.sampling.temperature,
            "seed": options.sampling.seed,
            "logit_bias": serde_json::Map::from_iter(bias),
        });
        let (started, mut first) = (Instant::now(), None);
        let (mut text, mut tokens) = (String::new(), 0);
        self.send(&request.to_string())?;
        loop {
            let line = self.line()?;
            let Some(data) = line.strip_prefix("data: ") else { continue };
            if data == "[DONE]" {
                break;
            }
            let event: Value = serde_json::from_str(data)?;
            let piece = event["choices"][0]["delta"]["content"].as_str().unwrap_or_default();
            if !piece.is_empty() {
                first.get_or_insert_with(Instant::now);
                text += piece;
            }
            if let Some(completion) = event["usage"]["completion_tokens"].as_u64() {
                tokens = completion as usize;
            }
        }
        let (took, writing) = (started.elapsed(), first.map_or(Duration::ZERO, |first| first.elapsed()));
        // The empty chunk that ends the response, and the line after it.
        while self.line()? != "0" {}
        self.line()?;
        Ok(Measured { text, tokens, took, writing })
    }

    /// The next line, without its end.
    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        match self.stream.read_line(&mut line)? {
            0 => Err("the server hung up".into()),
            _ => Ok(line.trim_end().into()),
        }
    }

    fn send(&mut self, body: &str) -> Result<()> {
        let head = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        Ok(self.stream.get_mut().write_all((head + body).as_bytes())?)
    }
}

fn print_row(name: &str, alone: &[Measured], served: &[Measured]) {
    let tokens = alone.iter().map(|answer| answer.tokens).sum::<usize>() as f64 / alone.len() as f64;
    let took = [alone, served].map(|answers| median(answers, |answer| answer.took.as_secs_f64() * 1e3));
    let rate = [alone, served].map(|answers| {
        median(answers, |answer| (answer.tokens - 1) as f64 / answer.writing.as_secs_f64().max(1e-9))
    });
    println!(
        "| {name} | {tokens:.1} | {:.2} ms | {:.2} ms | {:.2} ms | {:.0} | {:.0} | {:.1} % |",
        took[0],
        took[1],
        took[1] - took[0],
        rate[0],
        rate[1],
        (1.0 - rate[1] / rate[0]) * 100.0
    );
}

fn median(answers: &[Measured], value: impl Fn(&Measured) -> f64) -> f64 {
    let mut values: Vec<f64> = answers.iter().map(value).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
