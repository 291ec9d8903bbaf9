# SPDX-License-Identifier: GPL-2.0-or-later
"""State by state: nothing that must hold is broken anywhere within the bounds."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from tests.simulation.cores import CORES, Core
from tests.simulation.model import Model
from tests.simulation.search import explore

pytestmark = [pytest.mark.simulation, pytest.mark.timeout(300)]
AT_LEAST = 1_000_000


@pytest.fixture(scope="module")
def seen() -> Iterator[dict[str, int]]:
    """How many states each core had."""
    states: dict[str, int] = {}
    yield states
    if len(states) == len(CORES):
        assert sum(states.values()) >= AT_LEAST


@pytest.mark.parametrize("core", CORES, ids=lambda core: core.name)
def test_nothing_is_broken(core: Core, seen: dict[str, int], capsys: pytest.CaptureFixture[str]) -> None:
    begun = time.monotonic()
    explored = explore(Model(core.bounds), core.most or 10**9)
    seen[core.name] = explored.states
    extent = "all" if explored.exhausted else f"the first, to depth {explored.depth - 1} complete"
    with capsys.disabled():
        print(f"\n  {core.name}: {explored.states:,} states ({extent}), {time.monotonic() - begun:.0f} s", end="")
        if len(seen) == len(CORES):
            print(f"\n  in all {sum(seen.values()):,} states", end=" ")
    assert explored.found is None, str(explored.found)
    assert core.most is not None or explored.exhausted
