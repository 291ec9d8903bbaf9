# SPDX-License-Identifier: GPL-2.0-or-later
"""What the primary makes of its standbys: whom commits may wait for, and what the marks say of whom."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.builders import NODES, a_history, a_member, a_primary, a_sender, a_view

from expgsql_ra.changes import Change, ClearWal, SetDataStatus, SetScore, SetStatus
from expgsql_ra.record import Successor
from expgsql_ra.rules.replication import (
    CLOSED,
    OPEN,
    Settings,
    candidates,
    format_names,
    has_passed,
    is_waited_for,
    mark,
    marks,
    named_among,
    names_in_force,
    physical_sender,
    promise_kept,
)
from expgsql_ra.snapshot import ClusterView, Member, Sender
from expgsql_ra.values import Attestation, DataStatus, Fork, Lsn, RepMode

SYNC = Settings(RepMode.SYNC, 1, None)
ASYNC = Settings(RepMode.ASYNC, 1, None)
NOBODY: frozenset[str] = frozenset()
NODE2 = frozenset({"node2"})

IN_SYNC = a_member("node2", status="HS:sync", data_status="STREAMING|SYNC", score="100")
SPARE = a_member("node3", status="HS:async", data_status="STREAMING|ASYNC", score="-INFINITY")
SYNC_NODE2 = a_sender("node2", sync_state="sync")
ASYNC_NODE3 = a_sender("node3")


def told(
    *senders: Sender,
    members: tuple[Member, ...] = (IN_SYNC, SPARE),
    settings: Settings = SYNC,
    succeed: frozenset[str] = NOBODY,
) -> tuple[Change, ...]:
    """What node1, the primary, tells of the others."""
    return marks(a_primary(*senders), a_view("node1", *members, recorded="node1"), settings, succeed)


def data(changes: tuple[Change, ...]) -> dict[str, str]:
    """The data statuses among changes."""
    return {one.node: one.value for one in changes if isinstance(one, SetDataStatus)}


def scores(changes: tuple[Change, ...]) -> dict[str, str]:
    """The scores among changes."""
    return {one.node: one.value for one in changes if isinstance(one, SetScore)}


# --- whom commits may wait for (R2, step 2) ---------------------------------------------------

PARENT = Fork(1, Lsn(0x4000))
HERE = Attestation("id-node2", 2, (PARENT,))


def offered(*senders: Sender, follows: Attestation | None = HERE, timeline: int = 2) -> tuple[Successor, ...]:
    """The candidates of a primary whose timeline 2 began at 0/4000 of timeline 1."""
    view = a_view("node1", IN_SYNC._replace(follows=follows), SPARE, recorded="node1", history=a_history("1@0/4000"))
    return candidates(a_primary(*senders, timeline=timeline), view)


def test_whoever_streams_and_says_it_lies_on_this_history_may_be_waited_for() -> None:
    assert offered(SYNC_NODE2, ASYNC_NODE3) == (Successor("node2", "id-node2"),)


@pytest.mark.parametrize(
    "follows",
    [
        None,
        HERE._replace(timeline=1),
        HERE._replace(timeline=3),
        HERE._replace(forks=(Fork(1, Lsn(0x4001)),)),
        HERE._replace(forks=()),
    ],
    ids=str,
)
def test_a_position_alone_shows_no_history(follows: Attestation | None) -> None:
    # a walreceiver reports its replay position as flushed when it connects, even when it has diverged
    assert offered(SYNC_NODE2, follows=follows) == ()


@pytest.mark.parametrize(
    "senders",
    [
        (),
        (a_sender("node2", "catchup"),),
        (a_sender("node2", "backup"),),
        (SYNC_NODE2, a_sender("NODE2")),
        (ASYNC_NODE3,),
    ],
    ids=str,
)
def test_whoever_does_not_stream_by_one_walsender_is_no_candidate(senders: tuple[Sender, ...]) -> None:
    assert offered(*senders) == ()


def test_while_the_cluster_does_not_know_the_primarys_timeline_nobody_is_a_candidate() -> None:
    assert offered(SYNC_NODE2, timeline=3) == ()
    assert candidates(a_primary(SYNC_NODE2), a_view("node1", IN_SYNC._replace(follows=HERE))) == ()


def test_on_the_first_timeline_no_fork_is_attested() -> None:
    first = HERE._replace(timeline=1, forks=())
    history = a_history(current=1)
    view = a_view("node1", IN_SYNC._replace(follows=first), recorded="node1", history=history)
    assert candidates(a_primary(SYNC_NODE2, timeline=1), view) == (Successor("node2", "id-node2"),)


def test_the_primary_is_no_candidate_of_its_own() -> None:
    itself = a_member("node1")._replace(follows=HERE._replace(directory="id-node1"))
    view = a_view(itself, SPARE, recorded="node1", history=a_history("1@0/4000"))
    assert candidates(a_primary(a_sender("node1", sync_state="sync")), view) == ()


@pytest.mark.parametrize(
    ("names", "nodes"),
    [
        (OPEN, ()),
        ('FIRST 1 ("node2")', ("node2",)),
        ('FIRST 2 ("node3", "node2")', ("node3", "node2")),
        (CLOSED, None),
        ("*", None),
        ("node2", None),
        ('ANY 1 ("node2")', None),
        ('FIRST 1 ("node2", "node3")', None),
        # B12 of the old agent: a name nobody manages any more lets commits hang
        ('FIRST 2 ("node2", "node9")', None),
    ],
)
def test_a_setting_that_we_did_not_write_holds_back_nobody_knows_what(
    names: str, nodes: tuple[str, ...] | None
) -> None:
    assert names_in_force(names, (IN_SYNC, SPARE)) == nodes


# --- marks ------------------------------------------------------------------------------------


def test_whoever_may_succeed_and_streams_is_marked_and_may_be_promoted() -> None:
    found = told(SYNC_NODE2, ASYNC_NODE3, succeed=NODE2)
    assert data(found) == {"node2": "STREAMING|SYNC", "node3": "STREAMING|ASYNC"}
    assert scores(found) == {"node2": "100", "node3": "-INFINITY"}


@pytest.mark.parametrize("sync_state", ["async", "potential", "sync", "quorum"])
def test_whoever_streams_without_being_recorded_never_gets_a_right(sync_state: str) -> None:
    # that commits wait for it now does not say that it has those of before
    found = mark(a_sender(sync_state=sync_state), sure=False, flushed=Lsn(0), settings=SYNC)
    assert (found.score, found.data_status != DataStatus.SYNC) == ("-INFINITY", True)


@pytest.mark.parametrize("sender", [None, a_sender("node2", "catchup"), a_sender("node2", "startup")])
def test_a_recorded_successor_that_does_not_stream_is_not_shown_as_in_sync(sender: Sender | None) -> None:
    found = told(*((sender,) if sender else ()), succeed=NODE2)
    assert data(found)["node2"] == ("DISCONNECT" if sender is None else f"{sender.state.upper()}|ASYNC")
    assert scores(found)["node2"] == "-INFINITY"


def test_an_old_report_of_wal_is_taken_back() -> None:
    reported = a_member("node2", wal="0/5000", timeline=2)
    assert ClearWal("node2") in told(SYNC_NODE2, members=(reported,))
    assert not any(isinstance(one, ClearWal) for one in told(SYNC_NODE2))


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


# --- walsenders that prove nothing ------------------------------------------------------------


def test_two_walsenders_of_one_name_count_as_none() -> None:
    twins = (SYNC_NODE2, a_sender("NODE2"))
    assert physical_sender(twins, "node2") is None
    assert data(told(*twins, succeed=NODE2))["node2"] == "DISCONNECT"
    assert not is_waited_for(a_primary(*twins), "node2")


def test_a_walsender_is_known_by_its_whole_name_in_any_case() -> None:
    assert physical_sender((a_sender("Node2"), a_sender("node22")), "nODE2") == a_sender("Node2")
    assert is_waited_for(a_primary(a_sender("NODE2", sync_state="sync")), "node2")


@pytest.mark.parametrize("name", ["walreceiver", "node2|STREAMING|SYNC x", "node1", "expgsql agent", ""])
def test_strangers_are_never_waited_for(name: str) -> None:
    stranger = a_sender(name, sync_state="sync")
    assert offered(stranger) == ()
    assert set(data(told(stranger, succeed=frozenset(NODES))).values()) == {"DISCONNECT"}


@pytest.mark.parametrize(
    ("sender", "waited_for"),
    [
        (SYNC_NODE2, True),
        (a_sender(), False),
        (a_sender(sync_state="potential"), False),
        (a_sender(state="catchup"), False),
    ],
    ids=str,
)
def test_commits_wait_for_whoever_streams_synchronously(sender: Sender, waited_for: bool) -> None:
    assert is_waited_for(a_primary(sender), "node2") is waited_for
    assert not is_waited_for(a_primary(sender), "node3")


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
    found = told(a_sender(flushed=flushed), settings=settings)
    assert scores(found)["node2"] == score
    assert data(found)["node2"] == "STREAMING|ASYNC"


# --- who is told what -------------------------------------------------------------------------


@pytest.mark.parametrize("status", [None, "STOP", "UNKNOWN"])
def test_a_node_that_says_it_is_stopped_is_not_contradicted(status: str | None) -> None:
    found = told(members=(a_member("node2", status=status),))
    assert not [one for one in found if isinstance(one, SetStatus)]


def test_a_standby_that_does_not_stream_is_said_to_be_alone() -> None:
    members = (a_member("node2", status="HS:sync"),)
    assert SetStatus("node2", "HS:alone") in told(members=members)
    # right after a promotion it is on its way
    assert SetStatus("node2", "HS:alone") not in told(members=members, settings=SYNC._replace(fresh=True))


def test_a_node_that_has_left_keeps_its_data_status_alone_up_to_date() -> None:
    gone = a_member("node2", online=False, data_status="STREAMING|SYNC")
    assert told(members=(gone,)) == (SetDataStatus("node2", "DISCONNECT"),)


def test_the_primary_marks_nobody_under_its_own_name() -> None:
    found = marks(a_primary(), a_view("NODE1", "node2", me="node1"), SYNC)
    assert {getattr(one, "node", None) for one in found} == {"node2"}


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
    assert weakness == (None if kept else "no synchronous standby: commits are on this node only; start a standby")


# --- properties: whatever the primary sees ----------------------------------------------------


class Seen(NamedTuple):
    """One possible situation of the primary node1."""

    view: ClusterView
    senders: tuple[Sender, ...]
    settings: Settings
    succeed: frozenset[str]


attestations = st.sampled_from([None, HERE, HERE._replace(timeline=1), HERE._replace(forks=())])
some_members = st.tuples(
    *(
        st.builds(
            lambda follows, name, **said: a_member(name, **said)._replace(follows=follows),
            attestations,
            st.sampled_from([name, name.upper()]),
            online=st.booleans(),
            status=st.sampled_from([None, "STOP", "HS:sync", "HS:alone"]),
            data_status=st.sampled_from([None, "STREAMING|SYNC", "STREAMING|ASYNC", "DISCONNECT"]),
        )
        for name in NODES[1:]
    )
)
some_senders = st.lists(
    st.builds(
        a_sender,
        st.sampled_from([*NODES[1:], "node2".upper(), "stranger"]),
        st.sampled_from(["streaming", "streaming", "catchup", "backup"]),
        st.sampled_from(["sync", "async", "potential"]),
        st.sampled_from(["0/4000", "0/5000", None]),
    ),
    max_size=4,
).map(tuple)
situations = st.builds(
    Seen,
    some_members.map(lambda found: a_view("node1", *found, recorded="node1", history=a_history("1@0/4000"))),
    some_senders,
    st.builds(Settings, st.sampled_from([RepMode.SYNC, RepMode.ASYNC]), st.sampled_from([1, 2]), st.just(None)),
    st.frozensets(st.sampled_from(NODES)),
)


def all_told(seen: Seen) -> tuple[Change, ...]:
    """What is told in a situation."""
    return marks(a_primary(*seen.senders), seen.view, seen.settings, seen.succeed)


@settings(max_examples=300)
@given(situations)
def test_whoever_is_marked_in_sync_may_succeed_and_streams(seen: Seen) -> None:
    found = all_told(seen)
    streaming = {one.name.casefold() for one in seen.senders if one.state == "streaming"}
    for node, value in data(found).items():
        if value == DataStatus.SYNC:
            assert node in seen.succeed
            assert node.casefold() in streaming


@settings(max_examples=300)
@given(situations)
def test_a_candidate_streams_by_one_walsender_and_has_given_its_word(seen: Seen) -> None:
    for one in candidates(a_primary(*seen.senders), seen.view):
        member = seen.view.member(one.node)
        assert member is not None
        assert member.follows == HERE
        assert [s.state for s in seen.senders if s.name.casefold() == one.node.casefold()] == ["streaming"]


@settings(max_examples=300)
@given(situations)
def test_every_other_node_is_told_something_and_none_twice(seen: Seen) -> None:
    nodes = [one.node for one in all_told(seen) if isinstance(one, SetDataStatus)]
    assert sorted(nodes) == sorted(one.name for one in seen.view.members if one.name != "node1")
