#!/bin/sh
# uninstall.sh DESTDIR PREFIX OCF_ROOT: remove what install.sh installed there.
set -eu

DESTDIR=$1 PREFIX=$2 OCF_ROOT=$3

for agent in expgsql lvsdr lvsdr-realsvr; do
    place=$DESTDIR$OCF_ROOT/resource.d/heartbeat/$agent
    # An agent of the same name from elsewhere is not ours to remove.
    if head -n 1 "$place" 2>/dev/null | grep -qF "#!$PREFIX/bin/python3 "; then
        rm -f "$place"
    fi
done
if ls -d "$DESTDIR$PREFIX"/lib/python3*/site-packages/expgsql_ra > /dev/null 2>&1; then
    rm -rf "$DESTDIR$PREFIX"
fi
