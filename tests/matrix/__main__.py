"""`make matrix`: all cells on one lab, a table of what was lost (nothing) and how long service took.

The whole matrix has 586 cells of some 40 s each; `--both-ways` has the 38 whose links are cut both ways.
`--part 2/4` takes every fourth cell, beginning with the second, so that several labs can share the work; `--missing`
goes on where an earlier run ended. Each outcome goes to docs/matrix.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import psycopg
from tests.lab import evidence
from tests.lab.cluster import Cluster
from tests.lab.command import CommandFailed
from tests.lab.fixtures import ARTIFACTS, file_name
from tests.lab.waiting import Timeout, now
from tests.matrix.cells import CHOSEN, Cell, cell, every_cell
from tests.matrix.page import Page
from tests.matrix.run import HEADER, Outcome, run_cell
from tests.system import safety


def arguments(words: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.matrix", description=__doc__)
    parser.add_argument("--lab", default="matrix", help="name of the lab (%(default)s)")
    parser.add_argument("--arbiter", choices=("postgresql", "etcd"), default="postgresql")
    parser.add_argument("--both-ways", action="store_true", help="leave out links that are cut one way only")
    parser.add_argument("--chosen", action="store_true", help="the few cells that the tests go through")
    parser.add_argument("--part", default="1/1", metavar="K/N", help="every Nth cell, beginning with the Kth")
    parser.add_argument("--missing", action="store_true", help="leave out what docs/matrix.md has an outcome of")
    parser.add_argument("--list", action="store_true", help="only say which cells these are")
    parser.add_argument("cells", nargs="*", metavar="CELL", help="these cells, by name, in place of all")
    return parser.parse_args(words)


def wanted(options: argparse.Namespace) -> list[Cell]:
    """Return the cells that are asked for."""
    if options.cells:
        return [cell(text) for text in options.cells]
    part, _, parts = options.part.partition("/")
    cells = CHOSEN if options.chosen else tuple(every_cell(one_way=not options.both_ways))
    known = Page().ended() if options.missing else set()
    return [each for each in cells[int(part) - 1 :: int(parts)] if str(each) not in known]


def build(options: argparse.Namespace) -> Cluster:
    """Bring the lab up anew."""
    cluster = Cluster.build(safety.with_arbiter(lab=options.lab, arbiter=options.arbiter))
    cluster.wait_healthy()
    return cluster


def main(words: Sequence[str]) -> int:
    """Go through the cells; 1 if anything was lost or stayed broken."""
    options = arguments(words)
    cells = wanted(options)
    if options.list:
        print("\n".join(map(str, cells)))
        return 0
    cluster = build(options)
    began = now()
    print(HEADER, flush=True)
    outcomes: list[Outcome] = []
    page = Page()
    failures: list[str] = []
    try:
        for each in cells:
            try:
                outcomes.append(run_cell(cluster, each))
                print(outcomes[-1], flush=True)
                page.keep(each, outcomes[-1])
            except (Timeout, CommandFailed, AssertionError, psycopg.Error) as problem:
                failures.append(f"{each}: {problem}".splitlines()[0])
                page.keep(each, str(problem).splitlines()[0])
                print(f"{failures[-1]}\n  evidence: {evidence.collect(cluster, _place(each))}", flush=True)
                cluster = build(options)
    finally:
        cluster.down()
    return verdict(outcomes, failures, now() - began)


def _place(cell_: Cell) -> Path:
    return ARTIFACTS / file_name(f"matrix {cell_}")


def verdict(outcomes: Sequence[Outcome], failures: Sequence[str], seconds: float) -> int:
    """Say what it comes to."""
    lost = sum(outcome.lost for outcome in outcomes)
    wrong = [outcome for outcome in outcomes if outcome.lost or outcome.complaints]
    slowest = max((outcome.seconds for outcome in outcomes), default=0.0)
    acknowledged = sum(outcome.acknowledged for outcome in outcomes)
    compared = sum(outcome.comparisons for outcome in outcomes)
    print(
        f"{len(outcomes)} cells in {seconds / 60:.0f} min: {lost} of {acknowledged} acknowledged commits lost; service "
        f"after at most {slowest:.1f} s; record and names compared {compared} times; {len(wrong)} cells with "
        f"complaints, {len(failures)} that did not end"
    )
    return 1 if wrong or failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
