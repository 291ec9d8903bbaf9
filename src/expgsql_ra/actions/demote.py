# SPDX-License-Identifier: GPL-2.0-or-later
"""demote: end the primary in order and bring the same server back as a standby.

A fast shutdown only: it hands every record to the connected standbys first. Where it takes too long the
action fails, and Pacemaker's stop, which has harsher means, decides.
"""

from __future__ import annotations

from expgsql_ra.actions import start, steps
from expgsql_ra.errors import CannotTell, Unimplemented
from expgsql_ra.ocf import Code
from expgsql_ra.rules import health
from expgsql_ra.rules.health import Report
from expgsql_ra.snapshot import Standby, Stopped
from expgsql_ra.world import World


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
    start.bring_up(world, steps.required_view(world))
    return Report(Code.SUCCESS)
