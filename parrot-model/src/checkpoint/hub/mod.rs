//! Models by their id on the Hugging Face hub, e.g. `AIDC-AI/Parrot-7B`.
//!
//! Files are kept in the cache that all Hugging Face tools share. `HF_HOME`, `HF_HUB_CACHE`, `HF_ENDPOINT`,
//! `HF_TOKEN`, `HF_HUB_DOWNLOAD_TIMEOUT` and `HF_HUB_OFFLINE` mean what they mean there. When the hub cannot be reached or is
//! overloaded, what the cache holds is used; an interrupted download resumes where it stopped.
//! A large file's SHA-256 is what the hub says, or the file is downloaded anew.

#[cfg(feature = "hub")]
mod cache;
#[cfg(feature = "hub")]
mod client;
mod id;
#[cfg(feature = "hub")]
mod remote;
mod resolve;
#[cfg(feature = "hub")]
mod settings;
#[cfg(all(test, feature = "hub"))]
mod tests;

pub(super) use id::parse_id;
pub(super) use resolve::download_tower;
pub use resolve::{resolve, resolve_description, resolve_part, resolve_part_description, resolve_with};

/// Called as a download proceeds, with the file, its bytes so far and its total size.
pub type DownloadProgress = std::sync::Arc<dyn Fn(&str, u64, u64) + Send + Sync>;
