# SPDX-License-Identifier: GPL-2.0-or-later
"""What a repair of this node's data looks at: what lies at and beside the data directory, and what the primary says."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Mark(StrEnum):
    """What stands in a data directory that is not to be started: the names of the marks there."""

    REPAIRING = "expgsql.repairing"
    """A repair was begun. The data is whole, and nobody may start it meanwhile."""
    REWINDING = "expgsql.rewinding"
    """``pg_rewind`` was writing here: a part of the data is the primary's, another is not."""

    @property
    def meaning(self) -> str:
        """Why a start is refused, and the remedy."""
        if self is Mark.REWINDING:
            return "the data here is half rewound (pg_rewind did not end): run expgsql rebuild"
        return "a repair of the data here was begun and has not ended: run expgsql repair, or expgsql rebuild"


class Folder(NamedTuple):
    """What lies at and beside the data directory."""

    path: str
    """All links resolved."""
    present: bool
    """Whether there is a database in it."""
    empty: bool
    """Whether nothing is in it, or it is not there."""
    marks: tuple[Mark, ...] = ()
    ready: bool = False
    """Whether a new copy lies beside it that is complete and only has to take its place."""
    olds: tuple[str, ...] = ()
    """Directories that earlier rebuilds put aside."""
    is_mount_point: bool = False
    free: int = 0
    """Bytes that its file system has left."""
    occupied: tuple[str, ...] = ()
    """Those of the primary's tablespaces whose place here is not empty."""


class Source(NamedTuple):
    """What the primary says of itself over the connection that a repair uses."""

    system: str
    in_recovery: bool
    timeline: int
    checkpointed: int
    """The timeline that its control file names: the one before, until the first checkpoint after a promotion."""
    size: int | None
    """Bytes of all databases; None where the user of replication may not know."""
    tablespaces: tuple[str, ...] = ()
    """The places of those that are not PostgreSQL's own."""
