# SPDX-License-Identifier: GPL-2.0-or-later
"""start: bring the server up as a standby, and connect it to the primary only if its data may follow.

Every server starts closed (R13): its ``synchronous_standby_names`` can be satisfied by nobody until a
promotion that the cluster has accepted opens them. The one exception to "as a standby" is the recorded primary
where the same transition goes on to promote it (docs/decisions/006-in-place-or-promoted.md).

Nothing is told to the cluster here, nor by demote: an attribute that changes in the middle of a transition makes
Pacemaker drop its plan and think again (docs/decisions/004-quiet-transitions.md); the monitor that follows tells it.
"""

from __future__ import annotations

from expgsql_ra.actions import in_place, right, steps, stop
from expgsql_ra.errors import BadArguments, DataDiverged, DeadlineExceeded, Refused
from expgsql_ra.ocf import Code
from expgsql_ra.parameters import Rejoin
from expgsql_ra.record import Trusted
from expgsql_ra.rules import divergence, promotion, replication, succession
from expgsql_ra.rules.health import Report
from expgsql_ra.snapshot import ClusterView, LocalWal, NoCluster, Orphans, Primary, Standby, Stopped
from expgsql_ra.values import Lsn, RepMode, same_node
from expgsql_ra.world import World

# PostgreSQL cuts application_name to NAMEDATALEN - 1 and compares what is left.
LONGEST_NAME = 63
START_SECONDS = 15.0
"""What is left of the action's time for the start itself when a repair has come to its end within it."""
REPAIR_POLL_SECONDS = 0.2
REPAIR_BEGIN_SECONDS = 5.0
"""A repair that touches nothing for so long waits for the primary, whose address may wait for this start to end."""


def start(world: World) -> Report:
    """Start the server; done when it answers queries."""
    if world.parameters.rep_mode is RepMode.NONE:
        return _start_single(world)
    server = world.look.server(world.deadline.left())
    if isinstance(server, Standby):
        return Report(Code.SUCCESS)
    if not isinstance(server, Stopped):
        _clear(world, server)
    _clear_marks(world)
    world.server.check_configuration()
    view = steps.required_view(world, roles=_is_promoted_next(world))
    _check_node_list(world, view)
    if not _comes_back_as_primary(world, view):
        _bring_up_or_repair(world, view)
    return Report(Code.SUCCESS)


def _bring_up_or_repair(world: World, view: ClusterView | NoCluster) -> None:
    try:
        bring_up(world, view)
    except DataDiverged as problem:
        _repair_or_refuse(world, problem)
        bring_up(world, steps.required_view(world))


# --- data that has to be repaired first -------------------------------------------------------


def _clear_marks(world: World) -> None:
    """A directory that is being repaired, or half repaired, is never started (R7)."""
    marks = world.look.marks()
    if marks:
        _repair_or_refuse(world, Refused(marks[0].meaning))


def _repair_or_refuse(world: World, why: Refused) -> None:
    """Have the data repaired where the user allowed it (``rejoin``), within this action's time; else ``why``.

    A repair that takes longer goes on without us: a rewind that is interrupted does more harm than a failed start.
    """
    way = world.parameters.rejoin
    if way is Rejoin.MANUAL:
        raise why
    world.log.warning(f"{why}; rejoin={way} allows to repair it: it begins")
    marked = bool(world.look.marks())
    world.rejoining.begin("repair" if way is Rejoin.REWIND else "rebuild")
    with world.rejoining.apart(world.deadline):
        _await_repair(world, way, marked)
    world.log.info("the data is repaired")


