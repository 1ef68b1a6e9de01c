//! Clients that leave, sleep, or are many; and the server's own end.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use parrot_infer::EngineOptions;
use parrot_serve::ServeOptions;
use serde_json::Value;

use crate::client::{chat, get, image, lines, long_question, question, send};
use crate::server::Running;

/// Sends a request by hand and returns the socket.
fn begin(server: &Running, body: &Value) -> TcpStream {
    let body = body.to_string();
    let mut stream = TcpStream::connect(server.address).unwrap();
    let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json";
    write!(stream, "{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).unwrap();
    stream
}

/// Eight answers to [`long_question`] have 1,800 tokens.
fn assert_stopped_early(server: &Running) {
    let stats = server.engine.stats();
    assert!(stats.generated_tokens < 900, "{stats:?}");
}

#[test]
fn who_leaves_is_no_longer_answered() {
    let server = Running::new(ServeOptions::default());
    let mut body = long_question();
    body["n"] = 8.into();
    let mut stream = begin(&server, &body);
    // The head and the first chunks have half as much.
    let mut start = [0; 4000];
    stream.read_exact(&mut start).unwrap();
    assert!(start.starts_with(b"HTTP/1.1 200"));
    drop(stream);
    server.wait_until_idle();
    assert_stopped_early(&server);
    // Their tokens have been computed all the same.
    let metrics = get(&server, "/metrics").text;
    let generated = metrics.lines().find_map(|line| {
        line.strip_prefix("parrot_engine_generated_tokens_total{model=\"parrot\"} ")?.parse::<u64>().ok()
    });
    assert!(generated.unwrap() > 0 && server.engine.stats().finished == 0, "{metrics}");
}

/// One who waits for a whole answer notices nothing until it is there; the server notices that it has gone all the same.
#[test]
fn who_leaves_before_the_whole_answer_is_no_longer_answered() {
    let server = Running::new(ServeOptions::default());
    let mut body = long_question();
    body["stream"] = false.into();
    body["n"] = 8.into();
    let stream = begin(&server, &body);
    let deadline = Instant::now() + Duration::from_secs(10);
    while server.engine.stats().running == 0 && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(1));
    }
    drop(stream);
    server.wait_until_idle();
    assert_stopped_early(&server);
    let gone = r#"parrot_http_requests_total{method="POST",route="/v1/chat/completions",status="499"} 1"#;
    while !get(&server, "/metrics").text.contains(gone) {
        assert!(Instant::now() < deadline);
    }
}

#[test]
fn who_reads_a_byte_now_and_then_stops_nobody() {
    let server = Running::new(ServeOptions::default());
    let mut slow = begin(&server, &long_question());
    let mut byte = [0];
    for _ in 0..5 {
        slow.read_exact(&mut byte).unwrap();
        assert_eq!(chat(&server, &question("?", &image())).status, 200);
    }
}

#[test]
fn connections_that_are_opened_and_left_give_way() {
    let server = Running::new(ServeOptions { max_connections: 32, ..ServeOptions::default() });
    let mut idle: Vec<TcpStream> = (0..300).map(|_| TcpStream::connect(server.address).unwrap()).collect();
    assert_eq!(chat(&server, &question("?", &image())).status, 200);
    let closed = idle.iter_mut().filter_map(|stream| {
        stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        // The end of the stream, or a reset; one that is open times out.
        match stream.read(&mut [0]) {
            Ok(0) => Some(()),
            Ok(_) => None,
            Err(error) => (error.kind() == std::io::ErrorKind::ConnectionReset).then_some(()),
        }
    });
    let closed = closed.count();
    assert!(closed >= 300 - 32, "{closed} of 300 were closed");
}

/// Who has got an answer and keeps the connection keeps nobody out.
#[test]
fn connections_that_have_been_answered_give_way() {
    let server = Running::new(ServeOptions { max_connections: 8, ..ServeOptions::default() });
    let mut kept = Vec::new();
    for _ in 0..40 {
        let mut stream = TcpStream::connect(server.address).unwrap();
        stream.write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
        let mut start = [0; 12];
        stream.read_exact(&mut start).unwrap();
        assert_eq!(&start, b"HTTP/1.1 200");
        kept.push(stream);
    }
    assert_eq!(chat(&server, &question("?", &image())).status, 200);
}

/// Raises this process's limit of open files as far as it may; returns it.
fn raise_open_files() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls get a struct of theirs, and change nothing else.
    #[allow(unsafe_code)]
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit), 0);
        limit.rlim_cur = limit.rlim_max;
        libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit), 0);
    }
    limit.rlim_cur
}

/// Ten thousand of them, or as many as the system allows; every other one has sent half of a request's head.
#[test]
fn ten_thousand_connections_that_are_opened_and_left_stop_nobody() {
    let server = Running::new(ServeOptions::default());
    // The server's ends are open for a moment, too, and other tests run.
    let count = 10_000.min(raise_open_files().saturating_sub(3_000) as usize);
    let mut idle = Vec::with_capacity(count);
    for number in 0..count {
        let mut stream = TcpStream::connect(server.address).unwrap();
        if number % 2 == 0 {
            // It may have been closed already.
            let _ = stream.write_all(b"POST /v1/chat/completions HTTP/1.1\r\nhost: loc");
        }
        idle.push(stream);
        if number % 2_000 == 0 {
            assert_eq!(chat(&server, &question("?", &image())).status, 200);
        }
    }
    assert!(count > 1_000, "only {count} files may be open");
    assert_eq!(chat(&server, &question("?", &image())).status, 200);
    drop(idle);
    assert_eq!(chat(&server, &question("?", &image())).status, 200);
}

