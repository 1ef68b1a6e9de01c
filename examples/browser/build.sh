#!/usr/bin/env bash
# Builds the page into a folder of static files: examples/browser/build.sh [FOLDER [PROFILE [PROGRAM …]]], where the programs are
# cpu and webgpu, both if none is named.
# Needs the target wasm32-unknown-unknown (`rustup target add wasm32-unknown-unknown`) and wasm-bindgen's command of the version
# in Cargo.lock (`cargo install wasm-bindgen-cli --version …`).
set -euo pipefail
cd "$(dirname "$0")/../.."
here=examples/browser

out=${1:-$here/dist}
profile=${2:-browser}
programs=("${@:3}")
[ ${#programs[@]} -gt 0 ] || programs=(cpu webgpu)

wanted=$(cargo pkgid --locked wasm-bindgen)
wanted=${wanted##*@}
if [ "$(wasm-bindgen --version 2>/dev/null)" != "wasm-bindgen $wanted" ]; then
  echo "wasm-bindgen $wanted is needed: cargo install wasm-bindgen-cli --version $wanted" >&2
  exit 1
fi

rm -rf "$out"
mkdir -p "$out/model" "$out/samples"
target=${CARGO_TARGET_DIR:-target}
built=$profile
[ "$profile" = dev ] && built=debug
# A program for each device, as a reader needs only one.
for program in "${programs[@]}"; do
  case $program in
  cpu) feature=flex ;;
  webgpu) feature=webgpu ;;
  *)
    echo "no such program: $program" >&2
    exit 1
    ;;
  esac
  RUSTFLAGS="-C target-feature=+simd128" cargo build --locked --target wasm32-unknown-unknown -p browser --profile "$profile" \
    --no-default-features --features $feature
  wasm-bindgen --target web --no-typescript --remove-name-section --remove-producers-section --out-dir "$out" \
    --out-name "browser-$program" "$target/wasm32-unknown-unknown/$built/browser.wasm"
done

# The server's page, with another way to a model. It may load nothing but this folder.
policy="default-src 'none'; script-src 'self' 'unsafe-inline' 'wasm-unsafe-eval'; worker-src 'self'; style-src 'unsafe-inline'"
policy="$policy; img-src 'self' data: blob:; connect-src 'self' data:; base-uri 'none'; form-action 'none'"
sed -e "s|^<meta charset=.*|&\n<meta http-equiv=\"Content-Security-Policy\" content=\"$policy\">|" \
  -e 's|^<!-- Here examples/browser.*|<script src="local.js"></script>|' parrot-serve/src/http/page.html >"$out/index.html"
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