def _await_repair(world: World, way: Rejoin, marked_before: bool) -> None:
    """Until the marks that it puts are gone again; nothing but looking happens here.

    Marks of an earlier repair do not tell whether this one has begun: it is taken for one that waits.
    """
    begun = marked_before
    to_begin = world.deadline.within(REPAIR_BEGIN_SECONDS)
    try:
        for _ in world.deadline.reserving(START_SECONDS).every(REPAIR_POLL_SECONDS, "the repair of the data"):
            marked = bool(world.look.marks())
            if begun and not marked:
                return
            begun = begun or marked
            ended = world.rejoining.ended()
            if ended is not None:
                raise Refused(f"rejoin={way} did not repair the data: {ended or 'nothing was to be done'}")
            if (marked_before or not begun) and not to_begin.left():
                break
    except DeadlineExceeded:
        pass
    if begun:
        raise Refused(
            f"the data is being repaired in the background (rejoin={way}), and is started when that is done: wait; "
            "expgsql status shows it"
        )
    raise Refused(
        f"the repair of the data (rejoin={way}) waits in the background for the primary, two minutes at most: if this "
        "node is not back by then, the system's log says why; then run expgsql repair here"
    )


def _is_promoted_next(world: World) -> bool:
    """Whether the transition that starts the server here promotes it, too."""
    return steps.is_among(world, "promote_uname")


def _comes_back_as_primary(world: World, view: ClusterView | NoCluster) -> bool:
    """Start the recorded primary as what it is about to be, closed: it spares the clients a second start."""
    if not _is_promoted_next(world) or isinstance(view, NoCluster):
        return False
    local = world.look.stopped_wal()
    if right.is_recorded(world):
        return _comes_back_by_record(world, view, local)
    verdict = promotion.may_promote(view, world.parameters.rep_mode, local)
    if not isinstance(verdict, promotion.InPlace):
        return False
    world.log.info(f"starting PostgreSQL as primary, closed until it is promoted: {verdict.reason}")
    in_place.begin(world, view, None, right.myself(world, view))
    return True


def _comes_back_by_record(world: World, view: ClusterView, local: LocalWal) -> bool:
    """Where the record cannot be had, the server starts as a standby: promote asks again."""
    rival = promotion.rival(view)
    answer = right.trusted(world, right.read(world, view), local.system)
    me = right.myself(world, view)
    if rival or not isinstance(answer, Trusted):
        return False
    if not succession.is_its_primary(answer.record, me, right.completed(world), local.timeline):
        return False
    world.log.info(f"starting PostgreSQL as primary: it is the record's (epoch {answer.record.epoch})")
    in_place.begin(world, view, answer.record, me)
    return True


def _start_single(world: World) -> Report:
    server = world.look.server(world.deadline.left())
    if isinstance(server, Primary | Standby):
        return Report(Code.SUCCESS)
    if isinstance(server, Stopped | Orphans):
        world.server.check_configuration()
        world.server.start_as_it_is()
    steps.await_running(world, world.deadline)
    return Report(Code.SUCCESS)


def _clear(world: World, server: object) -> None:
    """What is in the way of a start: a primary of its own will, the rest of a dead server, one that hangs."""
    if isinstance(server, Primary):
        world.log.warning("the server already runs, and as a primary; it is restarted as a standby")
    stop.end(world)


def _check_node_list(world: World, view: ClusterView | NoCluster) -> None:
    """A name that no node has would count in every majority and never vote."""
    if isinstance(view, NoCluster):
        return
    listed = world.parameters.node_list or tuple(one.name for one in view.members)
    known = view.nodes or tuple(one.name for one in view.members)
    strange = [name for name in listed if view.member(name) is None]
    if strange:
        raise BadArguments(
            f"node_list names {', '.join(strange)}, which the cluster does not know (its nodes: {', '.join(known)}); "
            "correct node_list"
        )
    if len(view.me.encode()) > LONGEST_NAME:
        raise BadArguments(
            f"the node name {view.me} is longer than {LONGEST_NAME} bytes: no standby can bear it; rename the node"
        )
    if not any(same_node(name, view.me) for name in listed):
        raise BadArguments(f"node_list does not name this node, {view.me}; add it, or keep the resource off it")


