# SPDX-License-Identifier: GPL-2.0-or-later
"""Who has the newest data, where no primary is recorded or an asynchronous one is lost.

A timeline outranks any position: data of an older timeline may have been left behind by a promotion.
"""

from __future__ import annotations

from typing import NamedTuple

from expgsql_ra.snapshot import ClusterView, Member
from expgsql_ra.values import Lsn, same_node

Readings = tuple[tuple[str, int, int], ...]
"""What the nodes reported, as plain values that can be kept between two monitors."""


class Won(NamedTuple):
    """This node has the newest data of a majority of all nodes."""

    reason: str


class Lost(NamedTuple):
    """Another node is to be promoted."""

    reason: str


class Waiting(NamedTuple):
    """Not enough is known yet."""

    reason: str


Result = Won | Lost | Waiting


class Report(NamedTuple):
    """One node's word on its data; the order of the fields is the order of importance."""

    timeline: int
    end: Lsn


def _reports(view: ClusterView) -> tuple[tuple[Member, Report], ...]:
    return tuple(
        (member, Report(member.timeline, member.wal))
        for member in view.members
        if member.online and member.timeline is not None and member.wal is not None
    )


def readings(view: ClusterView) -> Readings:
    """What is reported now, to be compared with the next reading."""
    return tuple((member.name, report.timeline, int(report.end)) for member, report in _reports(view))


def first_start(view: ClusterView, equal_readings: int, wanted: int) -> Result:
    """Who starts a cluster that has no recorded primary.

    A majority of the nodes must have reported, and the reports must have been the same ``wanted``
    times, so that a node which is still replaying its log is not passed over.
    """
    if not view.may_decide:
        return Waiting("this partition has no quorum")
    reports = _reports(view)
    if 2 * len(reports) <= len(view.members):
        reported = [member for member, _ in reports]
        missing = ", ".join(one.name for one in view.members if one not in reported)
        return Waiting(
            f"{len(reports)} of {len(view.members)} nodes have reported their data, more than half must: "
            f"{missing} have not yet; start the cluster there if it is down"
        )
    if equal_readings < wanted:
        return Waiting(f"the reported positions were the same {equal_readings} of {wanted} times")
    return _best_of(reports, view.me)


def _best_of(reports: tuple[tuple[Member, Report], ...], me: str) -> Result:
    # max() keeps the first of equals: the order of the node list decides a draw, the same on every node
    winner, best = max(reports, key=lambda entry: entry[1])
    told = f"timeline {best.timeline}, WAL up to {best.end}"
    if same_node(winner.name, me):
        return Won(f"this node has the newest data of {len(reports)} nodes ({told})")
    return Lost(f"{winner.name} has the newest data of {len(reports)} nodes ({told})")


def silent(view: ClusterView) -> tuple[str, ...]:
    """The other nodes whose server runs and which have not reported their data since the primary was lost."""
    reported = {member.name for member, _ in _reports(view)}
    return tuple(
        one.name
        for one in view.members
        if one.online
        and not same_node(one.name, view.me)
        and one.status is not None
        and one.status.startswith("HS:")
        and one.name not in reported
    )


def newer_than_me(view: ClusterView, mine: Lsn) -> Member | None:
    """A standby that reported WAL beyond ours: the better choice after the loss of an asynchronous primary."""
    others = [(member, report) for member, report in _reports(view) if not same_node(member.name, view.me)]
    best = max(others, key=lambda entry: entry[1].end, default=None)
    return best[0] if best is not None and best[1].end > mine else None
