# SPDX-License-Identifier: GPL-2.0-or-later
"""What the operating system starts at boot: the cluster software, which it should, and servers, which it should not.

Sources: systemctl(1); Debian's pg_createcluster(1), "start.conf".
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping

from expgsql_ra.checkup import Starter
from expgsql_ra.effects import files
from expgsql_ra.effects.process import run
from expgsql_ra.errors import AgentError

CLUSTER_SOFTWARE = ("corosync", "pacemaker")
UMBRELLA = "postgresql.service"
DEBIANS = "/etc/postgresql"
"""Where Debian keeps the configuration of each of its servers: VERSION/NAME."""
SHORT = 5.0
SETTING = re.compile(r"^\s*(data_directory|port)\s*=?\s*'?([^'#\s]+)", re.MULTILINE)


def units() -> Mapping[str, str]:
    """Whether the cluster software is started at boot; empty where systemd cannot be asked."""
    told = _systemctl("is-enabled", *CLUSTER_SOFTWARE)
    return dict(zip(CLUSTER_SOFTWARE, told, strict=True)) if len(told) == len(CLUSTER_SOFTWARE) else {}


def starters() -> Iterator[Starter]:
    """Each enabled unit that starts a server; Debian's umbrella starts what each ``start.conf`` says."""
    listed = _systemctl("list-unit-files", "--state=enabled", "--no-legend", "postgresql*")
    for unit in (line.split()[0] for line in listed if line.split()):
        if unit.endswith(".service") and os.path.isdir(DEBIANS) and unit == UMBRELLA:
            yield from (Starter(unit, *place) for place in _debians())
        elif unit.endswith(".service"):
            yield Starter(unit)


def _systemctl(*words: str) -> list[str]:
    try:
        return run(["systemctl", *words], timeout=SHORT).out.splitlines()
    except AgentError:
        return []


def _debians() -> Iterator[tuple[str, str]]:
    """Data directory and port of each server that is to be started automatically."""
    for version in sorted(os.listdir(DEBIANS)):
        for name in sorted(os.listdir(os.path.join(DEBIANS, version))):
            place = os.path.join(DEBIANS, version, name)
            how = _text(os.path.join(place, "start.conf"))
            if "auto" in (line.strip() for line in how.splitlines()):
                found = dict(SETTING.findall(_text(os.path.join(place, "postgresql.conf"))))
                yield found.get("data_directory", ""), found.get("port", "5432")


def _text(path: str) -> str:
    try:
        return files.read(path) or ""
    except AgentError:
        return ""
