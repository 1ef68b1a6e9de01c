//! `parrot serve` as a process: its address, its log, its end.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::thread;

use parrot_infer::tiny;

use crate::common::{error, parrot};

/// A running server, ended at the latest when this is dropped.
struct Server {
    process: Child,
    address: String,
    _model: tempfile::TempDir,
}

impl Server {
    fn start(args: &[&str]) -> Self {
        Self::start_with(args, None)
    }

    fn start_with(args: &[&str], filter: Option<&str>) -> Self {
        let model = tempfile::tempdir().unwrap();
        tiny::write(model.path(), 0).unwrap();
        let named = format!("tiny={}@cpu", model.path().display());
        let mut command = Command::new(env!("CARGO_BIN_EXE_parrot"));
        command.args(["serve", "--port", "0", "--model", &named]).args(args);
        command.env_remove("RUST_LOG").env_remove("PARROT_API_KEY");
        command.envs(filter.map(|filter| ("RUST_LOG", filter)));
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on http://").unwrap_or_else(|| panic!("{line:?}"));
        Self { address: address.into(), process, _model: model }
    }

    fn begin(&self, body: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n";
        let typed = "content-type: application/json\r\n";
        write!(stream, "{head}{typed}content-length: {}\r\n\r\n{body}", body.len()).unwrap();
        stream
    }

    fn terminate(&self) {
        let status = Command::new("kill").arg("-TERM").arg(self.process.id().to_string()).status().unwrap();
        assert!(status.success());
    }

    /// Waits for the end; returns the exit code and what was said on stderr.
    fn end(mut self) -> (Option<i32>, String) {
        let mut log = String::new();
        self.process.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        (self.process.wait().unwrap().code(), log)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Its answer is long: every token is an `a`.
fn question(secret: &str) -> String {
    format!(
        r#"{{"messages": [{{"role": "system", "content": "s"}}, {{"role": "user", "content": "{secret}"}}],
            "max_tokens": 150, "stream": true, "logit_bias": {{"97": 100}}}}"#
    )
}

#[cfg(unix)]
#[test]
fn sigterm_lets_answers_under_way_be_finished() {
    let server = Server::start(&["--log", "json"]);
    let clients: Vec<TcpStream> = (0..8).map(|_| server.begin(&question("a secret"))).collect();
    let readers: Vec<_> = clients
        .into_iter()
        .map(|mut stream| {
            // Under way as soon as something has come.
            let mut start = [0; 12];
            stream.read_exact(&mut start).unwrap();
            assert_eq!(&start, b"HTTP/1.1 200");
            thread::spawn(move || {
                let mut rest = String::new();
                stream.read_to_string(&mut rest).unwrap();
                rest
            })
        })
        .collect();
    server.terminate();
    for reader in readers {
        let rest = reader.join().unwrap();
        assert!(rest.contains("data: [DONE]"), "{rest}");
    }
    let (code, log) = server.end();
    assert_eq!(code, Some(0), "{log}");
    let line = log.lines().find(|line| line.contains("/v1/chat/completions")).unwrap();
    assert!(line.starts_with('{') && line.contains("\"status\":200"), "{line}");
    assert!(!log.contains("a secret"), "{log}");
}

#[cfg(unix)]
#[test]
fn answers_that_take_too_long_are_said_to_be_dropped() {
    let server = Server::start(&["--shutdown-timeout", "0", "--log", "off"]);
    let mut streams: Vec<TcpStream> = (0..8).map(|_| server.begin(&question("?"))).collect();
    for stream in &mut streams {
        stream.read_exact(&mut [0; 12]).unwrap();
    }
    server.terminate();
    let (code, log) = server.end();
    assert_eq!(code, Some(0));
    assert!(log.contains("answers were dropped"), "{log}");
}

/// What users write is one line each, and nothing of it steers a terminal.
#[cfg(unix)]
#[test]
fn words_in_the_log_are_words() {
    let url = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7";
    let text = r"hi\nFAKE INFO line\r\u001b[31m\u202e\u009b\u0085\u2066\u2028\u200b\u007fend";
    let body = format!(
        r#"{{"max_tokens": 1, "messages": [{{"role": "user", "content": [
            {{"type": "text", "text": "{text}"}}, {{"type": "image_url", "image_url": "{url}"}}]}}]}}"#
    );
    for format in ["text", "json"] {
        let server = Server::start(&["--log", format, "--log-words"]);
        let mut reply = String::new();
        server.begin(&body).read_to_string(&mut reply).unwrap();
        assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
        server.terminate();
        let (_, log) = server.end();
        let steers =
            |c: char| c != '\n' && (c.is_control() || "\u{202e}\u{2066}\u{2028}\u{200b}".contains(c));
        assert!(!log.contains(steers), "{log:?}");
        // Asked, answered, and the request.
        assert_eq!(log.lines().count(), 3, "{log}");
        let asked = log.lines().find(|line| line.contains("asked")).unwrap();
        assert!(asked.contains(r"hi\nFAKE INFO line") && asked.contains("end"), "{asked}");
    }
}

/// A disk may be full, or whoever read the log may have left.
#[test]
fn a_log_that_cannot_be_written_costs_no_answer() {
    for format in ["text", "json"] {
        let mut server = Server::start(&["--log", format]);
        drop(server.process.stderr.take());
        for _ in 0..2 {
            let mut reply = String::new();
            let body = r#"{"messages": [{"role": "user", "content": "?"}], "max_tokens": 1}"#;
            server.begin(body).read_to_string(&mut reply).unwrap();
            assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
        }
    }
}

#[test]
fn a_filter_that_cannot_be_followed_is_told() {
    let mut server = Server::start_with(&[], Some("x=y=z"));
    server.process.kill().unwrap();
    let (_, log) = server.end();
    assert!(log.contains("note: RUST_LOG") && log.lines().count() == 1, "{log}");
}

#[test]
fn a_server_that_all_may_reach_warns() {
    let server = Server::start(&["--host", "0.0.0.0", "--log", "off"]);
    let mut process = server;
    process.process.kill().unwrap();
    let (_, log) = process.end();
    assert!(log.contains("note: whoever reaches 0.0.0.0 may ask"), "{log}");
}

#[test]
fn what_cannot_be_served_is_told_in_a_line() {
    let empty = tempfile::NamedTempFile::new().unwrap();
    let file = empty.path().to_str().unwrap();
    assert!(error(parrot(&["serve", "--api-key-file", file])).contains("there is no key in"));
    fs::write(&empty, "# nobody's key\n\n").unwrap();
    assert!(error(parrot(&["serve", "--api-key-file", file])).contains("there is no key in"));
    let origin = error(parrot(&["serve", "--port", "0", "--cors-origin", "x y"]));
    assert!(origin.ends_with("\"x y\" is no origin, such as https://example.org or null"), "{origin}");
    for key in [" ", "", "ключ", "a\nb"] {
        assert!(
            error(parrot(&["serve", "--api-key", key])).contains("a key should be printable ASCII"),
            "{key}"
        );
    }
    assert!(
        error(parrot(&["serve", "--model", "a=/no/such", "--model", "a=b"]))
            .contains("two models are called a")
    );
    let missing = error(parrot(&["serve", "--model", "a=/no/such/model"]));
    assert!(missing.contains("/no/such/model"), "{missing}");
}
