#!/usr/bin/env bash
# What only a machine with an NVIDIA GPU can tell, as a table for docs/backends.md.
#
#     parrot-cli/benches/gpu.sh build    # makes target/gpu/bin, which can be carried to another machine with the repository
#     parrot-cli/benches/gpu.sh run      # writes target/gpu/report.md; one row for each command, those that fail as well
#
# `build` needs no download but crates where `OFFLINE=1` is set: CubeCL's build script, which fetches LLVM 23, is then given
# Debian's LLVM 22, from /usr/lib/llvm-22 or unpacked here. That is for testing alone, so kernels are compiled by NVIDIA's NVRTC
# instead, which `run` has to find: `pip install nvidia-cuda-nvrtc nvidia-cuda-runtime nvidia-cuda-cccl`, or CUDA_PATH.
# Other variables: PROFILE=dev for a build that is sooner done, PYTHON for one that has PyTorch.
set -euo pipefail
cd "$(dirname "$0")/../.."
gpu="$PWD/target/gpu"
python="${PYTHON:-python3}"

# A folder in the place of the bundle's, with the file that says that all is there.
local_llvm() {
  local llvm=/usr/lib/llvm-22
  if ! [ -x "$llvm/bin/llvm-config" ]; then
    llvm="$gpu/debian/usr/lib/llvm-22"
    if ! [ -x "$llvm/bin/llvm-config" ]; then
      mkdir -p "$gpu/debian"
      (cd "$gpu/debian" && apt-get download llvm-22 llvm-22-dev libllvm22 libzstd-dev &&
        for package in *.deb; do dpkg -x "$package" . && rm "$package"; done)
    fi
    export LIBRARY_PATH="$gpu/debian/usr/lib/$(uname -m)-linux-gnu${LIBRARY_PATH:+:$LIBRARY_PATH}"
  fi
  local version bundle
  version=$(sed -n '/^name = "tracel-llvm-bundler"/{n;s/version = "\(.*\)"/\1/p}' Cargo.lock)
  bundle="$gpu/share/tracel/tracel-llvm-$version"
  mkdir -p "$bundle/bin"
  # Debian names a library by its path, and Polly's, which are in a package of their own and not needed.
  printf '#!/bin/sh\n"%s/bin/llvm-config" "$@" | sed -E "s| [^ ]*/libz3\\.so| -lz3|; s/-lPolly(ISL)?//g"\n' "$llvm" \
    >"$bundle/bin/llvm-config"
  chmod +x "$bundle/bin/llvm-config"
  touch "$bundle/.tracel-llvm-installed"
  export XDG_DATA_HOME="$gpu/share"
}

build() {
  local features=parrot-cli/cuda,parrot-train/cuda profile="${PROFILE:-release}"
  if [ -n "${OFFLINE:-}" ]; then
    local_llvm
    features+=,parrot-model/cuda-cpp
  fi
  cargo build --locked --profile "$profile" -p parrot-cli -p parrot-train --bins --features "$features"
  local folder="target/$profile"
  [ "$profile" = dev ] && folder=target/debug
  mkdir -p "$gpu/bin"
  cp "$folder/parrot" "$folder/parrot-train" "$gpu/bin"
}

# row WHAT AWK COMMAND…: what the awk program prints of the command's output, or the last line of its errors.
row() {
  local what="$1" pick="$2" result log
  shift 2
  log="$gpu/logs/${what//[^a-z0-9]/-}"
  echo "== $what: $*" >&2
  if "$@" >"$log.out" 2>"$log.err"; then
    result=$(awk "$pick" "$log.out")
  else
    # `verify` says on stdout what differs, and exits with 1.
    result=$(awk "$pick" "$log.out")
    result="failed: ${result:+$result; }$(tail -n 1 "$log.err")"
    failures=$((failures + 1))
  fi
  echo "| $what | $result | \`${*//"$gpu/bin/"/}\` |" | tee -a "$gpu/report.md"
}

run() {
  export PATH="$gpu/bin:$PATH"
  local toolkit
  toolkit=$("$python" -c 'import nvidia; print(list(nvidia.__path__)[0])' 2>/dev/null || true)
  if [ -z "${CUDA_PATH:-}" ] && [ -d "$toolkit/cu13/include" ]; then
    export CUDA_PATH="$toolkit/cu13" LD_LIBRARY_PATH="$toolkit/cu13/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
  fi
  mkdir -p "$gpu/logs"
  failures=0
  {
    nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader 2>/dev/null || echo "no NVIDIA driver"
    printf '\n| what | result | command |\n|---|---|---|\n'
  } | tee "$gpu/report.md"

  row devices '/cuda/ { sub(/^[* ]+/, ""); print; exit }' parrot devices
  for dtype in f32 f16 bf16 q8 q4; do
    row "verify $dtype" '
      /^kind / { next }
      $1 == "total" { all = $3 " of " $2 " cases" }
      { sub(/^[^ ]+( +[0-9]+)+ */, ""); if ($0 != "" && all == "") kinds = kinds (kinds ? "; " : "") $0 }
      END { if (all) print all (kinds ? ": " kinds : "") }' \
      parrot verify assets/golden --device cuda --dtype "$dtype"
  done

  local phases='/^\| (first token|decode) / { split($0, cell, / *\| */)
    line = line (line ? ", " : "") cell[2] " " cell[3] (cell[2] == "decode" ? " (" cell[6] ")" : "") } END { print line }'
  local size=(--model parrot-7b --device cuda --dtype bf16)
  row "bench 7B" "$phases" parrot bench "${size[@]}"
  row "bench 7B, q4" "$phases" parrot bench --model parrot-7b --device cuda --dtype q4
  row "bench 7B, PyTorch eager" "$phases" "$python" parrot-cli/benches/pytorch_answer.py "${size[@]}"
  row "bench 7B, PyTorch compiled" "$phases" "$python" parrot-cli/benches/pytorch_answer.py "${size[@]}" --compile

  local first='NR == 1'
  size=(--model parrot-0.5b --device cuda --dtype bf16)
  row "training step" "$first" parrot-train bench "${size[@]}"
  row "training step, PyTorch eager" "$first" "$python" parrot-train/benches/pytorch_step.py "${size[@]}"
  row "training step, PyTorch compiled" "$first" "$python" parrot-train/benches/pytorch_step.py "${size[@]}" --compile

  echo "written to target/gpu/report.md, what each command said to target/gpu/logs" >&2
  if [ $failures -gt 0 ]; then
    echo "error: $failures of 13 commands failed; each says why in its row" >&2
    return 1
  fi
}

case "${1:-}" in
  build | run) "$1" ;;
  *) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"; exit 2 ;;
esac
