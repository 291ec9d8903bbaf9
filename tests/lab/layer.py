"""The lower layer of a node: the root file system it is an overlay of.

"host" is this machine itself; any other name is a Debian release built once by mmdebstrap and kept
as a directory in the cache.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from tests.lab.cache import cached, keep_newest
from tests.lab.command import run

HOST = "host"
BUILD_SECONDS = 1800.0

# What a node needs, apart from the server, whose package name carries its major version.
PACKAGES = (
    "pacemaker",
    "corosync",
    "pcs",
    "crmsh",
    "resource-agents",
    "resource-agents-paf",
    "pacemaker-cli-utils",
    "libxml2-utils",
    "iproute2",
    "nftables",
    "psmisc",
    "procps",
    "iputils-arping",
    "ipvsadm",
    "openssh-server",
    "kmod",
    "python3-venv",
    "make",
)
SERVERS = {"bookworm": "postgresql-15", "trixie": "postgresql-17"}
RELEASES = tuple(SERVERS)

# Written before the server's package is configured: the lab makes its own clusters.
NO_CLUSTER = (
    'mkdir -p "$1/etc/postgresql-common" && '
    'echo "create_main_cluster = false" > "$1/etc/postgresql-common/createcluster.conf"'
)


@dataclass(frozen=True)
class Layer:
    """A root file system, and the name of where it comes from."""

    name: str
    root: Path

    @property
    def postgresql_versions(self) -> tuple[str, ...]:
        """Major versions of the servers installed in it, the newest first."""
        found = (self.root / "usr/lib/postgresql").glob("*/bin/postgres")
        return tuple(sorted((path.parts[-3] for path in found), key=int, reverse=True))


def layer(name: str) -> Layer:
    """Return the layer of that name, built first if the cache does not hold it."""
    if name == HOST:
        return Layer(HOST, Path("/"))
    if name not in RELEASES:
        raise ValueError(f"layer {name!r} is none of {', '.join((HOST, *RELEASES))}")
    root = cached(name, _stamp(name), lambda place: _build(name, place))
    keep_newest(name, 1)
    return Layer(name, root)


def _packages(release: str) -> tuple[str, ...]:
    return (*PACKAGES, SERVERS[release])


def _stamp(release: str) -> str:
    """Change when the list of packages does, so that an old root is not taken for a new one."""
    return hashlib.sha256(" ".join(_packages(release)).encode()).hexdigest()[:8]


def _build(release: str, root: Path) -> None:
    run(
        "mmdebstrap",
        "--variant=minbase",
        f"--include={','.join(_packages(release))}",
        f"--essential-hook={NO_CLUSTER}",
        release,
        str(root),
        f"deb {mirror()} {release} main",
        timeout=BUILD_SECONDS,
    )


def mirror() -> str:
    """Return the mirror this machine installs Debian from: nodes come from the same place."""
    targets = run(
        "apt-get",
        "indextargets",
        "--format",
        "$(REPO_URI) $(CODENAME) $(COMPONENT) $(ORIGIN)",
        "Created-By: Packages",
    )
    for line in targets.splitlines():
        words = line.split()
        if len(words) == 4 and words[2:] == ["main", "Debian"] and "-" not in words[1]:
            return words[0]
    raise RuntimeError(f"no Debian archive among apt's sources; 'apt-get update' may help:\n{targets}")
