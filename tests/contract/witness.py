# SPDX-License-Identifier: GPL-2.0-or-later
"""How long a call took, less the time in which this machine let nobody of us run."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

TICK = 0.02


class Witness:
    """Sleeps in short ticks beside a call; what a tick is late, the call may have been kept from its work."""

    def __init__(self) -> None:
        self.seconds = 0.0
        """Of the call, when it is over."""
        self._late = 0.0
        self._over = threading.Event()

    def watch(self) -> None:
        """Add up how late each tick is, until the call is over."""
        while not self._over.is_set():
            begun = time.monotonic()
            time.sleep(TICK)
            self._late += max(0.0, time.monotonic() - begun - 2 * TICK)

    def end(self, since: float) -> None:
        """The call is over."""
        self._over.set()
        self.seconds = time.monotonic() - since - self._late


@contextmanager
def timed() -> Iterator[Witness]:
    """Measure what is done inside."""
    witness, begun = Witness(), time.monotonic()
    thread = threading.Thread(target=witness.watch, daemon=True)
    thread.start()
    try:
        yield witness
    finally:
        witness.end(begun)
        thread.join()
