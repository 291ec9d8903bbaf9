# SPDX-License-Identifier: GPL-2.0-or-later
"""Facts for tests, said in a few words: every builder has sane defaults and refuses what cannot be.

A test that describes an impossible cluster proves nothing, so the unusual has to be asked for by name.
"""

from __future__ import annotations

from collections import Counter

from expgsql_ra.ocf import Context, read_context
from expgsql_ra.parameters import Parameters
from expgsql_ra.snapshot import ClusterView, LocalWal, Member, Primary, Sender, Standby
from expgsql_ra.values import Ancestry, Fork, Lsn, ReplInfo, RepMode, Status

SYSTEM = "7710259990552944712"
NODES = ("node1", "node2", "node3")
SENDER_STATES = {"startup", "catchup", "streaming", "backup", "stopping"}
SYNC_STATES = {"async", "potential", "sync", "quorum"}


class Impossible(Exception):
    """No cluster and no server looks like this."""


def _must(possible: bool, why: str) -> None:
    if not possible:
        raise Impossible(why)


def lsn(text: str | None) -> Lsn | None:
    """A position in PostgreSQL's own notation, or none."""
    return None if text is None else Lsn.parse(text)


# --- histories --------------------------------------------------------------------------------


def forks(*texts: str) -> tuple[Fork, ...]:
    """Forks written as ``1@0/5000``: timeline 1 was left at 0/5000."""
    pairs = [text.split("@") for text in texts]
    found = tuple(Fork(int(timeline), Lsn.parse(end)) for timeline, end in pairs)
    _must(list(found) == sorted(found), f"a history goes forward: {texts}")
    return found


def a_history(*texts: str, current: int = 0, system: str = SYSTEM) -> Ancestry:
    """A primary's history; by default it is on the timeline after its last fork."""
    past = forks(*texts)
    last = past[-1].timeline if past else 0
    _must(not current or current > last, f"timeline {current} cannot come from timeline {last}")
    return Ancestry(system, past, current or last + 1)


def local_wal(
    timeline: int = 2,
    *past: str,
    end: str | None = None,
    last_record: str | None = None,
    system: str = SYSTEM,
    reached: str | None = None,
) -> LocalWal:
    """What a data directory holds; ``past`` as for `forks`."""
    known = forks(*past)
    _must(not known or known[-1].timeline < timeline, "a directory's ancestors are older than its timeline")
    return LocalWal(system, timeline, known, lsn(last_record), lsn(end), lsn(reached))


# --- servers ----------------------------------------------------------------------------------


def a_sender(
    name: str = "node2", state: str = "streaming", sync_state: str = "async", flushed: str | None = "0/5000"
) -> Sender:
    """One walsender; its priority follows from its state."""
    _must(state in SENDER_STATES, f"walsenders know no state {state}")
    _must(sync_state in SYNC_STATES, f"walsenders know no sync_state {sync_state}")
    return Sender(name, state, sync_state, 0 if sync_state == "async" else 1, lsn(flushed))


def a_primary(*senders: Sender, names: str = "", flushed: str = "0/5000", timeline: int = 2) -> Primary:
    """A server that accepts writes."""
    return Primary(100, 150000, timeline, Lsn.parse(flushed), names, senders, ())


def a_standby(
    *,
    receiver: str | None = "streaming",
    received: str | None = "0/5000",
    replayed: str | None = "0/5000",
    names: str = "",
) -> Standby:
    """A server in recovery."""
    return Standby(100, 150000, receiver, lsn(received), lsn(replayed), names)


# --- the cluster ------------------------------------------------------------------------------


def a_member(
    name: str = "node2",
    *,
    online: bool = True,
    status: str | None = None,
    data_status: str | None = None,
    score: str | None = None,
    wal: str | None = None,
    timeline: int | None = None,
    receiver: str | None = None,
) -> Member:
    """One node. Pacemaker 3 keeps the transient attributes of a node that has left, so offline may have them."""
    _must((wal is None) == (timeline is None), "a node reports position and timeline together")
    position = None if wal is None else Lsn.parse(wal)
    return Member(name, name[-1:], online, status, data_status, score, position, timeline, receiver)


def a_view(
    *members: Member | str,
    me: str = "node1",
    quorate: bool = True,
    ignores_quorum: bool = False,
    recorded: str | None = None,
    history: Ancestry | None = None,
    repl_info: ReplInfo | None = None,
    promoted: tuple[str, ...] = (),
    rivals: bool = False,
) -> ClusterView:
    """A reading of the cluster. ``recorded`` is the primary whose ``history`` this is.

    ``repl_info`` in their place for a record that is not that of a completed promotion; ``rivals``
    allows two nodes that both say they are the primary.
    """
    all_members = tuple(a_member(one) if isinstance(one, str) else one for one in members or NODES)
    _check_members(all_members, me, promoted, rivals)
    _must(recorded is None or repl_info is None, "one record at a time")
    if recorded is not None:
        history = history or a_history("1@0/4000")
        parent = history.parent or Fork(0, Lsn(0))
        repl_info = ReplInfo(recorded, parent.timeline, parent.end)
    _must(history is None or repl_info is not None, "a history belongs to a recorded primary")
    return ClusterView(me, quorate, ignores_quorum, all_members, repl_info, history, promoted)


def _check_members(members: tuple[Member, ...], me: str, promoted: tuple[str, ...], rivals: bool) -> None:
    names = Counter(one.name.casefold() for one in members)
    _must(max(names.values()) == 1, "two nodes of one name")
    _must(me.casefold() in names, f"{me} is none of the nodes")
    _must(all(name.casefold() in names for name in promoted), "a stranger is promoted")
    said = [one.name for one in members if one.online and one.status == Status.PRIMARY]
    _must(rivals or len(said) < 2, f"two primaries: {said}")


# --- calls ------------------------------------------------------------------------------------


def some_parameters(mode: RepMode = RepMode.SYNC, **changes: object) -> Parameters:
    """Parameters of a replicated resource on three nodes."""
    usual: dict[str, object] = {
        "rep_mode": mode,
        "pgdata": "/srv/pgdata",
        "master_ip": "" if mode is RepMode.NONE else "192.0.2.100",
        "node_list": NODES,
    }
    return Parameters(**{**usual, **changes})


def a_context(action: str = "monitor", node: str = "node1", *, seconds: int = 60, **meta: str) -> Context:
    """A call as Pacemaker 2.1 makes it for a promotable clone; ``meta`` adds ``CRM_meta_`` variables."""
    variables = {
        "timeout": str(seconds * 1000),
        "on_node": node,
        "clone": "0",
        "interval": "3000" if action == "monitor" else "0",
        **meta,
    }
    environ = {f"OCF_RESKEY_CRM_meta_{name}": value for name, value in variables.items()}
    return read_context(action, {**environ, "OCF_RESOURCE_INSTANCE": "pgsql:0", "OCF_RESKEY_crm_feature_set": "3.16.1"})
