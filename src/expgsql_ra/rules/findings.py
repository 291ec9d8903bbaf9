# SPDX-License-Identifier: GPL-2.0-or-later
"""What a check-up finds: how bad it is, in one line, and the one command that mends it."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Severity(StrEnum):
    """How bad it is."""

    ERROR = "error"
    """The promise, a failover or a repair does not hold as things are."""
    WARNING = "warning"
    """It holds, but not for long, or not in every case."""
    OK = "ok"


class Trouble(NamedTuple):
    """One thing that is wrong."""

    severity: Severity
    what: str
    remedy: str
    node: str = ""
    """Empty: of the whole cluster."""


class Finding(NamedTuple):
    """What one check found; ``check`` is its name, which does not change from version to version.

    ``node`` are the nodes that it concerns, separated by commas; empty for the whole cluster.
    """

    check: str
    severity: Severity
    what: str
    remedy: str = ""
    node: str = ""


def error(what: str, remedy: str, node: str = "") -> Trouble:
    """Something that breaks the promise, a failover or a repair."""
    return Trouble(Severity.ERROR, what, remedy, node)


def warning(what: str, remedy: str, node: str = "") -> Trouble:
    """Something that should be changed."""
    return Trouble(Severity.WARNING, what, remedy, node)
