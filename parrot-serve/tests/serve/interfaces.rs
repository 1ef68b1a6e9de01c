//! Everything besides chat: models, keys, origins, metrics, Ollama's interface, the page.

use parrot_serve::ServeOptions;
use serde_json::{Value, json};

use crate::client::{Reply, agent, chat, get, image, post, question};
use crate::server::Running;

#[test]
fn models_are_listed() {
    let server = Running::new(ServeOptions::default());
    let list = get(&server, "/v1/models").json();
    let names: Vec<&str> =
        list["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
    assert_eq!(names, ["parrot", "org/other"]);
    assert_eq!(get(&server, "/v1/models/org/other").json()["id"], "org/other");
    assert_eq!(get(&server, "/v1/models/none").error(404), "model_not_found");
    let mut body = question("?", &image());
    body["model"] = "org/other".into();
    assert_eq!(chat(&server, &body).json()["model"], "org/other");
}

#[test]
fn a_key_is_needed_where_there_is_one() {
    let server =
        Running::new(ServeOptions { api_keys: vec!["k1".into(), "k2".into()], ..ServeOptions::default() });
    for path in ["/v1/models", "/v1/models/parrot", "/metrics"] {
        assert_eq!(get(&server, path).error(401), "invalid_api_key", "{path}");
    }
    assert_eq!(chat(&server, &question("?", &image())).error(401), "invalid_api_key");
    for path in ["/api/chat", "/api/generate"] {
        assert_ollama_s_error(&post(&server, path, &json!({})), 401);
    }
    assert_ollama_s_error(&get(&server, "/api/tags"), 401);
    for path in ["/", "/health", "/ready", "/openapi.json"] {
        assert_eq!(get(&server, path).status, 200, "{path}");
    }
    for (key, status) in
        [("Bearer k1", 200), ("bearer k2", 200), ("Bearer k3", 401), ("k1", 401), ("Basic k1", 401)]
    {
        let response = agent().get(server.url("/v1/models")).header("authorization", key).call().unwrap();
        assert_eq!(response.status(), status, "{key}");
    }
}

fn assert_ollama_s_error(reply: &Reply, status: u16) {
    assert_eq!(reply.status, status, "{}", reply.text);
    assert!(reply.json()["error"].is_string(), "{}", reply.text);
}

#[test]
fn errors_at_ollama_s_addresses_have_ollama_s_shape() {
    let server = Running::new(ServeOptions::default());
    assert_ollama_s_error(&get(&server, "/api/nowhere"), 404);
    assert_ollama_s_error(&get(&server, "/api/chat"), 405);
    assert_ollama_s_error(&post(&server, "/api/chat", &json!({"messages": 7})), 400);
    assert_ollama_s_error(&post(&server, "/api/generate", &json!({"model": "none"})), 404);
    let wrong = agent().post(server.url("/api/chat")).header("origin", "null").send("{}").unwrap();
    assert_eq!(wrong.status(), 415);
    assert_eq!(get(&server, "/v1/nowhere").error(404), "not_found");
}

#[test]
fn the_official_browser_client_may_ask() {
    let origin = "https://a.example";
    let server = Running::new(ServeOptions { cors_origins: vec![origin.into()], ..ServeOptions::default() });
    let request = ureq::http::Request::options(server.url("/v1/chat/completions"))
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization,content-type,x-stainless-os")
        .body(())
        .unwrap();
    let response = agent().run(request).unwrap();
    let allowed = response.headers()["access-control-allow-headers"].to_str().unwrap();
    assert!(allowed.contains("x-stainless-os"), "{allowed}");
}

#[test]
fn pages_of_other_sites_are_kept_out() {
    let preflight = |server: &Running, origin: &str| {
        let request = ureq::http::Request::options(server.url("/v1/chat/completions"))
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .body(())
            .unwrap();
        let response = agent().run(request).unwrap();
        response
            .headers()
            .get("access-control-allow-origin")
            .map(|origin| origin.to_str().unwrap().to_owned())
    };
    let server = Running::new(ServeOptions::default());
    assert_eq!(preflight(&server, "https://a.example"), None);
    let rebound = agent().get(server.url("/v1/models")).header("host", "evil.example").call().unwrap();
    assert_eq!(rebound.status(), 403);
    let server = Running::new(ServeOptions {
        cors_origins: vec!["https://a.example".into()],
        ..ServeOptions::default()
    });
    assert_eq!(preflight(&server, "https://a.example").as_deref(), Some("https://a.example"));
    assert_eq!(preflight(&server, "https://b.example"), None);
}

#[test]
fn metrics_count() {
    let server = Running::new(ServeOptions::default());
    assert_eq!(chat(&server, &question("?", &image())).status, 200);
    assert_eq!(chat(&server, &question("?", &image())).status, 200);
    get(&server, "/no/such/address/of/a/user");
    let metrics = get(&server, "/metrics").text;
    for line in [
        r#"parrot_http_requests_total{method="POST",route="/v1/chat/completions",status="200"} 2"#,
        r#"parrot_http_requests_total{method="GET",route="none",status="404"} 1"#,
        r#"parrot_time_to_first_token_seconds_count{model="parrot"} 2"#,
        r#"parrot_queue_time_seconds_count{model="parrot"} 2"#,
        r#"parrot_engine_image_cache_hits_total{model="parrot"} 1"#,
        r#"parrot_engine_running{model="parrot"} 0"#,
        "# EOF",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is not in\n{metrics}");
    }
}

#[test]
fn ollama_s_clients_are_answered() {
    let server = Running::new(ServeOptions::default());
    let tags = get(&server, "/api/tags").json();
    assert_eq!(tags["models"][0]["name"], "parrot");
    assert_eq!(tags["models"][0]["capabilities"][1], "vision");
    let image = image();
    let image = image.split(',').nth(1).unwrap();
    let options = json!({"num_predict": 6});
    let messages = json!([{"role": "user", "content": "?", "images": [image]}]);
    let body = json!({"model": "parrot:latest", "stream": false, "messages": messages, "options": options});
    let whole = post(&server, "/api/chat", &body).json();
    assert_eq!((&whole["done"], &whole["model"]), (&json!(true), &json!("parrot")));
    let body = json!({"model": "parrot", "prompt": "?", "images": [image], "options": options});
    let lines = post(&server, "/api/generate", &body);
    assert_eq!(lines.headers["content-type"], "application/x-ndjson");
    assert_eq!(lines.headers["x-accel-buffering"], "no");
    let lines: Vec<Value> = lines.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let text: String = lines.iter().map(|line| line["response"].as_str().unwrap()).collect();
    assert_eq!(text, whole["message"]["content"]);
    assert_eq!(lines.last().unwrap()["eval_count"], whole["eval_count"]);
    let wrong = post(&server, "/api/chat", &json!({"model": "none", "messages": messages}));
    assert_eq!(wrong.status, 404);
    assert!(wrong.json()["error"].is_string());
}

#[test]
fn ollama_s_clients_load_a_model_and_name_no_type() {
    let server = Running::new(ServeOptions::default());
    let untyped = |path: &str, body: &Value| {
        let form = agent().post(server.url(path)).header("content-type", "application/x-www-form-urlencoded");
        Reply::new(form.send(body.to_string()).unwrap())
    };
    let loaded = untyped("/api/generate", &json!({"model": "parrot"}));
    assert_eq!(loaded.status, 200, "{}", loaded.text);
    let loaded = loaded.json();
    assert_eq!((&loaded["response"], &loaded["done"]), (&json!(""), &json!(true)));
    assert_eq!((&loaded["done_reason"], &loaded["model"]), (&json!("load"), &json!("parrot")));
    let chat = untyped("/api/chat", &json!({"model": "parrot", "messages": []})).json();
    assert_eq!((&chat["message"]["content"], &chat["done_reason"]), (&json!(""), &json!("load")));
    let body = json!({"prompt": "?", "system": "s", "stream": false, "options": {"num_predict": 2}});
    assert_eq!(untyped("/api/generate", &body).status, 200);
}

#[test]
fn the_page_is_whole() {
    let server = Running::new(ServeOptions::default());
    let page = get(&server, "/");
    assert!(page.headers["content-type"].to_str().unwrap().starts_with("text/html"));
    assert!(page.headers["content-security-policy"].to_str().unwrap().contains("default-src 'none'"));
    for elsewhere in ["src=\"http", "href=\"http", "@import", "url(http", "href=\"/"] {
        assert!(!page.text.contains(elsewhere), "{elsewhere}");
    }
}
