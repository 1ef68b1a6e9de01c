//! What bad requests get: an error that names what is wrong, and the server goes on.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use parrot_infer::EngineOptions;
use parrot_serve::ServeOptions;
use serde_json::{Value, json};

use crate::client::{agent, chat, data_url, get, image, lines, long_question, question, send};
use crate::server::Running;

const CHAT: &str = "/v1/chat/completions";

fn assert_alive(server: &Running) {
    assert_eq!(chat(server, &question("?", &image())).status, 200);
}

/// Text that cannot fit is refused before it is turned into tokens, which would take time and memory.
#[test]
fn text_that_cannot_fit_is_refused_at_once() {
    let server = Running::new(ServeOptions::default());
    let body = json!({"messages": [{"role": "user", "content": "long ".repeat(200_000)}]});
    let began = std::time::Instant::now();
    assert_eq!(chat(&server, &body).error(400), "context_length_exceeded");
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[test]
fn what_is_no_request() {
    let server = Running::new(ServeOptions::default());
    for broken in ["", "{", "\u{0}", "{\"messages\": [}", "{\"messages\": []} {}"] {
        assert_eq!(send(&server, CHAT, broken).error(400), "invalid_json", "{broken}");
    }
    let deep = format!("{{\"tools\": {}", "[".repeat(100_000));
    for wrong in ["null", "[]", "7", &deep] {
        send(&server, CHAT, wrong).error(400);
    }
    let wrong: [(Value, &str); 8] = [
        (json!({}), "messages"),
        (json!({"messages": "hello"}), "messages"),
        (json!({"messages": [7]}), "messages[0]"),
        (json!({"messages": [{"content": "x"}]}), "messages[0]"),
        (json!({"messages": [{"role": "tool", "content": "x"}]}), "messages[0].role"),
        (json!({"messages": [{"role": "user", "content": 7}]}), "messages[0].content"),
        (json!({"messages": [{"role": "user", "content": "x"}], "max_tokens": -1}), "max_tokens"),
        (
            json!({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}),
            "messages[0].content[0]",
        ),
    ];
    for (body, param) in wrong {
        let reply = chat(&server, &body);
        reply.error(400);
        assert!(
            reply.json()["error"]["message"].as_str().unwrap().contains(param),
            "{param}: {}",
            reply.text
        );
        assert!(
            reply.json()["error"]["param"].as_str().unwrap().starts_with(param),
            "{param}: {}",
            reply.text
        );
    }
    let unknown = json!({"messages": [{"role": "user", "content": "x"}], "temprature": 1});
    assert_eq!(chat(&server, &unknown).error(400), "unsupported_parameter");
    let unknown = json!({"messages": [{"role": "user", "content": "x"}], "model": "gpt-4"});
    assert_eq!(chat(&server, &unknown).error(404), "model_not_found");
    let form = agent().post(server.url(CHAT)).send("{}").unwrap();
    assert_eq!(form.status(), 415);
    assert_eq!(get(&server, "/nowhere").error(404), "not_found");
    assert_eq!(get(&server, CHAT).error(405), "method_not_allowed");
    assert_alive(&server);
}

#[test]
fn images_that_are_none() {
    let server = Running::new(ServeOptions::default());
    // 65,535 × 65,535 pixels, says this GIF's head.
    let gif_bomb = *b"GIF89a\xff\xff\xff\xff\x00\x00\x00,\x00\x00\x00\x00\xff\xff\xff\xff\x00\x02";
    let mut bmp_bomb = b"BM".to_vec();
    for field in [54u32, 0, 54, 40, 20_000, 20_000, 1 | 24 << 16, 0, 0, 0, 0, 0, 0] {
        bmp_bomb.extend(field.to_le_bytes());
    }
    let broken = [
        "data:image/png;base64,AAAA====".into(),
        "data:image/png;base64,%%%%".into(),
        "data:image/png,hello".into(),
        data_url(b"no image"),
        data_url(&gif_bomb),
        data_url(&bmp_bomb),
        data_url(b""),
        "file:///etc/passwd".into(),
    ];
    for url in broken {
        let reply = chat(&server, &question("?", &url));
        assert_eq!(reply.error(400), "invalid_image", "{}", reply.text);
    }
    let fetched = chat(&server, &question("?", "http://127.0.0.1:1/a.png"));
    assert_eq!(fetched.error(400), "image_url_not_allowed");
    let mut many = question("?", &image());
    many["messages"][0]["content"] = vec![many["messages"][0]["content"][1].clone(); 17].into();
    assert_eq!(chat(&server, &many).error(400), "too_many_images");
    assert_alive(&server);
}

#[test]
fn a_server_that_fetches_fetches_nothing_private() {
    let server = Running::new(ServeOptions { allow_url_images: true, ..ServeOptions::default() });
    let url = server.url("/health");
    for url in
        [url.as_str(), "http://localhost/", "http://169.254.169.254/latest/meta-data/", "http://[::1]/"]
    {
        let reply = chat(&server, &question("?", url));
        assert_eq!(reply.error(400), "invalid_image");
        assert!(reply.text.contains("could not be fetched"), "{}", reply.text);
    }
}

#[test]
fn more_than_fits() {
    let server = Running::new(ServeOptions::default());
    let body = json!({"messages": [{"role": "user", "content": "x".repeat(1000)}]});
    assert_eq!(chat(&server, &body).error(400), "context_length_exceeded");
    let messages: Vec<Value> = (0..10_000).map(|_| json!({"role": "user", "content": "hello"})).collect();
    assert_eq!(chat(&server, &json!({"messages": messages})).error(400), "context_length_exceeded");
    let body = json!({"messages": [{"role": "user", "content": "x".repeat(2 << 20)}]});
    assert_eq!(chat(&server, &body).error(400), "context_length_exceeded");
    assert_alive(&server);
}

#[test]
fn bodies_of_100_mb() {
    let server = Running::new(ServeOptions::default());
    let megabyte = vec![b' '; 1 << 20];
    for head in ["content-length: 104857600\r\n", "transfer-encoding: chunked\r\n"] {
        let mut stream = TcpStream::connect(server.address).unwrap();
        let start = format!(
            "POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{head}\r\n"
        );
        stream.write_all(start.as_bytes()).unwrap();
        for _ in 0..100 {
            let sent = if head.starts_with("transfer") {
                stream
                    .write_all(b"100000\r\n")
                    .and_then(|()| stream.write_all(&megabyte))
                    .and_then(|()| stream.write_all(b"\r\n"))
            } else {
                stream.write_all(&megabyte)
            };
            if sent.is_err() {
                // The server has answered and closed: what it said may still be there.
                break;
            }
        }
        let mut reply = [0; 12];
        if stream.read_exact(&mut reply).is_ok() {
            assert_eq!(&reply, b"HTTP/1.1 413");
        } else {
            assert!(head.starts_with("transfer"), "whoever says how much is coming reads the answer");
        }
    }
    assert_alive(&server);
}

#[test]
fn a_request_that_does_not_arrive() {
    let server =
        Running::new(ServeOptions { client_timeout: Duration::from_millis(200), ..ServeOptions::default() });
    let mut stream = TcpStream::connect(server.address).unwrap();
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{{"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut reply = [0; 12];
    stream.read_exact(&mut reply).unwrap();
    assert_eq!(&reply, b"HTTP/1.1 408");
}

#[test]
fn more_than_may_wait() {
    let engine = EngineOptions { max_running: 1, max_waiting: 2, ..EngineOptions::default() };
    let server = Running::with(engine, ServeOptions::default());
    let mut body = long_question();
    // These could never wait together, so coming back is of no use.
    body["n"] = 3.into();
    let refused = chat(&server, &body);
    assert_eq!(refused.error(400), "");
    assert_eq!(refused.json()["error"]["param"], "n");
    assert!(refused.text.contains("at most 2") && refused.text.contains("found 3"), "{}", refused.text);
    // One runs, one waits or both wait, and there is no room for two more.
    body["n"] = 2.into();
    let mut answers: Vec<_> = Vec::new();
    let refused = (0..20).find_map(|_| {
        answers.push(lines(&server, CHAT, &body));
        let reply = chat(&server, &body);
        (reply.status != 200).then_some(reply)
    });
    drop(answers);
    let refused = refused.expect("four at once were never refused");
    assert_eq!(refused.error(429), "queue_full");
    assert_eq!(refused.headers["retry-after"], "1");
    server.wait_until_idle();
    assert_alive(&server);
}

#[test]
fn an_answer_that_takes_too_long_is_cut_off() {
    let server =
        Running::new(ServeOptions { request_timeout: Duration::from_millis(20), ..ServeOptions::default() });
    let mut body = long_question();
    body["stream"] = false.into();
    // On a busy machine the time may be over before it begins.
    let mut replies = (0..50).map(|_| chat(&server, &body)).filter(|reply| reply.status != 504);
    let reply = replies.next().expect("no answer ever began").json();
    assert_eq!(reply["choices"][0]["finish_reason"], "length");
    assert_eq!(reply["parrot"][0]["finish_reason"], "time_limit", "{reply}");
}

/// Of eight answers the last ones wait until the time of all is over.
#[test]
fn an_answer_whose_time_is_over_before_it_begins_is_an_error() {
    let engine = EngineOptions { max_running: 1, ..EngineOptions::default() };
    let limits = ServeOptions { request_timeout: Duration::from_millis(10), ..ServeOptions::default() };
    let server = Running::with(engine, limits);
    let mut body = long_question();
    body["n"] = 8.into();
    let streamed = chat(&server, &body);
    assert!(streamed.status == 504 || streamed.text.contains("\"code\":\"timeout\""), "{}", streamed.text);
    body["stream"] = false.into();
    assert_eq!(chat(&server, &body).error(504), "timeout");
}

/// What comes back for these bytes.
fn raw(server: &Running, bytes: &str) -> String {
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(bytes.as_bytes()).unwrap();
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).unwrap();
    String::from_utf8(reply).unwrap()
}

#[test]
fn what_no_client_should_send() {
    let server = Running::new(ServeOptions::default());
    let post = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n"
    );
    let body = question("?", &image()).to_string();
    let whole = |headers: &str| format!("{post}{headers}content-length: {}\r\n\r\n{body}", body.len());
    let chunks = format!("{:x}\r\n{}\r\n{:x}\r\n{}\r\n0\r\n\r\n", 9, &body[..9], body.len() - 9, &body[9..]);
    let get = |rest: &str| format!("GET /health HTTP/1.1\r\nconnection: close\r\n{rest}\r\n");
    for (request, status) in [
        (whole(""), 200),
        (whole("").replace("HTTP/1.1", "HTTP/1.0"), 200),
        (format!("{post}transfer-encoding: chunked\r\n\r\n{chunks}"), 200),
        (format!("{post}transfer-encoding: chunked\r\n\r\nzz\r\n"), 400),
        (whole("content-length: 3\r\n"), 400),
        (whole("content-encoding: gzip\r\n"), 415),
        (whole(&format!("x-a: {}\r\n", "a".repeat(1 << 20))), 431),
        (whole(&"x-a: a\r\n".repeat(5_000)), 431),
        (get("host: localhost\r\n"), 200),
        (get("host: localhost\r\n").replace("/health", "/v1/models/%ff"), 400),
        (get("host: localhost\r\nhost: example.org\r\n"), 403),
        ("\u{16}\u{3}\u{1} no HTTP at all\r\n\r\n".into(), 400),
    ] {
        let reply = raw(&server, &request);
        let start: String = request.chars().take(300).collect();
        assert_eq!(reply.get(9..12), Some(&*status.to_string()), "{start}: {reply}");
    }
    // Three requests at once have three answers.
    let pipelined = whole("").replace("connection: close\r\n", "").repeat(2) + &whole("");
    assert_eq!(raw(&server, &pipelined).matches("HTTP/1.1 200").count(), 3);
    assert_alive(&server);
}
