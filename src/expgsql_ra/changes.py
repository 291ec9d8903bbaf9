# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes to the cluster as values: rules return them, `effects.cluster` sends those that differ."""

from __future__ import annotations

from typing import NamedTuple, assert_never

from expgsql_ra.snapshot import ClusterView, Member
from expgsql_ra.values import Ancestry, Attestation, Lsn, ReplInfo, same_node


class SetStatus(NamedTuple):
    """Transient attribute ``RES-status``."""

    node: str
    value: str


class SetScore(NamedTuple):
    """Pacemaker's own promotion score for the resource."""

    node: str
    value: str


class SetDataStatus(NamedTuple):
    """Permanent attribute ``RES-data-status``."""

    node: str
    value: str


class SetWal(NamedTuple):
    """Transient attributes ``RES-xlog-loc`` and ``RES-timeline``: how far this node's data goes."""

    node: str
    timeline: int
    end: Lsn


class ClearWal(NamedTuple):
    """Take such a report back: one that is there was made since the last primary was lost."""

    node: str


class SetBaseline(NamedTuple):
    """Transient attribute ``RES-master-baseline``: where this primary's promotion began."""

    node: str
    value: Lsn


class SetReceiver(NamedTuple):
    """Transient attribute ``RES-receiver-status``."""

    node: str
    value: str


class SetFollows(NamedTuple):
    """Transient attribute ``RES-follows``: on which history this node's data directory lies."""

    node: str
    value: Attestation


class SparePromotion(NamedTuple):
    """Take one off Pacemaker's count of failed promotions, before a refusal that it will count as one.

    A refusal is no fault of the node: it must not bring it nearer to ``migration-threshold``, which bans it until
    somebody cleans up. The refusal and its reason stay to be seen.
    """

    node: str


class SetReplInfo(NamedTuple):
    """Cluster property ``RES_REPL_INFO``."""

    value: ReplInfo


class SetAncestry(NamedTuple):
    """Cluster property ``RES_TIMELINES``: the primary's whole history, for checks without a server."""

    value: Ancestry


OfNode = SetStatus | SetScore | SetDataStatus | SetWal | ClearWal | SetReceiver | SetFollows
Change = OfNode | SetBaseline | SparePromotion | SetReplInfo | SetAncestry


def differing(changes: tuple[Change, ...], view: ClusterView) -> tuple[Change, ...]:
    """The changes that would change something, in their order."""
    return tuple(change for change in changes if not _stands(change, view))


def _stands(change: Change, view: ClusterView) -> bool:
    match change:
        case SetReplInfo(value=info):
            return view.repl_info == info
        case SetAncestry(value=ancestry):
            return view.ancestry == ancestry
        case SetBaseline() | SparePromotion():
            return False
        case _:
            member = view.member(change.node)
            return member is not None and _holds(change, member)


def _holds(change: OfNode, member: Member) -> bool:  # noqa: PLR0911 - one return a change
    match change:
        case SetStatus(value=value):
            return member.status == value
        case SetScore(value=value):
            return member.score == value
        case SetDataStatus(value=value):
            return member.data_status == value
        case SetReceiver(value=value):
            return member.receiver == value
        case SetFollows(value=attestation):
            return member.follows == attestation
        case SetWal(timeline=timeline, end=end):
            return (member.timeline, member.wal) == (timeline, end)
        case ClearWal():
            return member.timeline is None and member.wal is None
    assert_never(change)


def applied(changes: tuple[Change, ...], view: ClusterView) -> ClusterView:
    """The view with our own writes in it: the cluster's copy may lag behind them."""
    for change in changes:
        match change:
            case SetReplInfo(value=info):
                view = view._replace(repl_info=info)
            case SetAncestry(value=ancestry):
                view = view._replace(ancestry=ancestry)
            case SetBaseline() | SparePromotion():
                pass
            case _:
                members = tuple(_with(change, one) if same_node(one.name, change.node) else one for one in view.members)
                view = view._replace(members=members)
    return view


def _with(change: OfNode, member: Member) -> Member:  # noqa: PLR0911 - one return a change
    match change:
        case SetStatus(value=value):
            return member._replace(status=value)
        case SetScore(value=value):
            return member._replace(score=value)
        case SetDataStatus(value=value):
            return member._replace(data_status=value)
        case SetReceiver(value=value):
            return member._replace(receiver=value)
        case SetFollows(value=attestation):
            return member._replace(follows=attestation)
        case SetWal(timeline=timeline, end=end):
            return member._replace(timeline=timeline, wal=end)
        case ClearWal():
            return member._replace(timeline=None, wal=None)
    assert_never(change)


WORDS = {
    SetStatus: "{0.node} is {0.value}",
    SetScore: "score of {0.node} {0.value}",
    SetDataStatus: "data of {0.node} {0.value}",
    SetReceiver: "receiver of {0.node} {0.value}",
    SetFollows: "{0.node} follows {0.value}",
    SetWal: "{0.node} has WAL up to {0.end} on timeline {0.timeline}",
    ClearWal: "{0.node} takes its report of WAL back",
    SetBaseline: "{0.node} is promoted at {0.value}",
    SparePromotion: "no failure of {0.node}",
    SetReplInfo: "record {0.value}",
    SetAncestry: "timelines {0.value}",
}


def describe(changes: tuple[Change, ...]) -> str:
    """Changes in words, for one line of log."""
    return ", ".join(WORDS[type(change)].format(change) for change in changes)
