//! Downloads from a server of our own on this machine.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use burn::prelude::*;
use burn::tensor::FloatDType;
use sha2::{Digest, Sha256};

use super::super::testing::Tiny;
use super::super::{Checkpoint, Description, SaveOptions};
use super::DownloadProgress;
use super::remote::Repository;
use super::settings::Settings;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// A hub with one model, `owner/model`, that answers until the test ends.
struct Server {
    endpoint: String,
    /// `METHOD path`, and the token if one was sent.
    requests: Arc<Mutex<Vec<String>>>,
}

#[derive(Default, Clone)]
struct Behaviour {
    files: BTreeMap<String, Vec<u8>>,
    token: Option<&'static str>,
    /// Answers downloads with an error page.
    forbidden_downloads: bool,
    /// Answers everything with this status.
    status: Option<&'static str>,
    /// Sends this many bytes of a file and closes the connection.
    cut_after: Option<usize>,
    /// Sends files again and again, and does not say how long they are.
    endless: bool,
    /// Sends files in this coding, as it says.
    coding: Option<&'static str>,
    /// Sends whoever asks for a file's bytes to this host, with what signs the address.
    moved_to: Option<String>,
    /// Accepts connections and says nothing.
    silent: bool,
    /// Says that the model's terms are not accepted.
    gated: bool,
    /// Makes the tag of a file's bytes; without it, it is the file's name.
    tag: Option<fn(&[u8]) -> String>,
}

/// The tag of a large file.
fn sha256(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

/// The tag of a large file, but of another one.
fn another_sha256(_: &[u8]) -> String {
    sha256(b"other bytes")
}

impl Server {
    fn start(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let _ = answer(stream, &behaviour, &seen);
            }
        });
        Self { endpoint, requests }
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

fn answer(mut stream: TcpStream, behaviour: &Behaviour, seen: &Mutex<Vec<String>>) -> std::io::Result<()> {
    if behaviour.silent {
        std::thread::sleep(Duration::from_secs(5));
        return Ok(());
    }
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().unwrap_or(Ok(String::new()))?;
    let (mut token, mut begin) = (String::new(), 0);
    for line in lines {
        let line = line?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(": ").unwrap_or_default();
        match name.to_lowercase().as_str() {
            "authorization" => token = value.trim_start_matches("Bearer ").to_string(),
            "range" => begin = value.trim_start_matches("bytes=").trim_end_matches('-').parse().unwrap(),
            _ => {}
        }
    }
    let mut parts = request.split(' ');
    let (method, path) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    seen.lock().unwrap().push(format!("{method} {path} {token}").trim_end().to_string());
    let file = path
        .strip_prefix("/owner/model/resolve/")
        .and_then(|rest| rest.split('?').next()?.split_once('/'))
        .and_then(|(_, name)| behaviour.files.get_key_value(name));
    let tag = |(name, bytes): (&String, &Vec<u8>)| match behaviour.tag {
        Some(tag) => tag(bytes),
        None => name.replace('/', "-"),
    };
    let etag = file.map_or(String::new(), |file| format!("\"{}\"", tag(file)));
    let (status, body): (_, &[u8]) = match file {
        _ if behaviour.status.is_some() => (behaviour.status.unwrap(), b"no page"),
        _ if behaviour.gated => ("401 Unauthorized\r\nX-Error-Code: GatedRepo", b""),
        _ if behaviour.token.is_some_and(|expected| token != expected) => ("401 Unauthorized", b""),
        None => ("404 Not Found", b"no such file"),
        Some(_) if behaviour.forbidden_downloads && method == "GET" => ("403 Forbidden", b"go away"),
        Some((_, body)) if begin > 0 => ("206 Partial Content", &body[begin..]),
        Some((_, body)) => ("200 OK", body),
    };
    if behaviour.endless && method == "GET" {
        write!(stream, "HTTP/1.1 {status}\r\nConnection: close\r\n\r\n")?;
        loop {
            stream.write_all(body)?;
        }
    }
    if let Some(target) = behaviour.moved_to.as_ref().filter(|_| method == "GET") {
        let location = format!("{target}{path}?signature=secret");
        return write!(stream, "HTTP/1.1 302 Found\r\nLocation: {location}\r\nConnection: close\r\n\r\n");
    }
    if let Some(coding) = behaviour.coding.filter(|_| method == "GET") {
        write!(stream, "HTTP/1.1 {status}\r\nContent-Encoding: {coding}\r\nConnection: close\r\n\r\n")?;
        return stream.write_all(body);
    }
    let (end, all) = (begin + body.len(), begin + body.len());
    write!(
        stream,
        "HTTP/1.1 {status}\r\nETag: {etag}\r\nX-Repo-Commit: {COMMIT}\r\nContent-Length: {}\r\n\
         Content-Range: bytes {begin}-{}/{all}\r\nConnection: close\r\n\r\n",
        body.len(),
        end.saturating_sub(1),
    )?;
    let sent = behaviour.cut_after.map_or(body.len(), |limit| body.len().min(limit));
    if method == "GET" { stream.write_all(&body[..sent]) } else { Ok(()) }
}

