# SPDX-License-Identifier: GPL-2.0-or-later
"""A node whose data is repaired, in memory: every step is an effect of `FakeCluster`, and can be killed after.

After each step the promises of a repair are looked at (`FakeShop.audit`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.builders import SYSTEM, a_history, local_wal
from tests.fake_operator import FakeCluster, a_deployment, facts_of_primary, facts_of_standby, facts_of_stopped

from expgsql_ra.deployment import Deployment, Failure, NodeFacts
from expgsql_ra.errors import CannotTell, CommandFailed
from expgsql_ra.procedures.repair import repair
from expgsql_ra.procedures.repair_job import Orders
from expgsql_ra.record import (
    NO_LEASE,
    NOTHING_SEEN,
    Accepted,
    Found,
    HighWater,
    Proposal,
    Reading,
    Record,
    Successor,
    Writing,
    objection,
)
from expgsql_ra.repairs import Folder, Mark, Source
from expgsql_ra.rules.repairing import Way
from expgsql_ra.snapshot import ControlData, LocalWal, Server, Standby, Stopped
from expgsql_ra.values import Lsn
from expgsql_ra.workshop import Workshop
from expgsql_ra.world import Shutdown

NODE, PRIMARY = "node1", "node2"
PGDATA = "/data"
DIVERGED, HALF, WHOLE = "diverged", "half", "whole"
HISTORY = a_history("1@0/4000")
ANCESTRY_SOURCE = Source(SYSTEM, in_recovery=False, timeline=2, checkpointed=2, size=1 << 20)
FREE = 100 << 30


def after_failover() -> Deployment:
    """node1 was the primary and its data has diverged; node2 took over."""
    seen = a_deployment(primary=PRIMARY, synchronous="node3", me=NODE)
    roles = tuple((node, role if node != NODE else "Stopped") for node, role in seen.roles)
    failure = Failure(NODE, "pgsql", "start", 1, "data has diverged", "then")
    # what `a_view` records of a primary goes with this history
    return seen._replace(roles=roles, failures=(failure,), view=seen.view._replace(ancestry=HISTORY))


class FakeShop:
    """Look, server, own, authority, data and tools of node1, all in one."""

    def __init__(self, data: str | None = DIVERGED, *, running: bool = False) -> None:
        self.cluster = FakeCluster(after_failover(), facts_of_primary(PRIMARY), facts_of_standby("node3"))
        self.cluster.reaction = lambda _effect: self.audit()
        self.content = data
        self.configuration = "own"
        self.kept: str | None = None
        self.state = "shut down"
        self.standing: set[Mark] = set()
        self.new: str | None = None
        self.ready: tuple[str, str] | None = None
        self.olds: list[str] = []
        self.running = running
        self.never_streams = False
        self.released = not running
        """Whether a record without this data was accepted since its server was last stopped."""
        self.stored: Record | None = Record(
            SYSTEM, 2, 7, PRIMARY, (Successor(NODE, "d1"), Successor(PRIMARY, "d2")), NO_LEASE, PRIMARY, "", ""
        )
        self.rewinds_fail: str | None = None
        self.primary = ANCESTRY_SOURCE
        self.folder = Folder(PGDATA, present=True, empty=False, free=FREE)
        self.interfering: list[Callable[[], None]] = []

    def order(self, way: Way = Way.REWIND, *, dry_run: bool = False, **orders: bool | float) -> bool:
        """Run the procedure."""
        self.cluster.servers[NODE] = self._facts()
        return repair(self.cluster.site(dry_run=dry_run), self.shop(), Orders(way, **orders))  # type: ignore[arg-type]

    def shop(self) -> Workshop:
        """The workshop."""
        return Workshop(self, self, self, self, self, self, self.lock, lambda _text: None)  # type: ignore[arg-type]

    def _facts(self) -> NodeFacts:
        marks = tuple(mark.value for mark in self.standing)
        if self.running:
            return facts_of_standby(NODE, receiver="")._replace(marks=marks)
        return facts_of_stopped(NODE)._replace(marks=marks)

    # --- the promises ---

    def audit(self) -> None:
        """What must hold after each step, whoever is killed then."""
        if self.content == HALF and Mark.REWINDING not in self.standing:
            raise AssertionError("half rewound data could be started")
        if self.content == HALF and self.kept != "own":
            raise AssertionError("the node's configuration is lost")
        if self.content in {HALF, WHOLE} and not self.released:
            raise AssertionError("data was changed before the record let go of it")
        if self.content is None and self.ready is None:
            raise AssertionError("there is no data any more")

    def is_startable(self) -> bool:
        """Whether the agent would start it."""
        return not self.standing and self.content is not None

    # --- look and server ---

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Nobody else is there."""
        yield

    def marks(self) -> tuple[Mark, ...]:
        """Those that stand, the worst first."""
        return tuple(sorted(self.standing, reverse=True))

    def is_gone(self) -> bool:
        """Whether nothing runs."""
        return not self.running

    def server(self, within: float) -> Server:
        """It streams once it may be started and nobody remembers a failure."""
        del within
        if self.is_startable() and self.content == WHOLE and not self.cluster.now.failures and not self.never_streams:
            return Standby(1, 150000, "streaming", Lsn(5), Lsn(5), "")
        return Stopped()

    def shut_down(self, how: Shutdown) -> None:
        """It obeys."""
        self.running = False
        self.cluster.happened(f"stop {how.value}")

    def control(self) -> ControlData:
        """Of a server that was shut down, or crashed."""
        if self.content is None:
            raise CommandFailed("pg_controldata failed")
        return ControlData(SYSTEM, self.state, Lsn.parse("0/4800"), 1, 0, Lsn(0))

    def stopped_wal(self) -> LocalWal:
        """Beyond the fork, unless it is whole."""
        if self.content == WHOLE:
            return local_wal(2, "1@0/4000", end="0/4800")
        return local_wal(1, last_record="0/4800" if self.state == "shut down" else None)

    # --- own and authority ---

    def highest(self) -> HighWater:
        """Nothing was seen before."""
        return NOTHING_SEEN

    def saw(self, record: Record) -> None:
        """Fine."""

    def read(self, within: float) -> Reading:
        """The record."""
        del within
        if self.stored is None:
            raise CannotTell("no record is kept")
        return Found(self.stored)

    def write(self, proposal: Proposal, within: float) -> Writing:
        """As every authority does it; somebody may write first."""
        del within
        if self.interfering:
            self.interfering.pop()()
        if self.stored is None or objection(self.stored, proposal):
            return objection(self.stored, proposal) or Accepted(self.stored)  # type: ignore[arg-type]
        self.stored = proposal.accepted("", NO_LEASE)
        self.released = not self.running and NODE not in self.stored.nodes
        self.cluster.happened(f"record: {proposal.reason}")
        return Accepted(self.stored)

    # --- data ---

    def look(self, tablespaces: tuple[str, ...] = ()) -> Folder:
        """What lies there."""
        return self.folder._replace(
            present=self.content is not None,
            empty=self.content is None,
            marks=self.marks(),
            ready=self.ready is not None,
            olds=tuple(self.olds),
            occupied=tuple(one for one in tablespaces if one in self.folder.occupied),
        )

    def mark(self, mark: Mark) -> None:
        """It stands."""
        if self.content is not None:
            self.standing.add(mark)
            self.cluster.happened(f"mark {mark}")

    def unmark(self, mark: Mark) -> None:
        """It is gone."""
        if mark in self.standing:
            self.standing.discard(mark)
            self.cluster.happened(f"unmark {mark}")

    def keep_configuration(self) -> None:
        """Out of the way."""
        self.kept = self.configuration
        self.cluster.happened("keep configuration")

    def restore_configuration(self) -> None:
        """Back."""
        self.configuration = self.kept or self.configuration
        self.cluster.happened("restore configuration")

    def forget_configuration(self) -> None:
        """No longer needed."""
        if self.kept:
            self.kept = None
            self.cluster.happened("forget configuration")

    def make_room(self) -> None:
        """What was begun is gone."""
        self.new = self.ready = None
        self.cluster.happened("make room")

    def complete(self) -> None:
        """With the node's own files."""
        own = self.kept if self.kept and (Mark.REWINDING in self.standing or not self.content) else self.configuration
        self.ready, self.new = (WHOLE, own), None
        self.cluster.happened("complete")

    def take_place(self) -> str:
        """Two renames."""
        old = self.content or ""
        if self.content is not None:
            self.olds.append(self.content)
            self.content, self.standing = None, set()
            self.cluster.happened("old aside")
        if self.ready is None:
            raise AssertionError("nothing is ready")
        (self.content, self.configuration), self.ready, self.kept = self.ready, None, None
        self.cluster.happened("new in place")
        return old

    def discard_old(self, old: str) -> None:
        """Gone."""
        self.olds.remove(old)
        self.cluster.happened("discard old")

    # --- tools ---

    def source(self, within: float) -> Source:
        """The primary."""
        del within
        return self.primary

    def checkpoint_source(self, within: float) -> None:
        """Done."""
        del within
        self.primary = self.primary._replace(checkpointed=self.primary.timeline)
        self.cluster.happened("checkpoint")

    def recover(self, told: Callable[[str], None], within: float) -> None:
        """A clean end."""
        del told, within
        self.state = "shut down"
        self.cluster.happened("recover")

    def rewind(self, told: Callable[[str], None], within: float, *, trial: bool) -> None:
        """Half done for a moment; it takes the primary's configuration along."""
        del within
        told("rewinding")
        if self.rewinds_fail == ("trial" if trial else "work"):
            self.content = self.content if trial else HALF
            raise CommandFailed("pg_rewind failed (1): no such file")
        if trial:
            return
        self.content, self.configuration = HALF, "the primary's"
        self.cluster.happened("rewind: half")
        self.content = WHOLE
        self.cluster.happened("rewind: done")

    def back_up(self, told: Callable[[str], None], within: float) -> None:
        """Half done for a moment, beside."""
        del told, within
        self.new = HALF
        self.cluster.happened("base backup: half")
        self.new = WHOLE
        self.cluster.happened("base backup: done")
