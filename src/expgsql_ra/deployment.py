# SPDX-License-Identifier: GPL-2.0-or-later
"""The whole deployment as an operator sees it: what of the cluster is ours, its nodes, and each node's server.

Facts only, frozen. Commands read them once (`effects.deployed`, `effects.inquiry`), rules judge them.
Nothing is hard-coded: resource, clone, addresses, user and port come from the cluster itself.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from expgsql_ra.parameters import Parameters
from expgsql_ra.record import Kept
from expgsql_ra.snapshot import ClusterView
from expgsql_ra.values import SWITCHOVER, TEMPORARY, Fork, Lsn, same_node


class ClusterNode(NamedTuple):
    """One node, as Pacemaker sees it."""

    name: str
    online: bool
    standby: bool = False
    maintenance: bool = False
    pending: bool = False
    unclean: bool = False
    coordinates: bool = False
    """Whether it is the designated controller."""


class Companion(NamedTuple):
    """A resource that the cluster places by ours: an address, mostly."""

    name: str
    agent: str
    address: str
    """What the parameter ``ip`` says; empty for anything but an address."""
    nodes: tuple[str, ...]
    """Where it runs now."""
    role: str = ""
    """``primary`` where it follows the promoted instance, ``standby`` where a status; empty if neither."""


class Failure(NamedTuple):
    """One failed action that Pacemaker remembers, of ours or of a companion."""

    node: str
    resource: str
    operation: str
    code: int
    reason: str
    """The agent's own exit reason, which names the remedy."""
    time: str


def move_of(resource: str) -> str:
    """The constraint that moves the promoted role of a resource."""
    return f"{SWITCHOVER}{resource}"


class Constraint(NamedTuple):
    """A location constraint that binds our resource to a node, or keeps it away."""

    identity: str
    node: str
    score: str

    @property
    def ours(self) -> bool:
        """Whether a command of ours laid it down, to lift it again."""
        return self.identity.startswith(TEMPORARY)


class Deployment(NamedTuple):
    """One reading of the cluster."""

    resource: str
    clone: str
    """The promotable clone around it; empty for a plain primitive."""
    parameters: Parameters
    view: ClusterView
    nodes: tuple[ClusterNode, ...]
    roles: tuple[tuple[str, str], ...]
    """Node and role (Promoted, Unpromoted, Started, Stopped) of each instance that Pacemaker knows."""
    companions: tuple[Companion, ...]
    failures: tuple[Failure, ...]
    fail_counts: tuple[tuple[str, str], ...]
    """Node and fail count of our resource, where it is not 0."""
    properties: tuple[tuple[str, str], ...]
    managed: bool = True
    disabled: bool = False
    constraints: tuple[Constraint, ...] = ()
    """What binds our resource to nodes by name, ours and those of others."""
    stuck: bool = False
    """Whether resources stick to their places for ever (``resource-stickiness=INFINITY``)."""

    @property
    def me(self) -> str:
        """This node, as the cluster spells it."""
        return self.view.me

    @property
    def subject(self) -> str:
        """What Pacemaker's commands are given: the clone, or the primitive where there is none."""
        return self.clone or self.resource

    @property
    def promoted(self) -> str:
        """The node that Pacemaker has promoted; empty if there is none, or more than one."""
        found = [node for node, role in self.roles if role == "Promoted"]
        return found[0] if len(found) == 1 else ""

    def node(self, name: str) -> ClusterNode | None:
        """A node by its name, however it is spelled."""
        return next((one for one in self.nodes if same_node(one.name, name)), None)

    def role(self, name: str) -> str:
        """What Pacemaker makes of the instance on a node."""
        return next((role for node, role in self.roles if same_node(node, name)), "Stopped")

    def setting(self, name: str, default: str = "") -> str:
        """One of the cluster's properties."""
        return dict(self.properties).get(name, default)


class Peer(NamedTuple):
    """A server that receives WAL from this one (``pg_stat_replication``)."""

    name: str
    state: str
    sync_state: str
    flushed: Lsn | None


class NodeFacts(NamedTuple):
    """What one node says of its own PostgreSQL. ``server`` names the kind of answer; the rest may be missing."""

    node: str
    server: str
    """``primary``, ``standby``, ``stopped``, ``starting``, ``stalled``, ``refusing``, ``orphans`` or ``unknown``."""
    why: str = ""
    version: str = ""
    system: str = ""
    timeline: int = 0
    lsn: Lsn | None = None
    """Of a primary what is flushed, of a standby the end of what it holds, of a stopped server what it reached."""
    replayed: Lsn | None = None
    receiver: str = ""
    seconds_behind: float | None = None
    """Of a standby: the age of the last replayed commit, 0 where everything received is replayed."""
    names: str = ""
    """``synchronous_standby_names``."""
    peers: tuple[Peer, ...] = ()
    state: str = ""
    """Of a stopped server: the state in ``pg_controldata``."""
    checkpoint: Lsn | None = None
    forks: tuple[Fork, ...] = ()
    marks: tuple[str, ...] = ()
    """What stands in the way of a start: half-finished repairs, a directory that strayed."""

    kept: Kept | None = None
    """What its data directory knows of itself; None where that is not known, or it has not been started yet."""
    override: str = ""
    """What an operator's override of the arbiter has done or allows there; empty without one."""

    @property
    def answers(self) -> bool:
        """Whether a server runs there and spoke to us."""
        return self.server in {"primary", "standby"}


def unreachable(node: str, why: str) -> NodeFacts:
    """The facts of a node that could not be asked."""
    return NodeFacts(node, "unknown", why)


def facts_as_mapping(facts: NodeFacts) -> dict[str, Any]:
    """For JSON: positions as PostgreSQL writes them."""
    return {
        **facts._asdict(),
        "lsn": _text(facts.lsn),
        "replayed": _text(facts.replayed),
        "checkpoint": _text(facts.checkpoint),
        "forks": [[fork.timeline, str(fork.end)] for fork in facts.forks],
        "peers": [{**peer._asdict(), "flushed": _text(peer.flushed)} for peer in facts.peers],
        "marks": list(facts.marks),
        "kept": None if facts.kept is None else facts.kept._asdict(),
    }


def facts_from_mapping(given: dict[str, Any]) -> NodeFacts:
    """Read what `facts_as_mapping` made; ValueError, KeyError or TypeError for anything else."""
    return NodeFacts(**given)._replace(
        lsn=_lsn(given["lsn"]),
        replayed=_lsn(given["replayed"]),
        checkpoint=_lsn(given["checkpoint"]),
        forks=tuple(Fork(int(timeline), Lsn.parse(end)) for timeline, end in given["forks"]),
        peers=tuple(Peer(**{**peer, "flushed": _lsn(peer["flushed"])}) for peer in given["peers"]),
        marks=tuple(str(mark) for mark in given["marks"]),
        kept=None if given["kept"] is None else Kept(**given["kept"]),
    )


def _text(lsn: Lsn | None) -> str | None:
    return None if lsn is None else str(lsn)


def _lsn(text: str | None) -> Lsn | None:
    return None if text is None else Lsn.parse(text)
