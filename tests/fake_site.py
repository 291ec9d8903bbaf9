# SPDX-License-Identifier: GPL-2.0-or-later
"""Several servers, the network between them and the cluster that runs the agent's actions on them.

After every effect of every action the promises of tests/fake_promises.py are checked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

from tests.builders import NODES, a_context, some_parameters
from tests.fake_authority import FakeAuthority, FakeKeeper
from tests.fake_postgresql import FakeServer
from tests.fake_promises import lost, not_waited_for, wrongly_open
from tests.fakes import (
    Effects,
    FakeClock,
    FakeCluster,
    FakeClusterRecord,
    FakeJournal,
    FakeKeeping,
    FakeMemory,
    FakeRejoining,
    FakeWatch,
    Killed,
    QuietLog,
)

from expgsql_ra.actions.demote import demote
from expgsql_ra.actions.monitor import monitor
from expgsql_ra.actions.notify import notify
from expgsql_ra.actions.promote import promote
from expgsql_ra.actions.start import start
from expgsql_ra.actions.stop import stop
from expgsql_ra.actions.validate import validate
from expgsql_ra.errors import AgentError
from expgsql_ra.parameters import Parameters
from expgsql_ra.record import NOTHING_SEEN, Kept, Record, Successor, first_record
from expgsql_ra.rules.health import Report, failure_code
from expgsql_ra.rules.replication import named_among
from expgsql_ra.snapshot import Sender
from expgsql_ra.values import DataStatus, Lsn, RepMode, same_node
from expgsql_ra.world import Archive, Deadline, World

ACTIONS: dict[str, Callable[[World], Report]] = {
    "demote": demote,
    "monitor": monitor,
    "notify": notify,
    "promote": promote,
    "start": start,
    "stop": stop,
    "validate-all": validate,
}
PROMISES = (wrongly_open, not_waited_for, lost)
KILLED = -9
LOCK = "test"
NOTHING: Mapping[str, str] = {}
TTL = 30
ARBITER: Mapping[str, Any] = {
    "enable_distlock": True,
    "distlock_conninfo": "host=192.0.2.9",
    "distlock_lockname": LOCK,
    "distlock_ttl": TTL,
}
"""Parameters with which an arbiter keeps the record; without them the cluster does."""


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
        self.keepings = {name: self._keeping(name) for name in nodes}
        self.keeper = FakeKeeper()
        self.keeper.clock = self.clock
        self.clients = {
            name: FakeAuthority(self.keeper, LOCK, self.parameters.distlock_ttl, self.effects) for name in nodes
        }
        self.authorities: Mapping[str, Archive] = self.clients
        self.property = FakeClusterRecord(self.cluster, self.effects, self.clock)
        if not self.parameters.enable_distlock:
            self.authorities = dict.fromkeys(nodes, self.property)
        self.watches = {name: FakeWatch() for name in nodes}
        self.rejoinings = {name: FakeRejoining() for name in nodes}
        self.journals = {name: FakeJournal() for name in nodes}
        self.address_at: str | None = None
        self.cut: set[str] = set()
        self.lagging: set[str] = set()
        self.acknowledged: frozenset[int] = frozenset()
        self.log: list[str] = []

    def _keeping(self, name: str) -> FakeKeeping:
        server = self.servers[name]
        # partial: a copy of a site has keepings of its own servers
        return FakeKeeping(partial(_kept, server), partial(self._complete, server), partial(_is_new, server))

    def _complete(self, server: FakeServer, kept: Kept) -> None:
        server.directory.kept = kept
        self.effects.happened(f"{server.name}: completed epoch {kept.epoch}, timeline {kept.timeline}")

    def create_record(self, node: str) -> None:
        """What ``expgsql arbiter init --primary NODE`` does."""
        record = first_record("", Successor(node, ""), (1, 1), "operator", "created by a command")
        self.keeper.keep(LOCK, record)

    def forget_record(self) -> None:
        """As if the agents had been updated from a version that knew no record."""
        self.keeper.records.clear()
        self.keeper.holders.clear()
        self.cluster.state = self.cluster.state._replace(record=None)
        for name, server in self.servers.items():
            server.directory.kept = Kept(f"id-{name}", 0, 0)
            self.cluster.change(name, follows=None)
            self.memories[name].kept = FakeMemory().kept
            self.keepings[name].seen = NOTHING_SEEN

    def outvote(self, node: str) -> None:
        """The next epoch is another node's alone, whatever runs where."""
        if self.record is None:
            raise AssertionError
        after = self.record._replace(epoch=self.record.epoch + 1, revision=self.record.revision + 1, primary=node)
        after = after._replace(successors=(Successor(node, f"id-{node}"),))
        self.keeper.keep(LOCK, after)
        self.keeper.holders[LOCK] = (node, self.clock.now() + TTL)
        self.cluster.state = self.cluster.state._replace(record=after)

    @property
    def record(self) -> Record | None:
        """The record, wherever it is kept."""
        if self.parameters.enable_distlock:
            return self.keeper.record(LOCK)
        found = self.cluster.state.record
        return found if isinstance(found, Record) else None

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
            own=self.keepings[node],
            authority=self.authorities[node],
            watch=self.watches[node],
            rejoining=self.rejoinings[node],
            journal=self.journals[node],
        )

    def run(self, node: str, action: str, *, seconds: int = 60, meta: Mapping[str, str] = NOTHING) -> Ran:
        """One action, errors as the agent's entry reports them; ``meta`` are ``CRM_meta_`` variables."""
        try:
            report = ACTIONS[action](self.world(node, action, seconds=seconds, meta=meta))
        except AgentError as problem:
            return Ran(failure_code(action, problem.code), str(problem))
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
            one.receives = source.directory.timeline if one.streaming and source else None
            if one.streaming and source is not None and one.process is not None:
                if one.name not in self.lagging and not one.deceives:
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
            and (one.deceives or one.directory.lies_on(source.directory))
        )

    # --- the promises ---

    def audit(self) -> None:
        """Raise if a promise is broken now."""
        broken = [found for promise in PROMISES for found in promise(self)]
        if broken:
            raise PromiseBroken("; ".join(broken) + f" after {self.effects.done}")

    def lost(self) -> frozenset[int]:
        """The acknowledged commits that the one who accepts writes lacks."""
        writers = [one for one in self.servers.values() if one.accepts_writes]
        return self.acknowledged - frozenset().union(*(one.directory.commits for one in writers))

    def is_recorded(self, node: str) -> bool:
        """Whether the record, or the cluster where there is none, names that node as the primary."""
        if self.record:
            return same_node(self.record.primary, node)
        info = self.cluster.state.repl_info
        return info is not None and same_node(info.node, node)


def _kept(server: FakeServer) -> Kept:
    return server.directory.kept


def _is_new(server: FakeServer) -> bool:
    return not server.directory.begun


def _senders(source: FakeServer, followers: Iterable[FakeServer]) -> Iterator[Sender]:
    names = source.process.names if source.process else ""
    for one in followers:
        listed = names.split('"')[1::2]
        place = listed.index(one.name) + 1 if one.name in listed else 0
        yield Sender(one.name, "streaming", "sync" if place else "async", place, one.directory.end)


def a_running_site(mode: RepMode = RepMode.SYNC, nodes: tuple[str, ...] = NODES, **parameters: object) -> Site:
    """A site after its first start: the first node is primary, the others stream."""
    return running(Site(mode, nodes, **parameters))


def running(site: Site) -> Site:
    """The same site after its first start."""
    nodes = tuple(site.servers)
    if site.parameters.enable_distlock:
        site.create_record(nodes[0])
    for node in nodes:
        site.must(node, "start")
    site.monitor_all(rounds=4)
    ran = site.promote(nodes[0])
    if ran.code:
        raise AssertionError(f"{ran}\n" + "\n".join(site.log))
    site.monitor_all(rounds=4)
    site.effects.done.clear()
    return site
