# For scripts that use the real window, on a screen of its own (Xvfb). Needs `device` and `shots`, a folder for screenshots; runs in
# the repository. The programs are those in target/debug, or where PARROT_PROGRAMS says.
programs=${PARROT_PROGRAMS:-target/debug}
mkdir -p "$shots"

scratch=$(mktemp -d)
started=()
finish() {
  for process in "${started[@]}"; do kill "$process" 2>/dev/null || true; done
  rm -rf "$scratch"
}
trap finish EXIT

Xvfb -displayfd 3 -screen 0 1280x800x24 -nolisten tcp 3>"$scratch/display" 2>/dev/null &
started+=($!)
for _ in $(seq 100); do [ -s "$scratch/display" ] && break; sleep 0.1; done
DISPLAY=:$(cat "$scratch/display")
export DISPLAY

# Waits until the transcript has so many lines.
answered() {
  for _ in $(seq "${patience:-480}"); do
    [ "$(wc -l <"$scratch/transcript")" -ge "$1" ] && return
    kill -0 "$window" 2>/dev/null || { echo "the window is gone"; cat "$scratch/log"; exit 1; }
    sleep 0.25
  done
  echo "no answer in time"; import -window root "$shots/no-answer.png"; cat "$scratch/log"; exit 1
}

# Opens the window: open_window WIDTH HEIGHT THEME PICTURE …
open_window() {
  : >"$scratch/transcript"
  "$programs/desktop" --device "$device" --theme "$3" --transcript "$scratch/transcript" "${@:4}" 2>"$scratch/log" &
  window=$!
  started+=("$window")
  local id
  id=$(timeout 120 xdotool search --sync --onlyvisible --name '^Parrot$' | head -1)
  xdotool windowsize --sync "$id" "$1" "$2" windowmove "$id" 0 0
  xdotool windowfocus --sync "$id"
  sleep 1
}
close_window() { kill "$window"; wait "$window" 2>/dev/null || true; }
shot() { sleep 1; import -window root -crop "$1" +repage "$shots/$2.png"; }

# What was asked and answered is what the command answers.
compare() {
  while IFS=$'\t' read -r question answer; do
    expected=$("$programs/parrot" ask "$1" "$question" --device "$device" 2>/dev/null)
    [ "$answer" = "$expected" ] || { echo "$question: $answer, but the command says $expected"; exit 1; }
    echo "$question  $answer"
  done <"$scratch/transcript"
}
