"""The cells: which links are broken when the primary loses its power, and in which order all is healed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from itertools import combinations, permutations, product

from tests.lab.links import Direction

POWER = "power"
# P the primary, S the standby, A the arbiter.
LINKS = ("PS", "PA", "SA")


class Link(Enum):
    """The state of a link, read from the machine that is named first."""

    WHOLE = "-"
    CUT = "x"
    # Its own packets are lost.
    MUTE = ">"
    # The other's packets are lost.
    DEAF = "<"

    @property
    def direction(self) -> Direction:
        """Which packets are dropped."""
        return {Link.CUT: Direction.BOTH, Link.MUTE: Direction.OUT, Link.DEAF: Direction.IN}[self]


@dataclass(frozen=True)
class Cell:
    """One combination and one order."""

    states: tuple[Link, ...]
    healing: tuple[str, ...]

    @property
    def broken(self) -> Mapping[str, Link]:
        """The links that are not whole."""
        return {name: state for name, state in zip(LINKS, self.states, strict=True) if state is not Link.WHOLE}

    def __str__(self) -> str:
        """Name it: the links' states, then what is healed one after the other."""
        links = " ".join(f"{name[0]}{state.value}{name[1]}" for name, state in zip(LINKS, self.states, strict=True))
        return f"{links} / {', '.join(self.healing)}"


def every_cell(*, one_way: bool = True) -> Iterator[Cell]:
    """All that differ from each other, the simple ones first."""
    kinds = tuple(Link) if one_way else (Link.WHOLE, Link.CUT)
    states = sorted(product(kinds, repeat=len(LINKS)), key=lambda states: len(LINKS) - states.count(Link.WHOLE))
    for each in states:
        broken = [name for name, state in zip(LINKS, each, strict=True) if state is not Link.WHOLE]
        for healing in orders(broken):
            yield Cell(each, healing)


def orders(broken: list[str]) -> Iterator[tuple[str, ...]]:
    """Every order of healing that anybody could tell from another.

    While the primary's node is off, nothing but the link of the other two can be seen to be healed, so that
    what comes before the power has one order only.
    """
    for count in range(len(broken) + 1):
        for before in combinations(broken, count):
            after = [name for name in broken if name not in before]
            for rest in permutations(after):
                yield (*before, POWER, *rest)


def cell(text: str) -> Cell:
    """Return the cell of that name."""
    found = next((each for each in every_cell() if str(each) == text), None)
    if found is None:
        raise ValueError(f"no cell {text!r}")
    return found


# One of each kind, for every run of the tests; the story of test_safety_arbiter is "PxS P-A S-A / power, PS".
CHOSEN = tuple(
    map(
        cell,
        (
            "P-S P-A S-A / power",
            "P>S P-A S-A / power, PS",
            "PxS P-A S<A / SA, power, PS",
            "PxS PxA SxA / SA, power, PA, PS",
        ),
    )
)
