# SPDX-License-Identifier: GPL-2.0-or-later
"""stop: end the server, whatever it takes, and say so only when it is proven.

Nothing but the data directory has to be right for this: a broken parameter or a missing program must not
leave a server running that Pacemaker believes to be stopped.
"""

from __future__ import annotations

from expgsql_ra.actions import right, steps
from expgsql_ra.changes import SetScore, SetStatus
from expgsql_ra.errors import AgentError, DeadlineExceeded
from expgsql_ra.ocf import Code
from expgsql_ra.record import Found, Trusted
from expgsql_ra.rules import health, promotion, succession
from expgsql_ra.rules.health import Report
from expgsql_ra.snapshot import ClusterView
from expgsql_ra.values import RepMode, Score, Status, same_node
from expgsql_ra.world import Memory, Shutdown, World

IMMEDIATE_SECONDS = 10.0
KILL_SECONDS = 3.0
REPORT_SECONDS = 2.0
HUNG_SECONDS = 3.0
RESEND_SECONDS = 2.0
AT_ONCE = (1.0, 1.0)
"""For the fast and the immediate shutdown of a primary that has lost its right."""


def stop(world: World) -> Report:
    """Stop the server: fast, then immediate, then by SIGKILL, all within the action's time."""
    was_standby = world.look.signalled_standby()
    if not world.look.is_gone():
        if was_standby:
            _leave(world)
        end(world)
    world.memory.save(Memory())
    if not was_standby:
        release(world)
    _tell(world)
    return Report(Code.SUCCESS)


def _leave(world: World) -> None:
    """Take this standby out of the record first, so that its primary need not wait for it (R10).

    Only on purpose: not where the same transition starts it again, and not beside a primary that the cluster has lost:
    its lease may still run, and this node may be the only one that can take over when it is over.
    """
    if steps.is_among(world, "start_uname"):
        return
    view = _own_view(world, roles=True)
    if view is None or promotion.rival(view) is None:
        return
    try:
        answer = right.trusted(world, right.read(world, view), world.look.control().system)
        if not isinstance(answer, Trusted):
            return
        # an arbiter has a lease besides; without one Pacemaker's word is all there is
        proposal = succession.leave(answer.record, right.myself(world, view), not world.parameters.enable_distlock)
        if proposal:
            # no relaxation, so that nothing has to be outlasted (R9): the server's own end needs the time
            right.write(world, proposal, right.seconds(world))
    except AgentError as problem:
        world.log.warning(f"this standby is stopped without having left the record: {problem}")


def release(world: World) -> None:
    """End the lease of a primary that is proven to be stopped: its successor need not wait for its end."""
    view = _own_view(world) if world.parameters.enable_distlock else None
    if view is None:
        return
    try:
        answer = right.read(world, view)
        if isinstance(answer, Found) and same_node(answer.record.lease.holder, view.me):
            world.authority.release(answer.record, right.seconds(world))
            world.log.info("the lease is released")
    except AgentError as problem:
        world.log.warning(f"the lease was not released and ends by itself: {problem}")


def _own_view(world: World, *, roles: bool = False) -> ClusterView | None:
    """The cluster, where a record is kept and this resource is a replicated one; None where it cannot be read."""
    if not steps.replicates(world) or not right.is_recorded(world):
        return None
    view = steps.cluster_view(world, roles)
    return view if isinstance(view, ClusterView) else None


def end(world: World, *, at_once: bool = False) -> None:
    """The ladder. Each rung leaves enough time for the next; the last one raises if even SIGKILL failed.

    ``at_once``: within `succession.STOP_SECONDS`, for a primary whose lease ends.
    """
    ladder = world.deadline.reserving(REPORT_SECONDS)
    fast, immediate = AT_ONCE if at_once else _patience(world)
    rungs = (
        (Shutdown.FAST, min(fast, ladder.left() - immediate - KILL_SECONDS)),
        (Shutdown.IMMEDIATE, min(immediate, ladder.left() - KILL_SECONDS)),
    )
    for how, seconds in rungs:
        if seconds > 0 and _ends(world, how, seconds):
            return
    world.log.warning("the server does not end; its processes are killed now")
    world.server.shut_down(Shutdown.KILL)
    steps.await_gone(world, ladder)


def _patience(world: World) -> tuple[float, float]:
    """Seconds for the fast and the immediate shutdown; few where the server has stopped answering anyway."""
    if health.has_hung(world.memory.load().stalls):
        return HUNG_SECONDS, HUNG_SECONDS
    p = world.parameters
    fast = p.stop_escalate_in_slave if world.look.signalled_standby() else p.stop_escalate
    return float(fast), IMMEDIATE_SECONDS


def _ends(world: World, how: Shutdown, seconds: float) -> bool:
    world.log.info(f"stopping PostgreSQL ({how.value} shutdown)")
    limit = world.deadline.within(seconds)
    while limit.left() > steps.POLL_SECONDS:
        # again and again: a server that was only just being started had nobody to take the first signal
        world.server.shut_down(how)
        try:
            steps.await_gone(world, limit.within(RESEND_SECONDS))
        except DeadlineExceeded:
            continue
        return True
    return False


def _tell(world: World) -> None:
    """Say that the server is stopped, unless the same transition is about to start it again."""
    if world.parameters.rep_mode is RepMode.NONE or steps.is_among(world, "start_uname"):
        return
    view = steps.cluster_view(world)
    if isinstance(view, ClusterView):
        status = SetStatus(view.me, Status.STOPPED)
        # the recorded primary keeps its score: Pacemaker's next step may be to start it again in place
        score = () if view.i_am_recorded else (SetScore(view.me, Score.CANNOT),)
        steps.publish(world, view, (status, *score))
