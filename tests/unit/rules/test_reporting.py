# SPDX-License-Identifier: GPL-2.0-or-later
"""When the guard reports, and what the fail-count has to become.

What the XPath of `obstacles` matches is asked of Pacemaker's own tool in tests/contract/test_obstacles.py.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expgsql_ra.rules.reporting import Leave, Report, correction, handicap, may_report, obstacles


def test_it_reports_where_nothing_is_in_the_way() -> None:
    assert may_report(105) == Report()


def test_it_does_not_where_something_is_in_the_way() -> None:
    assert may_report(0) == Leave("the resource is not managed just now, or its monitor's on-fail is not restart")


@pytest.mark.parametrize("code", [1, 102, 124])
def test_what_cannot_be_told_is_left_to_the_monitor(code: int) -> None:
    assert may_report(code) == Leave(f"the cluster does not say whether it manages the resource just now ({code})")


def test_names_are_quoted() -> None:
    assert "@uname = 'n1'" in obstacles("pgsql", "n1")
    assert '@uname = "n\'1"' in obstacles("pgsql", "n'1")


@given(before=st.integers(0, 1000), counted=st.integers(0, 2), counts_twice=st.booleans())
def test_one_end_raises_the_count_by_one_however_pacemaker_counts(
    before: int, counted: int, counts_twice: bool
) -> None:
    lowered = handicap(before, counts_twice)
    after = (before if lowered is None else lowered) + counted
    corrected = correction(before, after)
    assert (after if corrected is None else corrected) == before + 1


@given(before=st.integers(0, 1000), counted=st.integers(0, 2))
def test_where_it_may_be_counted_twice_it_never_rises_above_what_is_right(before: int, counted: int) -> None:
    lowered = handicap(before, counts_twice=True)
    assert lowered is not None
    assert lowered + counted <= before + 1


def test_where_it_is_counted_once_nothing_is_written() -> None:
    assert handicap(4, counts_twice=False) is None
    assert correction(4, 5) is None


def test_a_count_that_was_cleaned_up_stays_so() -> None:
    assert correction(1, None) is None
