# SPDX-License-Identifier: GPL-2.0-or-later
"""What the model knows of the world: immutable values, hashable to the bottom.

PostgreSQL's names are five separate values (in the file, on disk, in the postmaster, in the checkpointer's flag,
in each walsender); WAL is a sequence of commits, of which servers compare timeline and length alone.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from expgsql_ra.record import NO_LEASE, Proposal, Record, Successor, ordered
from expgsql_ra.rules.succession import Completed
from expgsql_ra.snapshot import ClusterView, LocalWal, Member
from expgsql_ra.values import NO_FORK, Ancestry, Attestation, Fork, Lsn, ReplInfo

SYSTEM = "7"
NOW, OLD = 2, 1
"""Revisions: only whether a record is the present one matters, so all older ones are one value."""

Names = tuple[str, ...] | None
"""Whom commits wait for; None: closed, nobody can satisfy them."""
UNSET = "unset"
"""The checkpointer's flag before its first look at the configuration: commits do not wait."""


class Directory(NamedTuple):
    """A data directory."""

    id: str
    wal: tuple[int, ...]
    """The commits in it, in order; the position of a commit is its place."""
    timeline: int
    forks: tuple[Fork, ...]
    file: Names
    disk: Names
    """What the file with the names is after a power loss."""
    completed: Completed
    whole: bool = True
    """False while a copy is not finished."""
    was_primary: bool = False
    """What the control file says of the last server."""
    strayed: bool = False
    """The agent's mark that nobody can tell which history this is."""

    @property
    def local(self) -> LocalWal:
        """As the rules of divergence want it."""
        return LocalWal(SYSTEM, self.timeline, self.forks, None, Lsn(len(self.wal)))

    @property
    def history(self) -> Ancestry:
        """Its history as a primary would publish it."""
        return Ancestry(SYSTEM, self.forks, self.timeline)

    @property
    def mask(self) -> int:
        """Its commits as bits."""
        return sum(1 << one for one in set(self.wal))


class Walsender(NamedTuple):
    """A walsender of a primary: the configuration it has read, and the flush position that it was told last."""

    node: str
    names: Names
    flushed: int
    live: bool = True
    """Whether it was told anything since the primary last noted a position, for which it writes to the WAL."""

    @property
    def priority(self) -> int:
        """Its ``sync_priority``, which it works out from its own configuration."""
        return self.names.index(self.node) + 1 if self.names and self.node in self.names else 0


class Process(NamedTuple):
    """A running server."""

    primary: bool
    shown: Names
    """The postmaster's names: what new sessions and new walsenders have."""
    flag: Names | str
    """The names by which the checkpointer has set the shared flag; commits wait unless they are empty."""
    senders: tuple[Walsender, ...] = ()
    released: int = 0
    """The high-water of released commits where it lies beyond the end of WAL: later commits do not wait."""
    waiting: tuple[int, ...] = ()
    """Positions of the commits whose clients wait."""
    proved: bool = False
    """What the agent remembers of this server: its flag was proven, and names stayed non-empty."""
    upstream: str = ""

    def sender(self, node: str) -> Walsender | None:
        """The walsender of that name."""
        return next((one for one in self.senders if one.node == node), None)

    def with_sender(self, sender: Walsender) -> Process:
        """The same with this walsender instead of the one of its name."""
        others = tuple(one for one in self.senders if one.node != sender.node)
        return self._replace(senders=tuple(sorted((*others, sender), key=lambda one: one.node)))

    @property
    def acknowledges_alone(self) -> bool:
        """Whether a commit here is acknowledged at once."""
        return self.primary and self.flag in ((), UNSET)


class Act(NamedTuple):
    """A step that was decided and not performed yet. Tagged: named tuples of equal fields are equal."""

    what: str
    load: Any = None


class Program(NamedTuple):
    """A run of the agent: what it is, what it knows, what it does next."""

    kind: str
    act: Act
    record: Record
    fresh: bool = False
    noted: int | None = None


class Node(NamedTuple):
    """A node: its disk, its server, its agents."""

    name: str
    directory: Directory
    process: Process | None = None
    programs: tuple[Program, ...] = ()

    @property
    def me(self) -> Successor:
        """As the record names it."""
        return Successor(self.name, self.directory.id)

    def on_disk(self, **changes: Any) -> Node:
        """The same with another directory."""
        return self._replace(directory=self.directory._replace(**changes))

    def running(self, **changes: Any) -> Node:
        """The same with another process."""
        assert self.process is not None
        return self._replace(process=self.process._replace(**changes))


class Authority(NamedTuple):
    """The record, and the writes whose senders wait no more."""

    record: Record
    late: tuple[Proposal, ...] = ()


class Clients(NamedTuple):
    """How many commits there were, and which of them (as bits) were acknowledged."""

    made: int = 0
    acknowledged: int = 0


class Cib(NamedTuple):
    """What the nodes tell each other; a reader may act on it long after."""

    words: tuple[tuple[str, Attestation], ...] = ()
    """What each standby has said of its directory last."""
    history: Ancestry = Ancestry(SYSTEM, (), 1)
    complete: bool = True
    """False between the intent to promote and its completion."""

    def with_word(self, node: str, word: Attestation) -> Cib:
        """The same after a standby has spoken."""
        others = tuple(one for one in self.words if one[0] != node)
        return self._replace(words=tuple(sorted((*others, (node, word)))))

    def view(self, me: str) -> ClusterView:
        """As a node's agent reads it."""
        info = ReplInfo(me, *(self.history.parent or NO_FORK)) if self.complete else None
        return ClusterView(me, True, False, tuple(_member(*one) for one in self.words), info, self.history)


def _member(name: str, word: Attestation) -> Member:
    return Member(name, name, True, None, None, None, None, None, None, word)


def a_record(epoch: int, primary: str, successors: tuple[Successor, ...]) -> Record:
    """The present record."""
    return Record(SYSTEM, epoch, NOW, primary, ordered(successors), NO_LEASE, "", "", "")


def plain(proposal: Proposal) -> Proposal:
    """A proposal without its words for people, which would make equal states different."""
    return proposal._replace(reason="")


def aged_record(record: Record) -> Record:
    """A record after another one was accepted."""
    return record._replace(revision=OLD)


def aged_proposal(proposal: Proposal) -> Proposal:
    """A proposal after another one was accepted."""
    return proposal._replace(replaces=aged_record(proposal.replaces))


def aged(program: Program) -> Program:
    """A program after somebody else's write was accepted."""
    act = program.act
    if isinstance(act.load, Proposal):
        act = act._replace(load=aged_proposal(act.load))
    return program._replace(act=act, record=aged_record(program.record))
