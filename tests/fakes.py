# SPDX-License-Identifier: GPL-2.0-or-later
"""The small fakes of the interfaces in ``world.py``: clock, memory, log and the cluster.

The server is in tests/fake_postgresql.py; tests/fake_site.py puts several of them together. tests/contract
holds them to what the real adapters do. Every effect is noted in order, the promises are checked after
each, and a run can be killed after any of them.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from expgsql_ra.changes import (
    Change,
    ClearWal,
    SetAncestry,
    SetBaseline,
    SetDataStatus,
    SetFollows,
    SetReceiver,
    SetReplInfo,
    SetScore,
    SetStatus,
    SetWal,
)
from expgsql_ra.errors import AgentError, CannotTell
from expgsql_ra.events import Kind
from expgsql_ra.ocf import Log
from expgsql_ra.record import (
    NOTHING_SEEN,
    Accepted,
    Found,
    HighWater,
    Kept,
    Missing,
    Outdated,
    Past,
    Prepared,
    Proposal,
    Reading,
    Record,
    Renewal,
    Unreachable,
    Writing,
    concerns,
    objection,
)
from expgsql_ra.snapshot import Cluster, ClusterView, Member, Unknown
from expgsql_ra.values import same_node
from expgsql_ra.world import Deadline, Memory


class Killed(BaseException):
    """The agent's process was killed; no handler of errors may take it for one."""


class FakeClock:
    """Time that passes when somebody waits."""

    def __init__(self) -> None:
        self._now = 0.0

    def now(self) -> float:
        """Seconds since the beginning."""
        return self._now

    def pause(self, seconds: float) -> None:
        """Let ``seconds`` pass at once."""
        self._now += seconds


class Effects:
    """What was done to the world, in order."""

    def __init__(self, audit: Callable[[], None]) -> None:
        self.done: list[str] = []
        self.kill_after: int | None = None
        self._audit = audit

    def happened(self, what: str) -> None:
        """Note an effect, check the promises, and kill the run if it is its turn."""
        self.done.append(what)
        self._audit()
        if self.kill_after is not None and len(self.done) >= self.kill_after:
            raise Killed(what)


class QuietLog(Log):
    """A log that keeps its lines."""

    lines: list[str]

    def _write(self, priority: int, word: str, text: str) -> None:
        del priority
        self.__dict__.setdefault("lines", []).append(f"{word}: {text}")


class FakeMemory:
    """`MemoryStore` in memory."""

    def __init__(self) -> None:
        self.kept = Memory()

    def load(self) -> Memory:
        """What was kept."""
        return self.kept

    def save(self, memory: Memory) -> None:
        """Keep it."""
        self.kept = memory


class FakeWatch:
    """`Watch` in memory."""

    def __init__(self) -> None:
        self.watched: int | None = None
        self.reporting = False

    def begin(self, pid: int) -> None:
        """A guard waits."""
        self.watched = pid

    def release(self) -> None:
        """It would not report."""
        self.watched = None

    def is_reporting(self) -> bool:
        """Whether it is at it."""
        return self.reporting

    def forget(self) -> None:
        """There is none."""
        self.watched, self.reporting = None, False


class FakeRejoining:
    """`Rejoining` that a test describes: ``passing`` is called at each look while an action waits."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.reason: str | None = None
        self.passing: Callable[[], None] = lambda: None

    def begin(self, command: str) -> None:
        """Noted."""
        self.begun.append(command)

    def apart(self, deadline: Deadline) -> AbstractContextManager[None]:
        """There is no lock here."""
        del deadline
        return nullcontext()

    def ended(self) -> str | None:
        """As the test says."""
        self.passing()
        return self.reason


class FakeCluster:
    """What all nodes know together; `seen_by` makes a node's `ClusterStore` of it."""

    def __init__(self, nodes: tuple[str, ...], effects: Effects) -> None:
        self.members = tuple(_member(name, str(number)) for number, name in enumerate(nodes, 1))
        self.state = ClusterView(nodes[0], True, False, self.members, None, None)
        self.promoted: tuple[str, ...] = ()
        self.deaf: str | None = None
        self.unreadable: str | None = None
        self.absent: Cluster | None = None
        self._effects = effects

    def seen_by(self, node: str) -> FakeClusterStore:
        """The store of one node."""
        return FakeClusterStore(self, node)

    def view(self, node: str, roles: bool) -> Cluster:
        """A reading, from one node."""
        if self.unreadable:
            return Unknown(self.unreadable)
        if self.absent is not None:
            return self.absent
        return self.state._replace(me=node, promoted=self.promoted if roles else ())

    def change(self, name: str, **attributes: Any) -> None:
        """Change a node's entry from outside."""
        self.state = self.state._replace(
            members=tuple(
                one._replace(**attributes) if same_node(one.name, name) else one for one in self.state.members
            )
        )

    def apply(self, changes: tuple[Change, ...]) -> None:
        """Lasting changes in one transaction, then one transient one after the other."""
        if self.deaf:
            raise CannotTell(self.deaf)
        lasting = [one for one in changes if isinstance(one, SetDataStatus | SetReplInfo | SetAncestry)]
        for one in lasting:
            self._lasting(one)
        if lasting:
            self._effects.happened(", ".join(map(str, lasting)))
        for change in changes:
            if change not in lasting:
                self._transient(change)
                self._effects.happened(str(change))

    def _lasting(self, change: SetDataStatus | SetReplInfo | SetAncestry) -> None:
        match change:
            case SetDataStatus(node=node, value=value):
                self.change(node, data_status=value)
            case SetReplInfo(value=info):
                self.state = self.state._replace(repl_info=info)
            case SetAncestry(value=ancestry):
                self.state = self.state._replace(ancestry=ancestry)

    def _transient(self, change: Change) -> None:
        match change:
            case SetStatus(node=node, value=value):
                self.change(node, status=value)
            case SetScore(node=node, value=value):
                self.change(node, score=value)
            case SetReceiver(node=node, value=value):
                self.change(node, receiver=value)
            case SetWal(node=node, timeline=timeline, end=end):
                self.change(node, timeline=timeline, wal=end)
            case ClearWal(node=node):
                self.change(node, timeline=None, wal=None)
            case SetFollows(node=node, value=attestation):
                self.change(node, follows=attestation)
            case SetBaseline():
                pass


