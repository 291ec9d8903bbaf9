# SPDX-License-Identifier: GPL-2.0-or-later
"""`Keeping` of the real world: two files, looked at only where somebody asks."""

from __future__ import annotations

from expgsql_ra.effects.durable import DirectoryFile, SeenFile
from expgsql_ra.effects.installation import Installation
from expgsql_ra.record import HighWater, Kept, Record


class LiveKeeping:
    """What this node and its data directory keep durably."""

    def __init__(self, resource: str, installation: Installation) -> None:
        # each authority counts for itself: another one begins anew with the primary alone
        p = installation.parameters
        self._seen = SeenFile(f"{resource}@{p.distlock_lockname}" if p.enable_distlock else resource)
        self._at = installation
        self._kept: Kept | None = None
        self._new: bool | None = None

    def kept(self) -> Kept:
        """What the directory knows of itself; read once in a run of the agent, which alone writes it."""
        if self._kept is None:
            self.is_new()
            self._kept = self._directory().identity()
        return self._kept

    def completed(self, epoch: int, timeline: int) -> None:
        """A promotion is complete in this directory."""
        self._kept = self._directory().completed(epoch, timeline)

    def is_new(self) -> bool:
        """Whether the directory had no id of its own before this run."""
        if self._new is None:
            self._new = self._directory().is_new()
        return self._new

    def strayed(self) -> None:
        """Its server accepted writes after a promotion that nobody had confirmed."""
        self._kept = self._directory().strayed()

    def highest(self) -> HighWater:
        """The highest epoch and revision ever seen on this node."""
        return self._seen.load()

    def saw(self, record: Record) -> None:
        """Keep them, if they are higher now."""
        self._seen.saw(record)

    def _directory(self) -> DirectoryFile:
        return DirectoryFile(self._at.parameters.pgdata, self._at.account, self._at.node)
