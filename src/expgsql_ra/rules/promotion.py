# SPDX-License-Identifier: GPL-2.0-or-later
"""Who may become the primary, and by which way.

Two ways lead there. Where the primary changes, the standby is promoted and the timeline grows. Where
it stays, the same server is started read-write again on its timeline: restarting a cluster is no
reason to leave a history behind that every standby must then follow.
"""

from __future__ import annotations

from typing import NamedTuple, assert_never

from expgsql_ra.rules import election
from expgsql_ra.snapshot import Cluster, ClusterView, LocalWal, Member, NoCluster, Unknown
from expgsql_ra.values import DataStatus, Lsn, RepMode, Score, Status, same_node


class InPlace(NamedTuple):
    """Start read-write on the present timeline: this node is the primary that was."""

    reason: str


class Promote(NamedTuple):
    """Begin a new timeline."""

    reason: str


class Refused(NamedTuple):
    """Not now, or not here."""

    reason: str
    better: str | None = None
    """The node that should be promoted instead."""


Verdict = InPlace | Promote | Refused

PROMOTABLE = {
    RepMode.SYNC: frozenset({DataStatus.SYNC}),
    RepMode.ASYNC: frozenset({DataStatus.ASYNC, DataStatus.SYNC}),
}
"""The data statuses with which a standby holds everything that its mode promises to keep."""


def may_promote(cluster: Cluster, mode: RepMode, local: LocalWal) -> Verdict:
    """Whether this node may become the primary now."""
    match cluster:
        case NoCluster():
            return Promote("there is no cluster: whoever runs the agent decides")
        case Unknown(why=why):
            return Refused(f"cannot read the cluster's state: {why}")
        case ClusterView():
            return _in_cluster(cluster, mode, local)
    assert_never(cluster)


def _in_cluster(view: ClusterView, mode: RepMode, local: LocalWal) -> Verdict:
    if not view.may_decide:
        return Refused("this partition has no quorum; the other partition may have a primary")
    still = rival(view)
    if still is not None:
        return Refused(f"{still} is still promoted; demote or stop it first")
    if view.repl_info is None:
        return _first(view)
    if view.i_am_recorded:
        return _recorded(view, local)
    return _standby(view, mode, local)


def rival(view: ClusterView) -> str | None:
    """Another node whose instance Pacemaker knows as promoted."""
    return next((name for name in view.promoted if not same_node(name, view.me)), None)


def other_primary(view: ClusterView) -> Member | None:
    """Another node that says it is the primary now."""
    return next(
        (
            one
            for one in view.members
            if one.online and one.status == Status.PRIMARY and not same_node(one.name, view.me)
        ),
        None,
    )


def _first(view: ClusterView) -> Verdict:
    result = election.first_start(view, 1, 1)
    return Promote(result.reason) if isinstance(result, election.Won) else Refused(result.reason)


def _recorded(view: ClusterView, local: LocalWal) -> Verdict:
    info = view.repl_info
    assert info is not None  # noqa: S101 - i_am_recorded says so
    if local.forks and local.forks[-1] == (info.timeline, info.end):
        return InPlace(f"this node is the recorded primary, on timeline {local.timeline}")
    if local.timeline == info.timeline:
        return Promote(f"this node's promotion from timeline {info.timeline} was begun and not completed")
    if local.timeline > info.timeline:
        return InPlace(f"this node is the recorded primary, on timeline {local.timeline}")
    return Refused(
        f"the cluster records this node as primary since timeline {info.timeline}, but its data is of "
        f"timeline {local.timeline}: it was replaced by an older copy; repair it from another node"
    )


def _standby(view: ClusterView, mode: RepMode, local: LocalWal) -> Verdict:
    myself = view.myself
    data_status = myself.data_status if myself else None
    primary = view.repl_info.node if view.repl_info else "?"
    if data_status not in PROMOTABLE.get(mode, frozenset()):
        return Refused(
            f"data here may lack commits of {primary} (data status {data_status or 'not set'}); "
            f"start {primary}, or name a new primary (expgsql reset-master --primary NODE)"
        )
    if mode is RepMode.ASYNC:
        return _asynchronous(view, local.end)
    return Promote(f"{primary} is gone and every acknowledged commit is here (data status {data_status})")


