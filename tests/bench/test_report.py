# SPDX-License-Identifier: GPL-2.0-or-later
"""Verdicts, losses and the page, without any cluster."""

from __future__ import annotations

import datetime

import pytest
from tests.bench.__main__ import arguments, is_full, plan_of, verdict
from tests.bench.figures import ARMS, FAULTS, FLOOR, OURS, PAF, PGSQL, PROMISES, Base, Bound, Figure
from tests.bench.machine import Machine
from tests.bench.report import page, summary, verdicts
from tests.bench.results import Break, Outage, Results
from tests.bench.rounds import Plan

EVERYTHING = plan_of(arguments([]))
NOON = datetime.datetime(2000, 1, 1, 12, tzinfo=datetime.UTC)
HOST = Machine(2, 24, "Debian", "15.20", {"expgsql": "0.1.0"}, busy=0.0)


def results(**seconds: tuple[float, ...]) -> Results:
    """Measured for the killed server, by agent."""
    found = Results()
    for agent, values in seconds.items():
        for value in values:
            found.add_outage(Figure.KILL, agent, Outage(NOON, value, 100, 0))
    return found


def kill_row(found: Results) -> list[str]:
    """The cells of the killed server's line."""
    rows = verdicts(EVERYTHING, found).splitlines()
    line = next(row for row in rows if PROMISES[Figure.KILL].title in row)
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_median_counts() -> None:
    assert results(expgsql=(9.0, 1.0, 2.0)).median(Figure.KILL, OURS) == 2.0


def test_what_was_not_measured_has_no_median() -> None:
    assert Results().median(Figure.KILL, OURS) is None


@pytest.mark.parametrize(
    ("ours", "verdict_on_it", "ratio"),
    [(2.0, "holds", "1.00"), (2.004, "holds", "1.00"), (2.01, "does not hold", "1.00"), (3.0, "does not hold", "1.50")],
)
def test_a_verdict_agrees_with_the_figures_as_they_are_told(ours: float, verdict_on_it: str, ratio: str) -> None:
    cells = kill_row(results(expgsql=(ours,), pgsqlms=(2.0,)))
    assert (cells[2], cells[4]) == (ratio, verdict_on_it)


def test_there_is_no_verdict_without_the_other_agent() -> None:
    assert kill_row(results(expgsql=(2.0,)))[4] == "-"


def test_the_best_of_the_others_needs_both() -> None:
    bound = Bound(Base.BEST, 0.5)
    assert bound.limit(Figure.KILL, results(pgsql=(4.0,)).median) is None
    assert bound.limit(Figure.KILL, results(pgsql=(4.0,), pgsqlms=(6.0,)).median) == 2.0


def test_a_bound_above_the_floor() -> None:
    bound = Bound(Base.FLOOR, plus=0.5)
    assert bound.limit(Figure.KILL, results(null=(1.0,)).median) == 1.5


def test_seven_nodes_are_compared_with_three() -> None:
    found = Results()
    found.add(Figure.CPU_PROMOTED, OURS, 0.1)
    found.add(Figure.CPU_SEVEN, OURS, 0.12)
    assert "1.20" in verdicts(EVERYTHING, found)


@pytest.mark.parametrize(("figure", "draws"), [(Figure.KILL, 1), (Figure.SWITCHOVER, 1), (Figure.CABLE, 2)])
def test_the_faults_of_all_rounds_cover_the_monitors_interval_evenly(figure: Figure, draws: int) -> None:
    plan = Plan(frozenset(FAULTS), ARMS, rounds=4, draws=2)
    phases = [phase for number in range(4) for phase in plan.phases(figure, number)]
    assert phases == pytest.approx([(part + 0.5) / (4 * draws) for part in range(4 * draws)])


def test_a_breach_of_a_bound_is_no_failure() -> None:
    assert verdict(results(expgsql=(9.0,), pgsqlms=(1.0,))) == 0


def test_a_lost_commit_of_ours_is_a_failure_and_one_of_another_agent_is_not() -> None:
    for agent, code in ((OURS, 1), (PAF, 0), (PGSQL, 0)):
        found = Results()
        found.add_outage(Figure.POWER, agent, Outage(NOON, 5.0, 100, 1))
        assert verdict(found) == code


def test_what_breaks_is_a_failure_and_on_the_page() -> None:
    found = results(expgsql=(2.0,))
    found.breaks.append(Break(PAF, "planned switchover", "waited 120 s for a whole cluster\nnode1: off"))
    assert verdict(found) == 1
    assert "pgsqlms, planned switchover: waited 120 s for a whole cluster\n" in page(HOST, EVERYTHING, found)


def test_a_busy_machine_is_on_the_page() -> None:
    busy = Machine(2, 24, "Debian", "15.20", {}, busy=0.4)
    assert "not a quiet machine" in page(busy, EVERYTHING, Results())
    assert "not a quiet machine" not in page(HOST, EVERYTHING, Results())


def test_a_pause_of_pacemaker_is_told_and_left_out_of_a_line_of_its_own() -> None:
    found = Results()
    for seconds, paused in ((5.5, True), (5.6, True), (4.5, False)):
        found.add_outage(Figure.POWER, OURS, Outage(NOON, seconds, 100, 0, paused=paused))
    assert found.median(Figure.POWER, OURS) == 5.5
    assert found.unpaused_median(Figure.POWER, OURS) == 4.5
    assert found.paused_median(Figure.POWER, OURS) == 5.55
    printed = page(HOST, EVERYTHING, found)
    assert "5.50 s (paused), 5.60 s (paused), 4.50 s" in printed
    assert [line.split("|")[2].strip() for line in printed.splitlines() if "| 2 of 3" in line] == ["2 of 3"]


def test_only_a_full_run_is_published() -> None:
    assert is_full(arguments([]))
    assert not any(is_full(arguments(words)) for words in (["--quick"], ["--only", "kill"], ["--agents", "null"]))


def test_a_partial_run_shows_what_it_measured() -> None:
    plan = plan_of(arguments(["--only", "kill", "--agents", "null,expgsql"]))
    assert plan.agents == (OURS, FLOOR)
    assert PROMISES[Figure.POWER].title not in summary(plan, Results())


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(SystemExit):
        arguments(["--only", "kill,flood"])


def test_a_page_with_another_timing_says_how_it_was_made() -> None:
    words = ["--timing", "fast", "--only", "power,cable", "--agents", "expgsql,null", "--rounds", "2", "--draws", "1"]
    made = page(HOST, plan_of(arguments(words)), Results())
    assert "--timing fast --rounds 2 --draws 1" in made
    assert "--only power,cable --agents expgsql,null --output docs/bench-fast.md" in made
