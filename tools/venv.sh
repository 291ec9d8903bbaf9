#!/bin/sh
# Make .venv as the locked requirements say, with the package in editable mode; do nothing if it is so already.
set -eu
cd "$(dirname "$0")/.."

PYTHON=${PYTHON:-/usr/bin/python3}
# A virtual environment knows its own path and its interpreter's version: both are part of what it must match.
# Of pyproject.toml, what installs the package counts; settings of tools ("[tool.ruff]" and on) do not.
exec 9< tools/venv.sh
flock 9  # not twice at the same time
wanted=$({ pwd -P; "$PYTHON" -VV; cat requirements/dev.txt; sed '/^\[tool.ruff\]/,$d' pyproject.toml; } | sha256sum)
if [ "$(cat .venv/made-from 2>/dev/null)" = "$wanted" ]; then
    exit 0
fi

echo "Making .venv (once; some 100 MB)"
umask 022
rm -rf .venv
"$PYTHON" -m venv .venv || { echo "no python3-venv? 'make deps' installs it" >&2; exit 1; }
tools/patience.sh "installing the locked packages" \
    .venv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
.venv/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
echo "$wanted" > .venv/made-from
