#!/usr/bin/env bash
# The page that build.sh made, in Chromium: examples/browser/tests/run.sh MODULES [FOLDER], where MODULES is a folder in which
# `npm install playwright-core` was done. PARROT_SCREENSHOTS is a folder for screenshots.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
modules=$1
folder=${2:-$here/dist}
cd "$here/../.."
unset CARGO_TARGET_DIR RUSTC
# The command as the tests have it: in a build without their dependencies its crates would be compiled once more.
cargo test --locked --quiet --workspace --no-run --test command
node "$here/tests/page.mjs" "$folder" /usr/bin/chromium "$modules" target/debug/parrot ${PARROT_SCREENSHOTS:+"$PARROT_SCREENSHOTS"}
