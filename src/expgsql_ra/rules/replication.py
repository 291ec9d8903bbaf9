# SPDX-License-Identifier: GPL-2.0-or-later
"""What the primary makes of its standbys: who is in sync, who may succeed it, who scores what.

The order is the promise (R1, R2). A standby loses its mark *before* PostgreSQL stops waiting for it,
and gets it only *after* PostgreSQL waits for it and it has caught up; so a node that is marked
``STREAMING|SYNC`` has every commit that was acknowledged. The names are always ``FIRST n`` of exactly
n names: a spare that were listed would take over without anybody having recorded it.
"""

from __future__ import annotations

from typing import NamedTuple

from expgsql_ra.changes import Change, ClearWal, SetDataStatus, SetScore, SetStatus
from expgsql_ra.snapshot import ClusterView, Member, Primary, Sender
from expgsql_ra.values import DataStatus, Lsn, RepMode, Score, Status, same_node

CLOSED = 'FIRST 1 ("closed: this server is not the primary")'
"""Names that nobody can satisfy (R13): whatever opens such a server for writing, it acknowledges nothing."""

OPEN = ""


class Mark(NamedTuple):
    """What one node is told to be."""

    status: Status
    data_status: str
    score: Score


class Settings(NamedTuple):
    """The parameters that replication depends on."""

    mode: RepMode
    sync_standby_count: int
    maximum_lag: int | None
    fresh: bool = False
    """Whether the primary was promoted a moment ago: then a standby that is not connected is no news yet."""


class Plan(NamedTuple):
    """What has to be written, in this order: withdraw, rename, then (once proven) tell."""

    withdraw: tuple[Change, ...]
    """For the nodes that lose a right to succeed which they hold now."""
    names: str
    tell: tuple[Change, ...]
    """For all the others."""
    named: tuple[str, ...]
    """The nodes in ``names``."""
    unproven: tuple[str, ...]
    """Named nodes that are not marked yet: they must be seen to have passed a position noted after naming."""
    reason: str


def format_names(nodes: tuple[str, ...]) -> str:
    """``synchronous_standby_names`` for exactly these nodes (PostgreSQL documentation, "Replication").

    Quoted: a node name with a dash or a leading digit is no identifier.
    """
    quoted = ", ".join('"' + node.replace('"', '""') + '"' for node in nodes)
    return f"FIRST {len(nodes)} ({quoted})" if nodes else OPEN


def named_among(names: str, members: tuple[Member, ...]) -> tuple[str, ...]:
    """The members in a setting that `format_names` wrote; nobody in any other setting."""
    inside = names.partition("(")[2].rpartition(")")[0]
    listed = [part.strip().strip('"').replace('""', '"') for part in inside.split(",")] if inside else []
    found = tuple(one.name for name in listed for one in members if same_node(one.name, name))
    return found if format_names(found) == names else ()


def plan(server: Primary, view: ClusterView, settings: Settings, proven: frozenset[str]) -> Plan:
    """What the primary of ``view`` should write now.

    ``proven``: named nodes seen to have passed, since they were named, a position noted after naming.
    """
    others = tuple(one for one in view.members if not same_node(one.name, view.me))
    senders = {one.name: physical_sender(server.senders, one.name) for one in others}
    named = named_among(server.names, view.members)
    wanted = _choose(others, senders, named, settings)
    sure = _trusted(others, senders, named, wanted) | proven
    marks = {one.name: mark(senders[one.name], one.name in sure, server.flushed, settings) for one in others}
    return Plan(
        withdraw=_changes(others, marks, losing=True, fresh=settings.fresh),
        names=format_names(wanted),
        tell=_changes(others, marks, losing=False, fresh=settings.fresh),
        named=wanted,
        unproven=tuple(node for node in wanted if node not in sure),
        reason=_reason(named, wanted, senders),
    )


def physical_sender(senders: tuple[Sender, ...], node: str) -> Sender | None:
    """The one walsender of that name; two of one name prove nothing, so they count as none."""
    found = [one for one in senders if same_node(one.name, node)]
    return found[0] if len(found) == 1 else None


def _choose(
    others: tuple[Member, ...],
    senders: dict[str, Sender | None],
    named: tuple[str, ...],
    settings: Settings,
) -> tuple[str, ...]:
    """Whom PostgreSQL shall wait for: those it waits for already, then the others in the nodes' order."""
    if settings.mode is not RepMode.SYNC:
        return ()
    alive = [one.name for one in others if _streams(senders[one.name])]
    kept = [name for name in named if name in alive]
    fresh = [name for name in alive if name not in kept]
    return tuple((kept + fresh)[: settings.sync_standby_count])


def _streams(sender: Sender | None) -> bool:
    return sender is not None and sender.state == "streaming"


