# SPDX-License-Identifier: GPL-2.0-or-later
"""The programs of one version of PostgreSQL: this machine's own, or those of a root that the lab keeps."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from typing import BinaryIO

from tests.lab.command import run
from tests.lab.layer import HOST, layer

USER = "postgres"
AS_USER = ("setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups")


@dataclass(frozen=True)
class Programs:
    """A major version, and how its programs are started."""

    version: tuple[int, int]
    bindir: str
    prefix: tuple[str, ...]

    @property
    def major(self) -> int:
        """The major version."""
        return self.version[0]

    def start(
        self, program: str, *arguments: str, output: BinaryIO | int = subprocess.DEVNULL
    ) -> subprocess.Popen[bytes]:
        """Start one as the server's user; the process is the program itself, whatever was in front of it."""
        return subprocess.Popen(
            [*self.prefix, *AS_USER, f"{self.bindir}/{program}", *arguments],
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={"PATH": os.defpath, "LC_ALL": "C"},
        )


def programs_of(name: str) -> Programs:
    """The newest server in the layer of that name; for this machine, EXPGSQL_PG_BINDIR may name another.

    Of another root only /usr is put over this machine's, in a mount namespace of the server's own: data directories,
    sockets, process numbers and users are those of this machine.
    """
    found = layer(name)
    bindir = f"/usr/lib/postgresql/{found.postgresql_versions[0]}/bin"
    if name == HOST:
        return _described(os.environ.get("EXPGSQL_PG_BINDIR", bindir), ())
    over = ("unshare", "--mount", "sh", "-c", 'mount --bind "$0" /usr && exec "$@"', str(found.root / "usr"))
    return _described(bindir, over)


def _described(bindir: str, prefix: tuple[str, ...]) -> Programs:
    """Ask the server for its version: "postgres (PostgreSQL) 15.20 (Debian ...)"."""
    major, minor = run(*prefix, f"{bindir}/postgres", "--version").split()[2].split(".")
    return Programs((int(major), int(minor)), bindir, prefix)
