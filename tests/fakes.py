# SPDX-License-Identifier: GPL-2.0-or-later
"""The small fakes of the interfaces in ``world.py``: clock, memory, log and the cluster.

The server is in tests/fake_postgresql.py; tests/fake_site.py puts several of them together. tests/contract
holds them to what the real adapters do. Every effect is noted in order, the promises are checked after
each, and a run can be killed after any of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from expgsql_ra.changes import (
    Change,
    ClearWal,
    SetAncestry,
    SetBaseline,
    SetDataStatus,
    SetReceiver,
    SetReplInfo,
    SetScore,
    SetStatus,
    SetWal,
)
from expgsql_ra.errors import CannotTell
from expgsql_ra.ocf import Log
from expgsql_ra.snapshot import Cluster, ClusterView, Member, Unknown
from expgsql_ra.values import same_node
from expgsql_ra.world import Memory


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
