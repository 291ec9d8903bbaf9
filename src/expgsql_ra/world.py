# SPDX-License-Identifier: GPL-2.0-or-later
"""What actions may do to the world, as small interfaces, and the time they have for it."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple, Protocol

from expgsql_ra.changes import Change
from expgsql_ra.errors import DeadlineExceeded
from expgsql_ra.ocf import Context, Log
from expgsql_ra.parameters import Parameters
from expgsql_ra.record import Past, Prepared, Proposal, Reading, Record, Renewal, Unreachable, Writing
from expgsql_ra.snapshot import Cluster, ControlData, LocalWal, Server
from expgsql_ra.values import Fork, Lsn


class Shutdown(Enum):
    """The ways to end a server, from polite to final."""

    FAST = "fast"
    IMMEDIATE = "immediate"
    KILL = "kill"


class Clock(Protocol):
    """A clock that only goes forward."""

    def now(self) -> float:
        """Seconds since some fixed moment."""

    def pause(self, seconds: float) -> None:
        """Let ``seconds`` pass."""


class Deadline:
    """The time left for an action. It ends a little before Pacemaker's own limit, so that we can report."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._end = clock.now() + seconds

    def left(self) -> float:
        """Seconds left; never negative."""
        return max(0.0, self._end - self._clock.now())

    def within(self, seconds: float) -> Deadline:
        """A part of the time left: ``seconds`` at most."""
        return Deadline(self._clock, min(seconds, self.left()))

    def reserving(self, seconds: float) -> Deadline:
        """The time left without the last ``seconds``."""
        return Deadline(self._clock, max(0.0, self.left() - seconds))

    def every(self, seconds: float, waiting_for: str) -> Iterator[int]:
        """Count the rounds of a wait; `DeadlineExceeded`, saying what for, when the time is over."""
        rounds = 0
        while True:
            yield rounds
            rounds += 1
            if self.left() <= seconds:
                raise DeadlineExceeded(f"the time is over while waiting for {waiting_for}")
            self._clock.pause(seconds)


class Inspection(Protocol):
    """Looking at the server on this node."""

    def server(self, within: float) -> Server:
        """What runs, asked over a new connection."""

    def signalled_standby(self) -> bool:
        """Whether the data directory says that it is a standby's."""

    def is_gone(self) -> bool:
        """Whether it is proven that nothing of the server is left."""

    def is_connected(self) -> bool:
        """Whether the settings name a primary to follow."""

    def control(self) -> ControlData:
        """The control file of a stopped server."""

    def stopped_wal(self) -> LocalWal:
        """The history of a stopped server's directory."""

    def standby_wal(self, end: Lsn | None, within: float) -> LocalWal:
        """The history of a running standby that holds WAL up to ``end``."""

    def system(self, within: float) -> str:
        """The identifier of a running server's database system."""

    def replay(self, within: float) -> tuple[Lsn | None, bool]:
        """How far a standby has replayed, and whether it waits for more than it has."""

    def forks(self, timeline: int) -> tuple[Fork, ...]:
        """The ancestors of a timeline."""

    def last_words(self) -> str:
        """What the server wrote to its log last, for people to read."""

    def monitor_query(self, statement: str, within: float) -> None:
        """Run the administrator's own check."""


class Control(Protocol):
    """Changing the server on this node. Nothing here waits for the effect."""

    def check_configuration(self) -> None:
        """Refuse, before anything is changed, what would make the server start wrongly."""

    def start_as_standby(self, names: str, connected: bool) -> None:
        """Begin a start as a standby."""

    def start_as_primary(self, names: str) -> None:
        """Begin a start read-write on the present timeline."""

    def start_as_it_is(self) -> None:
        """Begin a start with the role that the directory has."""

    def follow(self, names: str) -> bool:
        """Connect a running standby to the primary; whether no restart is needed."""

    def rename(self, names: str) -> None:
        """Change ``synchronous_standby_names`` and reload."""

    def promote(self) -> None:
        """Begin a promotion."""

    def shut_down(self, how: Shutdown) -> None:
        """Send the signal for a shutdown."""

    def create_slot(self, name: str, within: float) -> None:
        """Make a replication slot unless it is there."""

    def drop_slot(self, name: str, within: float) -> None:
        """Remove a replication slot that nobody uses."""


class ClusterStore(Protocol):
    """The cluster's shared knowledge."""

    def view(self, within: float, roles: bool = False) -> Cluster:
        """Everything of it that concerns us, read at once; with Pacemaker's own word on roles if asked for."""

    def apply(self, changes: tuple[Change, ...], within: float) -> None:
        """Write; returns when the cluster has accepted, raises `CannotTell` when it has not."""


class Authority(Protocol):
    """Who keeps the record. Every call is bounded by ``within`` seconds and raises nothing for a bad network."""

    def read(self, within: float) -> Reading:
        """The record as it is now, never a copy that may be old."""

    def write(self, proposal: Proposal, within: float) -> Writing:
        """Replace the record if its revision is still the one named; a new epoch also needs a free lease."""

    def renew(self, record: Record, within: float) -> Renewal:
        """Give the lease to the record's primary for another term, if epoch and primary are still these."""

    def release(self, record: Record, within: float) -> Renewal:
        """End the lease early, if epoch and primary are still these."""


class Archive(Authority, Protocol):
    """An authority as the operator's commands see it: they prepare it, create the record and read the past."""

    def prepare(self, within: float) -> Prepared | Unreachable:
        """Create or upgrade what the record is kept in; again and again without harm."""

    def create(self, record: Record, within: float) -> Writing:
        """Make the first record; `Outdated` with the one that is there already."""

    def history(self, newest: int, within: float) -> Past | Unreachable:
        """The newest entries of the history, the newest first."""


class Memory(NamedTuple):
    """What one monitor leaves for the next, on this node and until its next boot."""

    stalls: int = 0
    readings: tuple[tuple[str, int, int], ...] = ()
    equal: int = 0
    absences: int = 0
    weak: int = 0
    rounds: int = 0


class MemoryStore(Protocol):
    """Where `Memory` is kept."""

    def load(self) -> Memory:
        """What was kept; the default if nothing was, or nothing that makes sense."""

    def save(self, memory: Memory) -> None:
        """Keep it."""


class World(NamedTuple):
    """Everything an action works with."""

    context: Context
    parameters: Parameters
    log: Log
    deadline: Deadline
    look: Inspection
    server: Control
    cluster: ClusterStore
    memory: MemoryStore
