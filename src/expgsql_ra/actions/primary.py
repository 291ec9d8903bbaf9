# SPDX-License-Identifier: GPL-2.0-or-later
"""What a primary does at each monitor: whom commits wait for, who may succeed, and what the cluster is told of it.

Each step is decided by `rules.succession` from what is known then, and the record is written or PostgreSQL
changed before the next is asked for. Killed after any of them, the next monitor finds a state from which it
goes on.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, assert_never

from expgsql_ra.actions import right, steps
from expgsql_ra.actions.right import Held
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
from expgsql_ra.errors import CommandFailed, DeadlineExceeded
from expgsql_ra.events import Kind
from expgsql_ra.record import Proposal, Record, rewritten
from expgsql_ra.rules import replication, succession
from expgsql_ra.rules.replication import Settings
from expgsql_ra.rules.succession import Blocked, Duty
from expgsql_ra.snapshot import ClusterView, NoCluster, Primary
from expgsql_ra.values import NO_FORK, Ancestry, DataStatus, Lsn, ReplInfo, RepMode, Score, Status, same_node
from expgsql_ra.world import World

PROOF_SECONDS = 1.0
EFFECT_SECONDS = 3.0
POLL_SECONDS = 0.05
SLOT_SECONDS = 5.0
SETTLED = 2
MOST_STEPS = 30


def settings(world: World) -> Settings:
    """The parameters that replication depends on."""
    p = world.parameters
    return Settings(p.rep_mode, p.sync_standby_count, p.maximum_lag)


def keep(world: World, view: ClusterView, server: Primary, held: Held | None) -> str | None:
    """Bring names, record, marks and slots up to date; the reason if the mode's promise is weakened now.

    ``held``: this node's right, where promotions go by a record.
    """
    chosen = settings(world)._replace(fresh=_is_fresh(world))
    blocked: str | None = None
    record = held.record if held else None
    if held and chosen.mode is RepMode.SYNC:
        if not (chosen.fresh and _awaits_somebody(view, server)):
            server, record, blocked = _secure(world, view, server, held)
    elif held:
        record = _list_streaming(world, view, server, held)
    if chosen.mode is not RepMode.SYNC and server.names != replication.OPEN:
        server = rename(world, ())
    succeed = frozenset(record.nodes) if record else frozenset()
    wanted = (
        *replication.marks(server, view, chosen, succeed),
        *own_marks(world, view),
        *_record_if_unknown(world, view, server),
    )
    changes = differing(wanted, view)
    if changes:
        world.log.info(f"telling the cluster: {describe(changes)}")
        steps.apply(world, view, changes)
    _keep_slots(world, view, server)
    return blocked or replication.promise_kept(applied(wanted, view), chosen)


def _is_fresh(world: World) -> bool:
    """Whether this is the first look after a promotion, when the standbys are still on their way."""
    memory = world.memory.load()
    world.memory.save(memory._replace(rounds=min(memory.rounds + 1, SETTLED)))
    return memory.rounds + 1 < SETTLED


def _awaits_somebody(view: ClusterView, server: Primary) -> bool:
    """Whether a standby that commits wait for is not back yet: right after a restart in place it takes a moment."""
    named = replication.names_in_force(server.names, view.members) or ()
    back = {one.node for one in replication.candidates(server, view)}
    return not back.issuperset(named)


# --- R1 and R2, step by step ------------------------------------------------------------------


class _Stage(NamedTuple):
    """Where the work stands."""

    server: Primary
    duty: Duty


def _secure(world: World, view: ClusterView, server: Primary, held: Held) -> tuple[Primary, Record, str | None]:
    """Let commits wait for the standbys that are there, and the record name those that have everything."""
    named = replication.names_in_force(server.names, view.members)
    p = world.parameters
    choice = succession.choose(replication.candidates(server, view), named, p.sync_standby_count, p.strict_sync)
    if isinstance(choice, Blocked):
        return server, held.record, choice.reason
    _tell_who_drops_out(world, view, server, choice)
    waits = world.memory.load().waits == server.pid
    duty = Duty(held.record, held.me, named, _written(world, view), choice.target, effective=waits)
    stage = _Stage(server, duty._replace(taken=succession.all_took(server.senders, named or ())))
    for _ in range(MOST_STEPS):
        following = _advance(world, stage)
        if following is None:
            return stage.server, stage.duty.record, None
        stage = following
    raise CommandFailed(f"whom commits wait for did not settle in {MOST_STEPS} steps")


def _tell_who_drops_out(world: World, view: ClusterView, server: Primary, choice: succession.Choice) -> None:
    """Of those that commits wait for: a decision that costs a successor has its reason in the log."""
    stay = {one.node for one in choice.target}
    named = set(replication.names_in_force(server.names, view.members) or ()) - stay
    for member in view.members:
        why = replication.unfit(server, view, member) if member.name in named else None
        if why:
            world.log.info(f"{member.name} cannot be waited for any more: {why}")


def _written(world: World, view: ClusterView) -> tuple[str, ...] | None:
    """The names that the next reload brings: an agent that was killed before its own left them in the file."""
    content = world.look.names_at_rest()
    return None if content is None else replication.names_in_force(content, view.members)


def _advance(world: World, stage: _Stage) -> _Stage | None:  # noqa: PLR0911, C901 - one case a step
    """The next step, done; None where there is none, or where it has to wait for the next monitor."""
    server, duty = stage
    step = succession.next_step(duty)
    match step:
        case succession.Settled():
            return None
        case succession.Narrow(proposal):
            return _Stage(server, duty._replace(record=_written_down(world, server, proposal), fresh=True))
        case succession.Widen(proposal):
            return _Stage(server, duty._replace(record=_written_down(world, server, proposal), fresh=False))
        case succession.Rename(nodes):
            renamed = Duty(duty.record, duty.me, nodes, nodes, duty.target, effective=duty.effective and nodes != ())
            return _Stage(rename(world, nodes), renamed)
        case succession.Prove():
            if duty.names:
                _prove_flag(world, server.pid)
            proven = _await_taken(world, duty.names or ())
            return _Stage(proven, duty._replace(effective=bool(duty.names), taken=True)) if proven else None
        case succession.Note():
            world.server.write_wal(world.deadline.left())
            seen = _look(world)
            return _Stage(seen, duty._replace(noted=seen.flushed)) if seen else None
        case succession.Await(awaited):
            passed = _await(world, awaited, duty.noted or Lsn(0))
            return _Stage(server, duty._replace(passed=passed)) if passed else None
    assert_never(step)


def _written_down(world: World, server: Primary, proposal: Proposal) -> Record:
    """Write the record; what changes for commits is kept for people, too."""
    before = set(proposal.replaces.nodes)
    record = right.write(world, proposal)
    if before - set(record.nodes):
        world.journal.record(Kind.DEGRADED, proposal.reason, server.timeline)
    elif set(record.nodes) - before:
        world.journal.record(Kind.RESTORED, proposal.reason, server.timeline)
    return record


def rename(world: World, nodes: tuple[str, ...] | None) -> Primary:
    """Let commits wait for exactly these nodes (None: until further notice); done when a new session shows it."""
    names = replication.CLOSED if nodes is None else replication.format_names(nodes)
    world.log.info(f"commits wait for {', '.join(nodes or ()) or 'nobody'} (synchronous_standby_names = '{names}')")
    if nodes == ():
        world.memory.save(world.memory.load()._replace(waits=0))
    world.server.rename(names)
    for seen in _looks(world, EFFECT_SECONDS, "the new synchronous_standby_names"):
        if seen and seen.names == names:
            return seen
    raise AssertionError


def _prove_flag(world: World, pid: int) -> None:
    """That commits wait for names at all (R2, step 4): the checkpointer sets a flag for all processes.

    One that was busy takes the names before its next checkpoint, so two of them prove it; once is enough for as
    long as this server runs and its names are not empty (docs/postgresql.md).
    """
    if world.memory.load().waits != pid:
        for _ in range(2):
            world.server.checkpoint(world.deadline.reserving(1).left())
        world.memory.save(world.memory.load()._replace(waits=pid))


def _await_taken(world: World, names: tuple[str, ...]) -> Primary | None:
    """That every walsender releases commits by these names; None if one takes longer than this monitor can wait."""
    try:
        for seen in _looks(world, EFFECT_SECONDS, "every walsender to take the new synchronous_standby_names"):
            if seen and succession.all_took(seen.senders, names):
                return seen
    except DeadlineExceeded as problem:
        world.log.info(str(problem))
    return None


def _await(world: World, nodes: tuple[str, ...], noted: Lsn) -> frozenset[str]:
    """The nodes that pass the position noted; those that take longer are looked at by the next monitor."""
    passed: frozenset[str] = frozenset()
    try:
        for seen in _looks(world, PROOF_SECONDS, "the synchronous standby to catch up"):
            passed = frozenset(node for node in nodes if seen and replication.has_passed(seen, node, noted))
            if len(passed) == len(nodes):
                break
    except DeadlineExceeded as problem:
        world.log.info(str(problem))
    return passed


def _look(world: World) -> Primary | None:
    seen = world.look.server(world.deadline.left())
    return seen if isinstance(seen, Primary) else None


def _looks(world: World, seconds: float, waiting_for: str) -> Iterator[Primary | None]:
    """Look at the primary again and again; `DeadlineExceeded` when the time for this is over."""
    for _ in world.deadline.within(seconds).every(POLL_SECONDS, waiting_for):
        yield _look(world)


def _list_streaming(world: World, view: ClusterView, server: Primary, held: Held) -> Record:
    """Asynchronous: whoever streams on this history may succeed; nothing is promised about its commits."""
    others = replication.candidates(server, view)
    if set(held.record.successors) == {held.me, *others}:
        return held.record
    nodes = ", ".join(one.node for one in others) or "nobody"
    proposal = rewritten(held.record, (held.me, *others), writer=held.me.node, reason=f"{nodes} may succeed {view.me}")
    return right.write(world, proposal)


# --- what the cluster is told -----------------------------------------------------------------


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
