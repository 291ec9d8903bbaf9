# SPDX-License-Identifier: GPL-2.0-or-later
"""Several servers, the network between them and the cluster that runs the agent's actions on them.

After every effect of every action the promises are checked: nobody but the recorded primary has names
that can be satisfied while it accepts writes (R13), whoever may succeed is waited for (I4 of the safety
model), and no acknowledged commit is missing from the recorded primary (I1).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from tests.builders import NODES, a_context, some_parameters
from tests.fake_postgresql import FakeServer
from tests.fakes import Effects, FakeClock, FakeCluster, FakeMemory, Killed, QuietLog

from expgsql_ra.actions.demote import demote
from expgsql_ra.actions.monitor import monitor
from expgsql_ra.actions.notify import notify
from expgsql_ra.actions.promote import promote
from expgsql_ra.actions.start import start
from expgsql_ra.actions.stop import stop
from expgsql_ra.actions.validate import validate
from expgsql_ra.errors import AgentError
from expgsql_ra.parameters import Parameters
from expgsql_ra.rules.health import Report
from expgsql_ra.rules.replication import CLOSED, named_among
from expgsql_ra.snapshot import Sender
from expgsql_ra.values import DataStatus, Lsn, RepMode, same_node
from expgsql_ra.world import Deadline, World

ACTIONS: dict[str, Callable[[World], Report]] = {
    "demote": demote,
    "monitor": monitor,
    "notify": notify,
    "promote": promote,
    "start": start,
    "stop": stop,
    "validate-all": validate,
}
KILLED = -9
NOTHING: Mapping[str, str] = {}


class PromiseBroken(Exception):
    """What must hold after every effect does not."""


class Ran(NamedTuple):
    """How an action ended."""

    code: int
    reason: str | None


class Site:
    """A whole installation in memory."""

    def __init__(self, mode: RepMode = RepMode.SYNC, nodes: tuple[str, ...] = NODES, **parameters: object) -> None:
        self.clock = FakeClock()
        self.effects = Effects(self.audit)
        self.parameters: Parameters = some_parameters(mode, node_list=nodes, **parameters)
        self.cluster = FakeCluster(nodes, self.effects)
        self.servers = {name: FakeServer(name, self.clock, self.effects, self.replicate) for name in nodes}
        self.memories = {name: FakeMemory() for name in nodes}
        self.address_at: str | None = None
        self.cut: set[str] = set()
        self.lagging: set[str] = set()
        self.acknowledged: frozenset[int] = frozenset()
        self.log: list[str] = []

    # --- running actions ---

    def world(self, node: str, action: str, *, seconds: int = 60, meta: Mapping[str, str] = NOTHING) -> World:
        """The world of one call on one node."""
        context = a_context(action, node, seconds=seconds, **meta)
        log = QuietLog(context)
        log.lines = self.log
        server = self.servers[node]
        return World(
            context=context,
            parameters=self.parameters,
            log=log,
            deadline=Deadline(self.clock, context.budget),
            look=server,
            server=server,
            cluster=self.cluster.seen_by(node),
            memory=self.memories[node],
        )

    def run(self, node: str, action: str, *, seconds: int = 60, meta: Mapping[str, str] = NOTHING) -> Ran:
        """One action, errors as the agent's entry reports them; ``meta`` are ``CRM_meta_`` variables."""
        try:
            report = ACTIONS[action](self.world(node, action, seconds=seconds, meta=meta))
        except AgentError as problem:
            return Ran(problem.code, str(problem))
        except Killed:
            return Ran(KILLED, None)
        return Ran(report.code, report.reason)

    def must(self, node: str, action: str, *, meta: Mapping[str, str] = NOTHING) -> None:
        """One action that has to succeed."""
        ran = self.run(node, action, meta=meta)
        wanted = {0, 8, 190, 191} if action == "monitor" else {0}
        if ran.code not in wanted:
            raise AssertionError(f"{action} on {node}: {ran}\n" + "\n".join(self.log))

    def notified(self, node: str, moment: str) -> Ran:
        """A notification such as ``post-stop``."""
        when, _, operation = moment.partition("-")
        return self.run(node, "notify", meta={"notify_type": when, "notify_operation": operation})

    def promote(self, node: str) -> Ran:
        """What Pacemaker does for a promotion: the action, then the primary's address."""
        ran = self.run(node, "promote")
        if ran.code == 0:
            self.address_at = node
            self.cluster.promoted = (node,)
        return ran

    def monitor_all(self, rounds: int = 1) -> None:
        """Some rounds of monitors on all nodes that are online."""
        for _ in range(rounds):
            for one in self.cluster.state.members:
                if one.online:
                    self.must(one.name, "monitor")

    def monitor_all_but(self, *nodes: str) -> None:
        """Three rounds of monitors on all nodes but these."""
        for _ in range(3):
            for name in self.servers:
                if name not in nodes:
                    self.run(name, "monitor")

    def look_after(self, node: str) -> None:
        """What Pacemaker does with the result of a monitor: bring the server back if it is not well."""
        code = self.run(node, "monitor").code
        if code in {1, 9}:
            self.run(node, "stop")
        if code in {1, 7, 9}:
            self.run(node, "start")
        if code == 8:
            self.address_at, self.cluster.promoted = node, (node,)
        elif node in self.cluster.promoted:
            self.address_at, self.cluster.promoted = None, ()

    def choose(self) -> None:
        """Promote the online standby with the best score, where nobody is promoted."""
        score = {"100": 100, "110": 110, "1000": 1000}
        candidates = [one for one in self.cluster.state.members if one.online and one.score in score]
        if candidates and not self.cluster.promoted:
            self.promote(max(candidates, key=lambda one: score[one.score or ""]).name)

    def settle(self, rounds: int = 12) -> None:
        """Let the cluster work until all is well; AssertionError if it does not get there."""
        for _ in range(rounds):
            for one in self.cluster.state.members:
                if one.online:
                    self.look_after(one.name)
            self.choose()
            if not self.complaints():
                return
        raise AssertionError("\n".join([*self.complaints(), *self.log[-20:]]))

    def complaints(self) -> list[str]:
        """What keeps the site from being well."""
        for one in self.servers.values():
            one.settle()
        online = [one.name for one in self.cluster.state.members if one.online]
        writers = [name for name in online if self.servers[name].accepts_writes]
        if len(writers) != 1 or not self.is_recorded(writers[0]):
            return [f"these accept writes: {writers}; recorded: {self.cluster.state.repl_info}"]
        found = [
            f"{name} does not stream" for name in online if name not in writers and not self.servers[name].streaming
        ]
        if not self.commit(writers[0], -1):
            found.append(f"a commit on {writers[0]} is not acknowledged")
        marked = [one.name for one in self.cluster.state.members if one.data_status == DataStatus.SYNC]
        if self.parameters.rep_mode is RepMode.SYNC and len(online) > 1 and not marked:
            found.append("no standby is in sync")
        return found if self.cluster.state.history else [*found, "no complete record"]

    # --- the world outside ---

    def commit(self, node: str, number: int) -> bool:
        """A client commits; whether it was acknowledged: all whom the server waits for must have it."""
        one = self.servers[node]
        one.settle()
        if not one.accepts_writes or one.process is None:
            return False
        one.directory.commits |= {number}
        one.directory.end = Lsn(one.directory.end + 0x10)
        self.replicate()
        named = named_among(one.process.names, self.cluster.state.members)
        waited_for = [self.servers[name] for name in named]
        if one.process.names and not named:
            return False
        if any(number not in other.directory.commits or not other.streaming for other in waited_for):
            return False
        self.acknowledged |= {number}
        return True

    def lose(self, node: str) -> None:
        """Power loss of a node."""
        self.servers[node].crash()
        self.memories[node].kept = FakeMemory().kept
        self.cluster.change(node, online=False, status=None, score=None, wal=None, timeline=None)
        self.cluster.promoted = tuple(name for name in self.cluster.promoted if name != node)
        if self.address_at == node:
            self.address_at = None

    def replicate(self) -> None:
        """Let every connected standby receive what the server at the primary's address has, if it can."""
        source = self.servers.get(self.address_at or "")
        streams = {one.name: source is not None and self._streams(one, source) for one in self.servers.values()}
        for one in self.servers.values():
            one.streaming = streams[one.name]
            if one.streaming and source is not None and one.process is not None:
                if one.name not in self.lagging:
                    one.directory.follow(source.directory)
                one.process = one.process._replace(ever_streamed=True)
        followers = [one for one in self.servers.values() if one.streaming]
        for one in self.servers.values():
            one.senders = tuple(_senders(one, followers)) if one is source else ()

    def _streams(self, one: FakeServer, source: FakeServer) -> bool:
        return (
            one.name not in self.cut
            and source.accepts_writes
            and one.asks_for_wal
            and one.directory.lies_on(source.directory)
        )

    # --- the promises ---

    def audit(self) -> None:
        """Raise if a promise is broken now."""
        broken = [*self._wrongly_open(), *self._not_waited_for(), *self._lost()]
        if broken:
            raise PromiseBroken("; ".join(broken) + f" after {self.effects.done}")

    def is_recorded(self, node: str) -> bool:
        """Whether the cluster records that node as its primary."""
        info = self.cluster.state.repl_info
        return info is not None and same_node(info.node, node)

    def _wrongly_open(self) -> Iterator[str]:
        for one in self.servers.values():
            if one.process is None or not one.process.primary or one.process.names == CLOSED:
                continue
            if not self.is_recorded(one.name):
                yield f"{one.name} is not recorded and accepts writes with names {one.process.names!r}"

    def _not_waited_for(self) -> Iterator[str]:
        for one in self.servers.values():
            if one.process is None or not one.process.primary or one.process.names == CLOSED:
                continue
            named = named_among(one.process.names, self.cluster.state.members)
            for member in self.cluster.state.members:
                if member.data_status == DataStatus.SYNC and member.name not in named:
                    yield f"{member.name} may succeed and {one.name} does not wait for it"

    def _lost(self) -> Iterator[str]:
        for one in self.servers.values():
            lost = self.acknowledged - one.directory.commits
            if lost and self.is_recorded(one.name) and one.accepts_writes:
                yield f"{one.name} is primary and lacks the acknowledged commits {sorted(lost)}"


def _senders(source: FakeServer, followers: Iterable[FakeServer]) -> Iterator[Sender]:
    names = source.process.names if source.process else ""
    for one in followers:
        waited_for = f'"{one.name}"' in names
        yield Sender(one.name, "streaming", "sync" if waited_for else "async", int(waited_for), one.directory.end)


def a_running_site(mode: RepMode = RepMode.SYNC, nodes: tuple[str, ...] = NODES, **parameters: object) -> Site:
    """A site after its first start: the first node is primary, the others stream."""
    site = Site(mode, nodes, **parameters)
    for node in nodes:
        site.must(node, "start")
    site.monitor_all(rounds=4)
    ran = site.promote(nodes[0])
    if ran.code:
        raise AssertionError(f"{ran}\n" + "\n".join(site.log))
    site.monitor_all(rounds=4)
    site.effects.done.clear()
    return site
