# SPDX-License-Identifier: GPL-2.0-or-later
"""Who has the newest data, told by a majority of the nodes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.builders import a_member, a_view, lsn

from expgsql_ra.rules.election import Lost, Waiting, Won, first_start, newer_than_me, readings
from expgsql_ra.snapshot import ClusterView, Member
from expgsql_ra.values import Lsn


def reports(*ends: str | None, me: str = "node1") -> ClusterView:
    """A cluster whose nodes report these ends, written as ``1@0/5000``; None reports nothing."""
    members = []
    for number, end in enumerate(ends, 1):
        timeline, _, wal = (end or "").partition("@")
        members.append(a_member(f"node{number}", wal=wal or None, timeline=int(timeline) if timeline else None))
    return a_view(*members, me=me)


def outcome(view: ClusterView) -> type[object]:
    """The kind of result, once the readings have been the same often enough."""
    return type(first_start(view, 3, 3))


def test_the_longest_wal_wins() -> None:
    view = reports("1@0/4000", "1@0/5000", "1@0/4FFF")
    assert outcome(view) is Lost
    assert first_start(view._replace(me="node2"), 3, 3) == Won(
        "this node has the newest data of 3 nodes (timeline 1, WAL up to 0/5000)"
    )
    assert first_start(view, 3, 3) == Lost("node2 has the newest data of 3 nodes (timeline 1, WAL up to 0/5000)")


def test_positions_are_compared_as_numbers() -> None:
    assert outcome(reports("1@10/0", "1@F/FFFFFFFF", "1@9/0")) is Won


def test_a_newer_timeline_outranks_any_position() -> None:
    assert outcome(reports("2@0/4000", "1@9/5000", "1@9/5000")) is Won


@pytest.mark.parametrize(("me", "result"), [("node1", Won), ("node2", Lost), ("node3", Lost)])
def test_the_order_of_the_nodes_decides_a_draw(me: str, result: type[object]) -> None:
    assert outcome(reports("1@0/5000", "1@0/5000", "1@0/5000", me=me)) is result


@pytest.mark.parametrize(
    ("ends", "enough"),
    [
        (("1@0/1", None, None), False),
        (("1@0/1", "1@0/1", None), True),
        (("1@0/1", "1@0/1", None, None), False),
        (("1@0/1", "1@0/1", "1@0/1", None), True),
        (("1@0/1", None), False),
        (("1@0/1",), True),
        ((None, None, None), False),
    ],
)
def test_more_than_half_of_all_nodes_must_have_reported(ends: tuple[str | None, ...], enough: bool) -> None:
    assert (outcome(reports(*ends)) is not Waiting) is enough


def test_waiting_names_the_silent_nodes() -> None:
    assert first_start(reports("1@0/1", None, None), 3, 3) == Waiting(
        "1 of 3 nodes have reported their data, more than half must: node2, node3 have not yet; "
        "start the cluster there if it is down"
    )


def test_the_report_of_a_node_that_has_left_counts_for_nothing() -> None:
    gone = a_member("node2", online=False, wal="9/0", timeline=9)
    view = a_view(a_member("node1", wal="0/5000", timeline=1), gone, a_member("node3", wal="0/4000", timeline=1))
    assert outcome(view) is Won
    assert newer_than_me(view, Lsn(0x5000)) is None
    assert readings(view) == (("node1", 1, 0x5000), ("node3", 1, 0x4000))


@pytest.mark.parametrize(("equal", "done"), [(0, False), (2, False), (3, True), (4, True)])
def test_a_node_that_is_still_replaying_is_waited_for(equal: int, done: bool) -> None:
    assert isinstance(first_start(reports("1@0/5000", "1@0/4000", None), equal, 3), Won) is done


def test_nobody_is_elected_without_quorum() -> None:
    view = reports("1@0/5000", "1@0/5000", None)
    assert first_start(view._replace(quorate=False), 3, 3) == Waiting("this partition has no quorum")
    assert isinstance(first_start(view._replace(quorate=False, ignores_quorum=True), 3, 3), Won)


def test_the_case_of_names_does_not_matter() -> None:
    members = (a_member("Node1", wal="0/5000", timeline=1), a_member("NODE2", wal="0/4000", timeline=1))
    assert outcome(a_view(*members, me="node1")) is Won
    assert outcome(a_view(*members, me="node2")) is Lost
    newer = newer_than_me(a_view(*members, me="node2"), Lsn(0x4000))
    assert newer is not None
    assert newer.name == "Node1"


positions = st.integers(min_value=0, max_value=3).map(Lsn)
members = st.lists(st.tuples(st.integers(1, 2), positions, st.booleans()), min_size=1, max_size=5)


@given(members)
def test_exactly_one_node_wins_and_nobody_who_reported_has_more(states: list[tuple[int, Lsn, bool]]) -> None:
    view = a_view(
        *(
            a_member(f"node{number}", online=online, wal=str(end), timeline=timeline)
            for number, (timeline, end, online) in enumerate(states, 1)
        )
    )
    winners = [one for one in view.members if outcome(view._replace(me=one.name)) is Won]
    online = [one for one in view.members if one.online]
    assert len(winners) == (1 if 2 * len(online) > len(view.members) else 0)
    assert all(_data(winner) == max(map(_data, online)) for winner in winners)


def _data(member: Member) -> tuple[int, Lsn]:
    assert member.timeline is not None
    assert member.wal is not None
    return member.timeline, member.wal


# --- asynchronous promotion -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mine", "better"), [("0/4000", "node2"), ("0/5000", None), ("0/6000", None), ("0/4FFF", "node2")]
)
def test_a_standby_with_more_data_is_the_better_choice(mine: str, better: str | None) -> None:
    view = a_view(
        a_member("node1", wal="9/0", timeline=1),
        a_member("node2", wal="0/5000", timeline=1),
        a_member("node3", wal="0/4800", timeline=1),
    )
    position = lsn(mine)
    assert position is not None
    found = newer_than_me(view, position)
    assert (found.name if found else None) == better
