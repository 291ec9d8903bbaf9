# SPDX-License-Identifier: GPL-2.0-or-later
"""What happened to the cluster, for people: promotions, degradations, switchovers, repairs. No decision reads it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple


class Kind(StrEnum):
    """What happened, in the word that is kept and shown."""

    PROMOTED = "promoted"
    RETURNED = "returned"
    """The same primary again, on its timeline."""
    DEGRADED = "degraded"
    """Commits wait for fewer standbys."""
    RESTORED = "restored"
    """Commits wait for a standby again."""
    STOPPED = "stopped itself"
    """A primary that had lost its right ended its server."""
    SWITCHOVER = "switchover"
    REPAIR = "repair"
    REBUILD = "rebuild"
    RESET = "reset"
    """Somebody named a new primary by hand."""
    OVERRIDE = "override"
    """Somebody answered for an arbiter that is gone."""


class Event(NamedTuple):
    """One thing that happened."""

    time: str
    """UTC, by the clock of the node that wrote it."""
    node: str
    """Whom it happened to: the new primary of a promotion, the old one of a degradation, the repaired node."""
    kind: str
    reason: str
    timeline: int = 0
    """0 where it is not known or says nothing."""
    writer: str = ""
    """The node that kept it, or the authority whose history tells it."""


def event_as_mapping(event: Event) -> dict[str, Any]:
    """For JSON."""
    return event._asdict()


def event_from_mapping(given: Mapping[str, Any]) -> Event:
    """Read what `event_as_mapping` made; KeyError, TypeError or ValueError for anything else."""
    words = {name: str(given[name]) for name in ("time", "node", "kind", "reason", "writer")}
    return Event(timeline=int(given["timeline"]), **words)


class NodeHistory(NamedTuple):
    """What one node has kept; ``why`` says why nothing could be learned from it."""

    node: str
    events: tuple[Event, ...] = ()
    why: str = ""
