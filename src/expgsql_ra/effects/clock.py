# SPDX-License-Identifier: GPL-2.0-or-later
"""The monotonic clock: steps of the wall clock never stretch or cut a wait."""

from __future__ import annotations

import time


class MonotonicClock:
    """Time as the process sees it."""

    def now(self) -> float:
        """Seconds since some fixed moment."""
        return time.monotonic()

    def pause(self, seconds: float) -> None:
        """Let ``seconds`` pass."""
        time.sleep(seconds)