def _member(name: str, identifier: str) -> Member:
    return Member(name, identifier, True, None, None, None, None, None, None)


class FakeClusterStore:
    """`ClusterStore` of one node."""

    def __init__(self, cluster: FakeCluster, node: str) -> None:
        self._cluster, self._node = cluster, node

    def view(self, within: float, roles: bool = False) -> Cluster:
        """Read."""
        del within
        return self._cluster.view(self._node, roles)

    def apply(self, changes: tuple[Change, ...], within: float) -> None:
        """Write."""
        del within
        self._cluster.apply(changes)


class FakeKeeping:
    """`Keeping` of one node: what is in its data directory, and what the node has seen."""

    def __init__(self, kept: Callable[[], Kept], complete: Callable[[Kept], None], new: Callable[[], bool]) -> None:
        self.seen = NOTHING_SEEN
        self.trouble: AgentError | None = None
        self._kept, self._complete, self._new = kept, complete, new

    def kept(self) -> Kept:
        """What the directory keeps."""
        return self._kept()

    def completed(self, epoch: int, timeline: int) -> None:
        """A promotion is complete."""
        self._complete(Kept(self._kept().directory, epoch, timeline))

    def is_new(self) -> bool:
        """Whether no server has been started in it yet."""
        return self._new()

    def strayed(self) -> None:
        """It may not succeed."""
        self._complete(self._kept()._replace(strayed=True))

    def highest(self) -> HighWater:
        """The highest ever seen."""
        return self.seen

    def saw(self, record: Record) -> None:
        """Keep it."""
        if self.trouble:
            raise self.trouble
        self.seen = self.seen.raised_by(record)


class FakeJournal:
    """`Journal` of one node, in memory."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str, int]] = []

    def record(self, kind: Kind, reason: str, timeline: int = 0) -> None:
        """Keep it."""
        self.events.append((kind, reason, timeline))


class FakeClusterRecord:
    """The record as a property of the cluster: an authority without a lease."""

    def __init__(self, cluster: FakeCluster, effects: Effects, clock: FakeClock | None = None) -> None:
        self._cluster, self._effects, self._clock = cluster, effects, clock or FakeClock()
        self.membership_timeout = 0.0
        self.hangs = False

    def _closed(self, within: float) -> Unreachable | None:
        state = self._cluster.state
        if self._cluster.unreadable or self._cluster.deaf or within <= 0:
            return Unreachable(str(self._cluster.deaf or self._cluster.unreadable or "no time"))
        return None if state.may_decide else Unreachable("this partition has no quorum")

    def read(self, within: float) -> Reading:
        """The record."""
        closed = self._closed(within)
        if closed:
            return closed
        return self._cluster.state.recorded

    def write(self, proposal: Proposal, within: float) -> Writing:
        """Compare and write."""
        if self.hangs:
            self._clock.pause(within)
            return Unreachable("no answer")
        found = self.read(within)
        if not isinstance(found, Found):
            return found
        against = objection(found.record, proposal)
        if against:
            return against
        if proposal.degrades and self.membership_timeout + 1 > within:
            return Unreachable("too little time left to wait for a membership timeout; nothing was written")
        record = proposal.accepted("", found.record.lease)
        self._keep(record)
        if proposal.degrades:
            self._clock.pause(self.membership_timeout)
        return Accepted(record)

    def _keep(self, record: Record) -> None:
        self._cluster.state = self._cluster.state._replace(record=record)
        self._effects.happened(f"record {record.epoch}.{record.revision} {record.primary} {record.nodes}")

    def renew(self, record: Record, within: float) -> Renewal:
        """Nothing to renew."""
        found = self.read(within)
        if not isinstance(found, Found):
            return found
        return Accepted(found.record) if concerns(found.record, record) else Outdated(found.record)

    def release(self, record: Record, within: float) -> Renewal:
        """Nothing to release."""
        return self.renew(record, within)

    def prepare(self, within: float) -> Prepared | Unreachable:
        """Nothing to prepare."""
        return self._closed(within) or Prepared()

    def create(self, record: Record, within: float) -> Writing:
        """The first record."""
        closed = self._closed(within)
        if closed:
            return closed
        found = self._cluster.state.recorded
        if not isinstance(found, Missing):
            return Outdated(found.record) if isinstance(found, Found) else found
        self._keep(record)
        return Accepted(record)

    def history(self, newest: int, within: float) -> Past | Unreachable:
        """None is kept."""
        del newest
        return self._closed(within) or Past(())
