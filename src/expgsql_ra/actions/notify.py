# SPDX-License-Identifier: GPL-2.0-or-later
"""notify: the moments at which waiting for the next monitor would cost service.

Pacemaker ignores the result, and everybody waits for the slowest; so most notifications are answered
before anything is imported (`notification.concerns_us`).
"""

from __future__ import annotations

from expgsql_ra.actions import primary, right, standby, steps
from expgsql_ra.changes import SetWal
from expgsql_ra.ocf import Code
from expgsql_ra.rules import promotion
from expgsql_ra.rules.health import Report
from expgsql_ra.snapshot import ClusterView, Primary, Standby
from expgsql_ra.values import RepMode
from expgsql_ra.world import World


def notify(world: World) -> Report:
    """A standby left: the primary stops waiting for it. A primary came: standbys connect to it."""
    server = world.look.server(world.deadline.left())
    view = steps.cluster_view(world)
    if not isinstance(view, ClusterView):
        return Report(Code.SUCCESS)
    match world.context.notify, server:
        case "post-stop", Primary():
            _someone_left(world, view, server)
        case "post-promote", Standby():
            standby.keep(world, view, server)
        case "pre-promote", Standby() if world.parameters.rep_mode is RepMode.ASYNC:
            _report_data(world, view, server)
        case _:
            pass
    return Report(Code.SUCCESS)


def _someone_left(world: World, view: ClusterView, server: Primary) -> None:
    if not right.is_recorded(world):
        if promotion.usurped(view) is None:
            primary.keep(world, view, server, None)
        return
    held = right.hold(world, view, server)
    if isinstance(held, right.Held):
        primary.keep(world, view, server, held)


def _report_data(world: World, view: ClusterView, server: Standby) -> None:
    """Let the candidate see how far this node's data goes (asynchronous mode: the furthest must win)."""
    if server.end is not None:
        timeline = world.look.control().timeline
        steps.publish(world, view, (SetWal(view.me, timeline, server.end),))