def _trusted(
    others: tuple[Member, ...],
    senders: dict[str, Sender | None],
    named: tuple[str, ...],
    wanted: tuple[str, ...],
) -> frozenset[str]:
    """The nodes whose mark of before still holds: named all the time and waited for by every walsender."""
    return frozenset(
        one.name
        for one in others
        if one.data_status == DataStatus.SYNC
        and one.name in named
        and one.name in wanted
        and _waited_for(senders[one.name])
    )


def _waited_for(sender: Sender | None) -> bool:
    return sender is not None and sender.state == "streaming" and sender.sync_state == "sync"


def has_passed(server: Primary, node: str, noted: Lsn) -> bool:
    """Whether PostgreSQL waits for ``node`` and it has flushed everything up to ``noted``.

    ``noted`` must have been read when the names were in force already (R2): commits acknowledged
    before that may be missing on a standby that streams well by now.
    """
    sender = physical_sender(server.senders, node)
    return sender is not None and _waited_for(sender) and sender.flushed is not None and sender.flushed >= noted


def mark(sender: Sender | None, sure: bool, flushed: Lsn, settings: Settings) -> Mark:
    """What a node is, by its walsender; ``sure``: it has every acknowledged commit."""
    if sender is None:
        return Mark(Status.ALONE, DataStatus.DISCONNECT, Score.CANNOT)
    if sender.state != "streaming":
        return Mark(Status.CONNECTED, DataStatus.of(sender.state, sender.sync_state), Score.CANNOT)
    if settings.mode is RepMode.ASYNC:
        return Mark(Status.ASYNC, DataStatus.ASYNC, _async_score(sender, flushed, settings.maximum_lag))
    if sure:
        return Mark(Status.SYNC, DataStatus.SYNC, Score.CAN)
    return MARKS_WITHOUT_PROOF.get(sender.sync_state, MARKS_WITHOUT_PROOF["async"])


MARKS_WITHOUT_PROOF = {
    "async": Mark(Status.ASYNC, DataStatus.ASYNC, Score.CANNOT),
    "sync": Mark(Status.POTENTIAL, DataStatus.POTENTIAL, Score.CANNOT),
    "potential": Mark(Status.POTENTIAL, DataStatus.POTENTIAL, Score.CANNOT),
    "quorum": Mark(Status.QUORUM, DataStatus.QUORUM, Score.CANNOT),
}
"""``pg_stat_replication.sync_state`` of a standby that streams but may lack acknowledged commits."""


def _async_score(sender: Sender, flushed: Lsn, maximum_lag: int | None) -> Score:
    if maximum_lag is None:
        return Score.CAN
    if sender.flushed is None or flushed - sender.flushed > maximum_lag:
        return Score.CANNOT
    return Score.CAN


def _changes(others: tuple[Member, ...], marks: dict[str, Mark], *, losing: bool, fresh: bool) -> tuple[Change, ...]:
    """The changes for the nodes that lose the right to succeed, or for all the others."""
    changes: list[Change] = []
    for one in others:
        wanted = marks[one.name]
        if (_may_succeed(one) and wanted.score is Score.CANNOT) is losing:
            changes += _changes_of(one, wanted, fresh)
    return tuple(changes)


def _may_succeed(member: Member) -> bool:
    """Whether a node has the right to succeed, or a half of it that an interrupted withdrawal left."""
    return member.data_status == DataStatus.SYNC or member.score not in {None, Score.CANNOT}


def _changes_of(member: Member, wanted: Mark, fresh: bool) -> tuple[Change, ...]:
    data = SetDataStatus(member.name, wanted.data_status)
    if not member.online:
        return (data,)
    score = SetScore(member.name, wanted.score)
    # only the node itself knows whether its server is stopped or runs unconnected
    told_by_itself = fresh or member.status in {None, Status.STOPPED, Status.UNKNOWN}
    seen = () if wanted.status is Status.ALONE and told_by_itself else (SetStatus(member.name, wanted.status),)
    # a report of how far its data goes is for the time without a primary; an old one would mislead an election
    old_report = (ClearWal(member.name),) if member.wal is not None else ()
    return (data, score, *seen, *old_report)


def _reason(named: tuple[str, ...], wanted: tuple[str, ...], senders: dict[str, Sender | None]) -> str:
    if named == wanted:
        return "as before"
    lost = [name for name in named if name not in wanted]
    why = ", ".join(f"{name} {_state(senders.get(name))}" for name in lost)
    return f"commits wait for {', '.join(wanted) or 'nobody'}" + (f": {why}" if why else "")


def _state(sender: Sender | None) -> str:
    return "does not stream" if sender is None else f"is in state {sender.state}"


def promise_kept(view: ClusterView, settings: Settings) -> str | None:
    """Why the mode's promise is weakened now; None while it is kept."""
    if settings.mode is not RepMode.SYNC:
        return None
    if any(one.online and one.data_status == DataStatus.SYNC for one in view.members):
        return None
    return "no synchronous standby: commits are on this node only"
