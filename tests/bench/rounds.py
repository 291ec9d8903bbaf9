# SPDX-License-Identifier: GPL-2.0-or-later
"""The run: rounds in which every agent has its turn on a cluster of its own, built anew each time."""

from __future__ import annotations

import math
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from tests.bench import costs, outages
from tests.bench.figures import FAULTS, NODE_LOSSES, OURS, PROMISES, WITH_MONITOR, Figure, Promise
from tests.bench.preparation import repair, settle
from tests.bench.results import Break, Outage, Results
from tests.lab import evidence
from tests.lab.cluster import Cluster, SplitBrain
from tests.lab.command import CommandFailed
from tests.lab.configuration import Config
from tests.lab.demo_console import Busy, Console
from tests.lab.fixtures import ARTIFACTS
from tests.lab.machine import PowerFailure
from tests.lab.places import Places
from tests.lab.teardown import take_down
from tests.lab.waiting import Timeout, now

from expgsql_ra.rules.setup_membership import PROFILES
from expgsql_ra.setup_model import Timing

LAB = "bench"
SEVEN = 7
PAUSED = " (paused)"
PROBLEMS = (
    *(CommandFailed, PowerFailure, SplitBrain, Timeout, costs.WrongAnswer),
    *(OSError, psycopg.Error, subprocess.TimeoutExpired),
)


@dataclass(frozen=True)
class Plan:
    """What is measured, with whom, and how often."""

    figures: frozenset[Figure]
    agents: tuple[str, ...]
    rounds: int = 3
    # How often a round measures the loss of a node: its outcomes are a whole second apart, and which
    # of them comes is a race inside Pacemaker, so that a median of few says little.
    draws: int = 3
    monitors: int = 15
    timing: Timing = Timing.DEFAULT

    @property
    def faults(self) -> tuple[Figure, ...]:
        """The faults of the plan in their order."""
        return tuple(figure for figure in FAULTS if figure in self.figures)

    def phases(self, figure: Figure, number: int) -> tuple[float, ...]:
        """Return when a round's faults of a kind come, as shares of the interval between two monitors.

        Those of all rounds are the middles of equal parts of the interval.
        """
        draws = self.draws if figure in NODE_LOSSES else 1
        return tuple((number + (draw + 0.5) / draws) / self.rounds for draw in range(draws))

    @property
    def monitors_per_round(self) -> int:
        """How many runs of each monitor a round measures."""
        return math.ceil(self.monitors / self.rounds)

    def has_seven(self, number: int) -> bool:
        """Whether a round has a turn with seven nodes: the middle one, among the runs it is compared with."""
        return Figure.CPU_SEVEN in self.figures and OURS in self.agents and number == self.rounds // 2

    def config(self, agent: str, nodes: int = Config.nodes) -> Config:
        """Return the cluster of an agent's turn."""
        return Config(lab=LAB, agent=agent, nodes=nodes, totem=self.totem(nodes))

    def totem(self, nodes: int) -> dict[str, str]:
        """Return Corosync's options for the timing, as `expgsql setup corosync` has them."""
        return {name: str(value) for name, value in PROFILES[self.timing].options(nodes).items()}

    def costs_of(self, agent: str) -> tuple[Figure, ...]:
        """Return which costs of an agent's monitor are measured with three nodes."""
        wanted = (Figure.CPU_PROMOTED, Figure.CPU_UNPROMOTED)
        return tuple(figure for figure in wanted if figure in self.figures and agent in WITH_MONITOR)


@dataclass
class Run:
    """One run of the plan."""

    plan: Plan
    console: Console
    # Where the nodes' logs of every turn are kept, if anywhere.
    logs: Path | None = None
    results: Results = field(default_factory=Results)

    def all_rounds(self) -> None:
        """Measure everything; what breaks is noted and does not keep the rest from being measured."""
        try:
            for number in range(self.plan.rounds):
                self.console.heading(f"Round {number + 1} of {self.plan.rounds}")
                self._round(number)
        finally:
            take_down(Places(LAB))

    def _round(self, number: int) -> None:
        for agent in self.plan.agents:
            if self.plan.faults or self.plan.costs_of(agent):
                Turn(self, self.plan.config(agent), number).take()
        if self.plan.has_seven(number):
            Turn(self, self.plan.config(OURS, SEVEN), number).take_with_seven()


