# SPDX-License-Identifier: GPL-2.0-or-later
"""The small values everything else is made of, and the only home of their spellings on the wire.

Values are named tuples, not dataclasses: importing dataclasses alone costs more processor time than
one whole SQL probe, and the agent runs every few seconds (docs/decisions/002-cheap-imports.md).
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple, Self


class Lsn(int):
    """A position in the write-ahead log (PostgreSQL documentation, "pg_lsn Type")."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read PostgreSQL's own notation, such as ``16/B374D848``; ValueError if it is not that."""
        high, low = text.split("/")
        return cls((int(high, 16) << 32) | int(low, 16))

    @classmethod
    def from_digits(cls, text: str) -> Self:
        """Read the cluster's notation: hexadecimal digits without a slash."""
        return cls(int(text, 16))

    @property
    def digits(self) -> str:
        """The cluster's notation: 16 hexadecimal digits, so that text sorts as numbers do."""
        return f"{int(self):016X}"

    def __str__(self) -> str:
        return f"{self >> 32:X}/{self & 0xFFFFFFFF:X}"

    __repr__ = __str__


class Fork(NamedTuple):
    """One ancestor timeline and where it was left for its child (a line of a history file)."""

    timeline: int
    end: Lsn


NO_FORK = Fork(0, Lsn(0))
"""What is recorded of a primary on the first timeline, which no promotion began."""


def _parse_forks(texts: list[str]) -> tuple[Fork, ...]:
    pairs = (text.split("@") for text in texts)
    return tuple(Fork(int(timeline), Lsn.from_digits(end)) for timeline, end in pairs)


def _format_forks(forks: tuple[Fork, ...]) -> list[str]:
    return [f"{fork.timeline}@{fork.end.digits}" for fork in forks]


class Ancestry(NamedTuple):
    """A timeline with all its ancestors, and the database system that they belong to.

    The same knowledge as a timeline history file (PostgreSQL documentation, "Timelines").
    """

    system: str
    forks: tuple[Fork, ...]
    current: int

    @property
    def parent(self) -> Fork | None:
        """The last promotion: which timeline ended, and where."""
        return self.forks[-1] if self.forks else None

    def end_of(self, timeline: int) -> Lsn | None:
        """Where this history left ``timeline``; None if it never did."""
        return next((fork.end for fork in self.forks if fork.timeline == timeline), None)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what ``str()`` wrote; ValueError for anything else."""
        system, *forks, current = text.split(" ")
        return cls(system, _parse_forks(forks), int(current))

    def __str__(self) -> str:
        return " ".join((self.system, *_format_forks(self.forks), str(self.current)))


def parse_history_file(content: str) -> tuple[Fork, ...]:
    """Read a timeline history file: tab-separated ancestor, switch position and reason per line."""
    lines = (line.split() for line in content.splitlines() if line.strip() and not line.startswith("#"))
    return tuple(Fork(int(fields[0]), Lsn.parse(fields[1])) for fields in lines)


class ReplInfo(NamedTuple):
    """``RES_REPL_INFO``: the primary, its timeline before its last promotion, and where that ended."""

    node: str
    timeline: int
    end: Lsn

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``NODE|TLI|LSN``; ValueError for anything else."""
        node, timeline, end = text.split("|")
        return cls(node, int(timeline), Lsn.from_digits(end))

    def __str__(self) -> str:
        return f"{self.node}|{self.timeline}|{self.end.digits}"


class Attestation(NamedTuple):
    """``RES-follows``: a standby's own word that its data directory lies on a history and receives it.

    The primary waits for nobody who has not given it: positions alone do not show a divergence.
    """

    directory: str
    timeline: int
    forks: tuple[Fork, ...]
    """All its ancestors: two nodes promoted from one parent share a timeline's number."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what ``str()`` wrote; ValueError for anything else."""
        directory, *forks, timeline = text.split(" ")
        return cls(directory, int(timeline), _parse_forks(forks))

    def __str__(self) -> str:
        return " ".join((self.directory, *_format_forks(self.forks), str(self.timeline)))


class RepMode(StrEnum):
    """What is replicated, as the parameter ``rep_mode`` says it."""

    NONE = "none"
    ASYNC = "async"
    SYNC = "sync"
    SLAVE = "slave"


class Status(StrEnum):
    """``RES-status``: what a node's server is doing."""

    PRIMARY = "PRI"
    SYNC = "HS:sync"
    ASYNC = "HS:async"
    POTENTIAL = "HS:potential"
    QUORUM = "HS:quorum"
    CONNECTED = "HS:connected"
    ALONE = "HS:alone"
    STOPPED = "STOP"
    UNKNOWN = "UNKNOWN"


class DataStatus:
    """``RES-data-status``: how fresh a node's data is, as its primary last saw it.

    Not an enumeration: a standby that does not stream yet carries PostgreSQL's own words,
    ``CATCHUP|ASYNC`` for instance.
    """

    LATEST = "LATEST"
    SYNC = "STREAMING|SYNC"
    ASYNC = "STREAMING|ASYNC"
    POTENTIAL = "STREAMING|POTENTIAL"
    QUORUM = "STREAMING|QUORUM"
    DISCONNECT = "DISCONNECT"

    @staticmethod
    def of(state: str, sync_state: str) -> str:
        """The spelling for any other pair of ``pg_stat_replication.state`` and ``sync_state``."""
        return f"{state}|{sync_state}".upper()


class Score(StrEnum):
    """The promotion score of a node, in Pacemaker's spelling."""

    CANNOT = "-INFINITY"
    CAN = "100"
    WON = "110"
    PRIMARY = "1000"


TEMPORARY = "expgsql-"
"""How the constraints begin that commands of ours lay down for a while, and nobody else."""
SWITCHOVER = f"{TEMPORARY}switchover-"
"""How the one begins that moves the promoted role of a resource; the clone's name, or the primitive's, follows."""


def same_node(one: str, other: str) -> bool:
    """Whether two spellings name one node: host names and standby names ignore case."""
    return one.casefold() == other.casefold()


def without(nodes: Iterable[str], node: str) -> tuple[str, ...]:
    """The nodes but that one, however it is spelled."""
    return tuple(one for one in nodes if not same_node(one, node))
