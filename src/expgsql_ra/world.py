# SPDX-License-Identifier: GPL-2.0-or-later
"""What actions may do to the world, as small interfaces, and the time they have for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from enum import Enum
from typing import NamedTuple, Protocol

from expgsql_ra.changes import Change
from expgsql_ra.errors import DeadlineExceeded
from expgsql_ra.events import Kind
from expgsql_ra.ocf import Context, Log
from expgsql_ra.parameters import Parameters
from expgsql_ra.record import HighWater, Kept, Past, Prepared, Proposal, Reading, Record, Renewal, Unreachable, Writing
from expgsql_ra.repairs import Mark
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

    def now(self) -> float:
        """The clock by which it is counted."""
        return self._clock.now()

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

    def marks(self) -> tuple[Mark, ...]:
        """What forbids a start of this data, the worst first."""

    def is_gone(self) -> bool:
        """Whether it is proven that nothing of the server is left."""

    def names_at_rest(self) -> str | None:
        """``synchronous_standby_names`` as a start would find them; None where our settings are not there."""

    def version(self) -> str:
        """The version of the server's programs, as ``postgres --version`` prints it."""

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

    def start_as_primary(self, names: str | None) -> None:
        """Begin a start read-write on the present timeline; None: with the names that its files have."""

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

    def checkpoint(self, within: float) -> None:
        """Complete a checkpoint."""

    def write_wal(self, within: float) -> None:
        """Write something to the WAL and flush it."""

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


class Founder(Authority, Protocol):
    """An authority whose first record may be made without a command: only the cluster itself is one."""

    def create(self, record: Record, within: float) -> Writing:
        """Make the first record; `Outdated` with the one that is there already."""


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
    waits: int = 0
    """The process id of the server of which it is proven that commits wait since the names were last empty."""
    attested: str = ""
    """What a standby has last told of itself, with its server's process id."""
    stop_at: float = 0.0
    """When a primary that was not renewed has to be stopped, in seconds of CLOCK_BOOTTIME; 0: never."""


class MemoryStore(Protocol):
    """Where `Memory` is kept."""

    def load(self) -> Memory:
        """What was kept; the default if nothing was, or nothing that makes sense."""

    def save(self, memory: Memory) -> None:
        """Keep it."""


class Keeping(Protocol):
    """What this node keeps durably: of its data directory, inside it, and of the record."""

    def kept(self) -> Kept:
        """The directory's id and the last promotion that was completed in it; a new id where it has none of its own."""

    def completed(self, epoch: int, timeline: int) -> None:
        """A promotion is complete in this directory."""

    def is_new(self) -> bool:
        """Whether the directory had no id of its own before this run: it was made anew."""

    def strayed(self) -> None:
        """Its server accepted writes after a promotion that nobody had confirmed."""

    def highest(self) -> HighWater:
        """The highest epoch and revision ever seen on this node; `CannotTell` if what was kept is damaged."""

    def saw(self, record: Record) -> None:
        """Keep them, if they are higher now."""


class Journal(Protocol):
    """What happened on this node, for people: no action depends on it, so it never fails."""

    def record(self, kind: Kind, reason: str, timeline: int = 0) -> None:
        """Keep that it happened here and now."""


class Watch(Protocol):
    """The guard beside the server, and who tells Pacemaker of the server's end: one alone does."""

    def begin(self, pid: int) -> None:
        """See to it that a guard waits for the end of the server that runs as ``pid``, and reports it."""

    def release(self) -> None:
        """From now on whatever becomes of the server is for the caller to report, until `begin` is called again."""

    def is_reporting(self) -> bool:
        """Whether the guard is telling Pacemaker of the server's end just now."""

    def forget(self) -> None:
        """A new server comes: whatever was said of an earlier one is history."""


class Rejoining(Protocol):
    """A repair of this node's data that goes on beside the agent, and may outlive it (``rejoin``)."""

    def begin(self, command: str) -> None:
        """Begin ``repair`` or ``rebuild``, unless one is under way."""

    def apart(self, deadline: Deadline) -> AbstractContextManager[None]:
        """Let it have the lock of this node meanwhile; the lock is ours again by the deadline."""

    def ended(self) -> str | None:
        """Why it ended without success; empty if it is over otherwise, None while it is under way."""


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
    own: Keeping
    authority: Founder
    watch: Watch
    journal: Journal
    rejoining: Rejoining