@dataclass
class Turn:
    """One agent's part of a round."""

    run: Run
    config: Config
    number: int
    cluster: Cluster | None = None
    moments: list[str] = field(default_factory=list)

    def take(self) -> None:
        """Measure the cost of monitors, then all faults one after the other."""
        for figure in self.run.plan.costs_of(self.config.agent):
            self._cost(figure)
        plan = self.run.plan
        faults = [(figure, phase) for figure in plan.faults for phase in plan.phases(figure, self.number)]
        for left, (figure, phase) in zip(reversed(range(len(faults))), faults, strict=True):
            self._fault(figure, phase, is_last=not left)
        self._discard()

    def take_with_seven(self) -> None:
        """Measure the cost of the primary's monitor alone."""
        self._cost(Figure.CPU_SEVEN)
        self._discard()

    # The two kinds of figures

    def _cost(self, figure: Figure) -> None:
        with self._noting(figure), self._busy("measuring its monitor"):
            measure = costs.of_unpromoted if figure is Figure.CPU_UNPROMOTED else costs.of_promoted
            plan = self.run.plan
            found = measure(self._whole(), plan.monitors if figure is Figure.CPU_SEVEN else plan.monitors_per_round)
            self.run.results.add(figure, self.config.agent, *found)
            cells = ", ".join(PROMISES[figure].told(seconds) for seconds in found)
            self._say(f"{PROMISES[figure].title}: {cells}")

    def _fault(self, figure: Figure, phase: float, *, is_last: bool) -> None:
        promise = PROMISES[figure]
        with self._noting(figure):
            with self._busy(promise.title):
                cluster = self._whole()
                old = costs.primary_of(cluster)
                outage = outages.measure(cluster, figure, phase)
            self.moments.append(f"{outage.began.isoformat()} {promise.title} on {old}: {promise.told(outage.seconds)}")
            self.run.results.add_outage(figure, self.config.agent, outage)
            self._say(f"{promise.title}: {told(promise, outage)}, {outage.lost} of {outage.acknowledged} lost")
            if not is_last:
                with self._busy("repairing"):
                    repair(cluster, figure, old)

    # The cluster

    def _whole(self) -> Cluster:
        """Return the turn's cluster, whole and quiet, built first if there is none."""
        if self.cluster is None:
            started = now()
            self.cluster = Cluster.build(self.config)
            settle(self.cluster)
            self._say(f"built and healthy after {now() - started:.0f} s")
        else:
            settle(self.cluster)
        return self.cluster

    def _discard(self) -> None:
        if self.run.logs is not None and self.cluster is not None:
            self._keep_logs(self.cluster, self.run.logs)
        self.cluster = None
        take_down(self.config.places)

    def _keep_logs(self, cluster: Cluster, logs: Path) -> None:
        place = logs / f"round{self.number + 1}-{self.config.agent}-{self.config.nodes}"
        evidence.collect(cluster, place)
        (place / "moments.txt").write_text("".join(f"{line}\n" for line in self.moments))

    @contextmanager
    def _noting(self, figure: Figure) -> Iterator[None]:
        """Note what breaks and begin again with a new cluster."""
        try:
            yield
        except PROBLEMS as problem:
            found = Break(self.config.agent, PROMISES[figure].title, str(problem))
            self.run.results.breaks.append(found)
            self._say(f"BROKEN: {found}")
            self._say(f"evidence: {self._evidence(figure)}")
            self._discard()

    def _evidence(self, figure: Figure) -> str:
        if self.cluster is None:
            return "no cluster"
        number = len(self.run.results.breaks)
        place = ARTIFACTS / f"bench-{number}-{self.config.agent}-{figure.name.lower()}"
        return str(evidence.collect(self.cluster, place))

    # Progress

    def _say(self, text: str) -> None:
        nodes = f" ({self.config.nodes} nodes)" if self.config.nodes != Config().nodes else ""
        self.run.console.say(f"  {self.config.agent + nodes:<18} {text}")

    def _busy(self, what: str) -> AbstractContextManager[Busy]:
        return self.run.console.busy(f"{self.config.agent}: {what}")


def told(promise: Promise, outage: Outage) -> str:
    """Return what a fault cost, and whether Pacemaker's own pause is in it."""
    return promise.told(outage.seconds) + (PAUSED if outage.paused else "")
