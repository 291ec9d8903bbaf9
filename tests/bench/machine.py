# SPDX-License-Identifier: GPL-2.0-or-later
"""The machine and the programs that a run was measured with."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass
from pathlib import Path

from tests.lab.command import attempt, run

import expgsql_ra

PACKAGES = ("pacemaker", "corosync", "resource-agents", "resource-agents-paf")
LOOK_SECONDS = 3.0
# Above this share, other work on the machine shows in the figures.
QUIET = 0.1


@dataclass(frozen=True)
class Machine:
    """What figures depend on besides the agents."""

    cores: int
    memory_gib: int
    system: str
    server: str
    versions: dict[str, str]
    # Share of the machine's CPU time that other work took before the run.
    busy: float

    @property
    def is_quiet(self) -> bool:
        """Whether the run had the machine to itself, as far as could be seen beforehand."""
        return self.busy <= QUIET


def look() -> Machine:
    """Describe this machine; takes a few seconds to see how busy it is."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return Machine(
        cores=os.cpu_count() or 1,
        memory_gib=round(pages / 2**30),
        system=f"{platform.freedesktop_os_release()['PRETTY_NAME']}, Linux {platform.release().split('-')[0]}",
        server=_server(),
        versions={"expgsql": expgsql_ra.__version__, **{name: _version(name) for name in PACKAGES}},
        busy=_busy_share(),
    )


def _server() -> str:
    programs = Path("/usr/lib/postgresql").glob("*/bin/postgres")
    newest = max(programs, key=lambda path: int(path.parts[-3]))
    return run(str(newest), "--version").split()[2]


def _version(package: str) -> str:
    return attempt("dpkg-query", "--show", "--showformat=${Version}", package).stdout or "not installed"


def _busy_share() -> float:
    first = _ticks()
    time.sleep(LOOK_SECONDS)
    idle, total = (after - before for before, after in zip(first, _ticks(), strict=True))
    return 1 - idle / total if total else 0.0


def _ticks() -> tuple[int, int]:
    """Return idle and all ticks of the machine's CPUs since boot."""
    words = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    ticks = [int(word) for word in words]
    return ticks[3] + ticks[4], sum(ticks)
