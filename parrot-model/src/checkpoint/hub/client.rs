//! Two requests: what the hub says about a file, and the file's bytes.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::time::Duration;

use ureq::http::{HeaderMap, Response};
use ureq::{Agent, Body};

use super::cache::is_file_name;
use super::settings::Settings;
use crate::untrusted::MAX_VOCABULARY_BYTES;

/// Redirects inside the hub, which renamed models have.
const MAX_MOVES: usize = 5;

/// What the hub says about a file.
#[derive(Debug)]
pub(super) struct FileInfo {
    /// Where its bytes are.
    pub(super) url: String,
    /// The commit that the revision stands for.
    pub(super) commit: String,
    /// What its bytes are known by.
    pub(super) etag: String,
    pub(super) size: Option<u64>,
}

/// Why there is no file.
#[derive(Debug)]
pub(super) enum Failure {
    /// There is no such model, as far as one may know.
    NoModel,
    /// The model has no such branch, tag or commit.
    NoRevision,
    /// The commit, where it is known, has no such file.
    NoFile(Option<String>),
    /// Nobody is allowed in without a token, or not with this one.
    Private,
    /// The model's terms have to be accepted.
    Gated,
    /// The cache lacks the file and nothing may be downloaded.
    Offline,
    /// No answer, or one that another attempt may better.
    Unreachable(String),
    /// Anything else, in words.
    Other(String),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Other(error.to_string())
    }
}

/// A connection to the hub.
#[derive(Debug)]
pub(super) struct Client {
    agent: Agent,
    endpoint: String,
    authorization: Option<String>,
    attempts: u32,
    pause: Duration,
}

impl Client {
    pub(super) fn new(settings: &Settings) -> Self {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .user_agent(concat!("parrot/", env!("CARGO_PKG_VERSION")))
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_resolve(Some(settings.patience))
            .timeout_connect(Some(settings.patience))
            .timeout_per_read(Some(settings.patience))
            .timeout_per_write(Some(settings.patience))
            .build()
            .new_agent();
        Self {
            agent,
            endpoint: settings.endpoint.clone(),
            authorization: settings.token.as_ref().map(|token| format!("Bearer {token}")),
            attempts: settings.attempts.max(1),
            pause: settings.pause,
        }
    }

    /// Asks for a file of a model at a branch, tag or commit.
    pub(super) fn info(&self, id: &str, revision: &str, name: &str) -> Result<FileInfo, Failure> {
        let revision = revision.replace('/', "%2F");
        let url = format!("{}/{id}/resolve/{revision}/{name}", self.endpoint);
        let mut failed = 0;
        loop {
            match self.head(url.clone()) {
                Err(Failure::Unreachable(why)) => {
                    failed += 1;
                    self.rest_after(failed, why)?;
                }
                done => return done,
            }
        }
    }

    fn head(&self, mut url: String) -> Result<FileInfo, Failure> {
        // The first answer that has them: a redirect's target may not.
        let (mut commit, mut etag, mut size) = (None, None, None);
        for _ in 0..MAX_MOVES {
            let mut request = self.agent.head(&url).header("Accept-Encoding", "identity");
            if let Some(authorization) = &self.authorization {
                request = request.header("Authorization", authorization);
            }
            let response = request.call().map_err(|error| unreachable(&url, &error))?;
            let headers = response.headers();
            let linked = |name: &str| text(headers, &format!("x-linked-{name}")).map(str::to_string);
            let own = |name: &str| text(headers, name).map(str::to_string);
            commit = commit.or_else(|| own("x-repo-commit").filter(|commit| is_file_name(commit)));
            etag = etag.or_else(|| linked("etag").or_else(|| own("etag")));
            size = size.or_else(|| linked("size"));
            // A redirect inside the hub leads to a renamed model or to its cache; one to elsewhere, to the bytes.
            if response.status().is_redirection()
                && let Some(path) = text(headers, "location").filter(|location| location.starts_with('/'))
            {
                url = resolved(&self.endpoint, path);
                continue;
            }
            if !response.status().is_success() && !response.status().is_redirection() {
                return Err(refusal(&url, &response));
            }
            if response.status().is_success() {
                size = size.or_else(|| own("content-length"));
            }
            let etag = etag.map(|etag| etag.trim_start_matches("W/").trim_matches('"').to_string());
            let (Some(commit), Some(etag)) = (commit, etag.filter(|etag| is_file_name(etag))) else {
                let url = shown(&self.endpoint);
                return Err(Failure::Other(format!("{url} does not answer as the Hugging Face hub does")));
            };
            return Ok(FileInfo { url, commit, etag, size: size.and_then(|size| size.parse().ok()) });
        }
        Err(endless(&url))
    }

