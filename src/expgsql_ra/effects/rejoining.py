# SPDX-License-Identifier: GPL-2.0-or-later
"""A repair that an action begins and does not wait for to the end: the command ``expgsql repair`` or ``rebuild``.

It runs as a transient unit of systemd where there is one (``systemd-run``), else as a process in a session of its own:
it has to outlive the action, and Pacemaker. What became of it, it leaves in a file that does not outlive a boot.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager

from expgsql_ra.effects import files, lock
from expgsql_ra.effects.clock import MonotonicClock
from expgsql_ra.effects.memory import FOLDER
from expgsql_ra.effects.process import check, detach, run
from expgsql_ra.world import Deadline

SYSTEMD = "/run/systemd/system"
"""There where systemd is process 1 (sd_booted(3))."""
START_SECONDS = 10.0


class BackgroundRepair:
    """`world.Rejoining` of the real node."""

    def __init__(self, resource: str, folder: str = FOLDER) -> None:
        self._resource = resource
        self._folder = folder
        self._begun = 0.0

    @property
    def outcome(self) -> str:
        """The file in which it leaves why it failed, or nothing."""
        return os.path.join(self._folder, f"expgsql-{self._resource}.repair.outcome")

    def begin(self, command: str) -> None:
        """Begin it, unless one is under way."""
        from expgsql_ra.effects.hosts import program  # noqa: PLC0415 - hardly ever needed

        self._begun = MonotonicClock().now()
        if not lock.is_free(f"{self._resource}.repair", self._folder):
            return
        files.remove(self.outcome)
        words = [program(), command, "--background", "--resource", self._resource]
        if os.path.isdir(SYSTEMD):
            unit = ["systemd-run", "--quiet", "--collect", f"--unit=expgsql-repair-{self._resource}"]
            check(run([*unit, *words], timeout=START_SECONDS), "systemd-run")
        else:
            detach(words, environ={}, descriptors=())

    def apart(self, deadline: Deadline) -> AbstractContextManager[None]:
        """Let it have the lock of this node meanwhile."""
        return lock.given_away(self._resource, deadline)

    def ended(self) -> str | None:
        """Why it ended without success; empty if it is over otherwise, None while it is under way."""
        found = files.read(self.outcome)
        if found is not None:
            return found
        if MonotonicClock().now() - self._begun < START_SECONDS:
            return None
        free = lock.is_free(f"{self._resource}.repair", self._folder)
        return "it was ended, or could not begin" if free else None

    def end(self, why: str) -> None:
        """Said by the repair itself."""
        os.makedirs(self._folder, exist_ok=True)
        files.write(self.outcome, why)
