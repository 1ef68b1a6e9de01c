#!/usr/bin/env bash
# Fuzzes the targets with libFuzzer, one after the other, on stable Rust:
#
#     fuzz/run.sh SECONDS [TARGET…]
#
# Without names all targets. Inputs that found new branches gather in fuzz/corpus/TARGET, what crashed in fuzz/artifacts/TARGET;
# the last lines of each run go to fuzz/log.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:?how many seconds for each target?}
shift
triple=$(rustc -vV | sed -n 's/^host: //p')
# Counters of branches and comparisons, as cargo-fuzz sets them. A target triple keeps build scripts free of them.
export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
  -Cllvm-args=-sanitizer-coverage-trace-compares -Cdebug-assertions -Coverflow-checks -Ccodegen-units=1"
export CARGO_TARGET_DIR=target/fuzz
# No target computes anything, and the optimiser takes over ten minutes for instrumented kernels.
cargo build --release --locked --package parrot-fuzz --features libfuzzer --bins --target "$triple" \
  --config profile.release.package.burn-flex.opt-level=0

targets=("$@")
if [ ${#targets[@]} = 0 ]; then
  for file in fuzz/fuzz_targets/*.rs; do targets+=("$(basename "$file" .rs)"); done
fi
mkdir -p fuzz/log
for target in "${targets[@]}"; do
  corpus=fuzz/corpus/$target
  mkdir -p "$corpus" "fuzz/artifacts/$target"
  PARROT_FUZZ_SEEDS=$corpus "$CARGO_TARGET_DIR/$triple/release/$target" -runs=0 >"fuzz/log/$target" 2>&1 ||
    { echo "the seeds of $target cannot be written, see fuzz/log/$target"; exit 1; }
  echo "== $target"
  "$CARGO_TARGET_DIR/$triple/release/$target" "$corpus" -max_total_time="$seconds" -rss_limit_mb=2048 -timeout=10 \
    -max_len=65536 -print_final_stats=1 -artifact_prefix="fuzz/artifacts/$target/" >"fuzz/log/$target" 2>&1 || true
  grep -E "stat::number_of_executed_units|SUMMARY|cov:" "fuzz/log/$target" | tail -3
done
