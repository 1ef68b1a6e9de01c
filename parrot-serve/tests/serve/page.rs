//! The page in Chromium, asking the default model. Needs `PARROT_NODE_MODULES`, a folder in which `npm install
//! playwright-core` was done, and `chromium`; `PARROT_SCREENSHOTS` is a folder for screenshots.

use std::path::Path;
use std::process::Command;

use parrot_infer::EngineOptions;
use parrot_serve::ServeOptions;

use crate::server::Running;

#[test]
fn the_page_can_be_used() {
    let Some(modules) = std::env::var_os("PARROT_NODE_MODULES") else { return };
    if !Path::new(&modules).join("node_modules/playwright-core").is_dir() {
        eprintln!("{} has no package `playwright-core`: not tested", modules.display());
        return;
    }
    let model = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../assets/parrot-mini"));
    let server = Running::of(model, EngineOptions::default(), ServeOptions::default());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/serve/page.mjs");
    let mut node = Command::new("node");
    node.arg(script).arg(server.url("/")).arg("/usr/bin/chromium").arg(modules);
    let output = node.args(std::env::var_os("PARROT_SCREENSHOTS")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
