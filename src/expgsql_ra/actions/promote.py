# SPDX-License-Identifier: GPL-2.0-or-later
"""promote: make this node's standby the primary, after the rules and the cluster have agreed.

Intent first (R6): who will be primary, and from which fork, is recorded, and every other node's right to
succeed withdrawn, before the server is touched. Whatever dies half way leaves a record with which this
node, and nobody else, goes on.
"""

from __future__ import annotations

from typing import assert_never

from expgsql_ra.actions import in_place, primary, steps
from expgsql_ra.changes import (
    Change,
    SetBaseline,
    SetDataStatus,
    SetReplInfo,
    SetScore,
    SetStatus,
)
from expgsql_ra.errors import CannotTell, DeadlineExceeded, Refused, Unimplemented
from expgsql_ra.ocf import Code
from expgsql_ra.rules import election, promotion, replication
from expgsql_ra.rules.health import Report
from expgsql_ra.snapshot import ClusterView, LocalWal, NoCluster, Primary, Standby
from expgsql_ra.values import DataStatus, Lsn, ReplInfo, RepMode, Score, Status
from expgsql_ra.world import Memory, World

REPORT_SECONDS = 3.0


def promote(world: World) -> Report:
    """Promote; done when the server accepts writes, acknowledges commits, and the cluster knows."""
    if not steps.replicates(world):
        raise Unimplemented(f"there is nothing to promote with rep_mode={world.parameters.rep_mode}")
    server = world.look.server(world.deadline.left())
    view = steps.required_view(world, roles=True)
    if isinstance(server, Primary):
        return _already(world, view, server)
    if not isinstance(server, Standby):
        raise CannotTell(f"only a running standby can be promoted, and here is {type(server).__name__.lower()}")
    if world.parameters.rep_mode is RepMode.ASYNC:
        view = _with_reports(world, view)
    local = _local_wal(world, view, server)
    verdict = promotion.may_promote(view, world.parameters.rep_mode, local)
    match verdict:
        case promotion.Refused():
            raise _refused(world, view, verdict)
        case promotion.InPlace(reason=reason):
            world.log.info(f"restarting as primary, timeline unchanged: {reason}")
            _finish(world, view, _in_place(world, view), local.system)
        case promotion.Promote(reason=reason):
            world.log.info(f"promoting: {reason}")
            _finish(world, view, _new_timeline(world, view, server, local), local.system)
        case _:
            assert_never(verdict)
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


def _already(world: World, view: ClusterView | NoCluster, server: Primary) -> Report:
    if isinstance(view, ClusterView):
        reason = promotion.usurped(view)
        if reason:
            raise Refused(reason)
    if server.names == replication.CLOSED:
        steps.apply(world, view, (*primary.withdrawn(view), *primary.own_score(view)))
        server = in_place.open_names(world)
    _finish(world, view, server, world.look.system(world.deadline.left()))
    return Report(Code.SUCCESS)


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
    if isinstance(view, ClusterView) and verdict.better:
        steps.publish(world, view, (SetScore(verdict.better, Score.WON), SetScore(view.me, Score.CANNOT)))
    return Refused(verdict.reason)


def _in_place(world: World, view: ClusterView | NoCluster) -> Primary:
    steps.stop_politely(world, world.deadline)
    in_place.begin(world, view)
    return in_place.open_names(world)


def _new_timeline(world: World, view: ClusterView | NoCluster, server: Standby, local: LocalWal) -> Primary:
    steps.apply(world, view, (*primary.withdrawn(view), *_intent(view, server, local)))
    world.server.promote()
    for _ in world.deadline.every(steps.POLL_SECONDS, "PostgreSQL to end its recovery"):
        if not world.look.signalled_standby() or world.look.is_gone():
            break
    return in_place.open_names(world)


def _intent(view: ClusterView | NoCluster, server: Standby, local: LocalWal) -> tuple[Change, ...]:
    if isinstance(view, NoCluster):
        return ()
    myself = view.myself
    reported = myself.timeline if myself and view.repl_info is None else None
    recorded = view.history.current if view.history else None
    timeline = reported or recorded or local.timeline
    end = server.end or Lsn(0)
    return (
        SetReplInfo(ReplInfo(view.me, timeline, end)),
        SetDataStatus(view.me, DataStatus.LATEST),
        SetBaseline(view.me, end),
        *primary.own_score(view),
    )


def _finish(world: World, view: ClusterView | NoCluster, server: Primary, system: str) -> None:
    """Tell the cluster what has come about. If it does not listen, the next monitor tells it again.

    All of it now, while Pacemaker still waits for this action: told later, it would delay the address.
    """
    world.memory.save(Memory())
    if isinstance(view, ClusterView):
        known = view._replace(repl_info=None, ancestry=None)
        changes = (SetStatus(view.me, Status.PRIMARY), *primary.record(world, view.me, server.timeline, system))
        steps.publish(world, known, changes)