/// The files of a folder, by their path in it.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    fn collect(root: &Path, folder: &Path, files: &mut BTreeMap<String, Vec<u8>>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(root, &path, files);
            } else {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
                files.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    let mut found = BTreeMap::new();
    collect(folder, folder, &mut found);
    found
}

/// A model in several shards, with things that nobody needs.
fn model() -> Behaviour {
    let folder = tempfile::tempdir().unwrap();
    let options = SaveOptions { max_shard_bytes: 20_000, ..SaveOptions::default() };
    Tiny::clip().save_with(folder.path(), &options).unwrap();
    let mut files = files(folder.path());
    files.insert("tokenizer.json".into(), b"{}".to_vec());
    files.insert("pytorch_model.bin".into(), vec![0; 100]);
    files.insert("README.md".into(), vec![0; 100]);
    Behaviour { files, ..Behaviour::default() }
}

fn download(
    endpoint: &str,
    cache: &Path,
    token: Option<&str>,
    offline: bool,
    progress: Option<DownloadProgress>,
) -> crate::Result<PathBuf> {
    repository(endpoint, cache, token, offline, progress)?.model()
}

fn repository(
    endpoint: &str,
    cache: &Path,
    token: Option<&str>,
    offline: bool,
    progress: Option<DownloadProgress>,
) -> crate::Result<Repository> {
    Repository::open("owner/model", &settings(endpoint, cache, token, offline), progress)
}

fn settings(endpoint: &str, cache: &Path, token: Option<&str>, offline: bool) -> Settings {
    Settings {
        endpoint: endpoint.into(),
        token: token.map(Into::into),
        cache: cache.into(),
        offline,
        patience: Duration::from_millis(300),
        attempts: 2,
        pause: Duration::from_millis(1),
    }
}

/// The address that was asked for was named, which can be reached, with what signs the other one.
#[test]
fn a_redirect_to_nowhere_is_named_without_its_signature() {
    let nowhere = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let target = format!("http://key:secret@{nowhere}");
    let server = Server::start(Behaviour { moved_to: Some(target), ..model() });
    let cache = tempfile::tempdir().unwrap();
    let error = download(&server.endpoint, cache.path(), None, false, None).unwrap_err().to_string();
    let expected = format!("cannot reach http://{nowhere}/owner/model/resolve/");
    assert!(error.contains(&expected) && !error.contains("secret"), "{error}");
}

#[test]
fn a_redirect_is_followed_and_the_token_stays() {
    let elsewhere = Server::start(model());
    let server = Server::start(Behaviour { moved_to: Some(elsewhere.endpoint.clone()), ..model() });
    let cache = tempfile::tempdir().unwrap();
    let part = repository(&server.endpoint, cache.path(), Some("secret"), false, None).unwrap();
    part.part_description().unwrap();
    assert!(server.requests().iter().all(|request| request.ends_with(" secret")));
    let elsewhere = elsewhere.requests();
    assert!(
        !elsewhere.is_empty() && elsewhere.iter().all(|request| !request.ends_with(" secret")),
        "{elsewhere:?}"
    );
}

