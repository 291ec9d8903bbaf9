# SPDX-License-Identifier: GPL-2.0-or-later
"""Breadth-first: every state within the bounds, the nearest first, so that a story is as short as it can be."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import NamedTuple, Protocol, TypeVar

S = TypeVar("S", bound=Hashable)


class Found(NamedTuple):
    """A state in which something is broken, and how it came about."""

    broken: frozenset[str]
    story: tuple[str, ...]

    def __str__(self) -> str:
        steps = (f"{number:3} {line}" for number, line in enumerate(self.story, 1))
        return "\n".join([f"broken: {', '.join(sorted(self.broken))}", *steps])


class Explored(NamedTuple):
    """What a search has seen."""

    states: int
    exhausted: bool
    found: Found | None
    depth: int


class World(Protocol[S]):
    """Anything with states and steps."""

    def initial(self) -> S:
        """Where it begins."""
        ...

    def after(self, state: S) -> Iterator[tuple[str, S]]:
        """Every step from a state: its story, and the state that it leads to."""
        ...

    def broken(self, state: S) -> frozenset[str]:
        """The invariants that do not hold."""
        ...


def explore(world: World[S], most: int = 10_000_000) -> Explored:
    """Search until something is broken, all is seen, or ``most`` states are known."""
    came_from: dict[S, S | None] = {world.initial(): None}
    edge, depth = list(came_from), 0
    while edge and len(came_from) < most:
        depth += 1
        following: list[S] = []
        for before, after in _steps(world, edge):
            if after in came_from:
                continue
            came_from[after] = before
            broken = world.broken(after)
            if broken:
                return Explored(len(came_from), False, Found(broken, story(world, came_from, after)), depth)
            following.append(after)
        edge = following
    return Explored(len(came_from), not edge, None, depth)


def _steps(world: World[S], states: list[S]) -> Iterator[tuple[S, S]]:
    for state in states:
        for _, after in world.after(state):
            yield state, after


def story(world: World[S], came_from: dict[S, S | None], last: S) -> tuple[str, ...]:
    """The steps that led to a state."""
    lines: list[str] = []
    state: S | None = last
    while state is not None:
        before = came_from[state]
        if before is not None:
            lines.append(next(text for text, after in world.after(before) if after == state))
        state = before
    return tuple(reversed(lines))


def replayed(world: World[S], lines: tuple[str, ...]) -> tuple[frozenset[str], tuple[str, ...]]:
    """Follow a story as far as the rules let it: what was broken on the way, and the steps that were not possible."""
    state, refused = world.initial(), []
    broken = world.broken(state)
    for line in lines:
        following = next((after for text, after in world.after(state) if text == line), None)
        if following is None:
            refused.append(line)
            continue
        state = following
        broken |= world.broken(state)
    return broken, tuple(refused)
