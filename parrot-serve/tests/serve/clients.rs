//! The official `openai` packages, against this server. Need `PARROT_PYTHON`, a Python that has the package, and
//! `PARROT_NODE_MODULES`, a folder in which `npm install openai` was done.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use parrot_serve::ServeOptions;

use crate::client::image;
use crate::server::Running;

/// Runs a script of this folder with a server's address, its key and an image.
fn assert_served(program: impl AsRef<OsStr>, script: &str, modules: Option<&Path>) {
    let server = Running::new(ServeOptions { api_keys: vec!["secret".into()], ..ServeOptions::default() });
    let script = format!("{}/tests/serve/{script}", env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(program);
    command.arg(script).arg(server.url("/v1")).arg("secret").arg(image()).args(modules);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_python_package_is_served() {
    let Some(python) = std::env::var_os("PARROT_PYTHON") else { return };
    let has_package = Command::new(&python).args(["-c", "import openai"]).output().unwrap();
    if !has_package.status.success() {
        eprintln!("{} has no package `openai`: not tested", python.display());
        return;
    }
    assert_served(python, "openai_client.py", None);
}

#[test]
fn the_node_package_is_served() {
    let Some(modules) = std::env::var_os("PARROT_NODE_MODULES") else { return };
    let modules = Path::new(&modules);
    if !modules.join("node_modules/openai").is_dir() {
        eprintln!("{} has no package `openai`: not tested", modules.display());
        return;
    }
    assert_served("node", "openai_client.mjs", Some(modules));
}
