# SPDX-License-Identifier: GPL-2.0-or-later
"""Time is a budget handed down: a wait ends by itself and says what it was waiting for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fakes import FakeClock

from expgsql_ra.errors import DeadlineExceeded
from expgsql_ra.world import Deadline


def test_a_wait_ends_before_the_time_is_over_and_says_what_for() -> None:
    clock = FakeClock()
    rounds: list[int] = []
    with pytest.raises(DeadlineExceeded, match=r"^the time is over while waiting for rain$"):
        rounds.extend(Deadline(clock, 5).every(2, "rain"))
    assert clock.now() == 4


def test_what_is_there_at_once_costs_no_time() -> None:
    clock = FakeClock()
    assert next(Deadline(clock, 5).every(2, "nothing")) == 0
    assert clock.now() == 0


def test_a_look_is_taken_even_when_no_time_is_left() -> None:
    assert next(Deadline(FakeClock(), 0).every(1, "nothing")) == 0


@given(st.floats(0, 100), st.floats(0, 100), st.floats(0, 100))
def test_no_part_of_the_time_is_longer_than_what_is_left(budget: float, part: float, spent: float) -> None:
    clock = FakeClock()
    deadline = Deadline(clock, budget)
    clock.pause(spent)
    assert 0 <= deadline.left() <= budget
    assert deadline.within(part).left() <= min(part, deadline.left()) + 1e-9
    assert deadline.reserving(part).left() <= deadline.left() + 1e-9
    assert Deadline(clock, -1).left() == 0
