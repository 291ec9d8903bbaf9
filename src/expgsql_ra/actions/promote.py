# SPDX-License-Identifier: GPL-2.0-or-later
"""promote: make this node's standby the primary, after the rules and the authority have agreed.

Two writes of the record come before the promotion (R3): the first takes the next epoch and leaves everybody's
right as it was, so that a winner that dies blocks nobody; the second, directly before, leaves this node alone.
Who will be primary, and from which fork, is told to the cluster between them (R6). Whatever dies half way leaves
a record with which this node, or one that has every commit too, goes on.
"""

from __future__ import annotations

from typing import assert_never

from expgsql_ra.actions import in_place, primary, right, steps
from expgsql_ra.changes import (
    Change,
    SetBaseline,
    SetDataStatus,
    SetReplInfo,
    SetScore,
    SetStatus,
    SparePromotion,
)
from expgsql_ra.errors import AgentError, CannotTell, DeadlineExceeded, Refused, Unimplemented
from expgsql_ra.events import Kind
from expgsql_ra.ocf import Code
from expgsql_ra.record import Missing, Record, Successor, Trusted, Unbound
from expgsql_ra.rules import election, promotion, replication, succession
from expgsql_ra.rules.health import Report
from expgsql_ra.snapshot import ClusterView, LocalWal, NoCluster, Primary, Standby
from expgsql_ra.values import DataStatus, Lsn, ReplInfo, RepMode, Score, Status, same_node
from expgsql_ra.world import Memory, World

REPORT_SECONDS = 3.0
LEASE_POLL_SECONDS = 0.5
END_SECONDS = 1.0


def promote(world: World) -> Report:
    """Promote; done when the server accepts writes, acknowledges commits, and the cluster knows."""
    if not steps.replicates(world):
        raise Unimplemented(f"there is nothing to promote with rep_mode={world.parameters.rep_mode}")
    # A server that ends during its promotion makes the promotion fail: that is one failure, not two.
    world.watch.release()
    server = world.look.server(world.deadline.left())
    view = steps.required_view(world, roles=True)
    if not isinstance(server, Primary | Standby):
        raise CannotTell(f"only a running standby can be promoted, and here is {type(server).__name__.lower()}")
    if world.parameters.rep_mode is RepMode.ASYNC and isinstance(server, Standby):
        view = _with_reports(world, view)
    if isinstance(view, ClusterView) and right.is_recorded(world):
        _by_record(world, view, server)
    elif isinstance(server, Primary):
        _already(world, view, server)
    else:
        _by_marks(world, view, server)
    return Report(Code.SUCCESS)


def _with_reports(world: World, view: ClusterView | NoCluster) -> ClusterView | NoCluster:
    """Wait a moment for what the other standbys report just now (notify); whoever is silent has no say."""
    try:
        for _ in world.deadline.within(REPORT_SECONDS).every(0.2, "the other standbys' reports"):
            if isinstance(view, NoCluster) or not election.silent(view):
                break
            view = steps.required_view(world, roles=True)
    except DeadlineExceeded as problem:
        world.log.warning(str(problem))
    return view


# --- by the record ----------------------------------------------------------------------------


def _by_record(world: World, view: ClusterView, server: Primary | Standby) -> None:
    rival = promotion.rival(view)
    if rival:
        steps.publish(world, view, (SparePromotion(view.me),))
        raise Refused(f"{rival} is still promoted; demote or stop it first")
    if view.switchover and isinstance(server, Standby):
        view = _prove_end(world, view, server)
    me = right.myself(world, view)
    system = view.ancestry.system if view.ancestry else world.look.control().system
    try:
        view, record = _record(world, view, server, me, system)
        me = right.as_recorded(record, me)
        if _is_its_primary(world, server, record, me):
            _return(world, view, server, record, me)
        else:
            _succeed(world, view, server, record, me)
    except DeadlineExceeded:
        steps.publish(world, view, (SetScore(view.me, Score.CANNOT),))
        raise
    except AgentError:
        _step_back(world, view)
        raise


def _prove_end(world: World, view: ClusterView, server: Standby) -> ClusterView:
    """In a planned switchover, go on only with all of the old primary's WAL; `Refused` otherwise.

    The score stays: the command that asked takes its wish back, and the old primary has the better one.
    """
    demoted = bool(set(world.context.names("demote_uname")) - set(world.context.names("stop_uname")))
    try:
        for _ in world.deadline.within(END_SECONDS).every(0.1, "the old primary's end"):
            if not promotion.unproven(view, server.end, demoted):
                break
            fresh = steps.required_view(world, roles=True)
            view = fresh if isinstance(fresh, ClusterView) else view
    except DeadlineExceeded:
        raise Refused(promotion.unproven(view, server.end, demoted)) from None
    return view


def _is_its_primary(world: World, server: Primary | Standby, record: Record, me: Successor) -> bool:
    """Whether the server here is the record's primary; the control file is read only where that may be."""
    done = right.completed(world)
    if done.epoch != record.epoch:
        return False
    timeline = server.timeline if isinstance(server, Primary) else world.look.control().timeline
    return succession.is_its_primary(record, me, done, timeline)


