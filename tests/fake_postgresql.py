# SPDX-License-Identifier: GPL-2.0-or-later
"""A PostgreSQL server in memory: it starts, streams, is promoted, dies, and keeps its data directory.

Timelines, forks, positions and the set of commits are modelled, nothing of SQL. It does what the real
server was seen to do: tests/contract runs the same tests against both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from tests.builders import SYSTEM
from tests.fakes import Effects, FakeClock

from expgsql_ra.errors import AgentError, CannotTell, CommandFailed
from expgsql_ra.record import Kept
from expgsql_ra.repairs import Mark
from expgsql_ra.rules.replication import CLOSED
from expgsql_ra.snapshot import (
    ControlData,
    LocalWal,
    Orphans,
    Primary,
    Refusing,
    Sender,
    Server,
    Stalled,
    Standby,
    Starting,
    Stopped,
    Unknown,
)
from expgsql_ra.values import Fork, Lsn
from expgsql_ra.world import Shutdown

RECORD = 0x78
DELAY = 0.1
PROBE_SECONDS = 5.0
"""As the real inspection waits, if it is not told to be back sooner."""
APPEARS = 0.02


class Directory:
    """A data directory: what survives the server. ``names``, ``standby`` and ``connected`` are its files."""

    def __init__(self) -> None:
        self.system = SYSTEM
        self.timeline = 1
        self.forks: tuple[Fork, ...] = ()
        self.end = self.checkpoint = Lsn(0x1000)
        self.state = "shut down"
        self.told_timeline, self.told_end = 1, Lsn(0)
        self.names = CLOSED
        self.standby = False
        self.connected = False
        self.commits: frozenset[int] = frozenset()
        self.kept = Kept("", 0, 0)
        self.begun = False

    def wal(self, *, end: Lsn | None, last_record: Lsn | None = None) -> LocalWal:
        """Its history, as far as its control file tells it."""
        return LocalWal(self.system, self.told_timeline, self.forks_of(self.told_timeline), last_record, end)

    def forks_of(self, timeline: int) -> tuple[Fork, ...]:
        """The history file of a timeline."""
        return tuple(fork for fork in self.forks if fork.timeline < timeline)

    def checkpointed(self) -> None:
        """The control file tells the timeline that was reached, and how far."""
        self.told_timeline, self.told_end = self.timeline, self.end

    def lies_on(self, other: Directory) -> bool:
        """Whether all of it is part of the other's history: only then can it stream."""
        if self.forks != other.forks_of(self.timeline):
            return False
        left = next((fork.end for fork in other.forks if fork.timeline == self.timeline), None)
        return self.end <= (other.end if self.timeline == other.timeline else left or Lsn(0))

    def follow(self, other: Directory) -> None:
        """Receive everything that the other has."""
        self.timeline, self.forks, self.end, self.commits = other.timeline, other.forks, other.end, other.commits


class Process(NamedTuple):
    """A running server; ``names`` and ``connected`` as it has read them."""

    primary: bool
    begun_at: float
    names: str
    connected: bool
    ever_streamed: bool = False


