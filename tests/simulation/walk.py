# SPDX-License-Identifier: GPL-2.0-or-later
"""Random runs through larger worlds, with an adversary that has habits.

Uniform random choice finds little in such worlds. This adversary kills right after a write was sent, delivers late
writes after the next accepted one, restarts right after the names changed, and promotes right after a widening.
"""

from __future__ import annotations

import random
from functools import cache
from typing import NamedTuple

from tests.simulation.model import ALL_PROGRAMS, Bounds, Model, Move
from tests.simulation.rules import BY_THE_BOOK, Rules
from tests.simulation.search import Found

WIDE = frozenset({"I1", "I1s", "I2", "I4", "I5"})
"""Without I3: a left-over promote begins a second history, which never acknowledges anything."""
EVERYBODY = ALL_PROGRAMS | {"leave", "rebuild"}
WORLDS = tuple(
    Bounds(
        nodes,
        commits=5,
        epochs=5,
        timelines=6,
        late=2,
        directories=2,
        programs=EVERYBODY,
        count=count,
        hand=True,
        fixed=fixed,
        older=True,
        synchronous=synchronous,
        watched=WIDE,
    )
    for nodes, count, synchronous in ((2, 1, ("node2",)), (3, 1, ("node2",)), (3, 2, ("node2", "node3")), (2, 1, ()))
    for fixed in (True, False)
)
LENGTH = 150
HABITS = (
    ("no answer", ("ends before", "the server dies"), 12.0),
    ("(narrow)", ("a late write",), 12.0),
    ("(claim)", ("a late write", "ends before"), 6.0),
    ("(widen)", ("promote: begins", "the server dies", "loses the link"), 8.0),
    ("renames to", ("the server dies", "ends before", "takes the names"), 6.0),
    ("reloads to", ("the server dies", "commit"), 6.0),
    ("copies the directory", ("finish", "a late write"), 6.0),
    ("the server dies", ("restart: begins", "standby: begins", "promote: begins"), 4.0),
)
"""What was just told, what is then liked, and how much more than usual."""
FAULTS = ("the server dies", "ends before", "loses the link", "left-over promote", "leave: begins", "rebuild: begins")
MOODS = (0.02, 0.1, 0.3, 1.0)
"""How much a fault is liked, in one run or another."""
STEADY = 4.0
"""How much a run of the agent likes to go on."""


class Walked(NamedTuple):
    """What a time of walking has seen."""

    runs: int
    steps: int
    found: Found | None


@cache
def habit(last: str, story: str) -> float:
    """How much more the adversary likes a step after the last one."""
    liked = (more for told, likes, more in HABITS if told in last and any(one in story for one in likes))
    return next(liked, 0.0)


@cache
def is_fault(story: str) -> bool:
    """Whether something breaks."""
    return any(words in story for words in FAULTS)


@cache
def goes_on(story: str) -> bool:
    """Whether a run of the agent takes its step."""
    return ": begins" not in story and any(f" {kind}: " in story for kind in EVERYBODY)


class Adversary:
    """Walks through the worlds; the same seed walks the same way."""

    def __init__(self, seed: int, rules: Rules = BY_THE_BOOK) -> None:
        self.seed = seed
        self._chance = random.Random(seed)
        self._worlds = tuple(Model(bounds, rules) for bounds in WORLDS)
        self.runs = self.steps = 0

    def run(self) -> Found | None:
        """One walk through one of the worlds, from its beginning."""
        self.runs += 1
        model, mood = self._chance.choice(self._worlds), self._chance.choice(MOODS)
        state, story = model.initial(), list[str]()
        for _ in range(LENGTH):
            moves = tuple(model.moves(state))
            if not moves:
                break
            move = self._chosen(moves, story[-1] if story else "", mood)
            story.append(move.story)
            state = model.apply(state, move)
            self.steps += 1
            broken = model.broken(state)
            if broken:
                return Found(broken, (f"seed {self.seed}, run {self.runs}, {model.bounds}", *story))
        return None

    def _chosen(self, moves: tuple[Move, ...], last: str, mood: float) -> Move:
        weights = [self._weight(last, move.story, mood) for move in moves]
        return self._chance.choices(moves, weights)[0]

    @staticmethod
    def _weight(last: str, story: str, mood: float) -> float:
        if is_fault(story):
            return max(mood, habit(last, story))
        return max(STEADY if goes_on(story) else 1.0, habit(last, story))