def _record(
    world: World, view: ClusterView, server: Primary | Standby, me: Successor, system: str
) -> tuple[ClusterView, Record]:
    """The record to go by; the cluster's own is made by whoever has won the first election."""
    view, answer = right.required(world, view, system)
    match answer:
        case Trusted(record):
            return view, record
        case Unbound(record):
            if not same_node(record.primary, me.node):
                raise Refused(f"the record names {record.primary} as the primary; start the cluster there first")
            return view, right.write(world, right.bind(record, me, system))
        case Missing(why):
            return view, _first(world, view, server, me, system, why)
    assert_never(answer)


def _first(world: World, view: ClusterView, server: Primary | Standby, me: Successor, system: str, why: str) -> Record:
    if world.parameters.enable_distlock:
        raise CannotTell(why)
    local = LocalWal(system, 0, (), None, server.end if isinstance(server, Standby) else server.flushed)
    verdict = promotion.may_promote(view, world.parameters.rep_mode, local)
    if isinstance(verdict, promotion.Refused) and not view.i_am_recorded:
        raise Refused(verdict.reason)
    return right.create(world, me, system, verdict.reason)


def _return(world: World, view: ClusterView, server: Primary | Standby, record: Record, me: Successor) -> None:
    """The record's primary again, on its timeline (R4)."""
    if isinstance(server, Primary):
        if server.names == replication.CLOSED:
            in_place.narrow(world, view, record, me)
            server = in_place.open_names(world)
    else:
        world.log.info(f"restarting as primary, timeline unchanged: it is the record's (epoch {record.epoch})")
        steps.stop_politely(world, world.deadline)
        server = in_place.begin(world, view, record, me)
        if server.names == replication.CLOSED:
            server = in_place.open_names(world)
    _finish(world, view, server, record.system)
    _note(world, view, Kind.RETURNED, f"{me.node} is the record's primary (epoch {record.epoch})", server)


def _succeed(world: World, view: ClusterView, server: Primary | Standby, record: Record, me: Successor) -> None:
    """A new epoch and, unless a promotion of ours was cut short after it had begun, a new timeline."""
    if isinstance(server, Primary) and server.names != replication.CLOSED:
        raise Refused(f"the record names {record.primary} (epoch {record.epoch}), and the server here accepts writes")
    if isinstance(server, Standby) and world.parameters.rep_mode is RepMode.ASYNC:
        _must_be_furthest(world, view, server)
    claimed = _claim(world, view, record, me)
    if isinstance(server, Standby):
        timeline = view.history.current if view.history else world.look.control().timeline
        steps.apply(world, view, _intent(view, timeline, server.end))
    confirmed = right.write(world, succession.confirm(claimed, me))
    if isinstance(server, Standby):
        server = _promoted(world)
    world.own.completed(confirmed.epoch, server.timeline)
    server = in_place.open_names(world)
    _finish(world, view, server, record.system)
    _note(world, view, Kind.PROMOTED, claimed.reason, server)


def _claim(world: World, view: ClusterView, record: Record, me: Successor) -> Record:
    """Take the next epoch, when the old primary's lease is over."""
    try:
        return _claimed(world, view, record, me)
    except DeadlineExceeded as problem:
        raise Refused(str(problem)) from None


def _claimed(world: World, view: ClusterView, record: Record, me: Successor) -> Record:
    told = False
    for _ in world.deadline.reserving(world.deadline.left() / 3).every(LEASE_POLL_SECONDS, "the old lease to end"):
        match succession.claim(record, me):
            case succession.Claim(proposal):
                world.log.info(f"promoting: {proposal.reason}")
                return right.write(world, proposal)
            case succession.NoClaim(reason):
                raise Refused(reason)
            case succession.AwaitLease(by, left):
                if not told:
                    world.log.info(f"waiting for the lease of {by} to end, {left:.1f} s")
                told = True
        answer = right.trusted(world, right.read(world, view), record.system)
        if isinstance(answer, Trusted):
            record = answer.record
    raise AssertionError


def _must_be_furthest(world: World, view: ClusterView, server: Standby) -> None:
    if server.end is None:
        raise CannotTell("cannot tell how far the data here goes; its log says why, or make it anew: expgsql rebuild")
    newer = election.newer_than_me(view, server.end)
    if newer is not None:
        steps.publish(world, view, (SetScore(newer.name, Score.WON),))
        raise Refused(f"{newer.name} has newer data ({newer.wal} > {server.end}); let it be promoted (expgsql why)")


def _promoted(world: World) -> Primary:
    world.server.promote()
    for _ in world.deadline.every(steps.POLL_SECONDS, "PostgreSQL to end its recovery"):
        if not world.look.signalled_standby() or world.look.is_gone():
            break
    return steps.await_primary(world, world.deadline)