#[test]
fn a_password_in_the_endpoint_is_in_no_error() {
    let nowhere = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = Server::start(Behaviour { status: Some("418 I'm a teapot"), ..model() });
    let running = server.endpoint.trim_start_matches("http://");
    for host in [nowhere.to_string(), running.to_string(), "not a host".into()] {
        for password in ["secret", "sec/ret", "sec@ret"] {
            let cache = tempfile::tempdir().unwrap();
            let endpoint = format!("http://user:{password}@{host}");
            let error = download(&endpoint, cache.path(), None, false, None).unwrap_err().to_string();
            assert!(!error.contains("sec") && !error.contains("user"), "{error}");
        }
    }
}

/// The configuration was kept as it came, and found to be no JSON ever after.
#[test]
fn what_arrives_compressed_is_not_kept() {
    let cache = tempfile::tempdir().unwrap();
    let server = Server::start(Behaviour { coding: Some("gzip"), ..model() });
    let error = download(&server.endpoint, cache.path(), None, false, None).unwrap_err().to_string();
    assert!(error.contains("config.json sends it with the content-encoding gzip, unasked"), "{error}");
    download(&Server::start(model()).endpoint, cache.path(), None, false, None).unwrap();
}

#[test]
fn a_model_is_downloaded_once() {
    let server = Server::start(model());
    let cache = tempfile::tempdir().unwrap();
    let told = Arc::new(Mutex::new(BTreeMap::new()));
    let tell = Arc::clone(&told);
    let progress: DownloadProgress = Arc::new(move |file: &str, done, total| {
        tell.lock().unwrap().insert(file.to_string(), (done, total));
    });
    let folder = download(&server.endpoint, cache.path(), None, false, Some(progress)).unwrap();
    let checkpoint = Checkpoint::open(&folder).unwrap();
    checkpoint.load(FloatDType::F32, &Device::default()).unwrap();
    assert!(folder.join("tokenizer.json").is_file());
    assert!(!folder.join("pytorch_model.bin").exists() && !folder.join("README.md").exists());
    let (done, total) = told.lock().unwrap()["model-00001-of-00002.safetensors"];
    assert!(done == total && total > 10_000);

    // The second time only asks whether there is a newer commit, and for what was not there.
    let before = server.requests().len();
    assert_eq!(download(&server.endpoint, cache.path(), None, false, None).unwrap(), folder);
    let again = server.requests().split_off(before);
    assert!(!again.iter().any(|request| request.starts_with("GET")), "{again:?}");

    // Without the hub, the cache serves: asked to be offline, or because nobody answers, or only with an error.
    assert_eq!(download(&server.endpoint, cache.path(), None, true, None).unwrap(), folder);
    let overloaded = Server::start(Behaviour { status: Some("503 Service Unavailable"), ..model() });
    let silent = Server::start(Behaviour { silent: true, ..model() });
    for endpoint in [&closed_endpoint(), &overloaded.endpoint, &silent.endpoint] {
        assert_eq!(download(endpoint, cache.path(), None, false, None).unwrap(), folder, "{endpoint}");
    }
}

/// Where nobody listens.
fn closed_endpoint() -> String {
    format!("http://{}", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap())
}

/// A model in one file, as most are: the index that it lacks must not be asked for without a network.
#[test]
fn a_model_in_one_file_needs_no_hub_once_it_is_here() {
    let folder = tempfile::tempdir().unwrap();
    Tiny::clip().save_with(folder.path(), &SaveOptions::default()).unwrap();
    let server = Server::start(Behaviour { files: files(folder.path()), ..Behaviour::default() });
    let cache = tempfile::tempdir().unwrap();
    let folder = download(&server.endpoint, cache.path(), None, false, None).unwrap();
    assert_eq!(download(&closed_endpoint(), cache.path(), None, false, None).unwrap(), folder);
    // Without the marks of what the model lacks, as another tool may leave the cache.
    std::fs::remove_dir_all(cache.path().join("models--owner--model/.no_exist")).unwrap();
    assert_eq!(download(&closed_endpoint(), cache.path(), None, false, None).unwrap(), folder);
    assert_eq!(download(&server.endpoint, cache.path(), None, true, None).unwrap(), folder);
}

