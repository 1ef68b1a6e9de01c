#!/usr/bin/env bash
# The real window on a screen of its own (Xvfb): types questions, compares the answers with the command's, and takes screenshots.
#
#   examples/desktop/tests/run.sh [FOLDER [DEVICE]]
#
# FOLDER is for the screenshots, DEVICE what the window is told to use (cpu). The programs are those in target/debug, or where
# PARROT_PROGRAMS says. Debian: xvfb xdotool imagemagick mesa-vulkan-drivers fonts-dejavu-core and a font for Chinese.
set -euo pipefail
cd "$(dirname "$0")/../../.."
shots=${1:-$(mktemp -d)}
device=${2:-cpu}

. examples/desktop/tests/screen.sh

picture=assets/pictures/rocket.png
open_window 1280 800 light "$picture"
xdotool key ctrl+Return; sleep 1
shot 1280x800+0+0 dialog
xdotool key Return
answered 6
shot 1280x800+0+0 six-light
compare "$picture"
close_window

open_window 800 800 dark "$picture"
xdotool key ctrl+Return; sleep 1; xdotool key Return
answered 6
shot 800x800+0+0 six-dark
close_window

for theme in light dark; do
  open_window 800 700 "$theme" "$picture"
  xdotool type --delay 60 "What is in the picture?"
  xdotool key Return
  answered 1
  # Typed slowly: each letter that the keyboard lacks gets a key first.
  xdotool type --delay 250 "صف الصورة."
  shot 800x700+0+0 "typing-$theme"
  xdotool key Return
  answered 2
  shot 800x700+0+0 "conversation-$theme"
  close_window
done
echo "screenshots in $shots"
