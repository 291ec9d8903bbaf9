# SPDX-License-Identifier: GPL-2.0-or-later
"""What a repair may do to the data of the node that it runs on, as small interfaces: see `site` for the rest."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

from expgsql_ra.repairs import Folder, Mark, Source
from expgsql_ra.world import Authority, Control, Inspection, Keeping


class DataDirectory(Protocol):
    """The data directory, as files. Every step is durable when it returns, and may be repeated."""

    def look(self, tablespaces: tuple[str, ...] = ()) -> Folder:
        """What lies there; ``tablespaces`` are the primary's."""

    def mark(self, mark: Mark) -> None:
        """Keep the data from being started."""

    def unmark(self, mark: Mark) -> None:
        """Let it be started, as far as this mark goes."""

    def keep_configuration(self) -> None:
        """Copy the node's own configuration files to where ``pg_rewind`` does not overwrite them."""

    def restore_configuration(self) -> None:
        """Put them back, and remove the id of the data directory: it is another one now."""

    def forget_configuration(self) -> None:
        """They are in place: nothing needs to be kept."""

    def make_room(self) -> None:
        """Remove what an interrupted base backup left."""

    def complete(self) -> None:
        """The base backup is whole: give it the node's own files, and the name that says so."""

    def take_place(self) -> str:
        """Put the old directory aside, and the complete copy in its place; where the old one is now, if there was."""

    def discard_old(self, old: str) -> None:
        """Remove what the copy took the place of."""


class Tools(Protocol):
    """PostgreSQL's own programs. ``told`` gets each line of progress; `CommandFailed` says why one failed."""

    def source(self, within: float) -> Source:
        """Ask the primary, over the connection that the copy will take; `CannotTell` without an answer."""

    def checkpoint_source(self, within: float) -> None:
        """Have the primary complete a checkpoint; `CommandFailed` where the user of replication may not."""

    def recover(self, told: Callable[[str], None], within: float) -> None:
        """Bring the data of a server that did not end in order to a clean end, without serving anybody."""

    def rewind(self, told: Callable[[str], None], within: float, *, trial: bool) -> None:
        """``pg_rewind``; with ``trial`` it looks at everything and changes nothing."""

    def back_up(self, told: Callable[[str], None], within: float) -> None:
        """``pg_basebackup`` to beside the data directory."""


class Workshop(NamedTuple):
    """Everything a repair works with on its node."""

    look: Inspection
    server: Control
    own: Keeping
    authority: Authority
    data: DataDirectory
    tools: Tools
    lock: Callable[[], AbstractContextManager[None]]
    """The one hand of the agent (R11): held for the short steps in which it must not act."""
    told: Callable[[str], None]
    """Where progress is shown."""