#[test]
fn a_broken_download_resumes_where_it_was() {
    let model = model();
    let server = Server::start(Behaviour { cut_after: Some(5_000), ..model.clone() });
    let cache = tempfile::tempdir().unwrap();
    let folder = download(&server.endpoint, cache.path(), None, false, None).unwrap();
    for (name, bytes) in &model.files {
        if name.starts_with("towers/") {
            // The tower's weights are among the model's; they are not fetched twice.
            assert!(!name.ends_with(".safetensors") || !folder.join(name).exists());
        } else if name.ends_with(".safetensors") {
            assert_eq!(std::fs::read(folder.join(name)).unwrap(), *bytes, "{name}");
        }
    }
    // What an earlier attempt left in the cache, of this program or another one, is gone on with.
    let cache = tempfile::tempdir().unwrap();
    let server = Server::start(model.clone());
    let blobs = cache.path().join("models--owner--model/blobs");
    std::fs::create_dir_all(&blobs).unwrap();
    let shard = "model-00001-of-00002.safetensors";
    std::fs::write(blobs.join(format!("{shard}.incomplete")), &model.files[shard][..7_000]).unwrap();
    let least = Arc::new(Mutex::new(u64::MAX));
    let seen = Arc::clone(&least);
    let progress: DownloadProgress = Arc::new(move |file: &str, done, _| {
        if file == shard {
            let mut least = seen.lock().unwrap();
            *least = done.min(*least);
        }
    });
    let folder = download(&server.endpoint, cache.path(), None, false, Some(progress)).unwrap();
    assert_eq!(std::fs::read(folder.join(shard)).unwrap(), model.files[shard]);
    assert!(*least.lock().unwrap() > 7_000);
}

/// A power cut leaves zeros at the end of what was being written, or in all of it.
#[test]
fn what_an_earlier_attempt_left_damaged_is_downloaded_anew() {
    let model = Behaviour { tag: Some(sha256), ..model() };
    let server = Server::start(model.clone());
    let shard = "model-00001-of-00002.safetensors";
    let bytes = &model.files[shard];
    let mut cut = bytes[..7_000].to_vec();
    cut[5_000..].fill(0);
    for damaged in [cut, vec![0; bytes.len()]] {
        let cache = tempfile::tempdir().unwrap();
        let blobs = cache.path().join("models--owner--model/blobs");
        std::fs::create_dir_all(&blobs).unwrap();
        std::fs::write(blobs.join(format!("{}.incomplete", sha256(bytes))), damaged).unwrap();
        let folder = download(&server.endpoint, cache.path(), None, false, None).unwrap();
        assert!(std::fs::read(folder.join(shard)).unwrap() == *bytes);
    }
}

#[test]
fn bytes_that_are_not_those_of_the_hub_are_not_kept() {
    let server = Server::start(Behaviour { tag: Some(another_sha256), ..model() });
    let cache = tempfile::tempdir().unwrap();
    let error = download(&server.endpoint, cache.path(), None, false, None).unwrap_err().to_string();
    assert!(
        error.ends_with("config.json: it arrived with another SHA-256 than the hub says that it has"),
        "{error}"
    );
    let left = files(&cache.path().join("models--owner--model"));
    assert!(left.values().all(Vec::is_empty), "{:?}", left.keys());
}

/// Transformers and the loader take the whole file first; downloading the shards as well would be for nothing.
#[test]
fn a_model_that_is_there_in_one_file_and_in_shards_is_taken_in_one() {
    let whole = tempfile::tempdir().unwrap();
    Tiny::clip().save_with(whole.path(), &SaveOptions::default()).unwrap();
    let mut behaviour = model();
    behaviour.files.extend(files(whole.path()));
    let server = Server::start(behaviour);
    let cache = tempfile::tempdir().unwrap();
    let folder = download(&server.endpoint, cache.path(), None, false, None).unwrap();
    assert!(folder.join("model.safetensors").is_file());
    assert!(
        !server.requests().iter().any(|request| request.contains("-of-00002") || request.contains("index"))
    );
    Checkpoint::open(&folder).unwrap().load(FloatDType::F32, &Device::default()).unwrap();
    assert_eq!(download(&server.endpoint, cache.path(), None, true, None).unwrap(), folder);
}

