# SPDX-License-Identifier: GPL-2.0-or-later
"""Who may become the primary and by which way: every verdict, and the reason of every refusal."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.builders import NODES, a_history, a_member, a_view, local_wal, lsn

from expgsql_ra.rules import election, promotion
from expgsql_ra.rules.promotion import (
    PROMOTABLE,
    Give,
    InPlace,
    Keep,
    Promote,
    Refused,
    Right,
    may_promote,
    other_primary,
    rival,
    standby_score,
    usurped,
)
from expgsql_ra.snapshot import ClusterView, LocalWal, NoCluster, Unknown
from expgsql_ra.values import DataStatus, Lsn, ReplInfo, RepMode

SYNC, ASYNC = RepMode.SYNC, RepMode.ASYNC
HISTORY = a_history("1@0/4000")
EVERY_DATA_STATUS = [
    None,
    DataStatus.LATEST,
    DataStatus.SYNC,
    DataStatus.ASYNC,
    DataStatus.POTENTIAL,
    DataStatus.QUORUM,
    DataStatus.DISCONNECT,
    "CATCHUP|ASYNC",
]


def orphaned(
    data_status: str | None = DataStatus.SYNC, *, quorate: bool = True, ignores_quorum: bool = False
) -> ClusterView:
    """node1 is recorded and has gone; this is node2, with that data status."""
    return a_view(
        a_member("node1", online=False, data_status="LATEST"),
        a_member("node2", data_status=data_status, wal="0/5000", timeline=2),
        a_member("node3", data_status="STREAMING|ASYNC", wal="0/4800", timeline=2),
        me="node2",
        recorded="node1",
        quorate=quorate,
        ignores_quorum=ignores_quorum,
    )


# --- refusals that hold for everybody ---------------------------------------------------------


def test_whoever_runs_the_agent_by_hand_decides() -> None:
    assert isinstance(may_promote(NoCluster(), SYNC, local_wal()), Promote)


def test_an_unreadable_cluster_promotes_nobody() -> None:
    assert may_promote(Unknown("cibadmin hangs"), SYNC, local_wal()) == Refused(
        "cannot read the cluster's state: cibadmin hangs"
    )


def test_a_partition_without_quorum_promotes_nobody_unless_nobody_wants_one() -> None:
    assert may_promote(orphaned(quorate=False), SYNC, local_wal()) == Refused(
        "this partition has no quorum; the other partition may have a primary"
    )
    assert isinstance(may_promote(orphaned(quorate=False, ignores_quorum=True), SYNC, local_wal()), Promote)


def test_a_rival_that_is_still_promoted_comes_first() -> None:
    rival = orphaned()._replace(promoted=("node3",))
    assert may_promote(rival, SYNC, local_wal()) == Refused("node3 is still promoted; demote or stop it first")
    myself = orphaned()._replace(promoted=("NODE2",))
    assert isinstance(may_promote(myself, SYNC, local_wal()), Promote)


# --- a standby of a primary that is gone ------------------------------------------------------


@pytest.mark.parametrize("data_status", EVERY_DATA_STATUS)
@pytest.mark.parametrize("mode", RepMode)
def test_only_a_standby_with_every_commit_of_its_mode_is_promoted(mode: RepMode, data_status: str | None) -> None:
    verdict = may_promote(orphaned(data_status), mode, local_wal(2, "1@0/4000", end="0/5000"))
    holds = {
        RepMode.SYNC: data_status == "STREAMING|SYNC",
        RepMode.ASYNC: data_status in {"STREAMING|SYNC", "STREAMING|ASYNC"},
        RepMode.SLAVE: False,
        RepMode.NONE: False,
    }
    assert isinstance(verdict, Promote) is holds[mode]


def test_the_refusal_of_stale_data_says_what_to_do() -> None:
    assert may_promote(orphaned(DataStatus.POTENTIAL), SYNC, local_wal()) == Refused(
        "data here may lack commits of node1 (data status STREAMING|POTENTIAL); "
        "start node1, or name a new primary (expgsql reset-master --primary NODE)"
    )
    assert "(data status not set)" in str(may_promote(orphaned(None), SYNC, local_wal()))


def test_the_promotable_statuses() -> None:
    assert {
        RepMode.SYNC: {"STREAMING|SYNC"},
        RepMode.ASYNC: {"STREAMING|SYNC", "STREAMING|ASYNC"},
    } == PROMOTABLE


@pytest.mark.parametrize(
    ("end", "verdict"),
    [
        ("0/5000", Promote("the primary is gone and no other standby has more than 0/5000")),
        ("0/4800", Promote("the primary is gone and no other standby has more than 0/4800")),
        ("0/4000", Refused("node3 has newer data (0/4800 > 0/4000); let it be promoted (expgsql why)", better="node3")),
        (None, Refused("cannot tell how far the data here goes; its log says why, or make it anew: expgsql rebuild")),
    ],
)
def test_the_newest_asynchronous_standby_wins(end: str | None, verdict: object) -> None:
    assert may_promote(orphaned(DataStatus.ASYNC), ASYNC, local_wal(2, "1@0/4000", end=end)) == verdict


def test_newer_data_that_nobody_may_promote_is_not_waited_for() -> None:
    view = orphaned(DataStatus.ASYNC)
    view = view._replace(members=(*view.members[:2], view.members[2]._replace(data_status="DISCONNECT")))
    assert isinstance(may_promote(view, ASYNC, local_wal(2, "1@0/4000", end="0/1000")), Promote)


def test_a_synchronous_standby_needs_no_comparison() -> None:
    assert isinstance(may_promote(orphaned(), SYNC, local_wal(2, "1@0/4000", end="0/1")), Promote)


# --- the recorded primary ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("local", "way"),
    [
        (local_wal(2, "1@0/4000"), InPlace),
        # the record of the last promotion was never completed, its result is here
        (local_wal(2, "1@0/4400"), InPlace),
        (local_wal(3, "1@0/3000", "2@0/4000"), InPlace),
        # begun, not completed: the timeline is still the parent's
        (local_wal(1), Promote),
    ],
    ids=str,
)
def test_the_recorded_primary_goes_on_where_it_stopped(local: LocalWal, way: type[object]) -> None:
    assert isinstance(may_promote(a_view(recorded="NODE1"), SYNC, local), way)


def test_the_recorded_primarys_older_copy_is_refused() -> None:
    view = a_view(recorded="node1", history=a_history("1@0/3000", "2@0/4000"))
    assert may_promote(view, SYNC, local_wal(1)) == Refused(
        "the cluster records this node as primary since timeline 2, but its data is of "
        "timeline 1: it was replaced by an older copy; repair it from another node"
    )


def test_a_primary_recorded_on_the_first_timeline_starts_in_place() -> None:
    assert isinstance(may_promote(a_view(recorded="node1", history=a_history()), SYNC, local_wal(1)), InPlace)


# --- the first start --------------------------------------------------------------------------


def test_the_first_primary_is_elected() -> None:
    view = a_view(
        a_member("node1", wal="0/5000", timeline=1), a_member("node2", wal="0/4000", timeline=1), a_member("node3")
    )
    assert isinstance(may_promote(view, SYNC, local_wal(1)), Promote)
    lost = may_promote(view._replace(me="node2"), SYNC, local_wal(1))
    assert lost == Refused("node1 has the newest data of 2 nodes (timeline 1, WAL up to 0/5000)")
    assert isinstance(may_promote(a_view(), SYNC, local_wal(1)), Refused)


# --- rivals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "online", "found"),
    [("PRI", True, "node2"), ("PRI", False, None), ("HS:sync", True, None), (None, True, None)],
)
def test_another_primary_is_one_that_is_here_and_says_so(status: str | None, online: bool, found: str | None) -> None:
    rival = other_primary(a_view("node1", a_member("node2", status=status, online=online)))
    assert (rival.name if rival else None) == found


def test_this_node_is_no_rival_of_itself_in_any_case() -> None:
    assert other_primary(a_view(a_member("Node1", status="PRI"), me="node1")) is None


def test_a_server_that_writes_unrecorded_is_a_usurper() -> None:
    assert usurped(a_view(recorded="node2")) == (
        "the cluster records node2 as the primary, not this node, whose server accepts writes"
    )
    assert usurped(a_view(recorded="NODE1")) is None
    assert usurped(a_view()) is None


# --- the score of a standby without a primary -------------------------------------------------


def scores(
    view: ClusterView,
    *,
    mode: RepMode = SYNC,
    won: election.Result | None = None,
    absences: int = 0,
    right: Right | None = None,
) -> object:
    """The score a standby gives itself, "keep" if none; three absences are wanted."""
    given_ = standby_score(view, mode, won, absences, 3, right)
    return given_.score if isinstance(given_, Give) else "keep"


@pytest.mark.parametrize(
    ("result", "score"),
    [
        (election.Won("first"), "110"),
        (election.Lost("second"), "-INFINITY"),
        (election.Waiting("for others"), "-INFINITY"),
        (None, "keep"),
    ],
)
def test_the_first_election_decides_where_nobody_is_recorded(result: election.Result | None, score: str) -> None:
    assert scores(a_view(), won=result) == score


@pytest.mark.parametrize(
    ("score", "becomes"), [(None, "110"), ("-INFINITY", "110"), ("100", "110"), ("110", "keep"), ("1000", "keep")]
)
def test_the_recorded_primary_has_the_first_right(score: str | None, becomes: str) -> None:
    assert scores(a_view(a_member("node1", score=score), "node2", recorded="node1")) == becomes


@pytest.mark.parametrize(
    ("data_status", "absences", "score"),
    [
        ("STREAMING|SYNC", 0, "keep"),
        ("STREAMING|SYNC", 2, "keep"),
        ("STREAMING|SYNC", 3, "100"),
        ("STREAMING|SYNC", 9, "100"),
        ("STREAMING|POTENTIAL", 9, "keep"),
        ("DISCONNECT", 9, "keep"),
    ],
)
def test_a_fit_successor_stops_waiting_for_a_primary_that_stays_away(
    data_status: str, absences: int, score: str
) -> None:
    members = (a_member("node1", score="-INFINITY", data_status=data_status), a_member("node2", online=False))
    assert scores(a_view(*members, recorded="node2"), absences=absences) == score


def test_no_successor_without_quorum_or_beside_a_primary() -> None:
    fit = a_member("node1", score="-INFINITY", data_status="STREAMING|SYNC")
    alone = a_view(fit, a_member("node2", online=False), recorded="node2", quorate=False)
    assert scores(alone, absences=9) == "keep"
    assert scores(a_view(fit, a_member("node2", status="PRI"), recorded="node2"), absences=9) == "keep"


def test_a_node_without_a_score_waits_until_it_is_told_to_be_in_sync() -> None:
    assert scores(a_view(recorded="node2")) == "-INFINITY"
    assert scores(a_view("node1", a_member("node2", status="PRI"), recorded="node2")) == "keep"


def test_the_reasons_are_told() -> None:
    reasons = [
        standby_score(a_view(), SYNC, None, 0, 3, None).reason,
        standby_score(a_view(recorded="node1"), SYNC, None, 0, 3, None).reason,
        standby_score(a_view(recorded="node2"), SYNC, None, 0, 3, None).reason,
    ]
    assert reasons == [
        "no election",
        "this node is the recorded primary",
        "a node without a primary waits until it is told to be in sync",
    ]


# --- the same by the record -------------------------------------------------------------------

UNREADABLE = Right(None, False, "the arbiter does not answer")
SUCCESSOR = Right("node2", True)
STRANGER = Right("node2", False)
MINE = Right("node1", True)
AWAY = a_view("node1", a_member("node2", online=False), recorded="node2")


@pytest.mark.parametrize("score", [None, "-INFINITY", "100", "110", "1000"])
def test_while_the_record_cannot_be_read_nobody_may_be_promoted(score: str | None) -> None:
    # whatever the marks say: a copy of the cluster's state may be old
    marked = a_member("node1", score=score, data_status="STREAMING|SYNC")
    for view in (a_view(marked, "node2", recorded="node2"), a_view(marked, "node2", recorded="node1"), a_view(marked)):
        assert scores(view, absences=9, right=UNREADABLE) == "-INFINITY"
    assert standby_score(AWAY, SYNC, None, 9, 3, UNREADABLE).reason == "the arbiter does not answer"


@pytest.mark.parametrize(
    ("right", "absences", "score"),
    [
        (SUCCESSOR, 2, "-INFINITY"),
        (SUCCESSOR, 3, "100"),
        (STRANGER, 9, "-INFINITY"),
        (Right("node9", True), 0, "100"),
        (Right("node9", False), 0, "-INFINITY"),
        (MINE, 0, "110"),
        (Right("NODE1", True), 0, "110"),
        (Right("node1", False), 9, "-INFINITY"),
    ],
)
def test_the_record_decides_and_not_the_marks(right: Right, absences: int, score: str) -> None:
    assert scores(AWAY, absences=absences, right=right) == score
    unfit = a_member("node1", data_status="DISCONNECT")
    assert scores(AWAY._replace(members=(unfit, AWAY.members[1])), absences=absences, right=right) == score


@pytest.mark.parametrize("score", [None, "-INFINITY", "100", "110", "1000"])
def test_a_right_of_before_is_given_up_where_the_record_does_not_name_this_node(score: str | None) -> None:
    view = AWAY._replace(members=(a_member("node1", score=score, data_status="STREAMING|SYNC"), AWAY.members[1]))
    assert scores(view, absences=9, right=STRANGER) == "-INFINITY"


@pytest.mark.parametrize("score", ["110", "1000"])
def test_the_records_primary_keeps_its_score(score: str) -> None:
    assert scores(a_view(a_member("node1", score=score), "node2", recorded="node1"), right=MINE) == "keep"


def test_a_successor_without_quorum_waits() -> None:
    assert scores(AWAY._replace(quorate=False), absences=9, right=SUCCESSOR) == "-INFINITY"


def test_beside_a_primary_the_record_is_not_asked() -> None:
    beside = a_view("node1", a_member("node2", status="PRI"), recorded="node2")
    assert scores(beside, absences=9, right=UNREADABLE) == "keep"


def test_a_rival_is_another_node_that_pacemaker_knows_as_promoted() -> None:
    assert rival(a_view(promoted=("node2",))) == "node2"
    assert rival(a_view(promoted=("NODE1", "node3"))) == "node3"
    assert rival(a_view(promoted=("NODE1",))) is None
    assert rival(a_view()) is None


# --- properties -------------------------------------------------------------------------------

members = st.builds(
    a_member,
    st.just("?"),
    online=st.booleans(),
    data_status=st.sampled_from(EVERY_DATA_STATUS),
    score=st.sampled_from([None, "-INFINITY", "100", "110", "1000"]),
)
views = st.builds(
    lambda found, recorded, quorate, promoted: a_view(
        *(one._replace(name=name) for name, one in zip(NODES, found, strict=True)),
        recorded=recorded,
        quorate=quorate,
        promoted=promoted,
    ),
    st.tuples(members, members, members),
    st.sampled_from([None, *NODES]),
    st.booleans(),
    st.sampled_from([(), ("node1",), ("node2",)]),
)
locals_ = st.sampled_from([local_wal(1), local_wal(2, "1@0/4000", end="0/5000"), local_wal(3, "1@0/1", "2@0/2")])


@given(views, st.sampled_from(RepMode), locals_)
def test_whoever_lacks_a_mark_is_never_promoted_over_a_recorded_primary(
    view: ClusterView, mode: RepMode, local: LocalWal
) -> None:
    verdict = may_promote(view, mode, local)
    if isinstance(verdict, Refused):
        assert verdict.reason
        return
    assert view.may_decide
    assert view.promoted in {(), ("node1",)}
    myself = view.myself
    assert myself is not None
    if view.repl_info is not None and not view.i_am_recorded:
        assert myself.data_status in PROMOTABLE[mode]


@given(views, st.sampled_from(RepMode), st.integers(0, 9))
def test_a_standby_gives_itself_a_right_only_where_it_could_be_promoted(
    view: ClusterView, mode: RepMode, absences: int
) -> None:
    result = standby_score(view, mode, None, absences, 3, None)
    if isinstance(result, Keep) or result.score == "-INFINITY":
        return
    myself = view.myself
    assert myself is not None
    assert view.i_am_recorded or myself.data_status in PROMOTABLE[mode]


@given(views, st.integers(0, 9), st.sampled_from([None, *NODES, "node9"]), st.booleans())
def test_by_the_record_only_a_successor_gives_itself_a_right(
    view: ClusterView, absences: int, primary: str | None, successor: bool
) -> None:
    result = standby_score(view, SYNC, None, absences, 3, Right(primary, successor))
    if isinstance(result, Give) and result.score != "-INFINITY":
        assert primary is not None
        assert successor
        assert view.may_decide or primary == view.me


def test_a_begun_promotion_of_another_node_makes_nobody_else_primary() -> None:
    # R6: the intent withdrew all marks before the promotion began
    begun = ReplInfo("node2", 2, Lsn(0x5000))
    view = a_view(a_member("node1", data_status="DISCONNECT"), "node2", repl_info=begun, history=HISTORY)
    assert isinstance(may_promote(view, SYNC, local_wal(2, "1@0/4000")), Refused)


# --- a planned switchover ---------------------------------------------------------------------


def handed_over(**old: Any) -> ClusterView:
    """node1 was demoted for node2, which asks."""
    wal = {"wal": "0/5000", "timeline": 2}
    view = a_view(a_member("node1", **{**wal, **old}), "node2", me="node2", recorded="node1")
    return view._replace(switchover=True)


@pytest.mark.parametrize(
    ("view", "mine", "demoted", "why"),
    [
        (handed_over(), "0/5000", True, ""),
        (handed_over(), "0/5078", True, ""),
        (handed_over(), "0/4F88", True, "WAL here ends at 0/4F88, that of node1 at 0/5000"),
        (handed_over(), None, True, "no known place"),
        (handed_over(wal=None, timeline=None), "0/5000", True, "has not told"),
        (handed_over(wal=None, timeline=None), "0/5000", False, ""),
        (handed_over(online=False), "0/4000", True, ""),
        (handed_over()._replace(me="node1"), "0/4000", True, ""),
        (handed_over()._replace(switchover=False), "0/4000", True, ""),
        (handed_over()._replace(repl_info=None), "0/4000", True, ""),
    ],
)
def test_a_planned_successor_has_all_of_the_old_primarys_wal(
    view: ClusterView, mine: str | None, demoted: bool, why: str
) -> None:
    found = promotion.unproven(view, lsn(mine), demoted)
    assert why in found
    assert bool(found) == bool(why)
