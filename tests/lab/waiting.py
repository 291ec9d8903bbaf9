"""Waiting for a condition with a deadline: the lab's only clock."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TypeVar

T = TypeVar("T")


class Timeout(Exception):
    """A condition did not come true in time."""

    def __init__(self, what: str, within: float, seen: str = "") -> None:
        super().__init__(f"waited {within:g} s for {what}" + (f"\n{seen}" if seen else ""))


def now() -> float:
    """Seconds on the machine's monotonic clock, which all processes of the lab share."""
    return time.monotonic()


def ticks(every: float, within: float) -> Iterator[None]:
    """Yield at once and then at an interval until the time is used up."""
    deadline = now() + within
    yield
    while now() < deadline:
        time.sleep(every)
        yield


def wait_until(
    condition: Callable[[], T | None],
    *,
    within: float,
    what: str,
    every: float = 0.1,
    seen: Callable[[], str] = str,
) -> T:
    """Return the first true value of `condition`; on a timeout raise what was `seen` last."""
    for _ in ticks(every, within):
        value = condition()
        if value:
            return value
    raise Timeout(what, within, seen())