class FakeServer:
    """`Inspection` and `Control` of one node's server."""

    def __init__(self, name: str, clock: FakeClock, effects: Effects, network: Callable[[], None]) -> None:
        self.name = name
        self.directory = Directory()
        self.directory.kept = Kept(f"id-{name}", 0, 0)
        self.programs = "postgres (PostgreSQL) 15.13"
        self.process: Process | None = None
        self.orphans: tuple[int, ...] = ()
        self.senders: tuple[Sender, ...] = ()
        self.slots: tuple[str, ...] = ()
        self.streaming = False
        self.receives: int | None = None
        self.deceives = False  # it connects though it has diverged, and claims what it has replayed as flushed
        # what can be wrong with it
        self.ignores: frozenset[Shutdown] = frozenset()
        self.frozen = False
        self.refuses: str | None = None
        self.unreadable: str | None = None
        self.misconfigured: AgentError | None = None
        self.failing_query: str | None = None
        self.dies_at_start = False
        self.never_promotes = False
        self.immortal = False
        self.knows_its_end = True
        self.slow_checkpoint = False
        self.marked: tuple[Mark, ...] = ()
        self.keeps_names: str | None = None
        self.reloads = True
        self._clock, self._effects, self._network = clock, effects, network
        self._later: list[tuple[float, Callable[[], None]]] = []

    # --- time ---

    def settle(self) -> None:
        """Let happen what was begun and is due by now."""
        due = [act for at, act in self._later if at <= self._clock.now()]
        self._later = [entry for entry in self._later if entry[0] > self._clock.now()]
        for act in due:
            act()
        self._network()

    def _soon(self, act: Callable[[], None]) -> None:
        self._later.append((self._clock.now() + DELAY, act))

    def _age(self) -> float:
        """For how long its process has been there; negative without one."""
        return -1.0 if self.process is None else self._clock.now() - self.process.begun_at

    @property
    def _visible(self) -> bool:
        """Whether the process table shows it: not in the first moment, as it has to find its directory first."""
        return self._age() >= APPEARS

    @property
    def is_ready(self) -> bool:
        """Whether it answers queries."""
        return self._age() >= DELAY and not self.frozen

    @property
    def accepts_writes(self) -> bool:
        """Whether it is a primary that answers."""
        return self.is_ready and self.process is not None and self.process.primary

    @property
    def asks_for_wal(self) -> bool:
        """Whether it is a standby that connects to the primary's address."""
        return self.is_ready and self.process is not None and self.process.connected and not self.process.primary

    # --- Inspection ---

    def server(self, within: float) -> Server:
        """What runs."""
        self.settle()
        if self.unreadable:
            return Unknown(self.unreadable)
        if self.process is None or not self._visible:
            return Orphans(self.orphans) if self.orphans else Stopped()
        if self.frozen:
            self._clock.pause(min(within, PROBE_SECONDS))
            return Stalled(1, self.directory.standby, "no answer")
        if not self.is_ready:
            return Starting(1)
        if self.refuses:
            return Refusing(1, self.directory.standby, self.refuses)
        return self._facts(self.process)

    def _facts(self, process: Process) -> Primary | Standby:
        at = self.directory
        if process.primary:
            return Primary(1, 150000, at.timeline, at.end, process.names, self.senders, self.slots)
        if not self.knows_its_end:
            return Standby(1, 150000, None, None, None, process.names)
        received = at.end if process.ever_streamed else None
        receiver = "streaming" if self.streaming else None
        return Standby(1, 150000, receiver, received, at.end, process.names, self.slots, self.receives)

    def signalled_standby(self) -> bool:
        """Whether the signal file is there; the server removes it at the end of a promotion."""
        self.settle()
        return self.directory.standby

    def marks(self) -> tuple[Mark, ...]:
        """What forbids a start."""
        return self.marked

    def is_gone(self) -> bool:
        """Whether nothing of it is left."""
        self._readable()
        self.settle()
        return not self._visible and not self.orphans

    def _readable(self) -> None:
        if self.unreadable:
            raise CannotTell(self.unreadable)

    def names_at_rest(self) -> str | None:
        """The names in the settings."""
        return self.directory.names

    def version(self) -> str:
        """Of a version that waits for its standbys from the start, unless told otherwise."""
        return self.programs

    def is_connected(self) -> bool:
        """Whether the settings name a primary."""
        return self.directory.connected

    def control(self) -> ControlData:
        """The control file."""
        self._readable()
        at = self.directory
        recovered = at.told_end if at.state == "in archive recovery" else Lsn(0)
        return ControlData(at.system, at.state, at.checkpoint, at.told_timeline, 0, recovered)

    def stopped_wal(self) -> LocalWal:
        """The history of the directory at rest."""
        control = self.control()
        return self.directory.wal(end=None, last_record=control.checkpoint if control.clean_primary else None)

    def standby_wal(self, end: Lsn | None, within: float) -> LocalWal:
        """The history of the running standby."""
        del within
        self._answering()
        if self.slow_checkpoint:
            raise CannotTell("PostgreSQL did not answer: CHECKPOINT takes too long")
        self.directory.checkpointed()
        return self.directory.wal(end=end)

    def system(self, within: float) -> str:
        """The identifier of the database system."""
        del within
        self._answering()
        return self.directory.system

    def replay(self, within: float) -> tuple[Lsn | None, bool]:
        """How far it has replayed; it never has to wait."""
        del within
        self._answering()
        return self.directory.end, True

    def _answering(self) -> None:
        self.settle()
        if not self.is_ready:
            raise CannotTell("PostgreSQL did not answer")

    def forks(self, timeline: int) -> tuple[Fork, ...]:
        """The history file of a timeline."""
        return self.directory.forks_of(timeline)

    def last_words(self) -> str:
        """Nothing that would matter."""
        return ""

    def monitor_query(self, statement: str, within: float) -> None:
        """Fails if told to."""
        del statement, within
        if self.failing_query:
            raise CannotTell(self.failing_query)

    # --- Control ---

    def check_configuration(self) -> None:
        """Raises what it was told to."""
        if self.misconfigured:
            raise self.misconfigured

    def start_as_standby(self, names: str, connected: bool) -> None:
        """Settings, signal file, start."""
        self._write(names, connected)
        self.directory.standby = True
        self._effects.happened(f"{self.name}: signal file")
        self.start_as_it_is()

    def start_as_primary(self, names: str | None) -> None:
        """Settings, no signal file, start."""
        if names is not None:
            self._write(names, connected=False)
        self.directory.standby = False
        self._effects.happened(f"{self.name}: no signal file")
        self.start_as_it_is()

    def _write(self, names: str, connected: bool) -> None:
        self.directory.names, self.directory.connected = names, connected
        self._effects.happened(f"{self.name}: settings")

    def start_as_it_is(self) -> None:
        """Start with whatever the files say."""
        self.settle()
        at = self.directory
        if self.process is not None or self.orphans:
            self._effects.happened(f"{self.name}: start in vain")  # ended by the lock file, and nobody is told
            return
        names = self.keeps_names if self.keeps_names is not None else at.names
        self.process = Process(not at.standby, self._clock.now(), names, at.connected)
        if self.dies_at_start:
            self._soon(self._end)
        elif not at.standby:
            at.end = Lsn(at.end + RECORD)
        at.begun = True
        at.state = "in archive recovery" if at.standby else "in production"
        self._effects.happened(f"{self.name}: start")

    def _end(self) -> None:
        self.process = None

    def follow(self, names: str) -> bool:
        """Settings, signal file, reload; nothing at all where a reload would not do."""
        if not self.reloads:
            return False
        self._write(names, connected=True)
        self.directory.standby = True
        self._reload()
        return True

    def rename(self, names: str) -> None:
        """Settings and reload."""
        self.directory.names = names
        self._effects.happened(f"{self.name}: settings")
        self._reload()

    def _reload(self) -> None:
        if self.process is not None and self.keeps_names is None:
            self.process = self.process._replace(names=self.directory.names, connected=self.directory.connected)
        self._effects.happened(f"{self.name}: reload to {self.directory.names!r}")

    def promote(self) -> None:
        """Begin a new timeline, soon."""
        if self.process is None or self.process.primary:
            raise CommandFailed("pg_ctl promote failed (1): server is not in standby mode")
        self._soon(self._promoted)
        self._effects.happened(f"{self.name}: promote")

    def _promoted(self) -> None:
        at = self.directory
        if self.process is not None and not self.process.primary and not self.never_promotes:
            at.forks = (*at.forks, Fork(at.timeline, at.end))
            at.timeline, at.end, at.standby, at.state = at.timeline + 1, Lsn(at.end + RECORD), False, "in production"
            at.checkpointed()
            self.process = self.process._replace(primary=True)

    def shut_down(self, how: Shutdown) -> None:
        """The signal; the server ends soon, unless it ignores it."""
        self._readable()
        if how is Shutdown.KILL and not self.immortal:
            self.process, self.orphans, self.frozen = None, (), False
        elif how not in self.ignores and not self.frozen and not self.immortal:
            self._soon(self._shut_down if how is Shutdown.FAST else self._end)
        self._effects.happened(f"{self.name}: {how.value} shutdown")

    def _shut_down(self) -> None:
        if self.process is None:
            return
        at = self.directory
        if self.process.primary:
            at.checkpoint, at.end, at.state = at.end, Lsn(at.end + RECORD), "shut down"
            self._network()
        else:
            at.state = "shut down in recovery"
        at.checkpointed()
        self.process = None

    def crash(self, orphans: tuple[int, ...] = ()) -> None:
        """The server is killed from outside."""
        self.settle()
        self.process, self.orphans, self._later = None, orphans, []

    def checkpoint(self, within: float) -> None:
        """The control file tells everything."""
        del within
        self._answering()
        self.directory.checkpointed()

    def write_wal(self, within: float) -> None:
        """The WAL grows."""
        del within
        self._answering()
        self.directory.end = Lsn(self.directory.end + 0x40)
        self._network()

    def create_slot(self, name: str, within: float) -> None:
        """Make a slot."""
        del within
        if name not in self.slots:
            self.slots = (*self.slots, name)
        self._effects.happened(f"{self.name}: slot {name}")

    def drop_slot(self, name: str, within: float) -> None:
        """Remove a slot."""
        del within
        self.slots = tuple(slot for slot in self.slots if slot != name)
        self._effects.happened(f"{self.name}: no slot {name}")
