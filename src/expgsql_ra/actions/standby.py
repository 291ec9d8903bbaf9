# SPDX-License-Identifier: GPL-2.0-or-later
"""What a standby does at each monitor: nothing while it streams; else find its primary, or help to choose one."""

from __future__ import annotations

from expgsql_ra.actions import start, steps
from expgsql_ra.changes import Change, SetReceiver, SetScore, SetStatus, SetWal
from expgsql_ra.errors import Refused
from expgsql_ra.rules import divergence, election, promotion, replication
from expgsql_ra.snapshot import ClusterView, Standby
from expgsql_ra.values import Lsn, Status
from expgsql_ra.world import Memory, World


def keep(world: World, view: ClusterView, server: Standby) -> str | None:
    """Bring this node's own attributes up to date; the reason if it does not stream though there is a primary."""
    if world.parameters.check_wal_receiver:
        steps.publish(world, view, (SetReceiver(view.me, "normal" if server.streams else "ERROR"),))
    if server.streams:
        world.memory.save(Memory())
        return None
    if view.history is not None and not view.i_am_recorded:
        _follow(world, view, server)
    _stand(world, view, server)
    primary = promotion.other_primary(view)
    return f"does not stream from {primary.name}; PostgreSQL's log says why" if primary else None


def _follow(world: World, view: ClusterView, server: Standby) -> None:
    """Connect to the primary if not connected; if connected in vain, see whether it ever can be."""
    if not world.look.is_connected():
        start.connect_if_safe(world, view, server)
        return
    history = view.history
    if history is None or promotion.other_primary(view) is None:
        return
    verdict = divergence.may_follow(world.look.standby_wal(server.end, world.deadline.left()), history)
    if isinstance(verdict, divergence.Diverged):
        raise Refused(verdict.reason)
    # an agent that died between writing the settings and the reload left a server that does not know them
    world.server.follow(replication.CLOSED)


def _stand(world: World, view: ClusterView, server: Standby) -> None:
    """Without a primary: report this node's data, vote, wait for the recorded primary or take its place."""
    memory, result = world.memory.load(), None
    changes: tuple[Change, ...] = ()
    if promotion.other_primary(view) is None:
        changes = (SetStatus(view.me, Status.ALONE),)
    if view.repl_info is None:
        memory, result, report = _vote(world, view, server, memory)
        changes += (report,)
    memory = memory._replace(absences=_absences(view, memory))
    world.memory.save(memory)
    wanted = promotion.standby_score(
        view, world.parameters.rep_mode, result, memory.absences, world.parameters.xlog_check_count
    )
    if isinstance(wanted, promotion.Give):
        world.log.info(f"promotion score {wanted.score}: {wanted.reason}")
        changes += (SetScore(view.me, wanted.score),)
    steps.publish(world, view, changes)


def _vote(world: World, view: ClusterView, server: Standby, memory: Memory) -> tuple[Memory, election.Result, SetWal]:
    local = world.look.standby_wal(server.end, world.deadline.left())
    report = SetWal(view.me, local.timeline, server.end or Lsn(0))
    readings = election.readings(view)
    equal = memory.equal + 1 if readings == memory.readings else 1
    result = election.first_start(view, equal, world.parameters.xlog_check_count)
    return memory._replace(readings=readings, equal=equal), result, report


def _absences(view: ClusterView, memory: Memory) -> int:
    """For how many readings in a row the recorded primary's node has not been there."""
    if view.repl_info is None or view.i_am_recorded:
        return 0
    primary = view.member(view.repl_info.node)
    return 0 if primary is not None and primary.online else memory.absences + 1
