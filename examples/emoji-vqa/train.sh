#!/bin/sh
# Trains the default model from nothing; it ends up in runs/parrot-mini/stage2-second-mean/model.
# Every step is skipped where it is done already, and goes on where it was stopped.
set -eu
# A step that Ctrl-C stops has saved and ends well; the next one must not begin.
trap 'exit 130' INT
cd "$(dirname "$0")/../.."

cargo build --release --locked --workspace --bins
programs="${CARGO_TARGET_DIR:-target}/release"
emoji_vqa() { "$programs/emoji-vqa" "$@"; }
recipe() { "$programs/parrot-train" run "parrot-train/recipes/parrot-mini-$1.toml"; }

emoji_vqa export
emoji_vqa begin
recipe language
emoji_vqa tower
emoji_vqa align
recipe stage1
recipe stage2-lists
recipe stage2-colours
recipe stage2-choices
recipe stage2
recipe stage2-words
emoji_vqa mean --model runs/parrot-mini/stage2/model --other runs/parrot-mini/stage2-words/model --share 0.7 \
    --out runs/parrot-mini/stage2-mean
recipe stage2-replay
emoji_vqa mean --model runs/parrot-mini/stage2-replay/model --other runs/parrot-mini/stage2/model --share 0.1 \
    --out runs/parrot-mini/stage2-second-mean
emoji_vqa curves --out runs/parrot-mini/curves.svg