#[test]
fn what_another_process_downloads_is_waited_for_and_told() {
    let server = Server::start(model());
    let cache = tempfile::tempdir().unwrap();
    let shard = "model-00001-of-00002.safetensors";
    let locks = cache.path().join(".locks/models--owner--model");
    std::fs::create_dir_all(&locks).unwrap();
    let lock = std::fs::File::create(locks.join(format!("{shard}.lock"))).unwrap();
    lock.lock().unwrap();
    // Given back as soon as waiting is told.
    let held = Mutex::new(Some(lock));
    let progress: DownloadProgress = Arc::new(move |file: &str, done, _| {
        if file == shard && done == 0 {
            drop(held.lock().unwrap().take());
        }
    });
    download(&server.endpoint, cache.path(), None, false, Some(progress)).unwrap();
}

#[test]
fn a_cache_that_cannot_be_written_is_named() {
    let server = Server::start(model());
    let cache = tempfile::NamedTempFile::new().unwrap();
    let error = download(&server.endpoint, cache.path(), None, false, None).unwrap_err().to_string();
    assert!(error.contains(&cache.path().display().to_string()), "{error}");
}

#[test]
fn a_revision_is_asked_for_by_its_name() {
    let server = Server::start(model());
    let cache = tempfile::tempdir().unwrap();
    let settings = settings(&server.endpoint, cache.path(), None, false);
    Repository::open("owner/model@v1.0", &settings, None).unwrap().model().unwrap();
    assert!(server.requests()[0].contains("/resolve/v1.0/config.json"), "{:?}", server.requests());
    let known = std::fs::read_to_string(cache.path().join("models--owner--model/refs/v1.0")).unwrap();
    assert_eq!(known, COMMIT);
}

