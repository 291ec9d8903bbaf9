#!/bin/sh
# install.sh DESTDIR PREFIX OCF_ROOT: the package in a virtual environment at PREFIX, the agents below OCF_ROOT.
#
# The environment is built beside its place and moved there, so that an agent that runs every few seconds meets
# the old one or the new one. Everything inside speaks of PREFIX, never of where it was built.
set -eu
cd "$(dirname "$0")/.."

DESTDIR=$1 PREFIX=$2 OCF_ROOT=$3
PYTHON=${PYTHON:-/usr/bin/python3}
AGENTS="expgsql lvsdr lvsdr-realsvr"

case $PREFIX in /?*) ;; *) echo "PREFIX=$PREFIX: must be an absolute path" >&2; exit 1 ;; esac
target=$DESTDIR$PREFIX
if [ -n "$(ls -A "$target" 2>/dev/null)" ] && ! ls -d "$target"/lib/python3*/site-packages/expgsql_ra > /dev/null 2>&1
then
    echo "PREFIX=$PREFIX: is in use for something else; expgsql needs a directory of its own" >&2
    exit 1
fi

umask 022
mkdir -p "$(dirname "$target")"
scratch=$(mktemp -d)
stage=$(mktemp -d "$(dirname "$target")/.expgsql.XXXXXX")
trap 'rm -rf "$scratch" "$stage"' EXIT
chmod 755 "$stage"

# A second environment has pip and the build tool: the installed one needs neither.
"$PYTHON" -m venv "$scratch/venv" || { echo "no python3-venv? 'make deps' installs it" >&2; exit 1; }
pip() { "$scratch/venv/bin/python" -m pip --quiet --disable-pip-version-check "$@"; }
pip install --require-hashes -r requirements/build.txt
mkdir "$scratch/source" "$scratch/wheel"
cp -R pyproject.toml README.md LICENSE src "$scratch/source"  # a build leaves files behind: not in the checkout
rm -rf "$scratch"/source/src/*.egg-info
pip wheel --no-deps --no-build-isolation --wheel-dir "$scratch/wheel" "$scratch/source"

"$PYTHON" -m venv --without-pip "$stage"
rm -f "$stage"/bin/[Aa]ctivate*  # nobody works in this environment
pip --python "$stage/bin/python3" install --no-compile --no-warn-script-location --require-hashes -r requirements/run.txt
pip --python "$stage/bin/python3" install --no-compile --no-warn-script-location --no-deps --no-index \
    "$scratch"/wheel/expgsql-*.whl
# Where the wheel lay says nothing to anybody.
find "$stage" -name direct_url.json -delete
find "$stage" -path '*/expgsql-*.dist-info/RECORD' -exec sed -i '/direct_url.json/d' {} +
grep -rlIF "$stage" "$stage" | xargs --no-run-if-empty sed -i "s|$stage|$PREFIX|g"
"$stage/bin/python3" -I -m compileall -q -s "$stage" -p "$PREFIX" "$stage"/lib

old=$stage.old
[ ! -e "$target" ] || mv "$target" "$old"
mv "$stage" "$target" || { mv "$old" "$target"; exit 1; }
rm -rf "$old"

mkdir -p "$DESTDIR$OCF_ROOT/resource.d/heartbeat"
for agent in $AGENTS; do
    [ -e "agents/$agent" ] || continue
    place=$DESTDIR$OCF_ROOT/resource.d/heartbeat/$agent
    sed "1s|.*|#!$PREFIX/bin/python3 -I|" "agents/$agent" > "$place.new"
    chmod 755 "$place.new"
    mv "$place.new" "$place"
done