    /// Asks for a file's bytes from `begin` on, wherever the hub sends for them; the token is for the hub alone.
    fn get(&self, first: &str, begin: u64) -> Result<(String, Response<Body>), Failure> {
        let mut url = first.to_string();
        for _ in 0..MAX_MOVES {
            let mut request = self.agent.get(&url).header("Accept-Encoding", "identity");
            if let Some(authorization) = self.authorization.as_ref().filter(|_| origin(&url) == origin(first))
            {
                request = request.header("Authorization", authorization);
            }
            if begin > 0 {
                request = request.header("Range", format!("bytes={begin}-"));
            }
            let response = request.call().map_err(|error| unreachable(&url, &error))?;
            let target = text(response.headers(), "location").filter(|_| response.status().is_redirection());
            match target.map(|target| resolved(&url, target)) {
                Some(target) => url = target,
                None => return Ok((url, response)),
            }
        }
        Err(endless(&url))
    }

    /// Appends the file's bytes to what `file` has of them already.
    ///
    /// - progress: told the bytes so far and in all
    pub(super) fn download(
        &self,
        info: &FileInfo,
        file: &mut File,
        progress: &dyn Fn(u64, u64),
    ) -> Result<(), Failure> {
        let mut failed = 0;
        loop {
            let before = file.seek(SeekFrom::End(0))?;
            if info.size == Some(before) {
                return Ok(());
            }
            match self.append(info, file, before, progress) {
                Ok(()) => {
                    let found = file.seek(SeekFrom::End(0))?;
                    match info.size {
                        Some(expected) if expected < found => {
                            file.set_len(0)?;
                            let why = format!("it arrived with {found} bytes instead of {expected}");
                            return Err(Failure::Other(why));
                        }
                        Some(expected) if expected > found && found > before => {}
                        Some(expected) if expected > found => {
                            failed += 1;
                            self.rest_after(failed, format!("only {found} of {expected} bytes arrived"))?;
                        }
                        _ => return Ok(()),
                    }
                }
                Err(Failure::Unreachable(why)) => {
                    // A connection that breaks now and then still gets there.
                    failed = if file.seek(SeekFrom::End(0))? > before { 1 } else { failed + 1 };
                    self.rest_after(failed, why)?;
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    fn append(
        &self,
        info: &FileInfo,
        file: &mut File,
        begin: u64,
        progress: &dyn Fn(u64, u64),
    ) -> Result<(), Failure> {
        let (url, response) = self.get(&info.url, begin)?;
        match response.status().as_u16() {
            206 if text(response.headers(), "content-range")
                .is_some_and(|range| range.starts_with(&format!("bytes {begin}-"))) => {}
            // From the beginning: this server knows no ranges, or what is here is of no use.
            200 => file.set_len(0)?,
            206 | 416 => {
                file.set_len(0)?;
                return Err(Failure::Unreachable("the server sent another part of the file".into()));
            }
            _ => return Err(refusal(&url, &response)),
        }
        // Kept as they are, such bytes would be found broken in the cache by every later call.
        if let Some(coding) =
            text(response.headers(), "content-encoding").filter(|coding| *coding != "identity")
        {
            let url = shown(&url);
            return Err(Failure::Other(format!(
                "{url} sends it with the content-encoding {coding}, unasked"
            )));
        }
        let mut done = file.seek(SeekFrom::End(0))?;
        let mut reader = response.into_body().into_reader();
        let mut buffer = vec![0; 1 << 16];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => {
                    done += count as u64;
                    let most = info.size.unwrap_or(MAX_VOCABULARY_BYTES);
                    if done > most {
                        file.set_len(0)?;
                        let why = format!("it arrived with more than the {most} bytes that it may have");
                        return Err(Failure::Other(why));
                    }
                    file.write_all(&buffer[..count])?;
                    progress(done, info.size.unwrap_or(0));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Failure::Unreachable(format!("the connection broke: {error}"))),
            }
        }
    }

    /// Waits before the next attempt, unless there was the last.
    fn rest_after(&self, failed: u32, why: String) -> Result<(), Failure> {
        if failed >= self.attempts {
            return Err(Failure::Unreachable(why));
        }
        std::thread::sleep(self.pause * (1 << (failed - 1).min(5)));
        Ok(())
    }
}

/// Scheme and host of an address.
fn origin(url: &str) -> &str {
    let host = url.find("://").map_or(0, |at| at + 3);
    url[host..].find(['/', '?', '#']).map_or(url, |end| &url[..host + end])
}

/// Where a redirect of this address leads.
fn resolved(url: &str, target: &str) -> String {
    let scheme = url.split("://").next().unwrap_or_default();
    match target {
        whole if whole.contains("://") => whole.to_string(),
        host if host.starts_with("//") => format!("{scheme}:{host}"),
        path if path.starts_with('/') => format!("{}{path}", origin(url)),
        name => {
            let path = url.split(['?', '#']).next().unwrap_or_default();
            let folder = path.rfind('/').map_or(path, |end| &path[..end]);
            format!("{folder}/{name}")
        }
    }
}

/// An address as errors show it: without the name and password that may stand before its host, and without what may sign it.
fn shown(url: &str) -> String {
    let plain = url.split(['?', '#']).next().unwrap_or_default();
    let (scheme, rest) = plain.split_once("://").unwrap_or(("", plain));
    let authority = rest.split('/').next().unwrap_or_default();
    // A slash in a password that is not escaped ends what a parser takes for the host.
    let has_port =
        authority.rsplit_once(':').is_none_or(|(_, port)| port.bytes().all(|c| c.is_ascii_digit()));
    let host = match rest.rfind('@') {
        Some(at) if at < authority.len() || !has_port => &rest[at + 1..],
        _ => rest,
    };
    if scheme.is_empty() { host.into() } else { format!("{scheme}://{host}") }
}

fn endless(url: &str) -> Failure {
    Failure::Other(format!("{} leads from one redirect to the next", shown(url)))
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn unreachable(url: &str, error: &ureq::Error) -> Failure {
    let url = shown(url);
    let why = match error {
        ureq::Error::Io(error) => error.to_string(),
        ureq::Error::HostNotFound => "there is no such host".into(),
        ureq::Error::Timeout(_) => "it does not answer".into(),
        // Its own words quote all of the address.
        ureq::Error::BadUri(_) => return Failure::Other(format!("{url} is no address that can be asked")),
        ureq::Error::Http(_) => return Failure::Other(format!("{url} cannot be asked: {error}")),
        error => error.to_string(),
    };
    Failure::Unreachable(format!("cannot reach {url}: {}", why.lines().next().unwrap_or_default()))
}

/// What an answer other than the file means.
fn refusal<B>(url: &str, response: &Response<B>) -> Failure {
    let (url, headers) = (shown(url), response.headers());
    match (response.status().as_u16(), text(headers, "x-error-code").unwrap_or_default()) {
        (_, "GatedRepo") => Failure::Gated,
        (_, "RevisionNotFound") => Failure::NoRevision,
        (404, "RepoNotFound") => Failure::NoModel,
        (401, _) => Failure::Private,
        (403, _) => Failure::Gated,
        (404, _) => {
            let commit = text(headers, "x-repo-commit").filter(|commit| is_file_name(commit));
            Failure::NoFile(commit.map(Into::into))
        }
        (status @ (408 | 429 | 500..), _) => Failure::Unreachable(format!("{url} answers {status}")),
        (status, _) => Failure::Other(format!("{url} answers {status}")),
    }
}
