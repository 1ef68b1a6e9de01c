//! Which model gave the answers: its name, and a hash of all that they depend on.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use parrot_eval::ModelInfo;
use parrot_infer::{Parrot, device};
use sha2::{Digest, Sha256};

/// What distinguishes this model's results from those of another.
pub(super) fn model_info(parrot: &Parrot, folder: &Path) -> Result<ModelInfo> {
    let name = folder.canonicalize().unwrap_or_else(|_| folder.into());
    let name = name.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let (device, dtype) = (device::name_of(parrot.device()), parrot.dtype().to_string());
    Ok(ModelInfo { name, sha256: Some(hash_model(folder)?), dtype: Some(dtype), device: Some(device) })
}

/// SHA-256 over the names and contents of everything in a model's folder that an answer depends on, its vision
/// tower's folder included; of a GGUF over its content.
fn hash_model(folder: &Path) -> Result<String> {
    let mut files = if folder.is_file() { vec![folder.into()] } else { model_files(folder)? };
    files.sort();
    let mut hasher = Sha256::new();
    for file in files {
        let name = file.strip_prefix(folder).unwrap_or(&file);
        hasher.update(name.as_os_str().as_encoded_bytes());
        let mut content = Sha256::new();
        let mut opened = File::open(&file).with_context(|| format!("cannot read {}", file.display()))?;
        io::copy(&mut opened, &mut content).with_context(|| format!("cannot read {}", file.display()))?;
        hasher.update(content.finalize());
    }
    Ok(format!("{:x}", hasher.finalize()))
}

/// Weights and descriptions in a folder and those inside it.
fn model_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry.with_context(|| format!("cannot read {}", folder.display()))?.path();
        let ending = path.extension().unwrap_or_default();
        if path.is_dir() {
            files.extend(model_files(&path)?);
        } else if ending == "safetensors" || ending == "json" {
            files.push(path);
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_models_hash_covers_its_tower_and_not_its_readme() {
        let folder = tempfile::tempdir().unwrap();
        let tower = folder.path().join("towers/clip");
        fs::create_dir_all(&tower).unwrap();
        fs::write(folder.path().join("config.json"), "{}").unwrap();
        fs::write(tower.join("preprocessor_config.json"), "1").unwrap();
        let hash = hash_model(folder.path()).unwrap();
        fs::write(folder.path().join("README.md"), "words").unwrap();
        assert_eq!(hash_model(folder.path()).unwrap(), hash);
        fs::write(tower.join("preprocessor_config.json"), "2").unwrap();
        assert_ne!(hash_model(folder.path()).unwrap(), hash);
        // As a GGUF is.
        assert!(hash_model(&folder.path().join("README.md")).is_ok());
    }
}