def _step_back(world: World, view: ClusterView) -> None:
    """Let Pacemaker turn to somebody else; a soft failure, never a ban. The monitor gives the score again."""
    steps.publish(world, view, (SetScore(view.me, Score.CANNOT), SparePromotion(view.me)))


# --- without a record: asynchronous, or no cluster at all -------------------------------------


def _by_marks(world: World, view: ClusterView | NoCluster, server: Standby) -> None:
    local = _local_wal(world, view, server)
    verdict = promotion.may_promote(view, world.parameters.rep_mode, local)
    match verdict:
        case promotion.Refused():
            raise _refused(world, view, verdict)
        case promotion.InPlace(reason=reason):
            world.log.info(f"restarting as primary, timeline unchanged: {reason}")
            primary_again = _in_place(world, view)
            _finish(world, view, primary_again, local.system)
            _note(world, view, Kind.RETURNED, reason, primary_again)
        case promotion.Promote(reason=reason):
            world.log.info(f"promoting: {reason}")
            new_primary = _new_timeline(world, view, server, local)
            _finish(world, view, new_primary, local.system)
            _note(world, view, Kind.PROMOTED, reason, new_primary)
        case _:
            assert_never(verdict)


def _already(world: World, view: ClusterView | NoCluster, server: Primary) -> None:
    if isinstance(view, ClusterView):
        reason = promotion.usurped(view)
        if reason:
            raise Refused(reason)
    if server.names == replication.CLOSED:
        steps.apply(world, view, (*primary.withdrawn(view), *primary.own_score(view)))
        server = in_place.open_names(world)
    _finish(world, view, server, world.look.system(world.deadline.left()))
    _note(world, view, Kind.RETURNED, "the recorded primary was started in place", server)


def _local_wal(world: World, view: ClusterView | NoCluster, server: Standby) -> LocalWal:
    """What this node holds; exact (which takes a checkpoint) only where the decision hangs on it."""
    if isinstance(view, NoCluster):
        return LocalWal("", 0, (), None, server.end)
    if view.ancestry is not None and view.repl_info is not None and not view.i_am_recorded:
        return LocalWal(view.ancestry.system, view.ancestry.current, (), None, server.end)
    control = world.look.control()
    local = LocalWal(control.system, control.timeline, world.look.forks(control.timeline), None, server.end)
    info = view.repl_info
    if view.i_am_recorded and info is not None and local.timeline <= info.timeline:
        return world.look.standby_wal(server.end, world.deadline.left())
    return local


def _refused(world: World, view: ClusterView | NoCluster, verdict: promotion.Refused) -> Refused:
    """Step back so that Pacemaker turns to somebody else; a soft failure, never a ban."""
    if isinstance(view, ClusterView):
        better = (SetScore(verdict.better, Score.WON), SetScore(view.me, Score.CANNOT)) if verdict.better else ()
        steps.publish(world, view, (*better, SparePromotion(view.me)))
    return Refused(verdict.reason)


def _in_place(world: World, view: ClusterView | NoCluster) -> Primary:
    steps.stop_politely(world, world.deadline)
    steps.apply(world, view, (*primary.withdrawn(view), *primary.own_score(view)))
    world.server.start_as_primary(replication.CLOSED)
    steps.await_primary(world, world.deadline)
    return in_place.open_names(world)


def _new_timeline(world: World, view: ClusterView | NoCluster, server: Standby, local: LocalWal) -> Primary:
    changes: tuple[Change, ...] = ()
    if isinstance(view, ClusterView):
        myself = view.myself
        reported = myself.timeline if myself and view.repl_info is None else None
        recorded = view.history.current if view.history else None
        changes = _intent(view, reported or recorded or local.timeline, server.end)
    steps.apply(world, view, (*primary.withdrawn(view), *changes))
    _promoted(world)
    return in_place.open_names(world)


# --- what the cluster is told -----------------------------------------------------------------


def _intent(view: ClusterView, timeline: int, end: Lsn | None) -> tuple[Change, ...]:
    """Who will be primary, and from which fork."""
    return (
        SetReplInfo(ReplInfo(view.me, timeline, end or Lsn(0))),
        SetDataStatus(view.me, DataStatus.LATEST),
        SetBaseline(view.me, end or Lsn(0)),
        *primary.own_score(view),
    )


def _finish(world: World, view: ClusterView | NoCluster, server: Primary, system: str) -> None:
    """Tell the cluster what has come about. If it does not listen, the next monitor tells it again.

    All of it now, while Pacemaker still waits for this action: told later, it would delay the address.
    """
    world.memory.save(Memory(stop_at=world.memory.load().stop_at))
    if isinstance(view, ClusterView):
        known = view._replace(repl_info=None, ancestry=None)
        changes = (SetStatus(view.me, Status.PRIMARY), *primary.record(world, view.me, server.timeline, system))
        steps.publish(world, known, changes)


def _note(world: World, view: ClusterView | NoCluster, kind: Kind, reason: str, server: Primary) -> None:
    """Keep it for people, last of all."""
    if isinstance(view, ClusterView):
        world.journal.record(kind, reason, server.timeline)
