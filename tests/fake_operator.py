# SPDX-License-Identifier: GPL-2.0-or-later
"""The small fakes of the interfaces in ``site.py``, for procedures: a cluster that a test describes and changes.

Every effect, on Pacemaker or on a node, is noted in order as one line of text, and a run can be killed after any of
them (`Killed`). What the cluster makes of an effect, a test says by `FakeCluster.reaction`; what happens while a
procedure waits, by `FakeCluster.passing`, which is called at each look.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeVar

from tests.builders import NODES, SYSTEM, a_member, a_view, some_parameters
from tests.fakes import FakeClock, Killed

from expgsql_ra.deployment import ClusterNode, Companion, Constraint, Deployment, NodeFacts, Peer, unreachable
from expgsql_ra.errors import Refused
from expgsql_ra.events import Kind, NodeHistory
from expgsql_ra.parameters import Parameters
from expgsql_ra.site import Site
from expgsql_ra.snapshot import Member
from expgsql_ra.values import DataStatus, Fork, Lsn, Score, Status, same_node

Found = TypeVar("Found")
FORKS = (Fork(1, Lsn.parse("0/4000")),)
VIP = "192.0.2.100"


# --- builders ---------------------------------------------------------------------------------


def a_node(name: str, *, online: bool = True, standby: bool = False, maintenance: bool = False) -> ClusterNode:
    """A node as Pacemaker sees it; the first one coordinates."""
    return ClusterNode(name, online, standby, maintenance, coordinates=name == NODES[0])


def a_deployment(
    *nodes: ClusterNode | str, primary: str = "node1", synchronous: str = "node2", me: str = "node1"
) -> Deployment:
    """A healthy cluster: a primary, a synchronous standby, the rest asynchronous; an address at either."""
    all_nodes = tuple(a_node(one) if isinstance(one, str) else one for one in nodes or NODES)
    names = tuple(one.name for one in all_nodes)
    members = tuple(_member(name, primary, synchronous) for name in names)
    view = a_view(*members, me=me, recorded=primary or None, promoted=(primary,) if primary else ())
    up = [one.name for one in all_nodes if one.online and not one.standby]
    return Deployment(
        resource="pgsql",
        clone="msPostgresql",
        parameters=some_parameters(node_list=names),
        view=view._replace(nodes=names),
        nodes=all_nodes,
        roles=tuple((name, "Promoted" if name == primary else "Unpromoted") for name in up),
        companions=(
            Companion("vip-master", "ocf:heartbeat:IPaddr2", VIP, (primary,) if primary else (), "primary"),
            Companion("vip-slave", "ocf:heartbeat:IPaddr2", "192.0.2.101", (synchronous,), "standby"),
        ),
        failures=(),
        fail_counts=(),
        properties=(("no-quorum-policy", "stop"),),
    )


def _member(name: str, primary: str, synchronous: str) -> Member:
    if name == primary:
        return a_member(name, status=Status.PRIMARY, data_status=DataStatus.LATEST, score=Score.PRIMARY)
    if name == synchronous:
        return a_member(name, status=Status.SYNC, data_status=DataStatus.SYNC, score=Score.CAN)
    return a_member(name, status=Status.ASYNC, data_status=DataStatus.ASYNC, score=Score.CANNOT)


def facts_of_primary(node: str = "node1", *peers: Peer, lsn: str = "0/5000") -> NodeFacts:
    """A primary on timeline 2; the first of its standbys is the synchronous one."""
    names = f'FIRST 1 ("{peers[0].name}")' if peers else ""
    return NodeFacts(
        node,
        "primary",
        version="15.4",
        system=SYSTEM,
        timeline=2,
        lsn=Lsn.parse(lsn),
        names=names,
        peers=peers,
        forks=FORKS,
    )


def a_peer(name: str = "node2", sync_state: str = "sync", *, state: str = "streaming", flushed: str = "0/5000") -> Peer:
    """A standby as its primary sees it."""
    return Peer(name, state, sync_state, Lsn.parse(flushed))


def facts_of_standby(node: str = "node2", *, receiver: str = "streaming", lsn: str = "0/5000") -> NodeFacts:
    """A standby on timeline 2 that has replayed everything."""
    return NodeFacts(
        node,
        "standby",
        version="15.4",
        system=SYSTEM,
        timeline=2,
        lsn=Lsn.parse(lsn),
        replayed=Lsn.parse(lsn),
        receiver=receiver,
        seconds_behind=0.0,
        forks=FORKS,
    )


def facts_of_stopped(
    node: str = "node1", *, lsn: str = "0/5000", timeline: int = 2, state: str = "shut down"
) -> NodeFacts:
    """A server that was shut down."""
    position = Lsn.parse(lsn)
    return NodeFacts(
        node,
        "stopped",
        system=SYSTEM,
        timeline=timeline,
        lsn=position,
        state=state,
        checkpoint=position,
        forks=FORKS[: timeline - 1],
    )


# --- the fakes --------------------------------------------------------------------------------


class Answer(NamedTuple):
    """How a program ended (`site.Done`)."""

    code: int = 0
    out: str = ""
    err: str = ""

    @property
    def tail(self) -> str:
        """The end of what it complained about."""
        return " ".join((self.err or self.out).split())[-300:]


class FakeConsole:
    """Keeps what was said; answers every question with ``agrees``."""

    def __init__(self, cluster: FakeCluster, *, agrees: bool = True) -> None:
        self.said: list[str] = []
        self.warned: list[str] = []
        self.asked: list[str] = []
        self.waited: list[str] = []
        self.agrees = agrees
        self._cluster = cluster

    def say(self, text: str) -> None:
        """Keep it."""
        self.said.append(text)

    def warn(self, text: str) -> None:
        """Keep it."""
        self.warned.append(text)

    def confirm(self, question: str) -> None:
        """The real one raises `Failure`, which procedures do not know either."""
        self.asked.append(question)
        if not self.agrees:
            raise Refused("nothing was changed")

    def wait(self, what: str, look: Callable[[], Found | None], within: float) -> Found | None:
        """Look every quarter of a second of the fake clock's time."""
        self.waited.append(what)
        clock = self._cluster.clock
        end = clock.now() + within
        while True:
            found = look()
            if found is not None or clock.now() >= end:
                return found
            clock.pause(0.25)
            self._cluster.passing()


