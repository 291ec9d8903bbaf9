# SPDX-License-Identifier: GPL-2.0-or-later
"""The actions that the agent offers to Pacemaker, with the timeouts and intervals it advises.

pcs writes these into the configuration of a resource that is created without any.
"""

from __future__ import annotations

from typing import NamedTuple


class Operation(NamedTuple):
    """One action; times in seconds. Interval and role are for recurring ones alone."""

    name: str
    timeout: int
    interval: int | None = None
    role: str | None = None

    @property
    def recurs(self) -> bool:
        """Whether Pacemaker repeats it."""
        return self.interval is not None


OPERATIONS = (
    Operation("start", 120),
    Operation("stop", 120),
    # Intervals differ, as Pacemaker tells two recurring operations of one resource apart by them.
    Operation("monitor", 30, interval=3, role="Promoted"),
    # Without a role: it serves standbys, and a server that is no promotable clone as well. With
    # role=Unpromoted, Pacemaker would never monitor the latter. Last, since crmsh stops searching here.
    Operation("monitor", 30, interval=4),
    Operation("promote", 120),
    Operation("demote", 120),
    Operation("notify", 90),
    Operation("status", 30),
    Operation("validate-all", 20),
    Operation("meta-data", 5),
    Operation("methods", 5),
)


def method_names() -> tuple[str, ...]:
    """Each action once: the answer to the action ``methods``."""
    return tuple(dict.fromkeys(operation.name for operation in OPERATIONS))
