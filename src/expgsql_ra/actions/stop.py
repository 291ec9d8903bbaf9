# SPDX-License-Identifier: GPL-2.0-or-later
"""stop: end the server, whatever it takes, and say so only when it is proven.

Nothing but the data directory has to be right for this: a broken parameter or a missing program must not
leave a server running that Pacemaker believes to be stopped.
"""

from __future__ import annotations

from expgsql_ra.actions import steps
from expgsql_ra.changes import SetScore, SetStatus
from expgsql_ra.errors import DeadlineExceeded
from expgsql_ra.ocf import Code
from expgsql_ra.rules import health
from expgsql_ra.rules.health import Report
from expgsql_ra.snapshot import ClusterView
from expgsql_ra.values import RepMode, Score, Status
from expgsql_ra.world import Memory, Shutdown, World

IMMEDIATE_SECONDS = 10.0
KILL_SECONDS = 3.0
REPORT_SECONDS = 2.0
HUNG_SECONDS = 3.0
RESEND_SECONDS = 2.0


def stop(world: World) -> Report:
    """Stop the server: fast, then immediate, then by SIGKILL, all within the action's time."""
    if not world.look.is_gone():
        end(world)
    world.memory.save(Memory())
    _tell(world)
    return Report(Code.SUCCESS)


def end(world: World) -> None:
    """The ladder. Each rung leaves enough time for the next; the last one raises if even SIGKILL failed."""
    ladder = world.deadline.reserving(REPORT_SECONDS)
    fast, immediate = _patience(world)
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
