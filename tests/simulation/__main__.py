# SPDX-License-Identifier: GPL-2.0-or-later
"""``python -m tests.simulation``: `soak`, `stories` (renew the stories of the controls), `cores`."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from tests.simulation.controls import CONTROLS
from tests.simulation.cores import CORES
from tests.simulation.model import Model
from tests.simulation.search import explore
from tests.simulation.walk import Adversary, Walked

STORIES = Path(__file__).parent / "stories"


def walk(seed: int, seconds: float) -> Walked:
    """Random runs for so long, or until something is broken."""
    adversary, end = Adversary(seed), time.monotonic() + seconds
    while time.monotonic() < end:
        found = adversary.run()
        if found:
            return Walked(adversary.runs, adversary.steps, found)
    return Walked(adversary.runs, adversary.steps, None)


def cores() -> bool:
    """Explore every core."""
    total, broken = 0, False
    for core in CORES:
        begun = time.monotonic()
        seen = explore(Model(core.bounds), core.most or sys.maxsize)
        total, broken = total + seen.states, broken or seen.found is not None
        print(f"{core.name}: {seen.states:,} states, depth {seen.depth}, {time.monotonic() - begun:.0f} s")
        print(seen.found or "", end="")
    print(f"{total:,} states")
    return broken


def renew_stories() -> None:
    """Find every control's violation again and keep how it came about."""
    STORIES.mkdir(exist_ok=True)
    for control in CONTROLS:
        seen = explore(Model(control.bounds, control.rules))
        assert seen.found, control
        (STORIES / control.file).write_text("\n".join(seen.found.story) + "\n", encoding="utf-8")


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("what", choices=("soak", "stories", "cores"))
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=None)
    given = parser.parse_args()
    if given.what == "stories":
        renew_stories()
        return 0
    if given.what == "cores":
        return int(cores())
    seed = time.time_ns() % 1_000_000 if given.seed is None else given.seed
    print(f"seed {seed}, {given.minutes:g} minutes", flush=True)
    walked = walk(seed, given.minutes * 60)
    print(f"{walked.runs:,} runs, {walked.steps:,} steps")
    print(walked.found or "nothing broken")
    return int(walked.found is not None)


if __name__ == "__main__":
    sys.exit(main())