class FakeCluster:
    """Reader, Hosts and Manager over one deployment that tests describe."""

    def __init__(self, deployment: Deployment | None = None, *facts: NodeFacts) -> None:
        self.now = deployment or a_deployment()
        self.servers = {one.node: one for one in facts or _healthy(self.now)}
        self.turning_away: tuple[str, ...] = ()
        self.done: list[str] = []
        """Every effect, in order: ``standby node2 on`` or ``node1$ systemctl start pacemaker``."""
        self.stdin: list[str] = []
        """What programs on nodes were given, for those that were given something."""
        self.events: list[tuple[Kind, str, str]] = []
        """What the journal was given: kind, node and reason."""
        self.kill_after: int | None = None
        self.reaction: Callable[[str], None] = lambda _effect: None
        self.passing: Callable[[], None] = lambda: None
        self.answers: dict[str, Answer] = {}
        """What programs answer, by the beginning of their line; success where nothing is said."""
        self.clock = FakeClock()
        self.console = FakeConsole(self)

    def site(self, *, dry_run: bool = False) -> Site:
        """Everything a procedure works with. With ``dry_run`` effects on Pacemaker are said and not done."""
        manager = ShownManager(self) if dry_run else self
        return Site(self, self, manager, self.console, self.clock, dry_run, self)

    # Reader

    def deployment(self) -> Deployment:
        """The cluster as the test has made it."""
        return self.now

    def answering(self, parameters: Parameters, places: Sequence[str]) -> tuple[str, ...]:
        """Where something was said to turn everybody away."""
        del parameters
        return tuple(place for place in places if place in self.turning_away)

    def writable(self, parameters: Parameters, places: Sequence[str]) -> tuple[str, ...]:
        """Where a primary was described."""
        del parameters
        return tuple(place for place in places if place in self.servers and self.servers[place].server == "primary")

    def facts(self, nodes: Iterable[str]) -> tuple[NodeFacts, ...]:
        """What these nodes say; nothing of those that the test did not describe."""
        return tuple(self.servers.get(node, unreachable(node, "ssh does not get there")) for node in nodes)

    # Hosts

    def run(self, node: str, words: Sequence[str], within: float, stdin: str = "") -> Answer:
        """Note the program, let the cluster react, give the answer that was prepared."""
        del within
        line = f"{node}$ {' '.join(words)}"
        if stdin:
            self.stdin.append(stdin)
        self.happened(line)
        fitting = [answer for beginning, answer in self.answers.items() if line.startswith(beginning)]
        return fitting[0] if fitting else Answer()

    def ours(self, *words: str) -> list[str]:
        """As a person types it."""
        return ["expgsql", *words]

    def everywhere(self, nodes: Sequence[str], words: Sequence[str], within: float) -> tuple[str, ...]:
        """One after the other."""
        answers = [self.run(node, words, within) for node in nodes]
        return tuple(f"failed: {one.tail}" if one.code else "" for one in answers)

    # Journal

    def record(self, resource: str, kind: Kind, node: str, reason: str, timeline: int = 0) -> None:
        """Kept."""
        del resource, timeline
        self.events.append((kind, node, reason))

    def gather(self, resource: str, nodes: Iterable[str]) -> tuple[NodeHistory, ...]:
        """Nothing is asked for here."""
        del resource, nodes
        return ()

    # Manager

    def cleanup(self, resource: str, node: str = "") -> None:
        """Failures and their counts are gone."""
        kept = [one for one in self.now.failures if one.resource != resource or (node and one.node != node)]
        counts = [one for one in self.now.fail_counts if node and one[0] != node]
        self.now = self.now._replace(failures=tuple(kept), fail_counts=tuple(counts))
        self.happened(f"cleanup {resource} {node}".strip())

    def refresh(self, resource: str, node: str = "") -> None:
        """Noted."""
        self.happened(f"refresh {resource} {node}".strip())

    def standby(self, node: str, on: bool) -> None:
        """The node says so at once; what becomes of its resources is the test's to say."""
        self.change(node, lambda one: one._replace(standby=on))
        self.happened(f"standby {node} {_onoff(on)}")

    def maintenance(self, on: bool, node: str = "") -> None:
        """The node says so, or the cluster's property."""
        if node:
            self.change(node, lambda one: one._replace(maintenance=on))
        else:
            self._property("maintenance-mode", str(on).lower())
        self.happened(f"maintenance {_onoff(on)} {node}".strip())

    def enable(self, resource: str, on: bool) -> None:
        """Its target role."""
        self.now = self.now._replace(disabled=not on)
        self.happened(f"enable {resource} {_onoff(on)}")

    def ban(self, resource: str, node: str, promoted: bool) -> None:
        """Noted."""
        self.happened(f"ban {resource} {node}{' promoted' if promoted else ''}")

    def clear(self, resource: str) -> None:
        """Noted."""
        self.happened(f"clear {resource}")

    def move(self, resource: str, node: str, seconds: float, away_from: str = "") -> None:
        """The constraint is there."""
        del seconds
        constraint = Constraint(f"expgsql-switchover-{resource}", node, "INFINITY")
        self.now = self.now._replace(constraints=(*self.now.constraints, constraint))
        self.happened(f"move {resource} {node}{f' away from {away_from}' if away_from else ''}")

    def lift(self, constraint: str) -> None:
        """And gone."""
        kept = tuple(one for one in self.now.constraints if one.identity != constraint)
        self.now = self.now._replace(constraints=kept)
        self.happened(f"lift {constraint}")

    def set_property(self, name: str, value: str) -> None:
        """Kept; without a value removed."""
        self._property(name, value)
        self.happened(f"property {name}={value}")

    def set_attribute(self, node: str, name: str, value: str, lasting: bool) -> None:
        """Noted; a promotion score is seen from then on."""
        if name == f"master-{self.now.resource}":
            self.score(node, value)
        self.happened(f"attribute {node} {name}={value}{' lasting' if lasting else ''}")

    # What tests say

    def happened(self, effect: str) -> None:
        """Note an effect, let the cluster react, and kill the run if it is its turn."""
        self.done.append(effect)
        self.reaction(effect)
        if self.kill_after is not None and len(self.done) >= self.kill_after:
            raise Killed(effect)

    def promote(self, node: str) -> None:
        """Another primary, with its address; whoever was it streams from it."""
        old = self.now
        standby = next((one for one, role in old.roles if role == "Promoted"), "") or node
        fresh = a_deployment(*old.nodes, primary=node, synchronous=standby if standby != node else "", me=old.me)
        self.now = fresh._replace(
            properties=old.properties, failures=old.failures, fail_counts=old.fail_counts, constraints=old.constraints
        )
        self.servers |= {one.node: one for one in _healthy(self.now)}

    def score(self, node: str, value: str | None) -> None:
        """Give a node another promotion score, or none."""
        view = self.now.view
        members = tuple(one._replace(score=value) if same_node(one.name, node) else one for one in view.members)
        self.now = self.now._replace(view=view._replace(members=members))

    def change(self, node: str, change: Callable[[ClusterNode], ClusterNode]) -> None:
        """A node becomes another in Pacemaker's eyes."""
        nodes = tuple(change(one) if same_node(one.name, node) else one for one in self.now.nodes)
        self.now = self.now._replace(nodes=nodes)

    def _property(self, name: str, value: str) -> None:
        others = tuple(pair for pair in self.now.properties if pair[0] != name)
        self.now = self.now._replace(properties=(*others, (name, value)) if value else others)


class ShownManager:
    """What ``--dry-run`` puts in the manager's place: everything is said, nothing done."""

    def __init__(self, cluster: FakeCluster) -> None:
        self._console = cluster.console

    def __getattr__(self, name: str) -> Callable[..., None]:
        """Any of its methods."""

        def shown(*values: object) -> None:
            self._console.say(f"would run: {name} {' '.join(map(str, values))}".rstrip())

        return shown


def _healthy(deployment: Deployment) -> list[NodeFacts]:
    """Everybody serves as Pacemaker believes."""
    sync = [one.name for one in deployment.view.members if one.status == Status.SYNC]
    standbys = [node for node, role in deployment.roles if role == "Unpromoted"]
    peers = [
        a_peer(node, "sync" if node in sync else "async") for node in sorted(standbys, key=lambda n: n not in sync)
    ]
    primary = [facts_of_primary(deployment.promoted, *peers)] if deployment.promoted else []
    return primary + [facts_of_standby(node) for node in standbys]


def _onoff(on: bool) -> str:
    return "on" if on else "off"
