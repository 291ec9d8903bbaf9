# SPDX-License-Identifier: GPL-2.0-or-later
"""An authority in memory, with a clock of its own: who talks to it has no other.

tests/contract holds it to what PostgreSQL and etcd do. A call can be cut off before or after it took effect,
or take effect later.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from tests.fakes import Effects, FakeClock, Killed

from expgsql_ra.record import (
    NO_LEASE,
    Accepted,
    Found,
    Lease,
    LeaseHeld,
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
    as_mapping,
    concerns,
    objection,
)

WRITTEN = "2025-01-01T00:00:00Z"
LOST = Unreachable("no answer")


class FakeKeeper:
    """What the authority itself remembers."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.down = False
        self.passing: Callable[[float], None] = lambda _within: None
        """Called while a renewal is waited for in vain: what happens in so many seconds."""
        self.records: dict[str, Record] = {}
        self.holders: dict[str, tuple[str, float]] = {}
        self.past: dict[str, list[Mapping[str, Any]]] = {}

    def lease(self, lockname: str) -> Lease:
        """What is left of the lease."""
        holder, until = self.holders.get(lockname, ("", 0.0))
        return Lease.of(holder, until - self.clock.now())

    def record(self, lockname: str) -> Record | None:
        """The record with its lease as it is now."""
        found = self.records.get(lockname)
        return found._replace(lease=self.lease(lockname)) if found else None

    def keep(self, lockname: str, record: Record) -> None:
        """Write and remember."""
        self.records[lockname] = record._replace(lease=NO_LEASE)
        self.past.setdefault(lockname, []).insert(0, as_mapping(record))


class FakeAuthority:
    """One client of it."""

    def __init__(self, keeper: FakeKeeper, lockname: str, ttl: int, effects: Effects | None = None) -> None:
        self._effects = effects
        self._keeper = keeper
        self._lockname = lockname
        self._ttl = ttl
        self.lose_replies = False
        self.delay_writes = False
        self.delay_write: int | None = None
        """Which of the writes to come takes effect later, counted from one; its sender is killed then if told so."""
        self.then_killed = False
        self.writes = 0
        self._delayed: list[Callable[[], Writing]] = []

    def deliver(self) -> None:
        """Let the delayed writes take effect; nobody waits for their answers any more."""
        while self._delayed:
            self._delayed.pop(0)()

    @property
    def is_owing(self) -> bool:
        """Whether a write is still on its way."""
        return bool(self._delayed)

    def read(self, within: float) -> Reading:
        """The record as it is now."""
        if self._keeper.down or within <= 0:
            return LOST
        found = self._keeper.record(self._lockname)
        return Found(found) if found else Missing("no record")

    def write(self, proposal: Proposal, within: float) -> Writing:
        """Compare and write, at once or later."""
        if self._keeper.down or within <= 0:
            return LOST
        self.writes += 1
        if self.delay_writes or self.writes == self.delay_write:
            self._delayed.append(partial(self._write, proposal))
            if self.then_killed:
                raise Killed("while its write was on its way")
            return LOST
        answer = self._write(proposal)
        return LOST if self.lose_replies else answer

    def renew(self, record: Record, within: float) -> Renewal:
        """The lease for another term."""
        if self._keeper.down:
            self._keeper.passing(within)
        return self._for_primary(record, (record.primary, self._keeper.clock.now() + self._ttl), within)

    def release(self, record: Record, within: float) -> Renewal:
        """The lease for nobody."""
        return self._for_primary(record, ("", 0.0), within)

    def prepare(self, within: float) -> Prepared | Unreachable:
        """Nothing to prepare."""
        return LOST if self._keeper.down or within <= 0 else Prepared()

    def create(self, record: Record, within: float) -> Writing:
        """Make the first record."""
        if self._keeper.down or within <= 0:
            return LOST
        found = self._keeper.record(self._lockname)
        if found:
            return Outdated(found)
        first = record._replace(time=WRITTEN, lease=NO_LEASE)
        self._keeper.keep(self._lockname, first)
        return Accepted(first)

    def history(self, newest: int, within: float) -> Past | Unreachable:
        """The newest entries."""
        if self._keeper.down or within <= 0:
            return LOST
        return Past(tuple(self._keeper.past.get(self._lockname, [])[:newest]))

    def _write(self, proposal: Proposal) -> Accepted | Outdated | LeaseHeld | Missing:
        stored = self._keeper.record(self._lockname)
        if stored is None:
            return Missing("no record")
        against = objection(stored, proposal)
        if against:
            return against
        if proposal.takes_lease:
            self._keeper.holders[self._lockname] = (proposal.primary, self._keeper.clock.now() + self._ttl)
        record = proposal.accepted(WRITTEN, self._keeper.lease(self._lockname))
        self._keeper.keep(self._lockname, record)
        if self._effects:
            self._effects.happened(f"record {record.epoch}.{record.revision} {record.primary} {record.nodes}")
        return Accepted(record)

    def _for_primary(self, record: Record, lease: tuple[str, float], within: float) -> Renewal:
        if self._keeper.down or within <= 0:
            return LOST
        stored = self._keeper.record(self._lockname)
        if stored is None:
            return Missing("no record")
        if not concerns(stored, record):
            return Outdated(stored)
        self._keeper.holders[self._lockname] = lease
        return Accepted(stored._replace(lease=self._keeper.lease(self._lockname)))