#[test]
fn a_part_need_be_no_parrot() {
    let mut decoder = model();
    decoder.files.insert("config.json".into(), br#"{"model_type": "gpt2"}"#.to_vec());
    let server = Server::start(decoder);
    let cache = tempfile::tempdir().unwrap();
    let repository = repository(&server.endpoint, cache.path(), None, false, None).unwrap();
    let error = repository.model().unwrap_err().to_string();
    assert!(error.contains("gpt2"), "{error}");
    let (folder, _) = repository.part_description().unwrap();
    assert!(folder.join("tokenizer.json").is_file());
    assert!(!server.requests().iter().any(|request| request.contains("safetensors")));
    assert!(repository.part().unwrap().join("model-00002-of-00002.safetensors").is_file());
}

#[test]
fn a_text_model_has_no_tower_to_ask_for() {
    let mut decoder = model();
    decoder.files.insert("config.json".into(), br#"{"model_type": "llama"}"#.to_vec());
    let server = Server::start(decoder);
    let cache = tempfile::tempdir().unwrap();
    let repository = repository(&server.endpoint, cache.path(), None, false, None).unwrap();
    let folder = repository.model().unwrap();
    assert!(folder.join("tokenizer.json").is_file());
    assert!(folder.join("model-00002-of-00002.safetensors").is_file());
    assert!(!server.requests().iter().any(|request| request.contains("towers/")));
}

#[test]
fn a_description_needs_no_weights() {
    let server = Server::start(model());
    let cache = tempfile::tempdir().unwrap();
    let (folder, _) =
        repository(&server.endpoint, cache.path(), None, false, None).unwrap().description().unwrap();
    assert!(!server.requests().iter().any(|request| request.contains("safetensors")));
    assert!(folder.join("tokenizer.json").is_file());
    let description = Description::open(&folder).unwrap();
    let whole =
        Checkpoint::open(download(&server.endpoint, cache.path(), None, false, None).unwrap()).unwrap();
    assert_eq!(description, whole.description);
}

#[test]
fn what_goes_wrong_is_said_in_one_line() {
    let cache = tempfile::tempdir().unwrap();
    // A cache each: that a file was not there is remembered.
    let error = |endpoint: &str, token, offline| {
        let cache = tempfile::tempdir().unwrap();
        let error = download(endpoint, cache.path(), token, offline, None).unwrap_err().to_string();
        assert!(!error.contains('\n') && error.starts_with("model owner/model: "), "{error}");
        error
    };
    let empty = Server::start(Behaviour::default());
    let found = error(&empty.endpoint, None, false);
    assert!(found.contains("no such model, or the model has no config.json"), "{found}");

    let private = Server::start(Behaviour { token: Some("secret"), ..model() });
    let found = error(&private.endpoint, Some("wrong"), false);
    assert!(found.contains("set HF_TOKEN"), "{found}");

    let gated = Server::start(Behaviour { gated: true, ..model() });
    let found = error(&gated.endpoint, None, false);
    assert!(found.contains("accept the model's terms"), "{found}");

    let found = error(&empty.endpoint, Some("a\nb"), false);
    assert!(found.contains("the access token"), "{found}");

    let silent = Server::start(Behaviour { silent: true, ..model() });
    let found = error(&silent.endpoint, None, false);
    assert!(found.contains("cannot reach http://127.0.0.1"), "{found}");

    let overloaded = Server::start(Behaviour { status: Some("503 Service Unavailable"), ..model() });
    let found = error(&overloaded.endpoint, None, false);
    assert!(found.contains("answers 503"), "{found}");

    let found = error(&closed_endpoint(), None, false);
    assert!(found.contains("cannot reach http://127.0.0.1") && found.contains("refused"), "{found}");
    // A folder may have been meant.
    assert!(found.starts_with("model owner/model: there is no such folder here, and "), "{found}");

    let found = error(&empty.endpoint, None, true);
    assert!(found.contains("config.json is not in the cache, and HF_HUB_OFFLINE"), "{found}");

    let forbidden = Server::start(Behaviour { forbidden_downloads: true, ..model() });
    let found = download(&forbidden.endpoint, cache.path(), None, false, None).unwrap_err().to_string();
    assert!(found.contains("the hub refuses access"), "{found}");
    // The error page must not stay in the cache.
    let folder = download(&Server::start(model()).endpoint, cache.path(), None, false, None).unwrap();
    Checkpoint::open(folder).unwrap();
}

#[test]
fn the_token_opens_a_private_model() {
    let server = Server::start(Behaviour { token: Some("secret"), ..model() });
    let cache = tempfile::tempdir().unwrap();
    download(&server.endpoint, cache.path(), Some("secret"), false, None).unwrap();
    assert!(server.requests().iter().all(|request| request.ends_with(" secret")));
}

#[test]
fn an_index_cannot_name_files_elsewhere() {
    let mut behaviour = model();
    let index = br#"{"weight_map": {"a": "../../../../etc/passwd"}}"#.to_vec();
    behaviour.files.insert("model.safetensors.index.json".into(), index);
    let server = Server::start(behaviour);
    let cache = tempfile::tempdir().unwrap();
    let error = download(&server.endpoint, cache.path(), None, false, None).unwrap_err().to_string();
    assert!(error.contains("which is no file of this folder"), "{error}");
    assert!(!server.requests().iter().any(|request| request.contains("passwd")));
}

#[test]
fn a_tower_cannot_be_named_elsewhere() {
    for name in ["../../../../escape", "/escape", ""] {
        let mut behaviour = model();
        let config = String::from_utf8(behaviour.files["config.json"].clone()).unwrap();
        let mut config: serde_json::Value = serde_json::from_str(&config).unwrap();
        config["mm_vision_tower"] = name.into();
        behaviour.files.insert("config.json".into(), config.to_string().into_bytes());
        let server = Server::start(behaviour);
        let cache = tempfile::tempdir().unwrap();
        download(&server.endpoint, cache.path(), None, false, None).unwrap();
        assert!(
            !server.requests().iter().any(|request| request.contains("escape") || request.contains("//"))
        );
    }
}

/// It wrote until the disk was full.
#[test]
fn a_file_without_an_end_is_not_downloaded() {
    let server = Server::start(Behaviour { endless: true, ..model() });
    let cache = tempfile::tempdir().unwrap();
    let error = download(&server.endpoint, cache.path(), None, false, None).unwrap_err().to_string();
    assert!(error.contains("config.json: it arrived with more than the "), "{error}");
}
