"""`make jepsen`: random faults for some minutes, seeded; ends with a verdict, a history and a picture."""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psycopg
from tests.jepsen.history import History
from tests.jepsen.picture import picture
from tests.jepsen.run import Instruments, Run
from tests.lab import evidence, faults
from tests.lab.cluster import Cluster
from tests.lab.command import CommandFailed
from tests.lab.configuration import Config
from tests.lab.fixtures import ARTIFACTS
from tests.lab.lock_service import KINDS
from tests.lab.machine import PowerFailure
from tests.lab.waiting import Timeout, now
from tests.lab.watch import Watch
from tests.lab.watch_record import RecordWatch
from tests.lab.writer import Writer

PROBLEMS = (Timeout, CommandFailed, PowerFailure, AssertionError, psycopg.Error, subprocess.TimeoutExpired)


@dataclass(frozen=True)
class Result:
    """How a run ended."""

    wrong: list[str]
    run: Run


def arguments(words: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.jepsen", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="for how long (%(default)s)")
    parser.add_argument("--seed", type=int, default=None, help="the same faults again (a new one each time)")
    parser.add_argument("--steps", type=int, default=0, help="end after so many steps")
    parser.add_argument("--nodes", type=int, default=2, choices=(2, 3), help="nodes of the cluster (%(default)s)")
    parser.add_argument("--arbiter", choices=(*KINDS, "none"), default=None, help="with two nodes: postgresql")
    parser.add_argument("--lab", default="jepsen", help="name of the lab (%(default)s)")
    parser.add_argument("--output", type=Path, default=ARTIFACTS, help="where history and picture go")
    return parser.parse_args(words)


def configured(options: argparse.Namespace) -> Config:
    """Return what is to be built."""
    usual = "postgresql" if options.nodes == 2 else "none"
    arbiter = options.arbiter or usual
    return Config(lab=options.lab, nodes=options.nodes, arbiter="" if arbiter == "none" else arbiter)


def go(cluster: Cluster, history: History, options: argparse.Namespace) -> Result:
    """Do step after step until the time is over or something is wrong."""
    with ExitStack() as looking:
        seen = Instruments(
            looking.enter_context(Writer.running(cluster)),
            looking.enter_context(Watch.running(cluster)),
            looking.enter_context(RecordWatch.running(cluster)),
        )
        run = Run(cluster, seen, history, random.Random(options.seed))
        wrong: list[str] = []
        end = now() + options.minutes * 60
        while not wrong and now() < end and run.steps != (options.steps or None):
            try:
                wrong = run.step()
            except PROBLEMS as problem:
                wrong = [f"{type(problem).__name__}: {problem}"]
        return Result(wrong, run)


def report(result: Result, history: History, options: argparse.Namespace) -> None:
    """Draw the picture and say how it ended; a failure tells its story."""
    run, output = result.run, history.file.with_suffix(".svg")
    times = [ack.answered - history.began for ack in run.seen.writer.acks(None)]
    for seen in run.seen.records.revisions[1:]:
        record = seen.record
        history.note("record", f"epoch {record.epoch} revision {record.revision}: {', '.join(record.nodes)}", seen.at)
    marks = [event for event in history.events if event.kind in {"WRONG", "service"}]
    title = f"seed {options.seed}, {options.nodes} nodes: acknowledged writes per second"
    output.write_text(picture(title, now() - history.began, times, history.bands, marks))
    history.file.write_text("".join(f"{event}\n" for event in sorted(history.events, key=lambda event: event.at)))
    print(f"history: {history.file}\npicture: {output}")


def verdict(result: Result, history: History, options: argparse.Namespace) -> int:
    """Say it, and for a failure since when."""
    run = result.run
    total = f"{run.steps} steps, {len(history.bands)} faults, seed {options.seed}"
    if not result.wrong:
        print(f"PASSED: {total}; service at most {run.longest:.1f} s after healing; nothing acknowledged was lost")
        return 0
    print(f"FAILED: {total}\n" + "\n".join(result.wrong) + "\nThe story of the last step:")
    last = max(index for index, event in enumerate(history.events) if event.kind == "step")
    print("\n".join(map(str, history.events[last:])))
    return 1


def main(words: Sequence[str]) -> int:
    """Build, break, judge, take down."""
    options = arguments(words)
    if options.seed is None:
        options.seed = random.randrange(10**6)
    options.output.mkdir(parents=True, exist_ok=True)
    file = options.output / f"jepsen-{options.seed}-{options.nodes}.txt"
    file.unlink(missing_ok=True)
    cluster = Cluster.build(configured(options))
    try:
        cluster.wait_healthy()
        history = History(file)
        history.note("begin", f"seed {options.seed}, {options.nodes} nodes, arbiter {cluster.config.arbiter or 'none'}")
        result = go(cluster, history, options)
        for line in result.wrong:
            history.note("WRONG", line.splitlines()[0])
        if result.wrong:
            print(f"evidence: {evidence.collect(cluster, file.with_suffix(''))}")
        report(result, history, options)
        faults.heal_all(cluster)
        return verdict(result, history, options)
    finally:
        cluster.down()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
