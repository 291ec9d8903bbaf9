# SPDX-License-Identifier: GPL-2.0-or-later
"""Whole deployments for the commands that look, said in a few words: a healthy one, and changes to it."""

from __future__ import annotations

from tests.builders import SYSTEM, a_history, some_parameters
from tests.fake_operator import a_deployment, a_peer, facts_of_primary, facts_of_standby

from expgsql_ra.deployment import ClusterNode, Deployment, NodeFacts
from expgsql_ra.overview import Overview
from expgsql_ra.record import Found, Kept, Lease, Reading, Record, Successor
from expgsql_ra.snapshot import Member
from expgsql_ra.values import Attestation, RepMode

HISTORY = a_history("1@0/4000")
TIME = "2026-11-20T21:00:00Z"


def a_record(primary: str = "node1", *others: str, holder: str = "", seconds_left: float = 0.0) -> Record:
    """A record of epoch 2; the directories are called after their nodes."""
    names = sorted({primary, *(others or ("node2",))})
    successors = tuple(Successor(name, f"id-{name}") for name in names)
    lease = Lease.of(holder, seconds_left)
    return Record(SYSTEM, 2, 7, primary, successors, lease, primary, "2026-11-20T20:00:00Z", "a reason")


def an_overview(
    *facts: NodeFacts, seen: Deployment | None = None, reading: Reading | None = None, primary: str = "node1"
) -> Overview:
    """A healthy cluster; ``facts`` replace what the nodes of these names say."""
    deployment = seen or a_healthy_deployment(primary)
    told = {one.node: one for one in healthy_facts(deployment.promoted)} | {one.node: one for one in facts}
    return Overview(deployment, tuple(told.values()), reading or Found(a_record(primary or "node1")), TIME)


def a_healthy_deployment(primary: str = "node1") -> Deployment:
    """Three nodes; each standby has said that it follows."""
    seen = a_deployment(primary=primary, synchronous="node2" if primary != "node2" else "node1")
    return with_members(seen, *(follows(one) for one in seen.view.members if one.name != primary))


def healthy_facts(primary: str) -> tuple[NodeFacts, ...]:
    """What the three nodes say; without a primary nobody streams."""
    names = [name for name in ("node1", "node2", "node3") if name != primary]
    kept = {name: Kept(f"id-{name}", 0, 0) for name in names}
    if not primary:
        return tuple(facts_of_standby(name, receiver="")._replace(kept=kept[name]) for name in names)
    peers = [a_peer(name, "sync" if name == names[0] else "async") for name in names]
    server = facts_of_primary(primary, *peers)._replace(kept=Kept(f"id-{primary}", 2, 2))
    return (server, *(facts_of_standby(name)._replace(kept=kept[name]) for name in names))


def follows(member: Member) -> Member:
    """A standby that has given its word."""
    return member._replace(follows=Attestation(f"id-{member.name}", HISTORY.current, HISTORY.forks))


def with_members(seen: Deployment, *members: Member) -> Deployment:
    """Other attributes of some nodes."""
    changed = {one.name: one for one in members}
    all_members = tuple(changed.get(one.name, one) for one in seen.view.members)
    return seen._replace(view=seen.view._replace(members=all_members))


def with_node(seen: Deployment, node: ClusterNode) -> Deployment:
    """One node as Pacemaker sees it now."""
    nodes = tuple(node if one.name == node.name else one for one in seen.nodes)
    return seen._replace(nodes=nodes)


def with_parameters(seen: Deployment, **changes: object) -> Deployment:
    """Other parameters of the resource."""
    mode = RepMode(str(changes.pop("rep_mode", RepMode.SYNC)))
    return seen._replace(parameters=some_parameters(mode, **changes))


def offline(seen: Deployment, name: str) -> Deployment:
    """A node that is not there any more: it runs nothing, and its attributes are gone."""
    member = next(one for one in seen.view.members if one.name == name)
    gone = member._replace(online=False, status=None, score=None)
    roles = tuple(pair for pair in seen.roles if pair[0] != name)
    return with_node(with_members(seen, gone), ClusterNode(name, online=False))._replace(roles=roles)


def nobody_promoted(seen: Deployment) -> Deployment:
    """The primary was demoted or lost; its node is there."""
    return seen._replace(
        roles=tuple((node, "Unpromoted") for node, _ in seen.roles), view=seen.view._replace(promoted=())
    )