# --- a standby that may follow ----------------------------------------------------------------


def bring_up(world: World, view: ClusterView | NoCluster) -> Standby:
    """Start the stopped server as a standby, connected if that is safe, and wait until it answers."""
    verdict = _verdict_on_files(world, view)
    if isinstance(verdict, divergence.Diverged):
        raise DataDiverged(verdict.reason)
    connected = isinstance(verdict, divergence.Follows)
    _note_if_strayed(world)
    world.log.info(f"starting PostgreSQL as a standby, {'following the primary' if connected else 'unconnected'}")
    world.server.start_as_standby(replication.CLOSED, connected)
    standby = steps.await_standby(world, world.deadline)
    _check_names(world, standby)
    _drop_slots(world, standby)
    if isinstance(verdict, divergence.AskServer) and isinstance(view, ClusterView):
        return connect_if_safe(world, view, standby)
    return standby


def _note_if_strayed(world: World) -> None:
    """Keep in the directory, before the start wipes the traces, that nobody had confirmed its last promotion."""
    if not right.is_recorded(world) or world.own.is_new():
        return
    control = world.look.control()
    if succession.strayed(control.was_primary, right.completed(world), control.timeline):
        world.log.warning(
            f"the server here accepted writes on timeline {control.timeline}, which no completed promotion began: its "
            "data may not succeed anybody until it is promoted by the record or made anew"
        )
        world.own.strayed()


def _verdict_on_files(world: World, view: ClusterView | NoCluster) -> divergence.Verdict | None:
    """None: there is no primary to follow yet; the monitor connects the server when there is one."""
    if world.parameters.rep_mode is RepMode.SLAVE:
        return divergence.Follows()
    if isinstance(view, NoCluster) or view.i_am_recorded or view.history is None:
        return None
    return divergence.may_follow(world.look.stopped_wal(), view.history)


def connect_if_safe(world: World, view: ClusterView, standby: Standby) -> Standby:
    """Ask a running, unconnected standby where its WAL ends, and connect it to the primary if that may be.

    `Refused` (and the server stopped) if it has diverged.
    """
    if view.history is None:
        return standby
    local = world.look.standby_wal(_end_of_wal(world), world.deadline.left())
    verdict = divergence.may_follow(local, view.history)
    if isinstance(verdict, divergence.Diverged):
        steps.stop_politely(world, world.deadline)
        raise DataDiverged(verdict.reason)
    world.log.info(f"WAL here ends at {local.end} on timeline {local.timeline}: it may follow the primary")
    if world.server.follow(replication.CLOSED):
        return standby
    steps.stop_politely(world, world.deadline)
    world.server.start_as_standby(replication.CLOSED, connected=True)
    return steps.await_standby(world, world.deadline)


def _end_of_wal(world: World) -> Lsn | None:
    for _ in world.deadline.every(steps.POLL_SECONDS, "PostgreSQL to replay all of its WAL"):
        end, idle = world.look.replay(world.deadline.left())
        if idle:
            return end
    raise AssertionError


def _drop_slots(world: World, standby: Standby) -> None:
    """Slots from this server's time as a primary: on a standby nobody moves them, and they keep WAL for ever."""
    for slot in standby.slots:
        if world.parameters.replication_slot_name and slot.startswith(f"{world.parameters.replication_slot_name}_"):
            world.log.info(f"dropping replication slot {slot}: a standby has no standbys of its own")
            world.server.drop_slot(slot, world.deadline.left())


def _check_names(world: World, standby: Standby) -> None:
    """The server must have taken our setting; what outranks it would decide who is in sync."""
    if standby.names != replication.CLOSED:
        steps.stop_politely(world, world.deadline)
        raise BadArguments(
            "synchronous_standby_names is set where it outranks the agent's include file; remove it from "
            "postgresql.conf below the include line, from start_opt, or by ALTER SYSTEM RESET"
        )
