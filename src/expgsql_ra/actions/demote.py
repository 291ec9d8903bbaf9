# SPDX-License-Identifier: GPL-2.0-or-later
"""demote: end the primary in order and bring the same server back as a standby.

A fast shutdown only: it hands every record to the connected standbys first. Where it takes too long the
action fails, and Pacemaker's stop, which has harsher means, decides.
"""

from __future__ import annotations

from expgsql_ra.actions import start, steps
from expgsql_ra.changes import SetStatus
from expgsql_ra.errors import Unimplemented
from expgsql_ra.ocf import Code
from expgsql_ra.rules.health import Report
from expgsql_ra.snapshot import ClusterView, Standby, Stopped
from expgsql_ra.values import Status
from expgsql_ra.world import World


def demote(world: World) -> Report:
    """Turn the primary into a standby; nothing to do where it is one."""
    if not steps.replicates(world):
        raise Unimplemented(f"there is nothing to demote with rep_mode={world.parameters.rep_mode}")
    server = world.look.server(world.deadline.left())
    if isinstance(server, Standby):
        return Report(Code.SUCCESS)
    if not isinstance(server, Stopped):
        world.log.info("stopping the primary (fast shutdown)")
        steps.stop_politely(world, world.deadline)
    view = steps.required_view(world)
    start.bring_up(world, view)
    if isinstance(view, ClusterView):
        steps.publish(world, view, (SetStatus(view.me, Status.ALONE),))
    return Report(Code.SUCCESS)
