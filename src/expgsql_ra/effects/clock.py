# SPDX-License-Identifier: GPL-2.0-or-later
"""The clock of the boot: no step of the wall clock stretches or cuts a wait, and a machine that slept has aged.

The wall clock is for people.
"""

from __future__ import annotations

import time


class MonotonicClock:
    """Time as the process sees it."""

    def now(self) -> float:
        """Seconds since some fixed moment."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def pause(self, seconds: float) -> None:
        """Let ``seconds`` pass."""
        time.sleep(seconds)


def utc_in(seconds: float) -> str:
    """The wall clock's time in a while, as Pacemaker's rules read it (ISO 8601)."""
    return time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(time.time() + seconds))


def utc_now() -> str:
    """The wall clock's time, for people: no decision reads it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
