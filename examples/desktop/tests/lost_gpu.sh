#!/usr/bin/env bash
# The real window loses its GPU, between two questions and while it answers one: it has to come again, say what happened, and
# answer on the processor.
#
#   examples/desktop/tests/lost_gpu.sh [FOLDER]
#
# FOLDER is for the screenshots. The programs are those in target/debug, built with `wgpu`, or where PARROT_PROGRAMS says. Debian:
# what run.sh needs, and libvulkan-dev.
set -euo pipefail
cd "$(dirname "$0")/../../.."
shots=${1:-$(mktemp -d)}
# The GPU that the processor plays needs minutes for its first answer. Quarters of a second.
patience=2400
. examples/desktop/tests/screen.sh

cc -Wall -Wextra -Werror -shared -fPIC -o "$scratch/liblost_gpu.so" examples/desktop/tests/lost_gpu.c
cat >"$scratch/lost_gpu.json" <<JSON
{"file_format_version": "1.0.0", "layer": {"name": "VK_LAYER_PARROT_lost_gpu", "type": "GLOBAL", "api_version": "1.3.0",
 "library_path": "./liblost_gpu.so", "implementation_version": "1", "description": "loses the GPU"}}
JSON
export VK_LAYER_PATH=$scratch VK_INSTANCE_LAYERS=VK_LAYER_PARROT_lost_gpu LOST_GPU=$scratch/now

picture=assets/pictures/rocket.png
ask() {
  xdotool key ctrl+a
  xdotool type --delay 60 "What is in the picture?"
  xdotool key Return
}
for moment in between during; do
  device=wgpu:cpu
  rm -f "$LOST_GPU"
  open_window 800 700 light "$picture"
  first=$(xdotool search --onlyvisible --name '^Parrot$' | head -1)
  ask
  answered 1
  if [ $moment = during ]; then
    ask
    sleep 1
  fi
  touch "$LOST_GPU"
  # Has it draw.
  xdotool type --delay 60 "What" || true
  second=
  for _ in $(seq 240); do
    second=$(xdotool search --onlyvisible --name '^Parrot$' | head -1 || true)
    [ -n "$second" ] && [ "$second" != "$first" ] && break
    kill -0 "$window" 2>/dev/null || { echo "the window is gone"; cat "$scratch/log"; exit 1; }
    sleep 0.25
  done
  if [ -z "$second" ] || [ "$second" = "$first" ]; then
    echo "no other window after a minute"; shot 1280x800+0+0 no-window; cat "$scratch/log"; exit 1
  fi
  xdotool windowsize --sync "$second" 800 700 windowmove "$second" 0 0
  xdotool windowfocus --sync "$second"
  shot 800x700+0+0 "lost-$moment"
  asked=$(wc -l <"$scratch/transcript")
  ask
  answered $((asked + 1))
  shot 800x700+0+0 "afterwards-$moment"
  close_window
  device=cpu
  tail -1 "$scratch/transcript" >"$scratch/last"
  mv "$scratch/last" "$scratch/transcript"
  compare "$picture"
done
echo "screenshots in $shots"