def _asynchronous(view: ClusterView, mine: Lsn | None) -> Verdict:
    if mine is None:
        return Refused("cannot tell how far the data here goes; its log says why, or make it anew: expgsql rebuild")
    # a node that could not be promoted itself has no say: waiting for it would be waiting for ever
    fit = tuple(one for one in view.members if one.data_status in PROMOTABLE[RepMode.ASYNC])
    newer = election.newer_than_me(view._replace(members=fit), mine)
    if newer is not None:
        return Refused(
            f"{newer.name} has newer data ({newer.wal} > {mine}); let it be promoted (expgsql why)", better=newer.name
        )
    return Promote(f"the primary is gone and no other standby has more than {mine}")


def unproven(view: ClusterView, mine: Lsn | None, demoted: bool) -> str:
    """In a planned switchover, why this standby is not proven to hold all of the old primary's WAL; empty if it is.

    The old primary has told where its WAL ends when it was demoted in order. ``demoted``: whether that is part of this
    very plan of Pacemaker's. Where it died instead, or is away, this is no switchover any more but a failover, for
    which the record is enough: no acknowledged commit is lost, and the old primary may have to be repaired.
    """
    old = view.member(view.repl_info.node) if view.switchover and view.repl_info and not view.i_am_recorded else None
    if old is None or not old.online:
        return ""
    if old.wal is None:
        return f"{old.name} has not told where its WAL ends: it stays the primary" if demoted else ""
    if mine is None or mine < old.wal:
        return f"WAL here ends at {mine or 'no known place'}, that of {old.name} at {old.wal}: it stays the primary"
    return ""


# --- the score of a node that is not primary --------------------------------------------------


class Keep(NamedTuple):
    """The score stays as it is."""

    reason: str


class Give(NamedTuple):
    """The score is to be this."""

    score: Score
    reason: str


class Right(NamedTuple):
    """What the record says of this node."""

    primary: str | None
    """Whom it names; None where it cannot be read."""
    successor: bool
    """Whether this node's data directory may succeed."""
    why: str = ""
    """Why it cannot be read."""


def standby_score(
    view: ClusterView,
    mode: RepMode,
    won: election.Result | None,
    absences: int,
    wanted: int,
    right: Right | None,
) -> Keep | Give:
    """What a standby without a primary does with its own score.

    ``won``: the outcome of the first election, where there is no recorded primary. ``absences``: for how many readings
    in a row the recorded primary's node has been away, or its server stopped; after ``wanted`` of them its successor
    stops waiting for it. ``right``: what the record gives it, where promotions go by one.
    """
    if right is not None and other_primary(view) is None:
        return _by_right(view, right, absences, wanted)
    if view.repl_info is None:
        return _by_election(won)
    if view.i_am_recorded:
        return _keep_right(view)
    fit = view.myself is not None and view.myself.data_status in PROMOTABLE.get(mode, frozenset())
    return _succeed(view, fit, absences, wanted)


def _by_right(view: ClusterView, right: Right, absences: int, wanted: int) -> Keep | Give:
    if right.primary is None:
        return Give(Score.CANNOT, right.why)
    if not right.successor:
        return Give(Score.CANNOT, f"the record does not name the data here as a successor of {right.primary}")
    if same_node(right.primary, view.me):
        return _keep_right(view)
    return _succeed(view, True, absences if view.member(right.primary) else wanted, wanted)


def _by_election(won: election.Result | None) -> Keep | Give:
    if won is None:
        return Keep("no election")
    return Give(Score.WON if isinstance(won, election.Won) else Score.CANNOT, won.reason)


def _keep_right(view: ClusterView) -> Keep | Give:
    myself = view.myself
    if myself is not None and myself.score in {Score.WON, Score.PRIMARY}:
        return Keep("the recorded primary keeps its score")
    return Give(Score.WON, "this node is the recorded primary")


def _succeed(view: ClusterView, fit: bool, absences: int, wanted: int) -> Keep | Give:
    score = view.myself.score if view.myself else None
    if other_primary(view) is not None:
        return Keep("there is a primary; it keeps the scores")
    if fit and absences >= wanted and view.may_decide:
        return Give(Score.CAN, f"the primary has been away for {absences} readings and its data is here")
    if score is None:
        return Give(Score.CANNOT, "a node without a primary waits until it is told to be in sync")
    return Keep("the recorded primary may come back")


def usurped(view: ClusterView) -> str | None:
    """Why a server that runs read-write here must not; None if the cluster knows it as its primary."""
    if view.i_am_recorded:
        return None
    if view.repl_info is None:
        rival = other_primary(view)
        return f"{rival.name} is a primary too, and no record says which of the two counts" if rival else None
    return f"the cluster records {view.repl_info.node} as the primary, not this node, whose server accepts writes"
