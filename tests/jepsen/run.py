"""One run: steps of a few overlapping faults, healed in any order, and audits after each step."""

from __future__ import annotations

import random
from contextlib import AbstractContextManager
from dataclasses import dataclass

from tests.jepsen.history import History
from tests.jepsen.repertoire import Fault, Stage, choose, clear
from tests.lab import audits, faults
from tests.lab.cluster import Cluster
from tests.lab.waiting import now, ticks
from tests.lab.watch import Watch, overlaps
from tests.lab.watch_record import RecordWatch
from tests.lab.writer import Writer
from tests.system import safety, story

MOST_FAULTS = 3
PAUSE = (0.5, 12.0)
SERVICE_SECONDS = 150.0
WHOLE_SECONDS = 180.0


@dataclass(frozen=True)
class Instruments:
    """What looks on."""

    writer: Writer
    watch: Watch
    records: RecordWatch


@dataclass
class Run:
    """A cluster, its instruments, and dice."""

    cluster: Cluster
    seen: Instruments
    history: History
    dice: random.Random
    steps: int = 0
    longest: float = 0.0

    def step(self) -> list[str]:
        """Break, heal, audit; return what is wrong."""
        self.steps += 1
        stage = self._stage()
        chosen = choose(stage, self.dice, self.dice.randint(1, MOST_FAULTS))
        pauses = [self.dice.uniform(*PAUSE) for _ in range(2 * len(chosen))]
        order = self.dice.sample(range(len(chosen)), len(chosen))
        self.history.note("step", f"{self.steps}: primary {stage.primary}, faults: {'; '.join(f.text for f in chosen)}")
        self._break_and_heal(chosen, pauses, order)
        return self._audit()

    def _stage(self) -> Stage:
        if self.cluster.arbiter is not None:
            safety.wait_recorded(self.cluster, self.cluster.config.node_names)
        primary = story.the_primary(self.cluster)
        return Stage(self.cluster, primary, self.cluster.others(primary))

    def _break_and_heal(self, chosen: list[Fault], pauses: list[float], order: list[int]) -> None:
        active: list[tuple[Fault, AbstractContextManager[object], float]] = []
        for fault, pause in zip(chosen, pauses, strict=False):
            self.history.note("fault", fault.text)
            context = fault.begin()
            context.__enter__()
            active.append((fault, context, now()))
            _let_pass(pause)
        for index, pause in zip(order, pauses[len(chosen) :], strict=True):
            fault, context, since = active[index]
            context.__exit__(None, None, None)
            self.history.note("healed", " ".join(filter(None, (fault.text, fault.outcome()))))
            self.history.lasted(since, fault.text)
            _let_pass(pause if index != order[-1] else 0.0)

    def _audit(self) -> list[str]:
        """Nothing is broken any more: service returns, nothing is missing, all is whole again."""
        healed = now()
        faults.heal_all(self.cluster)
        clear(self.cluster.nodes)
        seconds = safety.wait_service(self.seen.writer, healed, SERVICE_SECONDS)
        self.longest = max(self.longest, seconds)
        primary = self.cluster.primary
        self.history.note("service", f"on {primary} {seconds:.1f} s after healing")
        audit = self.seen.writer.look_up()
        wrong = [f"{audit.lost} of {audit.acknowledged} acknowledged commits are lost"] if audit.lost else []
        wrong += [*self.seen.watch.complaints(), *self.seen.records.wrong]
        story.wait_whole(self.cluster, within=WHOLE_SECONDS)
        wrong += audits.one_writer(self.cluster)
        wrong += overlaps(self.seen.watch.told())
        if self.cluster.status().failures:
            self.cluster.cleanup()
        counted = self.seen.records.comparisons
        self.history.note(
            "audit", f"{audit.acknowledged} acknowledged, {audit.lost} lost; names compared {counted} times"
        )
        return sorted(set(wrong))


def _let_pass(seconds: float) -> None:
    for _ in ticks(min(seconds, 0.5) or 0.1, seconds):
        pass
