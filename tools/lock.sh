#!/bin/sh
# Renew requirements/*.txt: the exact versions, with the hashes of all their files, that pyproject.toml allows today.
# The oldest supported Python resolves, so that what newer ones no longer need is still listed.
set -eu
cd "$(dirname "$0")/.."

PYTHON=${PYTHON:-/usr/bin/python3}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"$PYTHON" -m venv "$scratch/venv"
"$scratch/venv/bin/pip" install --quiet pip-tools

# lock FILE WHAT-FOR OPTION...
lock() {
    file=$1 purpose=$2
    shift 2
    "$scratch/venv/bin/pip-compile" --quiet --upgrade --generate-hashes --allow-unsafe --strip-extras \
        --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-header \
        --output-file "$scratch/$file" "$@" pyproject.toml
    { echo "# $purpose. Made by 'make lock'; do not edit."; cat "$scratch/$file"; } > "requirements/$file"
}

lock run.txt "What the agent and the commands need"
lock build.txt "What building the package needs" --only-build-deps --build-deps-for wheel
lock dev.txt "What work on the package needs, and all of the other two" --extra dev --all-build-deps
