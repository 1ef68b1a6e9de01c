#!/usr/bin/env bash
# Builds the page into a folder of static files: examples/browser/build.sh [FOLDER [PROFILE [PROGRAM …]]], where the programs are
# cpu, threads and webgpu, all of them if none is named.
# Needs the target wasm32-unknown-unknown (`rustup target add wasm32-unknown-unknown`), wasm-bindgen's command of the version
# in Cargo.lock (`cargo install wasm-bindgen-cli --version …`) and, for threads, the standard library's source (`rustup component
# add rust-src`).
set -euo pipefail
cd "$(dirname "$0")/../.."
here=examples/browser

out=${1:-$here/dist}
profile=${2:-browser}
programs=("${@:3}")
[ ${#programs[@]} -gt 0 ] || programs=(cpu threads webgpu)

wanted=$(cargo pkgid --locked wasm-bindgen)
wanted=${wanted##*@}
if [ "$(wasm-bindgen --version 2>/dev/null)" != "wasm-bindgen $wanted" ]; then
  echo "wasm-bindgen $wanted is needed: cargo install wasm-bindgen-cli --version $wanted" >&2
  exit 1
fi

target=${CARGO_TARGET_DIR:-target}
build() {
  local program=$1 feature=$2 target_features=$3 target_dir=$4 built=$profile
  shift 4
  [ "$profile" = dev ] && built=debug
  RUSTFLAGS="-C target-feature=+simd128$target_features" cargo build --locked --target wasm32-unknown-unknown -p browser \
    --profile "$profile" --no-default-features --features "$feature" --target-dir "$target_dir" "$@"
  wasm-bindgen --target web --no-typescript --remove-name-section --remove-producers-section --out-dir "$out" \
    --out-name "browser-$program" "$target_dir/wasm32-unknown-unknown/$built/browser.wasm"
}

rm -rf "$out"
mkdir -p "$out/model" "$out/samples"
isolated=no
# A program for each device, as a reader needs only one.
for program in "${programs[@]}"; do
  case $program in
  cpu) build cpu flex "" "$target" ;;
  webgpu) build webgpu webgpu "" "$target" ;;
  threads)
    if ! [ -e "$("${RUSTC:-rustc}" --print sysroot)/lib/rustlib/src/rust/library/Cargo.lock" ]; then
      echo "without threads: they need the standard library's source (rustup component add rust-src)" >&2
      continue
    fi
    # The standard library that comes with the compiler has none. To compile another is not stable yet; what is compiled with
    # RUSTC_BOOTSTRAP lies apart, as it would be compiled anew for each program in turn.
    # The threads share a memory, which is made outside of the program, and each has variables of its own.
    shared="-C link-arg=--shared-memory -C link-arg=--import-memory -C link-arg=--max-memory=4294967296"
    for variable in __wasm_init_tls __tls_size __tls_align __tls_base; do
      shared="$shared -C link-arg=--export=$variable"
    done
    RUSTC_BOOTSTRAP=1 build threads threads ",+atomics,+bulk-memory,+mutable-globals $shared" "$target/threads" \
      -Z build-std=std,panic_abort
    isolated=yes
    ;;
  *)
    echo "no such program: $program" >&2
    exit 1
    ;;
  esac
done

# The server's page, with another way to a model. It may load nothing but this folder.
policy="default-src 'none'; script-src 'self' 'unsafe-inline' 'wasm-unsafe-eval'; worker-src 'self'; style-src 'unsafe-inline'"
policy="$policy; img-src 'self' data: blob:; connect-src 'self' data:; base-uri 'none'; form-action 'none'"
sed -e "s|^<meta charset=.*|&\n<meta http-equiv=\"Content-Security-Policy\" content=\"$policy\">|" \
  -e "/^<!-- Here examples\/browser/{r $here/page/scripts.html" -e "d}" parrot-serve/src/http/page.html >"$out/index.html"
[ $isolated = yes ] || sed -i '/isolate\.js/d' "$out/index.html"
cp $here/page/*.js "$out"
cp parrot-serve/src/http/samples/*.png "$out/samples"

# Of the model what is read; its files are kept by the browser until their content changes.
model=assets/parrot-mini
listed=""
for file in config.json model.safetensors tokenizer.json tokenizer_config.json $(cd $model && find towers -name '*.json' | sort); do
  mkdir -p "$(dirname "$out/model/$file")"
  cp "$model/$file" "$out/model/$file"
  version=$(sha256sum "$model/$file" | cut -c1-16)
  listed="$listed, {\"name\": \"$file\", \"bytes\": $(stat -c %s "$model/$file"), \"version\": \"$version\"}"
done
echo "{\"files\": [${listed#, }]}" >"$out/model/files.json"
du -sh "$out"
