# SPDX-License-Identifier: GPL-2.0-or-later
"""start: bring the server up as a standby, and connect it to the primary only if its data may follow.

Every server starts closed (R13): its ``synchronous_standby_names`` can be satisfied by nobody until a
promotion that the cluster has accepted opens them. The one exception to "as a standby" is the recorded primary
where the same transition goes on to promote it (docs/decisions/006-in-place-or-promoted.md).

Nothing is told to the cluster here, nor by demote: an attribute that changes in the middle of a transition makes
Pacemaker drop its plan and think again (docs/decisions/004-quiet-transitions.md); the monitor that follows tells it.
"""

from __future__ import annotations

from expgsql_ra.actions import in_place, steps, stop
from expgsql_ra.errors import BadArguments, Refused
from expgsql_ra.ocf import Code
from expgsql_ra.rules import divergence, promotion, replication
from expgsql_ra.rules.health import Report
from expgsql_ra.snapshot import ClusterView, NoCluster, Orphans, Primary, Standby, Stopped
from expgsql_ra.values import Lsn, RepMode, same_node
from expgsql_ra.world import World

# PostgreSQL cuts application_name to NAMEDATALEN - 1 and compares what is left.
LONGEST_NAME = 63


def start(world: World) -> Report:
    """Start the server; done when it answers queries."""
    if world.parameters.rep_mode is RepMode.NONE:
        return _start_single(world)
    server = world.look.server(world.deadline.left())
    if isinstance(server, Standby):
        return Report(Code.SUCCESS)
    if not isinstance(server, Stopped):
        _clear(world, server)
    world.server.check_configuration()
    view = steps.required_view(world, roles=_is_promoted_next(world))
    _check_node_list(world, view)
    if not _comes_back_as_primary(world, view):
        bring_up(world, view)
    return Report(Code.SUCCESS)


def _is_promoted_next(world: World) -> bool:
    """Whether the transition that starts the server here promotes it, too."""
    return steps.is_among(world, "promote_uname")


def _comes_back_as_primary(world: World, view: ClusterView | NoCluster) -> bool:
    """Start the recorded primary as what it is about to be, closed: it spares the clients a second start."""
    if not _is_promoted_next(world) or isinstance(view, NoCluster):
        return False
    verdict = promotion.may_promote(view, world.parameters.rep_mode, world.look.stopped_wal())
    if not isinstance(verdict, promotion.InPlace):
        return False
    world.log.info(f"starting PostgreSQL as primary, closed until it is promoted: {verdict.reason}")
    in_place.begin(world, view)
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
            f"node_list names {', '.join(strange)}, which the cluster does not know (its nodes: {', '.join(known)})"
        )
    if len(view.me.encode()) > LONGEST_NAME:
        raise BadArguments(f"the node name {view.me} is longer than {LONGEST_NAME} bytes: no standby can bear it")
    if not any(same_node(name, view.me) for name in listed):
        raise BadArguments(f"node_list does not name this node, {view.me}; add it, or keep the resource off it")


# --- a standby that may follow ----------------------------------------------------------------


def bring_up(world: World, view: ClusterView | NoCluster) -> Standby:
    """Start the stopped server as a standby, connected if that is safe, and wait until it answers."""
    verdict = _verdict_on_files(world, view)
    if isinstance(verdict, divergence.Diverged):
        raise Refused(verdict.reason)
    connected = isinstance(verdict, divergence.Follows)
    world.log.info(f"starting PostgreSQL as a standby, {'following the primary' if connected else 'unconnected'}")
    world.server.start_as_standby(replication.CLOSED, connected)
    standby = steps.await_standby(world, world.deadline)
    _check_names(world, standby)
    _drop_slots(world, standby)
    if isinstance(verdict, divergence.AskServer) and isinstance(view, ClusterView):
        return connect_if_safe(world, view, standby)
    return standby


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
        raise Refused(verdict.reason)
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
