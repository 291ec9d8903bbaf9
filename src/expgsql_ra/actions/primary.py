# SPDX-License-Identifier: GPL-2.0-or-later
"""What a primary does at each monitor: keep the marks of all nodes and the names that commits wait for.

The order is that of the rules: withdraw marks, change names, prove, grant marks. Killed after any of
these steps, the next monitor finds a state from which it goes on.
"""

from __future__ import annotations

from expgsql_ra.actions import steps
from expgsql_ra.changes import (
    Change,
    ClearWal,
    SetAncestry,
    SetDataStatus,
    SetReceiver,
    SetReplInfo,
    SetScore,
    SetStatus,
    applied,
    describe,
    differing,
)
from expgsql_ra.errors import AgentError
from expgsql_ra.rules import replication
from expgsql_ra.rules.replication import Plan, Settings
from expgsql_ra.snapshot import ClusterView, NoCluster, Primary
from expgsql_ra.values import NO_FORK, Ancestry, DataStatus, ReplInfo, Score, Status, same_node
from expgsql_ra.world import World

PROOF_SECONDS = 1.0
EFFECT_SECONDS = 3.0
POLL_SECONDS = 0.05
SLOT_SECONDS = 5.0
SETTLED = 2


def settings(world: World) -> Settings:
    """The parameters that replication depends on."""
    p = world.parameters
    return Settings(p.rep_mode, p.sync_standby_count, p.maximum_lag)


def keep(world: World, view: ClusterView, server: Primary) -> str | None:
    """Bring marks, names, record and slots up to date; the reason if the mode's promise is weakened now."""
    if not view.may_decide:
        return "this partition has no quorum; who is in sync is left as it is"
    chosen = settings(world)._replace(fresh=_is_fresh(world))
    plan = replication.plan(server, view, chosen, frozenset())
    if plan.names != server.names:
        server, view = rename(world, view, server, plan), applied(plan.withdraw, view)
    proven = _prove(world, server, plan) if plan.unproven else frozenset()
    final = replication.plan(server, view, chosen, proven)
    wanted = (*final.withdraw, *final.tell, *own_marks(world, view), *_record_if_unknown(world, view, server))
    changes = differing(wanted, view)
    if changes:
        world.log.info(f"telling the cluster: {describe(changes)}")
        steps.apply(world, view, changes)
    _keep_slots(world, view, server)
    return replication.promise_kept(applied(wanted, view), chosen)


def _is_fresh(world: World) -> bool:
    """Whether this is the first look after a promotion, when the standbys are still on their way."""
    memory = world.memory.load()
    world.memory.save(memory._replace(rounds=min(memory.rounds + 1, SETTLED)))
    return memory.rounds + 1 < SETTLED


def rename(world: World, view: ClusterView, server: Primary, plan: Plan) -> Primary:
    """Let commits wait for other nodes: first the marks of those that are no longer waited for, then the names."""
    world.log.info(f"{plan.reason} (synchronous_standby_names = '{plan.names}')")
    steps.apply(world, view, plan.withdraw)
    world.server.rename(plan.names)
    for _ in world.deadline.within(EFFECT_SECONDS).every(POLL_SECONDS, "the new synchronous_standby_names"):
        seen = world.look.server(world.deadline.left())
        if isinstance(seen, Primary) and seen.names == plan.names:
            return seen
    return server


def _prove(world: World, server: Primary, plan: Plan) -> frozenset[str]:
    """The named nodes that pass the position of now; those that take longer are looked at by the next monitor."""
    noted = server.flushed
    waiting = world.deadline.within(PROOF_SECONDS)
    try:
        for _ in waiting.every(POLL_SECONDS, "the synchronous standby to catch up"):
            seen = world.look.server(world.deadline.left())
            if isinstance(seen, Primary) and all(replication.has_passed(seen, node, noted) for node in plan.unproven):
                return frozenset(plan.unproven)
    except AgentError as problem:
        world.log.info(str(problem))
    seen = world.look.server(world.deadline.left())
    if not isinstance(seen, Primary):
        return frozenset()
    return frozenset(node for node in plan.unproven if replication.has_passed(seen, node, noted))


def own_score(view: ClusterView | NoCluster) -> tuple[Change, ...]:
    """The primary's score, which keeps Pacemaker from looking elsewhere."""
    return () if isinstance(view, NoCluster) else (SetScore(view.me, Score.PRIMARY),)


def withdrawn(view: ClusterView | NoCluster) -> tuple[Change, ...]:
    """Nobody but this node may succeed from now on, until this node says so again."""
    if isinstance(view, NoCluster):
        return ()
    others = [one for one in view.members if not same_node(one.name, view.me)]
    marks = [SetDataStatus(one.name, DataStatus.DISCONNECT) for one in others]
    online = [one for one in others if one.online]
    scores = [SetScore(one.name, Score.CANNOT) for one in online]
    statuses = [SetStatus(one.name, Status.ALONE) for one in online if one.status == Status.PRIMARY]
    return (*marks, *scores, *statuses)


def own_marks(world: World, view: ClusterView) -> tuple[Change, ...]:
    """What the primary says of itself."""
    marks: tuple[Change, ...] = (
        SetDataStatus(view.me, DataStatus.LATEST),
        SetStatus(view.me, Status.PRIMARY),
        SetScore(view.me, Score.PRIMARY),
    )
    if view.myself is not None and view.myself.wal is not None:
        marks = (*marks, ClearWal(view.me))
    if world.parameters.check_wal_receiver:
        marks = (*marks, SetReceiver(view.me, "normal (master)"))
    return marks


def record(world: World, me: str, timeline: int, system: str) -> tuple[Change, ...]:
    """Who is primary since which fork, from the timeline's own history."""
    forks = world.look.forks(timeline)
    parent = forks[-1] if forks else NO_FORK
    return (SetReplInfo(ReplInfo(me, parent.timeline, parent.end)), SetAncestry(Ancestry(system, forks, timeline)))


def _record_if_unknown(world: World, view: ClusterView, server: Primary) -> tuple[Change, ...]:
    """The record, where it does not stand yet: after a promotion that was cut short, or on the first day."""
    history = view.history
    if view.i_am_recorded and history is not None and history.current == server.timeline:
        return ()
    return record(world, view.me, server.timeline, world.look.system(steps.cluster_seconds(world)))


def _keep_slots(world: World, view: ClusterView, server: Primary) -> None:
    if not world.parameters.replication_slot_name:
        return
    for one in view.members:
        slot = world.parameters.slot_of(one.name)
        if not same_node(one.name, view.me) and slot not in server.slots:
            world.log.info(f"creating replication slot {slot}")
            world.server.create_slot(slot, SLOT_SECONDS)
