# SPDX-License-Identifier: GPL-2.0-or-later
"""`make bench`: measure, print the tables, and write docs/bench.md after a full run."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from tests.bench import machine
from tests.bench.figures import ARMS, GROUPS
from tests.bench.report import page, summary
from tests.bench.results import Results
from tests.bench.rounds import Plan, Run
from tests.lab.demo_console import Console
from tests.lab.waiting import now

from expgsql_ra.setup_model import Timing

PAGE = Path(__file__).parents[2] / "docs" / "bench.md"
INTERRUPTED = 130


def arguments(words: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=Plan.rounds, help="turns of every agent (%(default)s)")
    parser.add_argument(
        "--draws", type=int, default=Plan.draws, help="times a round measures the loss of a node (%(default)s)"
    )
    parser.add_argument("--quick", action="store_true", help="one round, every fault once, for development")
    parser.add_argument("--only", type=_among(tuple(GROUPS)), help=f"some of {','.join(GROUPS)}", metavar="LIST")
    parser.add_argument("--agents", type=_among(ARMS), help=f"some of {','.join(ARMS)}", metavar="LIST")
    parser.add_argument(
        "--timing", type=Timing, choices=list(Timing), default=Timing.DEFAULT, help="Corosync's (%(default)s)"
    )
    parser.add_argument("--output", type=Path, help="the page to write (docs/bench.md after a full run, else none)")
    parser.add_argument("--logs", type=Path, help="directory in which the nodes' logs of every turn are kept")
    return parser.parse_args(words)


def _among(known: tuple[str, ...]) -> Callable[[str], tuple[str, ...]]:
    """Return what reads words separated by commas, each of which must be known."""

    def names(text: str) -> tuple[str, ...]:
        chosen = text.split(",")
        unknown = [word for word in chosen if word not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(known)}")
        return tuple(word for word in known if word in chosen)

    return names


def plan_of(options: argparse.Namespace) -> Plan:
    """Return what the command line asks for."""
    figures = frozenset(figure for group in options.only or GROUPS for figure in GROUPS[group])
    rounds, draws = (1, 1) if options.quick else (options.rounds, options.draws)
    return Plan(figures, options.agents or ARMS, rounds, draws, timing=options.timing)


def is_full(options: argparse.Namespace) -> bool:
    """Whether a run is worth publishing."""
    return not (options.quick or options.only or options.agents or options.timing is not Timing.DEFAULT)


def main(words: list[str]) -> int:
    """Measure; 1 if something broke or our agent lost a commit, never because of a figure."""
    options = arguments(words)
    if os.geteuid() != 0:
        print("the benchmark needs root: it makes namespaces, mounts and network links", file=sys.stderr)
        return 1
    console, started = Console(), now()
    host = machine.look()
    console.say(f"{host.cores} cores, {host.busy:.0%} of their time taken by other work")
    run = Run(plan_of(options), console, options.logs)
    # Whoever ends it, the lab is taken down.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        run.all_rounds()
    except KeyboardInterrupt:
        print("\ninterrupted; the lab is taken down", file=sys.stderr)
        return INTERRUPTED
    console.heading(f"Figures, after {(now() - started) / 60:.0f} minutes")
    console.say(summary(run.plan, run.results))
    output = options.output or (PAGE if is_full(options) else None)
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(page(host, run.plan, run.results), encoding="utf-8")
        console.say(f"written to {output}")
    return verdict(run.results)


def verdict(results: Results) -> int:
    """Return the exit code."""
    for found in results.breaks:
        print(f"broken: {found}", file=sys.stderr)
    lost = results.lost_by_us()
    if lost:
        print(f"{lost} acknowledged commits are lost", file=sys.stderr)
    return 1 if lost or results.breaks else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
