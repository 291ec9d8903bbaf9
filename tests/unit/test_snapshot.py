# SPDX-License-Identifier: GPL-2.0-or-later
"""Facts that follow from facts: the end of a standby's data, whose history is recorded, who may decide."""

from __future__ import annotations

import pytest
from tests.builders import a_history, a_standby, a_view, lsn

from expgsql_ra.record import Found, Missing, Reading, Record, Successor, Unreachable, first_record
from expgsql_ra.snapshot import ClusterView, ControlData, Unknown
from expgsql_ra.values import Lsn, ReplInfo


@pytest.mark.parametrize(
    ("received", "replayed", "end"),
    [
        ("0/5000", "0/4000", "0/5000"),
        # after a start, a walreceiver reports the begin of the segment that it asks for
        ("0/3000000", "0/3000A18", "0/3000A18"),
        (None, "0/4000", "0/4000"),
        ("0/5000", None, "0/5000"),
        (None, None, None),
    ],
)
def test_a_standby_ends_where_it_received_or_replayed_furthest(
    received: str | None, replayed: str | None, end: str | None
) -> None:
    assert a_standby(received=received, replayed=replayed).end == lsn(end)


@pytest.mark.parametrize(("receiver", "streams"), [("streaming", True), ("waiting", False), (None, False)])
def test_a_standby_streams_or_not(receiver: str | None, streams: bool) -> None:
    assert a_standby(receiver=receiver).streams is streams


@pytest.mark.parametrize(("checkpoint", "recovered", "timeline"), [(2, 0, 2), (1, 2, 2), (3, 1, 3)])
def test_a_directory_has_reached_the_higher_of_its_timelines(checkpoint: int, recovered: int, timeline: int) -> None:
    assert ControlData("7", "in production", Lsn(1), checkpoint, recovered, Lsn(0)).timeline == timeline


@pytest.mark.parametrize(
    ("state", "clean"),
    [("shut down", True), ("shut down in recovery", False), ("in production", False), ("shutting down", False)],
)
def test_only_a_primary_that_was_shut_down_in_order_is_clean(state: str, clean: bool) -> None:
    assert ControlData("7", state, Lsn(1), 1, 0, Lsn(0)).clean_primary is clean


def test_nodes_are_found_in_any_case_and_only_whole() -> None:
    view = a_view("Node1", "node10", me="node10")
    assert [one.name if one else None for one in map(view.member, ("NODE1", "node1", "node"))] == [
        "Node1",
        "Node1",
        None,
    ]
    assert view.myself is view.members[1]


@pytest.mark.parametrize(("recorded", "mine"), [("NODE1", True), ("node2", False), (None, False)])
def test_whether_this_node_is_recorded(recorded: str | None, mine: bool) -> None:
    assert a_view(recorded=recorded).i_am_recorded is mine


def test_the_history_of_a_completed_promotion_counts() -> None:
    history = a_history("1@0/4000", "2@0/5000")
    assert a_view(recorded="node1", history=history).history == history
    assert a_view().history is None


def test_a_promotion_that_was_only_begun_has_no_history_yet() -> None:
    begun = ReplInfo("node2", 2, Lsn(0x5000))
    assert a_view(repl_info=begun, history=a_history("1@0/4000")).history is None
    assert a_view(repl_info=begun).history is None
    # neither where the primary of before was on the first timeline, which has no parent to compare
    assert a_view(repl_info=ReplInfo("node2", 1, Lsn(0x5000)), history=a_history()).history is None


def test_the_first_timeline_has_a_history_too() -> None:
    assert a_view(recorded="node1", history=a_history()).history == a_history()


@pytest.mark.parametrize(
    ("quorate", "ignores", "may"), [(True, False, True), (False, True, True), (False, False, False)]
)
def test_who_may_decide(quorate: bool, ignores: bool, may: bool) -> None:
    assert a_view(quorate=quorate, ignores_quorum=ignores).may_decide is may


RECORD = first_record("7", Successor("node1", "d1"), (1, 1), "root", "created")


@pytest.mark.parametrize(
    ("view", "reading"),
    [
        (a_view()._replace(record=RECORD), Found(RECORD)),
        (a_view(quorate=False, ignores_quorum=True)._replace(record=RECORD), Found(RECORD)),
        (a_view()._replace(record=Unknown("damaged")), Unreachable("damaged")),
    ],
)
def test_a_record_of_the_cluster_is_read_from_a_view(view: ClusterView, reading: Reading) -> None:
    assert view.recorded == reading


def test_a_cluster_without_a_record_answers_so() -> None:
    assert isinstance(a_view().recorded, Missing)


@pytest.mark.parametrize("record", [RECORD, None, Unknown("damaged")])
def test_without_quorum_nothing_is_read(record: Record | Unknown | None) -> None:
    found = a_view(quorate=False)._replace(record=record).recorded
    assert isinstance(found, Unreachable)
    assert "no quorum" in found.why


def test_a_cluster_that_ignores_quorum_promises_nothing() -> None:
    assert a_view(ignores_quorum=True).promise_suspended
    assert not a_view().promise_suspended
