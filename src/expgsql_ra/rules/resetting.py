# SPDX-License-Identifier: GPL-2.0-or-later
"""Naming a primary by hand, where the rules let nobody be promoted: whether that may be, who, and what is lost by it.

The last resort: a node is named although nobody knows whether it has every acknowledged commit. So every node is
asked, and whoever is left out is left out by name.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from expgsql_ra.deployment import Deployment, NodeFacts
from expgsql_ra.rules.switching import Already, Objection, Refusal, in_maintenance, view_objection
from expgsql_ra.values import Fork, Lsn, ReplInfo, RepMode, same_node


class Naming(NamedTuple):
    """A node may be named."""

    node: str
    info: ReplInfo
    """What the cluster is to be told: who, and from which end of which timeline."""
    lost: tuple[str, ...]
    """What this primary lacks and others have, or may have."""


class Outside(NamedTuple):
    """What was found by asking servers directly."""

    writable: tuple[str, ...] = ()
    """Places where one accepts writes."""
    answering: tuple[str, ...] = ()
    """Where one is there at all and should not be: of nodes that are said to be off, and of the primary's address."""


def named(
    seen: Deployment,
    facts: tuple[NodeFacts, ...],
    primary: str,
    without: tuple[str, ...],
    outside: Outside,
) -> Naming | Already | Refusal:
    """Who is to be the primary: ``primary``, or whoever has most where it is empty.

    ``without``: nodes that are off and stay off.
    `Already`: that one is the primary by now, as after a call that was interrupted after its last write.
    """
    strange = [name for name in (*without, *filter(None, (primary,))) if seen.node(name) is None]
    if strange:
        return Refusal(f"the cluster has no node {', '.join(strange)}", Objection.ARGUMENTS)
    if primary and _among(primary, without):
        return Refusal(f"{primary} is named as the primary and left out at the same time", Objection.ARGUMENTS)
    writable, answering = outside
    objection = view_objection(seen) or _general(seen)
    if not objection and primary and _serves_alone(seen, facts, primary, writable):
        return Already(primary)
    objection = (
        objection
        or _living(seen, facts, writable)
        or _answering(answering)
        or _left_out(seen, without)
        or _unknown(facts, without)
    )
    return objection or _chosen(facts, primary)


def _general(seen: Deployment) -> Refusal | None:
    if seen.parameters.rep_mode not in {RepMode.SYNC, RepMode.ASYNC}:
        return Refusal(f"with rep_mode={seen.parameters.rep_mode} there is no primary to name")
    if in_maintenance(seen) or not seen.managed:
        return Refusal("Pacemaker leaves the resource alone (maintenance): expgsql maintenance off")
    if seen.disabled:
        return Refusal("the resource is stopped on purpose, which is why there is no primary: expgsql start")
    return None


def _serves_alone(seen: Deployment, facts: tuple[NodeFacts, ...], primary: str, writable: tuple[str, ...]) -> bool:
    """Whether that node answers as the primary, and nobody else does anywhere; Pacemaker may not know it yet."""
    answering = {one.node for one in facts if one.server == "primary"}
    elsewhere = [one for one in (*answering, *writable) if not _among(one, (primary, seen.parameters.master_ip))]
    return _among(seen.promoted or primary, (primary,)) and _among(primary, answering) and not elsewhere


def _living(seen: Deployment, facts: tuple[NodeFacts, ...], writable: tuple[str, ...]) -> Refusal | None:
    """A primary that lives anywhere: nobody is to be promoted beside it."""
    found = {one.node for one in facts if one.server == "primary"} | set(writable)
    found |= {seen.promoted} if seen.promoted else set()
    if found:
        return Refusal(f"there is a primary: {', '.join(sorted(found))}. To move it: expgsql switchover")
    streaming = [one.node for one in facts if one.server == "standby" and one.receiver == "streaming"]
    if streaming:
        return Refusal(f"{', '.join(streaming)} receives WAL: its primary lives somewhere; stop that one first")
    return None


def _answering(places: tuple[str, ...]) -> Refusal | None:
    """A server that may turn us away and be a primary all the same."""
    if not places:
        return None
    return Refusal(f"a server answers at {', '.join(places)}, and may be a primary: stop it there first")


def _left_out(seen: Deployment, without: tuple[str, ...]) -> Refusal | None:
    present = [name for name in without if (node := seen.node(name)) and node.online]
    if present:
        return Refusal(
            f"{', '.join(present)} is a member of the cluster just now and cannot be left out: stop it first"
        )
    return None


