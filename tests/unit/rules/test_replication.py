# SPDX-License-Identifier: GPL-2.0-or-later
"""What the primary makes of its standbys: names, marks, scores, and the order that is the promise (R1, R2)."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.builders import NODES, a_member, a_primary, a_sender, a_view

from expgsql_ra.changes import Change, SetDataStatus, SetScore, SetStatus
from expgsql_ra.rules.replication import (
    CLOSED,
    OPEN,
    Plan,
    Settings,
    format_names,
    has_passed,
    mark,
    named_among,
    physical_sender,
    plan,
    promise_kept,
)
from expgsql_ra.snapshot import Member, Sender
from expgsql_ra.values import DataStatus, Lsn, RepMode

SYNC = Settings(RepMode.SYNC, 1, None)
TWO = Settings(RepMode.SYNC, 2, None)
ASYNC = Settings(RepMode.ASYNC, 1, None)
NOBODY: frozenset[str] = frozenset()

IN_SYNC = a_member("node2", status="HS:sync", data_status="STREAMING|SYNC", score="100")
SPARE = a_member("node3", status="HS:async", data_status="STREAMING|ASYNC", score="-INFINITY")


def planned(
    *senders: Sender,
    names: str = 'FIRST 1 ("node2")',
    members: tuple[Member, ...] = (IN_SYNC, SPARE),
    settings: Settings = SYNC,
    proven: frozenset[str] = NOBODY,
) -> Plan:
    """The plan of node1, the primary."""
    view = a_view("node1", *members, recorded="node1")
    return plan(a_primary(*senders, names=names), view, settings, proven)


def marks(changes: tuple[Change, ...]) -> dict[str, str]:
    """The data statuses among changes."""
    return {one.node: one.value for one in changes if isinstance(one, SetDataStatus)}


def scores(changes: tuple[Change, ...]) -> dict[str, str]:
    """The scores among changes."""
    return {one.node: one.value for one in changes if isinstance(one, SetScore)}


SYNC_NODE2 = a_sender("node2", sync_state="sync")
ASYNC_NODE3 = a_sender("node3")


# --- the steady state and what leaves it ------------------------------------------------------


def test_all_is_well() -> None:
    found = planned(SYNC_NODE2, ASYNC_NODE3)
    assert (found.names, found.named, found.unproven, found.reason) == (
        'FIRST 1 ("node2")',
        ("node2",),
        (),
        "as before",
    )
    assert marks(found.tell) == {"node2": "STREAMING|SYNC", "node3": "STREAMING|ASYNC"}
    assert found.withdraw == ()
    assert scores((*found.withdraw, *found.tell)) == {"node2": "100", "node3": "-INFINITY"}


def test_a_lost_standby_is_replaced_and_loses_its_mark_first() -> None:
    found = planned(ASYNC_NODE3)
    assert found.names == 'FIRST 1 ("node3")'
    assert marks(found.withdraw)["node2"] == "DISCONNECT"
    assert found.unproven == ("node3",)
    assert found.reason == "commits wait for node3: node2 does not stream"


def test_the_replacement_is_not_marked_before_it_is_proven() -> None:
    senders = (a_sender("node3", sync_state="sync"),)
    before = planned(*senders, names='FIRST 1 ("node3")')
    assert before.unproven == ("node3",)
    assert marks(before.tell)["node3"] == "STREAMING|POTENTIAL"
    after = planned(*senders, names='FIRST 1 ("node3")', proven=frozenset({"node3"}))
    assert marks(after.tell)["node3"] == "STREAMING|SYNC"
    assert after.unproven == ()


def test_without_any_standby_the_primary_goes_on_alone() -> None:
    found = planned()
    assert found.names == OPEN
    assert marks(found.withdraw) == {"node2": "DISCONNECT"}
    assert marks(found.tell) == {"node3": "DISCONNECT"}
    assert set(scores((*found.withdraw, *found.tell)).values()) == {"-INFINITY"}
    assert found.reason == "commits wait for nobody: node2 does not stream"


def test_a_standby_that_falls_back_to_catching_up_is_not_waited_for() -> None:
    found = planned(a_sender("node2", "catchup"))
    assert found.names == OPEN
    assert marks(found.withdraw)["node2"] == "CATCHUP|ASYNC"
    assert found.reason == "commits wait for nobody: node2 is in state catchup"


def test_an_upgrade_waits_for_the_new_standby_before_it_marks_it() -> None:
    fresh = (a_member("node2", data_status="DISCONNECT"), SPARE)
    named = planned(a_sender("node2"), names=OPEN, members=fresh)
    assert (named.names, named.unproven) == ('FIRST 1 ("node2")', ("node2",))
    assert marks((*named.withdraw, *named.tell)) == {"node2": "STREAMING|ASYNC", "node3": "DISCONNECT"}


def test_closed_names_are_opened_for_whoever_streams() -> None:
    assert planned(names=CLOSED).names == OPEN
    assert planned(SYNC_NODE2, names=CLOSED).names == 'FIRST 1 ("node2")'


@pytest.mark.parametrize(
    "names", [CLOSED, OPEN, "node2", "*", 'ANY 1 ("node2")', 'FIRST 1 ("node2", "node9")', "2 (a)"]
)
def test_a_mark_of_before_does_not_hold_under_foreign_names(names: str) -> None:
    found = planned(SYNC_NODE2, names=names)
    assert found.names == 'FIRST 1 ("node2")'
    assert found.unproven == ("node2",)
    assert marks(found.withdraw)["node2"] == "STREAMING|POTENTIAL"


def test_names_with_a_spare_are_narrowed_and_prove_nothing() -> None:
    found = planned(SYNC_NODE2, ASYNC_NODE3, names='FIRST 1 ("node2", "node3")')
    assert (found.names, found.unproven) == ('FIRST 1 ("node2")', ("node2",))


def test_who_is_waited_for_already_stays() -> None:
    members = (SPARE._replace(name="node2"), IN_SYNC._replace(name="node3"))
    found = planned(a_sender("node2"), a_sender("node3", sync_state="sync"), names='FIRST 1 ("node3")', members=members)
    assert (found.names, found.unproven) == ('FIRST 1 ("node3")', ())


def test_a_walsender_that_has_not_read_the_new_names_proves_nothing() -> None:
    found = planned(a_sender("node2", sync_state="async"))
    assert found.unproven == ("node2",)
    assert marks(found.withdraw)["node2"] == "STREAMING|ASYNC"


@pytest.mark.parametrize("sync_state", ["async", "potential", "sync", "quorum"])
def test_whoever_streams_unproven_never_gets_a_right(sync_state: str) -> None:
    found = mark(a_sender(sync_state=sync_state), sure=False, flushed=Lsn(0), settings=SYNC)
    assert (found.score, found.data_status != DataStatus.SYNC) == ("-INFINITY", True)


@pytest.mark.parametrize("half", [{"data_status": "STREAMING|SYNC"}, {"score": "100"}, {"score": "110"}])
def test_half_a_right_that_an_interrupted_withdrawal_left_is_withdrawn_first(half: dict[str, str]) -> None:
    found = planned(members=(a_member("node2", **half), SPARE))  # type: ignore[arg-type]
    assert marks(found.withdraw) == {"node2": "DISCONNECT"}
    assert scores(found.withdraw) == {"node2": "-INFINITY"}


# --- two synchronous standbys -----------------------------------------------------------------


def test_two_standbys_are_both_waited_for() -> None:
    both = (SYNC_NODE2, a_sender("node3", sync_state="sync"))
    marked = (IN_SYNC, IN_SYNC._replace(name="node3"))
    found = planned(*both, names='FIRST 2 ("node2", "node3")', settings=TWO, members=marked)
    assert (found.names, found.unproven) == ('FIRST 2 ("node2", "node3")', ())
    assert marks(found.tell) == {"node2": "STREAMING|SYNC", "node3": "STREAMING|SYNC"}


def test_the_second_standby_joins_without_costing_the_first_its_mark() -> None:
    found = planned(SYNC_NODE2, ASYNC_NODE3, settings=TWO)
    assert (found.names, found.unproven) == ('FIRST 2 ("node2", "node3")', ("node3",))
    assert marks(found.tell) == {"node2": "STREAMING|SYNC", "node3": "STREAMING|ASYNC"}


def test_one_of_two_is_lost_and_the_other_keeps_its_mark() -> None:
    marked = (IN_SYNC, IN_SYNC._replace(name="node3"))
    found = planned(SYNC_NODE2, names='FIRST 2 ("node2", "node3")', settings=TWO, members=marked)
    assert (found.names, found.unproven) == ('FIRST 1 ("node2")', ())
    assert marks(found.withdraw) == {"node3": "DISCONNECT"}


def test_whoever_a_smaller_number_leaves_out_loses_its_mark() -> None:
    both = (SYNC_NODE2, a_sender("node3", sync_state="sync"))
    marked = (IN_SYNC, IN_SYNC._replace(name="node3"))
    found = planned(*both, names='FIRST 2 ("node2", "node3")', settings=SYNC, members=marked)
    assert found.names == 'FIRST 1 ("node2")'
    assert marks(found.withdraw) == {"node3": "STREAMING|POTENTIAL"}


# --- names ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("nodes", "names"),
    [
        ((), ""),
        (("node1",), 'FIRST 1 ("node1")'),
        (("node-1", "2nd.example"), 'FIRST 2 ("node-1", "2nd.example")'),
        (('it"s',), 'FIRST 1 ("it""s")'),
        (("Node_1",), 'FIRST 1 ("Node_1")'),
    ],
)
def test_names_are_quoted_and_counted(nodes: tuple[str, ...], names: str) -> None:
    assert format_names(nodes) == names


# what the parameter node_list accepts
spelled = st.text(st.sampled_from("abcXYZ019._-äß"), min_size=1, max_size=8)
lists_of_names = st.lists(spelled, max_size=4, unique_by=str.casefold)


@given(lists_of_names)
def test_names_are_read_as_they_were_written(nodes: list[str]) -> None:
    members = tuple(a_member(name) for name in sorted(nodes))
    assert named_among(format_names(tuple(nodes)), members) == tuple(nodes)


@given(st.lists(st.text(max_size=6), max_size=3, unique_by=str.casefold), st.text(max_size=20))
def test_any_other_setting_names_nobody_or_exactly_whom_it_says(nodes: list[str], setting: str) -> None:
    members = tuple(a_member(name) for name in nodes)
    for names in (setting, format_names(tuple(nodes))):
        found = named_among(names, members)
        assert found == () or format_names(found) == names


def test_a_node_that_was_taken_out_of_the_list_does_not_stay_named() -> None:
    # B12 of the old agent: a name nobody manages any more lets commits hang
    found = planned(SYNC_NODE2, names='FIRST 2 ("node2", "node9")', settings=TWO)
    assert found.names == 'FIRST 1 ("node2")'


# --- walsenders that prove nothing ------------------------------------------------------------


def test_two_walsenders_of_one_name_count_as_none() -> None:
    twins = (SYNC_NODE2, a_sender("NODE2"))
    assert physical_sender(twins, "node2") is None
    found = planned(*twins, ASYNC_NODE3)
    assert found.names == 'FIRST 1 ("node3")'
    assert marks(found.withdraw)["node2"] == "DISCONNECT"


def test_a_walsender_is_known_by_its_whole_name_in_any_case() -> None:
    assert physical_sender((a_sender("Node2"), a_sender("node22")), "nODE2") == a_sender("Node2")
    found = planned(a_sender("NODE2", sync_state="sync"))
    assert (found.names, found.unproven) == ('FIRST 1 ("node2")', ())


@pytest.mark.parametrize("name", ["walreceiver", "node2|STREAMING|SYNC x", "node1", "expgsql agent", ""])
def test_strangers_are_never_waited_for(name: str) -> None:
    found = planned(a_sender(name, sync_state="sync"))
    assert (found.names, found.named) == (OPEN, ())


@pytest.mark.parametrize(
    ("sender", "passed"),
    [
        (a_sender(sync_state="sync", flushed="0/5000"), True),
        (a_sender(sync_state="sync", flushed="0/5001"), True),
        (a_sender(sync_state="sync", flushed="0/4FFF"), False),
        (a_sender(sync_state="sync", flushed=None), False),
        (a_sender(sync_state="potential", flushed="9/0"), False),
        (a_sender(sync_state="async", flushed="9/0"), False),
        (a_sender(state="catchup", flushed="9/0"), False),
        (a_sender("node3", sync_state="sync", flushed="9/0"), False),
    ],
    ids=str,
)
def test_a_standby_has_passed_a_position_only_while_commits_wait_for_it(sender: Sender, passed: bool) -> None:
    assert has_passed(a_primary(sender), "node2", Lsn(0x5000)) is passed


# --- asynchronous mode ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flushed", "maximum_lag", "score"),
    [
        ("0/1", None, "100"),
        (None, None, "100"),
        ("0/5000", 0, "100"),
        ("0/4FFF", 0, "-INFINITY"),
        ("0/4000", 0x1000, "100"),
        ("0/3FFF", 0x1000, "-INFINITY"),
        (None, 0x1000, "-INFINITY"),
    ],
)
def test_an_asynchronous_standby_may_succeed_within_the_maximum_lag(
    flushed: str | None, maximum_lag: int | None, score: str
) -> None:
    settings = Settings(RepMode.ASYNC, 1, maximum_lag)
    found = planned(a_sender(flushed=flushed), names=OPEN, settings=settings)
    assert scores((*found.withdraw, *found.tell))["node2"] == score
    assert found.names == OPEN
    assert marks((*found.withdraw, *found.tell))["node2"] == "STREAMING|ASYNC"


def test_a_change_to_asynchronous_mode_names_nobody() -> None:
    assert planned(SYNC_NODE2, settings=ASYNC).names == OPEN


# --- who is told what -------------------------------------------------------------------------


@pytest.mark.parametrize("status", [None, "STOP", "UNKNOWN"])
def test_a_node_that_says_it_is_stopped_is_not_contradicted(status: str | None) -> None:
    found = planned(members=(a_member("node2", status=status),))
    assert not [one for one in found.withdraw if isinstance(one, SetStatus)]


def test_a_standby_that_does_not_stream_is_said_to_be_alone() -> None:
    assert SetStatus("node2", "HS:alone") in planned(members=(a_member("node2", status="HS:sync"),)).tell


def test_a_node_that_has_left_keeps_its_data_status_alone_up_to_date() -> None:
    gone = a_member("node2", online=False, data_status="STREAMING|SYNC")
    assert planned(members=(gone,)).withdraw == (SetDataStatus("node2", "DISCONNECT"),)


def test_the_primary_marks_nobody_under_its_own_name() -> None:
    found = plan(a_primary(), a_view("NODE1", "node2", me="node1"), SYNC, NOBODY)
    assert {getattr(one, "node", None) for one in (*found.withdraw, *found.tell)} == {"node2"}


@pytest.mark.parametrize(
    ("member", "settings", "kept"),
    [
        (IN_SYNC, SYNC, True),
        (IN_SYNC._replace(online=False), SYNC, False),
        (SPARE, SYNC, False),
        (SPARE, ASYNC, True),
    ],
)
def test_the_promise_is_kept_by_a_marked_standby_that_is_here(member: Member, settings: Settings, kept: bool) -> None:
    weakness = promise_kept(a_view("node1", member), settings)
    assert weakness == (None if kept else "no synchronous standby: commits are on this node only")


# --- properties: whatever the primary sees ----------------------------------------------------


class Seen(NamedTuple):
    """One possible situation of the primary node1."""

    members: tuple[Member, ...]
    senders: tuple[Sender, ...]
    names: str
    settings: Settings
    proven: frozenset[str]


others = NODES[1:]
some_members = st.tuples(
    *(
        st.builds(
            a_member,
            st.sampled_from([name, name.upper()]),
            online=st.booleans(),
            status=st.sampled_from([None, "STOP", "HS:sync", "HS:alone"]),
            data_status=st.sampled_from([None, "STREAMING|SYNC", "STREAMING|ASYNC", "DISCONNECT"]),
        )
        for name in others
    )
)
some_senders = st.lists(
    st.builds(
        a_sender,
        st.sampled_from([*others, "node2".upper(), "stranger"]),
        st.sampled_from(["streaming", "streaming", "catchup", "backup"]),
        st.sampled_from(["sync", "async", "potential"]),
        st.sampled_from(["0/4000", "0/5000", None]),
    ),
    max_size=4,
).map(tuple)
some_names = st.sampled_from(
    [
        OPEN,
        CLOSED,
        "*",
        *(format_names(one) for one in (("node2",), ("node3",), ("node2", "node3"), ("node3", "node2"))),
    ]
)
situations = st.builds(
    Seen,
    some_members,
    some_senders,
    some_names,
    st.builds(Settings, st.sampled_from([RepMode.SYNC, RepMode.ASYNC]), st.sampled_from([1, 2]), st.just(None)),
    st.just(NOBODY),
)


def plan_of(seen: Seen) -> Plan:
    """The plan in a situation."""
    return planned(*seen.senders, names=seen.names, members=seen.members, settings=seen.settings, proven=seen.proven)


@settings(max_examples=300)
@given(situations)
def test_whoever_is_marked_in_sync_is_waited_for(seen: Seen) -> None:
    found = plan_of(seen)
    marked = {node for node, value in marks((*found.withdraw, *found.tell)).items() if value == DataStatus.SYNC}
    assert marked <= set(found.named)
    assert set(marks(found.withdraw).values()).isdisjoint({DataStatus.SYNC})


@settings(max_examples=300)
@given(situations)
def test_whoever_was_marked_and_is_no_longer_named_is_withdrawn(seen: Seen) -> None:
    found = plan_of(seen)
    dropped = [one.name for one in seen.members if one.data_status == DataStatus.SYNC and one.name not in found.named]
    lost = marks(found.withdraw)
    if seen.settings.mode is RepMode.SYNC:
        assert all(lost[name] != DataStatus.SYNC for name in dropped)


@settings(max_examples=300)
@given(situations)
def test_the_names_are_exactly_so_many_that_all_must_answer(seen: Seen) -> None:
    found = plan_of(seen)
    assert found.names == format_names(found.named)
    assert len(found.named) <= seen.settings.sync_standby_count
    streaming = {one.name.casefold() for one in seen.senders if one.state == "streaming"}
    assert {name.casefold() for name in found.named} <= streaming


@settings(max_examples=300)
@given(situations)
def test_a_mark_is_only_ever_gained_by_proof(seen: Seen) -> None:
    found = plan_of(seen)
    had = {one.name for one in seen.members if one.data_status == DataStatus.SYNC}
    assert {node for node, value in marks(found.tell).items() if value == DataStatus.SYNC} <= had


@settings(max_examples=300)
@given(situations)
def test_every_other_node_is_told_something_and_none_twice(seen: Seen) -> None:
    found = plan_of(seen)
    told = [one.node for one in (*found.withdraw, *found.tell) if isinstance(one, SetDataStatus)]
    assert sorted(told) == sorted(one.name for one in seen.members)


@settings(max_examples=300)
@given(situations)
def test_a_plan_that_was_carried_out_is_followed_by_the_same_plan(seen: Seen) -> None:
    first = plan_of(seen)
    statuses = marks((*first.withdraw, *first.tell))
    after = seen._replace(
        members=tuple(one._replace(data_status=statuses[one.name]) for one in seen.members), names=first.names
    )
    assert plan_of(after).names == first.names
