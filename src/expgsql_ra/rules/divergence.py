# SPDX-License-Identifier: GPL-2.0-or-later
"""May this data directory follow the current primary? Decided from histories, never from a guess.

Rule R7: a directory follows if all of its WAL lies on the primary's history. What counts is where its
*last complete record* ends, not its last checkpoint (which a crashed primary always has far
behind), and whose history its timeline belongs to, not the timeline's number (two nodes promoted
from one parent share it). PostgreSQL documentation: "Timelines", "pg_rewind".
"""

from __future__ import annotations

from typing import NamedTuple

from expgsql_ra.snapshot import LocalWal
from expgsql_ra.values import Ancestry


class Follows(NamedTuple):
    """Everything in this directory is part of the primary's history."""


class AskServer(NamedTuple):
    """The files alone do not tell where the last record ends: start it unconnected and ask."""


class Diverged(NamedTuple):
    """This directory holds WAL that the primary never had, or another database altogether."""

    reason: str


Verdict = Follows | AskServer | Diverged

REWIND = "run expgsql repair here, or expgsql rebuild"
REBUILD = "run expgsql rebuild here"


def may_follow(local: LocalWal, primary: Ancestry) -> Verdict:
    """Whether the directory of ``local`` may stream from a server with the history ``primary``."""
    if local.system != primary.system:
        return Diverged(f"data of another database system: {REBUILD}")
    if not _shares_past(local, primary):
        return Diverged(
            f"data has diverged: {REWIND} (timeline {local.timeline} here is not the primary's of that number)"
        )
    if local.timeline == primary.current:
        return Follows()
    return _before_fork(local, primary)


def _shares_past(local: LocalWal, primary: Ancestry) -> bool:
    """Whether the ancestors of both agree as far as both know them."""
    if local.timeline == primary.current:
        mine, theirs = local.forks, primary.forks
    elif primary.end_of(local.timeline) is None:
        return False
    else:
        mine = local.forks
        theirs = tuple(fork for fork in primary.forks if fork.timeline < local.timeline)
    shared = min(len(mine), len(theirs))
    return not shared or mine[-shared:] == theirs[-shared:]


def _before_fork(local: LocalWal, primary: Ancestry) -> Verdict:
    fork = primary.end_of(local.timeline)
    assert fork is not None  # noqa: S101 - _shares_past has looked
    if local.end is not None and local.end > fork:
        return Diverged(
            f"data has diverged: {REWIND} (WAL here ends at {local.end} on timeline {local.timeline}, "
            f"which the primary left at {fork})"
        )
    if local.last_record is not None and local.last_record >= fork:
        return Diverged(
            f"data has diverged: {REWIND} (the last record here begins at {local.last_record} on timeline "
            f"{local.timeline}, which the primary left at {fork})"
        )
    if local.reached is not None and local.reached > fork:
        # PostgreSQL would refuse to start with the primary's history beside such a directory
        return Diverged(
            f"data has diverged: {REWIND} (WAL here was replayed up to {local.reached} on timeline {local.timeline}, "
            f"which the primary left at {fork})"
        )
    if local.end is None and local.last_record is None:
        return AskServer()
    return Follows()