def _unknown(facts: tuple[NodeFacts, ...], without: tuple[str, ...]) -> Refusal | None:
    needed = [one for one in facts if not _among(one.node, without)]
    silent = [one for one in needed if one.server not in {"standby", "stopped"}]
    if silent:
        told = "; ".join(f"{one.node} is {one.server}{f' ({one.why})' if one.why else ''}" for one in silent)
        names = " ".join(f"--without {one.node}" for one in silent)
        return Refusal(
            f"not every node tells what it has: {told}. Bring it up, or, if it is off and its data are to be given "
            f"up, leave it out: {names}"
        )
    if not needed:
        return Refusal("no node is left to be named")
    if len({one.system for one in needed}) > 1:
        told = ", ".join(f"{one.node}: {one.system or 'unknown'}" for one in needed)
        return Refusal(f"the nodes hold different database systems ({told}): rebuild the wrong ones first")
    empty = [one.node for one in needed if one.lsn is None or not one.timeline]
    return Refusal(f"{', '.join(empty)} does not tell how far its data goes") if empty else None


def _chosen(facts: tuple[NodeFacts, ...], primary: str) -> Naming | Refusal:
    able = [one for one in facts if one.server in {"standby", "stopped"}]
    best = max(able, key=_reach)
    chosen = next((one for one in able if same_node(one.node, primary)), None) if primary else best
    if chosen is None:
        return Refusal(f"{primary} does not tell what it has: it cannot be named")
    others = [one for one in able if one.node != chosen.node]
    lost = tuple(filter(None, (_lost(chosen, one) for one in others)))
    return Naming(chosen.node, ReplInfo(chosen.node, *_reach(chosen)), lost)


def _reach(one: NodeFacts) -> tuple[int, Lsn]:
    """A timeline outranks any position (`rules.election`)."""
    return one.timeline, one.lsn or Lsn(0)


def _lost(chosen: NodeFacts, other: NodeFacts) -> str:
    """What another node has and the chosen one lacks; empty if nothing."""
    if other.timeline > chosen.timeline:
        return f"everything that {other.node} has of timeline {other.timeline}, which {chosen.node} does not know"
    mine = chosen.lsn or Lsn(0)
    until = mine if other.timeline == chosen.timeline else _end_of(chosen.forks, other.timeline)
    if until is None:
        return f"everything that {other.node} has of its own timeline {other.timeline}, where the histories parted"
    more = (other.lsn or Lsn(0)) - until
    if more > 0:
        return f"{more:,} bytes of WAL that {other.node} has on timeline {other.timeline} beyond {until}"
    if other.server == "stopped" and other.state in {"in production", "shutting down"}:
        return f"what {other.node} wrote last before it died: its server was not shut down, and its end is not known"
    return ""


def _end_of(forks: tuple[Fork, ...], timeline: int) -> Lsn | None:
    return next((fork.end for fork in forks if fork.timeline == timeline), None)


def _among(name: str, names: Iterable[str]) -> bool:
    return any(same_node(name, one) for one in names)


# --- for people -------------------------------------------------------------------------------


def compared(facts: tuple[NodeFacts, ...]) -> tuple[str, ...]:
    """What each node has, a line each, whoever has most first."""
    known = sorted(facts, key=_reach, reverse=True)
    width = max((len(one.node) for one in known), default=0)
    return tuple(f"{one.node:<{width}}  {_described(one)}" for one in known)


def _described(one: NodeFacts) -> str:
    if one.lsn is None:
        return f"{one.server}: {one.why or 'nothing is known'}"
    state = f", {one.state}" if one.state else ""
    return f"timeline {one.timeline}, WAL up to {one.lsn} ({one.server}{state})"


def with_arbiter(seen: Deployment, node: str) -> str:
    """What to do instead, where the record is not the cluster's to write; empty where it is."""
    parameters = seen.parameters
    if not parameters.enable_distlock:
        return ""
    if not parameters.distlock_conninfo:
        return (
            "with lock commands the record is made by hand: remove the old one (crm_attribute -t crm_config -s "
            f"pgsql_replication -n {seen.resource}_RECORD -D), then expgsql arbiter init --conninfo cluster: "
            f"--lockname {seen.resource} --primary {node}"
        )
    return (
        "the arbiter keeps the record, and this command never writes it. If the arbiter answers, whoever it names may "
        f"be promoted (expgsql arbiter show); to name {node} against it, begin a record under a NEW lock name: expgsql "
        f"arbiter init --conninfo ... --lockname NEW --primary {node}, then pcs resource update {seen.resource} "
        f"distlock_lockname=NEW. If the arbiter is gone for good: expgsql arbiter override, on {node}"
    )
