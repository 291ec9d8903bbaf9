# SPDX-License-Identifier: GPL-2.0-or-later
"""The search can fail: with one rule less it finds what the rule is for, and the same steps are harmless with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.simulation.cib import Cib
from tests.simulation.controls import CONTROLS, SECOND_LINES, Control
from tests.simulation.lease import STOP, Time
from tests.simulation.model import Model
from tests.simulation.search import explore, replayed

from expgsql_ra.rules import succession

pytestmark = [pytest.mark.simulation, pytest.mark.timeout(300)]
STORIES = Path(__file__).parent / "stories"
WITHIN = 2_000_000


def name(control: Control) -> str:
    """For the report."""
    return f"{control.rule} without {control.without}" + (f" ({control.hole})" if control.hole else "")


@pytest.mark.parametrize("control", CONTROLS, ids=name)
def test_without_the_rule_a_violation_is_found(control: Control) -> None:
    seen = explore(Model(control.bounds, control.rules), WITHIN)
    assert seen.found
    assert seen.found.broken <= control.bounds.watched


@pytest.mark.parametrize("control", CONTROLS, ids=name)
def test_its_story_is_kept_and_harmless_with_the_rule(control: Control) -> None:
    lines = tuple((STORIES / control.file).read_text(encoding="utf-8").splitlines())
    broken, refused = replayed(Model(control.bounds, control.rules), lines)
    assert broken
    assert not refused
    broken, _ = replayed(Model(control.bounds), lines)
    assert not broken


@pytest.mark.parametrize("control", SECOND_LINES, ids=name)
def test_a_rule_that_another_one_covers_can_go_alone(control: Control) -> None:
    seen = explore(Model(control.bounds, control.rules), WITHIN)
    assert seen.found is None, str(seen.found)
    assert seen.exhausted


# --- R9: the cluster as authority -------------------------------------------------------------


def test_the_clusters_own_record_keeps_two_from_acknowledging() -> None:
    seen = explore(Cib())
    assert seen.found is None, str(seen.found)
    assert seen.exhausted


@pytest.mark.parametrize("without", ["waits", "wants_quorum"])
def test_without_quorum_or_the_wait_two_acknowledge(without: str) -> None:
    assert explore(replace(Cib(), **{without: False})).found


@pytest.mark.parametrize("beyond", ["minority_wins", "dark"])
def test_beyond_its_promise_the_clusters_own_record_loses(beyond: str) -> None:
    # H1 and H1b: a merge in which the older record wins, and a loss of power of all nodes
    assert explore(replace(Cib(), **{beyond: True})).found


# --- R5, R8: time -----------------------------------------------------------------------------


def test_a_primary_is_gone_when_its_lease_ends() -> None:
    seen = explore(Time())
    assert seen.found is None, str(seen.found)
    assert seen.exhausted


@pytest.mark.parametrize(
    "world",
    [
        pytest.param(Time(must_stop=lambda _: None), id="R5 without the stop"),
        pytest.param(
            Time(must_stop=lambda standing: succession.must_stop(standing._replace(stop=0.0))),
            id="R5 with a stop that begins when the lease is over",
        ),
        pytest.param(Time(steadily=False), id="R5 with a copy of the lease on the wall clock"),
        pytest.param(Time(proves_stops=False), id="R8 without the proof"),
        pytest.param(Time(authority_steps=True), id="beyond the promise: the authority's clock is set forward"),
    ],
)
def test_two_serve_where_a_primary_does_not_stop_in_time(world: Time) -> None:
    assert STOP
    assert explore(world).found
