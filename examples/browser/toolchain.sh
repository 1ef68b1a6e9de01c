#!/usr/bin/env bash
# For x86-64 machines where `rustup target add wasm32-unknown-unknown` is not possible but Debian's packages are: unpacks its rustc
# with the standard library for WebAssembly into a folder, and says what to set. Nothing is installed; root is not needed.
#
#   examples/browser/toolchain.sh FOLDER && source FOLDER/env
set -euo pipefail
root=$(mkdir -p "$1" && cd "$1" && pwd)

mkdir -p "$root/apt/state/lists/partial" "$root/apt/cache/archives/partial" "$root/root"
cat >"$root/apt/sources.list" <<END
deb http://deb.debian.org/debian trixie main
deb http://deb.debian.org/debian trixie-backports main
END
: >"$root/apt/status"
apt() {
  apt-get -qq -o Dir::State="$root/apt/state" -o Dir::State::status="$root/apt/status" -o Dir::Cache="$root/apt/cache" \
    -o Dir::Etc::sourcelist="$root/apt/sources.list" -o Dir::Etc::sourceparts=- -o Debug::NoLocking=1 "$@"
}
apt update
apt -y -d --no-install-recommends -t trixie-backports install rustc libstd-rust-dev-wasm32 >/dev/null
for package in "$root"/apt/cache/archives/*.deb; do
  case $package in
  # What a compiler for this machine would need.
  */gcc-* | */cpp-* | */libc6-dev_* | */linux-libc-dev_* | */lib*san[0-9]_*) ;;
  *) dpkg -x "$package" "$root/root" ;;
  esac
done
rm -rf "$root/apt/cache"

# With Debian's own C library, which may be newer than this machine's.
mkdir -p "$root/bin"
cat >"$root/bin/rustc" <<END
#!/bin/sh
exec "$root/root/usr/lib64/ld-linux-x86-64.so.2" --library-path "$root/root/usr/lib/x86_64-linux-gnu" "$root/root/usr/bin/rustc" "\$@"
END
chmod +x "$root/bin/rustc"
# Debian's lacks a linker for WebAssembly; rustup's toolchain for this machine has one.
linker=$(rustc --print sysroot)/lib/rustlib/$(rustc -vV | sed -n 's/^host: //p')/bin/rust-lld
cat >"$root/env" <<END
export RUSTC="$root/bin/rustc" CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER="$linker"
END
"$root/bin/rustc" --version
