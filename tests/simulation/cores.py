# SPDX-License-Identifier: GPL-2.0-or-later
"""The worlds that are explored state by state in `make test`; each bound is named, and so is where a search ends."""

from __future__ import annotations

from typing import NamedTuple

from tests.simulation.model import ALL_PROGRAMS, Bounds

KEEP = frozenset({"keep"})
REBUILD = ALL_PROGRAMS | {"rebuild"}
ALL = frozenset({"I1", "I1s", "I2", "I3", "I4", "I5"})
HISTORIES = ALL | {"I6"}
WITHOUT_TWINS = ALL - {"I3"}
"""For worlds with a left-over promote: it begins a second history, which never acknowledges anything."""


class Core(NamedTuple):
    """A world, and how many of its states are looked at; None: all."""

    name: str
    bounds: Bounds
    most: int | None = None


CORES = (
    Core("two nodes, 1 commit, 2 epochs", Bounds(late=0, watched=HISTORIES)),
    Core("two nodes, 1 commit, 2 epochs, late writes", Bounds(watched=ALL)),
    Core("two nodes, 2 commits, 3 epochs, late writes", Bounds(commits=2, epochs=3, watched=ALL), 300_000),
    Core("two nodes, a PostgreSQL that starts without waiting", Bounds(late=0, fixed=False, watched=ALL), 300_000),
    Core(
        "two nodes, rebuilt from older copies, 2 commits",
        Bounds(2, 2, 1, late=0, programs=REBUILD, directories=1, older=True, watched=ALL),
        300_000,
    ),
    Core(
        "two nodes, rebuilds and takeovers",
        Bounds(2, 1, 2, late=1, programs=REBUILD | {"leave"}, directories=1, watched=ALL),
        300_000,
    ),
    Core(
        "two nodes, left-over promotes",
        Bounds(2, 1, 2, late=0, timelines=3, hand=True, watched=WITHOUT_TWINS),
        300_000,
    ),
    Core("three nodes, one synchronous", Bounds(3, 1, 2, late=0, watched=ALL), 300_000),
    Core(
        "three nodes, two synchronous",
        Bounds(3, 1, 1, late=0, programs=KEEP, count=2, synchronous=("node2", "node3"), watched=ALL),
        200_000,
    ),
    Core(
        "four nodes, two synchronous",
        Bounds(4, 1, 1, late=0, programs=KEEP, count=2, synchronous=("node2", "node3"), watched=ALL),
        150_000,
    ),
)
