# SPDX-License-Identifier: GPL-2.0-or-later
"""What the primary makes of its standbys: who is in sync, who may succeed it, who scores what.

Who may succeed is the record's to say (`rules.succession`); the marks tell it to Pacemaker and to people. The
names are always ``FIRST n`` of exactly n names: a spare that were listed would take over without anybody
having recorded it.
"""

from __future__ import annotations

from typing import NamedTuple

from expgsql_ra.changes import Change, ClearWal, SetDataStatus, SetScore, SetStatus
from expgsql_ra.record import Successor
from expgsql_ra.rules import succession
from expgsql_ra.rules.succession import Word
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
    reason: str
    """Why it may or may not be promoted, for people."""


class Settings(NamedTuple):
    """The parameters that replication depends on."""

    mode: RepMode
    sync_standby_count: int
    maximum_lag: int | None
    fresh: bool = False
    """Whether the primary was promoted a moment ago: then a standby that is not connected is no news yet."""


def format_names(nodes: tuple[str, ...]) -> str:
    """``synchronous_standby_names`` for exactly these nodes (PostgreSQL documentation, "Replication").

    Quoted: a node name with a dash or a leading digit is no identifier.
    """
    quoted = ", ".join('"' + node.replace('"', '""') + '"' for node in nodes)
    return f"FIRST {len(nodes)} ({quoted})" if nodes else OPEN


def named_among(names: str, members: tuple[Member, ...]) -> tuple[str, ...]:
    """The members in a setting that `format_names` wrote; nobody in any other setting."""
    found = tuple(one.name for name in _listed(names) for one in members if same_node(one.name, name))
    return found if format_names(found) == names else ()


def _listed(names: str) -> tuple[str, ...]:
    inside = names.partition("(")[2].rpartition(")")[0]
    return tuple(part.strip().strip('"').replace('""', '"') for part in inside.split(",")) if inside else ()


def candidates(server: Primary, view: ClusterView) -> tuple[Successor, ...]:
    """The standbys that commits may wait for, in the order of the nodes (R2, step 2).

    Each streams over the one physical walsender of its name, and its own word is here that its data directory
    lies on the history of the primary's timeline.
    """
    history = view.history
    if history is None or history.current != server.timeline:
        return ()
    words = tuple(Word(one.name, *one.follows) for one in view.members if one.follows and one.name != view.me)
    given = succession.candidates(server.senders, words, history, server.flushed)
    return tuple(found for one in view.members for found in given if found.node == one.name)


def unfit(server: Primary, view: ClusterView, member: Member) -> str | None:
    """Why commits may not wait for a standby; None for one of the `candidates`."""
    history = view.history
    if history is None or history.current != server.timeline:
        return "the cluster does not know the history of the primary's timeline yet; the primary's monitor tells it"
    if member.follows is None:
        return (
            "its own word is missing that its data lies on the primary's history; its monitor gives it once it streams"
        )
    word = Word(member.name, *member.follows)
    return succession.unfit(server.senders, word, history, server.flushed)


def names_in_force(names: str, members: tuple[Member, ...]) -> tuple[str, ...] | None:
    """The nodes that a setting names; None for one that holds back whatever we do not know."""
    if names == OPEN:
        return ()
    return named_among(names, members) or None


def marks(
    server: Primary, view: ClusterView, settings: Settings, succeed: frozenset[str] = frozenset()
) -> tuple[Change, ...]:
    """What the primary tells the cluster of the other nodes; ``succeed``: those that may succeed it."""
    others = tuple(one for one in view.members if not same_node(one.name, view.me))
    changes: list[Change] = []
    for one in others:
        wanted = mark(physical_sender(server.senders, one.name), one.name in succeed, server.flushed, settings)
        changes += _changes_of(one, wanted, settings.fresh)
    return tuple(changes)


def physical_sender(senders: tuple[Sender, ...], node: str) -> Sender | None:
    """The one walsender of that name; two of one name prove nothing, so they count as none."""
    found = [one for one in senders if same_node(one.name, node)]
    return found[0] if len(found) == 1 else None


def _waited_for(sender: Sender | None) -> bool:
    return sender is not None and sender.state == "streaming" and sender.sync_state == "sync"


def is_waited_for(server: Primary, node: str) -> bool:
    """Whether ``node`` streams and commits wait for it."""
    return _waited_for(physical_sender(server.senders, node))


def all_answer(server: Primary) -> bool:
    """Whether commits wait for somebody, and everybody they wait for is connected: then nobody has taken over."""
    listed = _listed(server.names)
    return bool(listed) and all(is_waited_for(server, name) for name in listed)


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
        return Mark(Status.ALONE, DataStatus.DISCONNECT, Score.CANNOT, "the primary sends it no WAL")
    if sender.state != "streaming":
        data = DataStatus.of(sender.state, sender.sync_state)
        return Mark(Status.CONNECTED, data, Score.CANNOT, f"it does not stream yet ({sender.state})")
    if settings.mode is RepMode.ASYNC:
        return Mark(Status.ASYNC, DataStatus.ASYNC, *_async_score(sender, flushed, settings.maximum_lag))
    if sure:
        return Mark(Status.SYNC, DataStatus.SYNC, Score.CAN, "every acknowledged commit is there")
    return MARKS_WITHOUT_PROOF.get(sender.sync_state, MARKS_WITHOUT_PROOF["async"])


MARKS_WITHOUT_PROOF = {
    "async": Mark(Status.ASYNC, DataStatus.ASYNC, Score.CANNOT, "it streams, but commits do not wait for it"),
    "sync": Mark(
        Status.POTENTIAL,
        DataStatus.POTENTIAL,
        Score.CANNOT,
        "commits wait for it, but it is not proven yet that it has all that were acknowledged before",
    ),
    "potential": Mark(
        Status.POTENTIAL, DataStatus.POTENTIAL, Score.CANNOT, "it is a spare: commits do not wait for it now"
    ),
    "quorum": Mark(
        Status.QUORUM,
        DataStatus.QUORUM,
        Score.CANNOT,
        "commits wait for some of several standbys, and not always for it",
    ),
}
"""``pg_stat_replication.sync_state`` of a standby that streams but may lack acknowledged commits."""


def _async_score(sender: Sender, flushed: Lsn, maximum_lag: int | None) -> tuple[Score, str]:
    if maximum_lag is None:
        return Score.CAN, "it streams; nothing is promised about the last commits (rep_mode=async)"
    if sender.flushed is None or flushed - sender.flushed > maximum_lag:
        return Score.CANNOT, f"it is more than maximum_lag={maximum_lag} bytes behind"
    return Score.CAN, f"it streams and is at most maximum_lag={maximum_lag} bytes behind"


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


def promise_kept(view: ClusterView, settings: Settings) -> str | None:
    """Why the mode's promise is weakened now; None while it is kept."""
    if settings.mode is not RepMode.SYNC:
        return None
    if any(one.online and one.data_status == DataStatus.SYNC for one in view.members):
        return None
    return "no synchronous standby: commits are on this node only; start a standby"
