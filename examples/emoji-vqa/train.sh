#!/bin/sh
# Trains the default model from nothing; it ends up in runs/parrot-mini/stage2-closing/model.
# Every step is skipped where it is done already, and goes on where it was stopped.
set -eu
cd "$(dirname "$0")/../.."

emoji_vqa() { cargo run --release --locked --quiet --bin emoji-vqa -- "$@"; }
recipe() { cargo run --release --locked --quiet --bin parrot-train -- run "parrot-train/recipes/parrot-mini-$1.toml"; }

emoji_vqa export
emoji_vqa tower
recipe language
emoji_vqa align
recipe stage1
recipe stage2-captions
recipe stage2
recipe stage2-closing
emoji_vqa curves --out runs/parrot-mini/curves.svg
