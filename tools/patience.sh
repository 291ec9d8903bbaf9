#!/bin/sh
# patience.sh WHAT COMMAND...: run a quiet command, and say every few seconds that it is still at work.
set -eu

what=$1
shift
# Nothing of this may keep a pipe or a caller's lock (descriptor 9) open when the command is done.
(seconds=0; while sleep 5 > /dev/null 2>&1; do seconds=$((seconds + 5)); echo "    ... $seconds s, $what"; done) 9>&- &
ticker=$!
trap 'kill "$ticker"' EXIT
trap 'exit 1' HUP INT TERM
"$@"
