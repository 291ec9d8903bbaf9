# SPDX-License-Identifier: GPL-2.0-or-later
"""What is measured, and what is promised of it: every bound is declared here and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

OURS = "expgsql"
PGSQL = "pgsql"
PAF = "pgsqlms"
FLOOR = "null"
ARMS = (OURS, PGSQL, PAF, FLOOR)
# The floor does nothing that could be compared.
WITH_MONITOR = (OURS, PGSQL, PAF)


class Figure(Enum):
    """One line of the table."""

    KILL = "kill"
    SWITCHOVER = "switchover"
    POWER = "power"
    CABLE = "cable"
    CPU_PROMOTED = "cpu of a promoted monitor"
    CPU_UNPROMOTED = "cpu of an unpromoted monitor"
    CPU_SEVEN = "cpu of a promoted monitor of seven nodes"


# What one cluster goes through in a round, in this order. The cable comes last, since it needs the
# most repair, which the cluster does not live to see.
FAULTS = (Figure.KILL, Figure.SWITCHOVER, Figure.POWER, Figure.CABLE)
# After these, Pacemaker may make a pause of its own (see pauses.py).
NODE_LOSSES = (Figure.POWER, Figure.CABLE)
# What --only takes.
GROUPS = {
    **{figure.value: (figure,) for figure in FAULTS},
    "cpu": (Figure.CPU_PROMOTED, Figure.CPU_UNPROMOTED),
    "cpu7": (Figure.CPU_SEVEN,),
}

Medians = Callable[[Figure, str], float | None]


class Base(Enum):
    """What a bound is relative to."""

    PAF = "pgsqlms"
    BEST = "the better of pgsql and pgsqlms"
    FLOOR = "the floor"
    OWN = "its own with 3 nodes"

    def value_for(self, figure: Figure, medians: Medians) -> float | None:
        """Return the base in seconds, None where it was not measured."""
        match self:
            case Base.PAF:
                return medians(figure, PAF)
            case Base.FLOOR:
                return medians(figure, FLOOR)
            case Base.OWN:
                return medians(Figure.CPU_PROMOTED, OURS)
            case Base.BEST:
                both = [medians(figure, PGSQL), medians(figure, PAF)]
                seen = [value for value in both if value is not None]
                return min(seen) if len(seen) == len(both) else None


@dataclass(frozen=True)
class Bound:
    """The most a figure may be: a multiple of a base and some seconds more."""

    base: Base | None = None
    factor: float = 1.0
    plus: float = 0.0

    def limit(self, figure: Figure, medians: Medians) -> float | None:
        """Return the bound in seconds, None where its base was not measured."""
        if self.base is None:
            return self.plus
        base = self.base.value_for(figure, medians)
        return None if base is None else base * self.factor + self.plus

    def __str__(self) -> str:
        """Return it as the contract words it."""
        if self.base is None:
            return f"{self.plus:.1f} s"
        if self.plus:
            return f"{self.base.value} + {self.plus:.1f} s"
        return f"{self.factor:g} x {self.base.value}"


@dataclass(frozen=True)
class Promise:
    """How a figure is named, and how good it has to be."""

    title: str
    required: Bound
    aimed: Bound
    # A write gap is told in seconds, a monitor's cost in milliseconds.
    in_seconds: bool = True

    def rounded(self, seconds: float) -> float:
        """Return a value as exact as it is told."""
        return round(seconds, 2 if self.in_seconds else 3)

    def told(self, seconds: float) -> str:
        """Return a value with its unit."""
        return f"{seconds:.2f} s" if self.in_seconds else f"{seconds * 1000:.0f} ms"


PROMISES = {
    Figure.KILL: Promise("kill -9 of the primary's server", Bound(Base.PAF), Bound(plus=2.0)),
    Figure.POWER: Promise("power loss of the primary's node", Bound(Base.BEST), Bound(Base.FLOOR, plus=0.3)),
    Figure.CABLE: Promise("cable of the primary's node pulled", Bound(Base.BEST, 0.85), Bound(Base.FLOOR, plus=0.3)),
    Figure.SWITCHOVER: Promise("planned switchover", Bound(Base.PAF, 0.7), Bound(plus=1.0)),
    Figure.CPU_PROMOTED: Promise(
        "CPU of one monitor, promoted", Bound(Base.PAF), Bound(Base.PAF, 0.5), in_seconds=False
    ),
    Figure.CPU_UNPROMOTED: Promise(
        "CPU of one monitor, unpromoted", Bound(Base.PAF), Bound(Base.PAF, 0.5), in_seconds=False
    ),
    Figure.CPU_SEVEN: Promise(
        "CPU of one monitor, promoted, 7 nodes", Bound(Base.OWN, 1.3), Bound(Base.OWN, 1.1), in_seconds=False
    ),
}
