# SPDX-License-Identifier: GPL-2.0-or-later
"""demote: end the primary in order and bring the same server back as a standby.

A fast shutdown only: it hands every record to the connected standbys first. Where it takes too long the
action fails, and Pacemaker's stop, which has harsher means, decides.
"""

from __future__ import annotations

from expgsql_ra.actions import start, steps, stop
from expgsql_ra.changes import SetWal
from expgsql_ra.errors import CannotTell, Unimplemented
from expgsql_ra.ocf import Code
from expgsql_ra.rules import health
from expgsql_ra.rules.health import Report
from expgsql_ra.snapshot import ClusterView, Standby, Stopped
from expgsql_ra.world import Memory, World


def demote(world: World) -> Report:
    """Turn the primary into a standby; nothing to do where it is one."""
    if not steps.replicates(world):
        raise Unimplemented(f"there is nothing to demote with rep_mode={world.parameters.rep_mode}")
    server = world.look.server(world.deadline.left())
    if isinstance(server, Standby):
        return Report(Code.SUCCESS)
    if isinstance(server, Stopped):
        # it died: Pacemaker's stop and start follow, and would only have to wait for a start made here
        world.log.info("nothing to demote: the server is not running any more")
        return Report(Code.SUCCESS)
    if health.has_hung(world.memory.load().stalls):
        raise CannotTell("PostgreSQL does not answer, so it cannot be demoted in order; stop ends it by force")
    world.log.info("stopping the primary (fast shutdown)")
    steps.stop_politely(world, world.deadline)
    world.memory.save(Memory())  # the lease, above all: a standby needs none, and its guard must not wait for its end
    stop.release(world)
    view = steps.required_view(world)
    standby = start.bring_up(world, view)
    if isinstance(view, ClusterView) and view.switchover:
        _tell_end(world, view, standby)
    return Report(Code.SUCCESS)


def _tell_end(world: World, view: ClusterView, standby: Standby) -> None:
    """Say where the WAL here ends: whoever is promoted on purpose must have all of it (`rules.promotion.unproven`).

    Only then: it makes Pacemaker plan again (docs/decisions/004-quiet-transitions.md). The next primary removes it.
    """
    if standby.end is not None:
        steps.publish(world, view, (SetWal(view.me, world.look.control().timeline, standby.end),))
