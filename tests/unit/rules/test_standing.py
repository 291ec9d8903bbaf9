# SPDX-License-Identifier: GPL-2.0-or-later
"""When a primary that was not renewed must stop (R5), and whose word counts (R2, step 2)."""

from __future__ import annotations

import pytest
from tests.builders import a_history, a_sender

from expgsql_ra.record import Successor
from expgsql_ra.rules.succession import Standing, Word, candidates, must_stop
from expgsql_ra.values import Lsn

RUNNING_OUT = Standing(seconds_left=3.0, stop=3.0, shared=True, successors_stream=False)


def test_a_primary_stops_while_there_is_time_for_it() -> None:
    assert must_stop(RUNNING_OUT) is not None
    assert must_stop(RUNNING_OUT._replace(seconds_left=3.1)) is None


@pytest.mark.parametrize("excuse", [{"shared": False}, {"successors_stream": True}])
def test_a_primary_stays_where_nobody_can_have_taken_over(excuse: dict[str, bool]) -> None:
    assert must_stop(RUNNING_OUT._replace(**excuse)) is None


def test_a_primary_stops_at_once_where_the_record_is_anothers() -> None:
    told = Standing(seconds_left=9.0, stop=3.0, shared=False, successors_stream=True, unreachable=False)
    assert must_stop(told) is not None


def test_a_standby_that_reports_more_than_there_is_is_not_waited_for() -> None:
    mine = a_history("1@0/4000")
    word = Word("node2", "id-node2", mine.current, mine.forks)
    sender = a_sender("node2", flushed="0/5000")
    assert candidates((sender,), (word,), mine, Lsn.parse("0/5000")) == (Successor("node2", "id-node2"),)
    assert candidates((sender,), (word,), mine, Lsn.parse("0/4FFF")) == ()