#[test]
fn who_leaves_while_waiting_is_counted_as_gone() {
    let server =
        Running::with(EngineOptions { max_running: 1, ..EngineOptions::default() }, ServeOptions::default());
    let running = begin(&server, &long_question());
    let waiting: Vec<TcpStream> = (0..5).map(|_| begin(&server, &long_question())).collect();
    let deadline = Instant::now() + Duration::from_secs(10);
    while server.engine.stats().waiting < 5 && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(1));
    }
    drop(waiting);
    drop(running);
    server.wait_until_idle();
    let stats = server.engine.stats();
    assert_eq!((stats.cancelled, stats.finished), (6, 0), "{stats:?}");
}

/// Whoever is told to come back later has not taken anybody's memory.
#[test]
fn bodies_share_a_budget() {
    let limits =
        ServeOptions { max_body_bytes: 1 << 20, max_bodies_bytes: 1 << 20, ..ServeOptions::default() };
    let server = Running::new(limits);
    let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json";
    let begin = || {
        let mut slow = TcpStream::connect(server.address).unwrap();
        write!(slow, "{head}\r\ncontent-length: 1000000\r\n\r\n{}", " ".repeat(900_000)).unwrap();
        slow
    };
    let mut slow = begin();
    let large = format!("{}{}", " ".repeat(500_000), question("?", &image()));
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let reply = send(&server, "/v1/chat/completions", &large);
        if reply.status == 429 {
            assert_eq!(reply.error(429), "too_many_bodies");
            assert_eq!(reply.headers["retry-after"], "1");
            break;
        }
        assert!(Instant::now() < deadline, "{}", reply.text);
        // Both were being read, and it was the slow one that was told to come back later.
        slow = begin();
    }
    // A small one still fits.
    assert_eq!(chat(&server, &question("?", &image())).status, 200);
    drop(slow);
    while send(&server, "/v1/chat/completions", &large).status != 200 {
        assert!(Instant::now() < deadline);
    }
}

#[test]
fn a_connection_that_says_nothing_is_closed() {
    let server =
        Running::new(ServeOptions { client_timeout: Duration::from_millis(100), ..ServeOptions::default() });
    let mut silent = TcpStream::connect(server.address).unwrap();
    let mut half = TcpStream::connect(server.address).unwrap();
    half.write_all(b"GET /health HTTP/1.1\r\nhost: loc").unwrap();
    for stream in [&mut silent, &mut half] {
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
    }
}

#[test]
fn many_at_once_get_what_each_gets_alone() {
    let server = Running::new(ServeOptions::default());
    let bodies: Vec<Value> = (0..24).map(|number| question(&format!("q{number}"), &image())).collect();
    let content = |body: &Value| chat(&server, body).json()["choices"][0].clone();
    let alone: Vec<Value> = bodies.iter().map(content).collect();
    let together: Vec<Value> = thread::scope(|scope| {
        let asked: Vec<_> = bodies.iter().map(|body| scope.spawn(|| content(body))).collect();
        asked.into_iter().map(|answer| answer.join().unwrap()).collect()
    });
    assert_eq!(alone, together);
}

#[test]
fn what_runs_is_finished_before_the_end() {
    let mut server = Running::new(ServeOptions::default());
    let mut answer = lines(&server, "/v1/chat/completions", &long_question());
    assert!(answer.next().is_some());
    server.begin_to_stop();
    let rest: Vec<String> = answer.collect();
    assert_eq!(rest.iter().rfind(|line| !line.is_empty()).unwrap(), "data: [DONE]");
    assert_eq!(server.stop().dropped, 0);
}

/// A balancer has to see it, or it goes on sending questions.
#[test]
fn while_answers_are_finished_the_server_says_that_it_stops() {
    let engine = EngineOptions { max_running: 1, ..EngineOptions::default() };
    let mut server = Running::with(engine, ServeOptions::default());
    let mut body = long_question();
    body["n"] = 8.into();
    let mut answer = lines(&server, "/v1/chat/completions", &body);
    assert!(answer.next().is_some());
    assert_eq!(get(&server, "/ready").status, 200);
    server.begin_to_stop();
    let deadline = Instant::now() + Duration::from_secs(10);
    let ready = loop {
        let ready = get(&server, "/ready");
        if ready.status != 200 {
            break ready;
        }
        assert!(Instant::now() < deadline);
    };
    assert_eq!(ready.error(503), "shutting_down");
    assert_eq!(ready.headers["connection"], "close");
    assert_eq!(get(&server, "/health").status, 200);
    for body in [question("?", &image()).to_string(), " ".repeat(4 << 20)] {
        assert_eq!(send(&server, "/v1/chat/completions", &body).error(503), "shutting_down");
    }
    assert_eq!(answer.filter(|line| line.contains("\"finish_reason\":\"length\"")).count(), 8);
    let address = server.address;
    assert_eq!(server.stop().dropped, 0);
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn what_takes_too_long_is_dropped_at_the_end() {
    let mut server =
        Running::new(ServeOptions { shutdown_timeout: Duration::ZERO, ..ServeOptions::default() });
    let mut body = long_question();
    body["n"] = 8.into();
    let mut answer = lines(&server, "/v1/chat/completions", &body);
    assert!(answer.next().is_some());
    server.begin_to_stop();
    let rest: Vec<String> = answer.collect();
    assert!(rest.iter().any(|line| line.contains("\"error\"")), "{}", rest.concat());
    assert!(server.stop().dropped > 0);
}
