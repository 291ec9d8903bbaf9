# SPDX-License-Identifier: GPL-2.0-or-later
"""What was measured so far."""

from __future__ import annotations

import datetime
import statistics
from collections import defaultdict
from dataclasses import dataclass, field

from tests.bench.figures import OURS, Figure


@dataclass(frozen=True)
class Outage:
    """What one fault cost the client."""

    began: datetime.datetime
    seconds: float
    acknowledged: int
    lost: int
    # Pacemaker itself slept for a second (see pauses.py).
    paused: bool = False
    # Seconds of all interruptions together.
    total: float = 0.0


@dataclass(frozen=True)
class Break:
    """Something that could not be measured, and why."""

    agent: str
    what: str
    reason: str

    def __str__(self) -> str:
        """Return it on one line."""
        first = self.reason.strip().splitlines() or ["no reason"]
        return f"{self.agent}, {self.what}: {first[0]}"


@dataclass
class Results:
    """Every value in seconds, in the order of measuring."""

    values: dict[tuple[Figure, str], list[float]] = field(default_factory=lambda: defaultdict(list))
    outages: dict[tuple[Figure, str], list[Outage]] = field(default_factory=lambda: defaultdict(list))
    breaks: list[Break] = field(default_factory=list)

    def add(self, figure: Figure, agent: str, *seconds: float) -> None:
        """Take down values."""
        self.values[figure, agent].extend(seconds)

    def add_outage(self, figure: Figure, agent: str, outage: Outage) -> None:
        """Take down what a fault cost."""
        self.outages[figure, agent].append(outage)
        self.add(figure, agent, outage.seconds)

    def median(self, figure: Figure, agent: str) -> float | None:
        """Return the median, None where nothing was measured."""
        values = self.values.get((figure, agent))
        return statistics.median(values) if values else None

    def unpaused_median(self, figure: Figure, agent: str) -> float | None:
        """Return the median of the faults in which Pacemaker made no pause of its own."""
        return self._median_where(figure, agent, paused=False)

    def paused_median(self, figure: Figure, agent: str) -> float | None:
        """Return the median of those in which it made one."""
        return self._median_where(figure, agent, paused=True)

    def _median_where(self, figure: Figure, agent: str, *, paused: bool) -> float | None:
        values = [outage.seconds for outage in self.outages.get((figure, agent), []) if outage.paused is paused]
        return statistics.median(values) if values else None

    def total_median(self, figure: Figure, agent: str) -> float | None:
        """Return the median of all interruptions together."""
        values = [outage.total for outage in self.outages.get((figure, agent), [])]
        return statistics.median(values) if values else None

    def lost(self, figure: Figure, agent: str) -> int:
        """Return how many acknowledged commits a fault cost in all rounds."""
        return sum(outage.lost for outage in self.outages.get((figure, agent), []))

    def lost_by_us(self) -> int:
        """Return how many acknowledged commits were lost with our agent."""
        return sum(self.lost(figure, agent) for figure, agent in self.outages if agent == OURS)
