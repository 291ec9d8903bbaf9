# SPDX-License-Identifier: GPL-2.0-or-later
"""May the primary move on purpose, and to whom; has it moved; may a node be left without resources.

Nothing here is needed for the safety of commits, which the record keeps whoever asks for what (docs/safety.md):
these are the questions whose answer "no" would cost service.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from expgsql_ra.deployment import Constraint, Deployment, NodeFacts, Peer
from expgsql_ra.snapshot import Member
from expgsql_ra.values import DataStatus, RepMode, Score, same_node

MOST_BEHIND = 16 * 1024 * 1024
"""Bytes, one WAL segment: what a standby may still have to receive or to replay before a move."""
SYNCHRONOUS = frozenset({"sync", "quorum"})


class Handover(NamedTuple):
    """The primary may move."""

    old: str
    target: str


class Already(NamedTuple):
    """It is where it is wanted."""

    node: str


class Objection(Enum):
    """What kind of "no" it is."""

    ARGUMENTS = "wrong arguments"
    PRECONDITION = "the preconditions do not hold"
    INCONSISTENT = "no quorum, or contradicting views"


class Refusal(NamedTuple):
    """Not now."""

    reason: str
    kind: Objection = Objection.PRECONDITION


def view_objection(seen: Deployment) -> Refusal | None:
    """Why nothing should be changed from here; None if nothing speaks against it."""
    if not seen.view.may_decide:
        return Refusal(
            "this partition of the cluster has no quorum: start the other nodes, or go to one that has it",
            Objection.INCONSISTENT,
        )
    if len([node for node, role in seen.roles if role == "Promoted"]) > 1:
        return Refusal("Pacemaker shows more than one primary: look with expgsql status", Objection.INCONSISTENT)
    return None


def plan(seen: Deployment, facts: tuple[NodeFacts, ...], target: str = "") -> Handover | Already | Refusal:
    """Who takes over: ``target``, or the best of the synchronous standbys if it is empty."""
    wanted = seen.node(target)
    if target and wanted is None:
        known = ", ".join(node.name for node in seen.nodes)
        return Refusal(f"the cluster has no node {target} (its nodes: {known})", Objection.ARGUMENTS)
    objection = view_objection(seen) or _general(seen) or _contradiction(seen, facts)
    if objection:
        return objection
    if wanted and wanted.name == seen.promoted:
        return Already(wanted.name)
    if wanted:
        why = _unfit(seen, facts, wanted.name)
        return Refusal(f"{wanted.name} cannot take over: {why}") if why else Handover(seen.promoted, wanted.name)
    return _best(seen, facts)


def _best(seen: Deployment, facts: tuple[NodeFacts, ...]) -> Handover | Refusal:
    others = [node.name for node in seen.nodes if node.name != seen.promoted]
    reasons = {name: _unfit(seen, facts, name) for name in others}
    fit = [name for name in others if not reasons[name]]
    if not fit:
        told = "; ".join(f"{name}: {why}" for name, why in reasons.items())
        return Refusal(f"no standby can take over from {seen.promoted} ({told or 'there is none'})")
    primary = _facts(facts, seen.promoted)
    return Handover(seen.promoted, max(fit, key=lambda name: _rank(_peer(primary, name))))


def _rank(peer: Peer | None) -> tuple[bool, int]:
    """Synchronous ones first, then who has most; the order of the nodes decides a draw."""
    return (peer is not None and peer.sync_state in SYNCHRONOUS, peer.flushed or 0 if peer else 0)


def _general(seen: Deployment) -> Refusal | None:
    mode = seen.parameters.rep_mode
    if mode not in {RepMode.SYNC, RepMode.ASYNC}:
        return Refusal(f"with rep_mode={mode} no primary moves")
    if in_maintenance(seen) or not seen.managed:
        return Refusal("Pacemaker leaves the resource alone (maintenance): expgsql maintenance off")
    if seen.disabled:
        return Refusal("the resource is stopped on purpose: expgsql start")
    if not seen.promoted:
        return Refusal("there is no primary to move: expgsql why")
    return _bound(seen.constraints, seen.promoted)


def in_maintenance(seen: Deployment) -> bool:
    """Whether the whole cluster is left alone."""
    return seen.setting("maintenance-mode").lower() in {"true", "on", "yes", "y", "1"}


def _bound(constraints: tuple[Constraint, ...], primary: str) -> Refusal | None:
    for one in constraints:
        if not one.ours and one.score == "INFINITY" and same_node(one.node, primary):
            return Refusal(f"the constraint {one.identity} binds the resource to {primary}: remove it first")
    return None


def _contradiction(seen: Deployment, facts: tuple[NodeFacts, ...]) -> Refusal | None:
    """Pacemaker and the servers must say the same of who is the primary."""
    promoted = _facts(facts, seen.promoted)
    if promoted is None or promoted.server != "primary":
        told = "says nothing" if promoted is None else f"is {promoted.server} ({promoted.why or 'no reason given'})"
        return Refusal(
            f"Pacemaker has promoted {seen.promoted}, whose server {told}: wait, or look with expgsql why",
            Objection.INCONSISTENT,
        )
    second = [one.node for one in facts if one.server == "primary" and not same_node(one.node, seen.promoted)]
    if second:
        return Refusal(
            f"the server on {', '.join(second)} accepts writes too, beside {seen.promoted}: stop it first",
            Objection.INCONSISTENT,
        )
    return None


def _unfit(seen: Deployment, facts: tuple[NodeFacts, ...], name: str) -> str:
    """Why a node cannot take over; empty if it can."""
    return (
        _away(seen, name)
        or _kept_away(seen, name)
        or _not_marked(seen, seen.view.member(name))
        or _behind(seen, _facts(facts, seen.promoted), _facts(facts, name), name)
    )


def _away(seen: Deployment, name: str) -> str:
    node = seen.node(name)
    if node is None or not node.online or node.pending or node.unclean:
        return "it is not online"
    if node.standby:
        return f"it is in standby: expgsql standby off {name}"
    if node.maintenance:
        return f"it is in maintenance: expgsql maintenance off {name}"
    return "" if seen.role(name) == "Unpromoted" else f"no standby runs there: expgsql why {name}"


def _kept_away(seen: Deployment, name: str) -> str:
    for one in seen.constraints:
        if not one.ours and one.score == "-INFINITY" and same_node(one.node, name):
            return f"the constraint {one.identity} keeps the resource away from it: remove it first"
    count = next((count for node, count in seen.fail_counts if same_node(node, name)), "")
    return f"it has {count} failures on record: repair what failed, then expgsql cleanup {name}" if count else ""


def _not_marked(seen: Deployment, member: Member | None) -> str:
    """Whether the primary has given it the right to succeed (`rules.replication`)."""
    if member is None:
        return "node_list does not name it"
    fit = {DataStatus.SYNC} if seen.parameters.rep_mode is RepMode.SYNC else {DataStatus.SYNC, DataStatus.ASYNC}
    if member.data_status not in fit:
        return f"its data status is {member.data_status or 'not set'}: it may lack commits"
    return "its promotion score forbids it: expgsql why" if member.score in {None, Score.CANNOT} else ""


def _behind(seen: Deployment, primary: NodeFacts | None, standby: NodeFacts | None, name: str) -> str:
    peer = _peer(primary, name)
    if peer is None or peer.state != "streaming":
        return f"it does not stream from {seen.promoted}"
    if seen.parameters.rep_mode is RepMode.SYNC and peer.sync_state not in SYNCHRONOUS:
        return f"no commit waits for it (sync_state {peer.sync_state})"
    if standby is None or standby.server != "standby":
        return f"its server does not answer: {standby.why if standby else 'it was not asked'}"
    lacks = max(0, (primary.lsn or 0 if primary else 0) - (peer.flushed or 0))
    replays = max(0, (standby.lsn or 0) - (standby.replayed or 0))
    if lacks > MOST_BEHIND:
        return f"it is {lacks:,} bytes of WAL behind"
    return f"it still has {replays:,} bytes of WAL to replay" if replays > MOST_BEHIND else ""


def _facts(facts: tuple[NodeFacts, ...], name: str) -> NodeFacts | None:
    return next((one for one in facts if same_node(one.node, name)), None)


def _peer(primary: NodeFacts | None, name: str) -> Peer | None:
    return next((one for one in primary.peers if same_node(one.name, name)), None) if primary else None


# --- how far it has come ----------------------------------------------------------------------


class Ended(NamedTuple):
    """A move has come to its end."""

    objection: str = ""
    """Why the target was not promoted; empty if it is the primary, and what follows the primary is there."""


def outcome(before: Deployment, seen: Deployment, target: str) -> Ended | None:
    """What has become of a move that was asked for; None while it goes on."""
    if same_node(seen.promoted, target):
        return None if _still_moving(before, seen) else Ended()
    new = [one for one in seen.failures if one not in before.failures and one.operation == "promote"]
    reason = next((one.reason for one in new if same_node(one.node, target) and one.resource == seen.resource), None)
    return None if reason is None else Ended(reason or "its promotion failed; its log says why")


def _still_moving(before: Deployment, seen: Deployment) -> list[str]:
    """What followed the primary before and has not come to where it is now."""
    followed = {one.name for one in before.companions if one.role == "primary" and before.promoted in one.nodes}
    return [one.name for one in seen.companions if one.name in followed and one.nodes != (seen.promoted,)]


# --- a node that is to be left alone ----------------------------------------------------------


class Leave(NamedTuple):
    """A node may be put into standby."""

    handover: Handover | None = None
    """What has to come before."""
    warning: str = ""


def leave(seen: Deployment, facts: tuple[NodeFacts, ...], name: str) -> Leave | Already | Refusal:
    """Whether a node may run no resources from now on, and what it costs."""
    node = seen.node(name)
    if node is None:
        known = ", ".join(one.name for one in seen.nodes)
        return Refusal(f"the cluster has no node {name} (its nodes: {known})", Objection.ARGUMENTS)
    if node.standby:
        return Already(node.name)
    objection = view_objection(seen)
    if objection:
        return objection
    if same_node(node.name, seen.promoted):
        found = plan(seen, facts)
        return Leave(found) if isinstance(found, Handover) else _no_successor(found)
    return Leave(warning=_costs(seen, facts, node.name))


def _no_successor(found: Already | Refusal) -> Refusal:
    assert isinstance(found, Refusal)  # noqa: S101 - without a target nobody is "already" there
    return found._replace(reason=f"it is the primary, and nobody would be in its place: {found.reason}")


def _costs(seen: Deployment, facts: tuple[NodeFacts, ...], name: str) -> str:
    primary = _facts(facts, seen.promoted)
    streaming = [one for one in primary.peers if one.state == "streaming"] if primary else []
    mine = [one for one in streaming if same_node(one.name, name)]
    if not mine or len(streaming) > 1:
        return ""
    if seen.parameters.strict_sync:
        return f"{name} is the only standby, and strict_sync is set: no commit will succeed until it is back"
    return f"{name} is the only standby: until it is back, commits are on {seen.promoted} alone"


# --- after maintenance ------------------------------------------------------------------------


def serving(seen: Deployment, facts: tuple[NodeFacts, ...]) -> str:
    """The recorded primary, where its server is the only one that accepts writes; empty otherwise."""
    found = [one.node for one in facts if one.server == "primary"]
    recorded = seen.view.repl_info.node if seen.view.repl_info else ""
    return recorded if len(found) == 1 and same_node(found[0], recorded) else ""


def coordinated(seen: Deployment) -> bool:
    """Whether somebody decides: after a start the last coordinator's name is there before he is."""
    return any(node.coordinates and node.online for node in seen.nodes)


def knows(seen: Deployment, primary: str) -> bool:
    """Whether Pacemaker has looked at the servers since it was started, and found the primary."""
    return coordinated(seen) and same_node(seen.promoted, primary)


def unscored(seen: Deployment, primary: str) -> bool:
    """Whether Pacemaker would demote this primary for want of a promotion score as soon as it manages it again.

    It forgets the scores when it is restarted, and in maintenance no monitor gives them again.
    """
    member = seen.view.member(primary)
    return member is not None and member.score is None
