# SPDX-License-Identifier: GPL-2.0-or-later
"""Random runs through larger worlds, for a minute; `make soak` does the same for as long as is wanted."""

from __future__ import annotations

import pytest
from tests.simulation.__main__ import walk
from tests.simulation.controls import CONTROLS, Control
from tests.simulation.walk import Adversary

pytestmark = [pytest.mark.simulation, pytest.mark.timeout(300)]
SECONDS = 60
ENOUGH = 1500
FOUND = {
    "the record before the names",
    "a fresh write",
    "the flush",
    "the flag",
    "compare-and-set",
    "the revision",
    "narrowing before a restart",
    "one run at a time",
    "the silence of a stray directory",
    "names closed at rest",
}
"""Faults that random runs find in seconds; for the others there is the search."""


def test_the_adversary_finds_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    walked = walk(seed=1, seconds=SECONDS)
    with capsys.disabled():
        print(f"\n  {walked.runs:,} random runs, {walked.steps:,} steps", end=" ")
    assert walked.found is None, str(walked.found)


@pytest.mark.parametrize(
    "control", [one for one in CONTROLS if one.without in FOUND], ids=lambda control: control.without
)
def test_it_finds_what_a_missing_rule_lets_happen(control: Control) -> None:
    adversary = Adversary(3, control.rules)
    assert any(adversary.run() for _ in range(ENOUGH))


def test_the_same_seed_walks_the_same_way() -> None:
    one, other = Adversary(5), Adversary(5)
    assert [one.run(), one.steps] == [other.run(), other.steps]
