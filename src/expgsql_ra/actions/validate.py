# SPDX-License-Identifier: GPL-2.0-or-later
"""validate-all: the parameters by themselves, and on request (OCF_CHECK_LEVEL >= 10) this node with them."""

from __future__ import annotations

from expgsql_ra.actions import steps
from expgsql_ra.errors import BadArguments
from expgsql_ra.ocf import Code
from expgsql_ra.operations import OPERATIONS
from expgsql_ra.parameters import unknown_parameters, warnings
from expgsql_ra.rules import promise
from expgsql_ra.rules.health import Report
from expgsql_ra.snapshot import ClusterView
from expgsql_ra.world import World

HOST_LEVEL = 10
ADVISED_INTERVAL = next(float(one.interval or 0) for one in OPERATIONS if one.role == "Promoted")


def validate(world: World) -> Report:
    """The parameters have been read when this is called, which is all that level 0 asks for.

    What works and should nevertheless be changed is told as the reason of a success.
    """
    lease = _doubt_of_the_lease(world)
    level = world.context.environ.get("OCF_CHECK_LEVEL", "0")
    looks = level.isdigit() and int(level) >= HOST_LEVEL
    if looks:
        world.server.check_configuration()
    strange = [
        f"{name} is no parameter of this agent: correct its spelling"
        for name in unknown_parameters(world.context.environ)
    ]
    doubts = [*warnings(world.parameters), *lease, *_doubts_of_the_record(world, looks), *strange]
    return Report(Code.SUCCESS, "; ".join(doubts) or None)


def _doubt_of_the_lease(world: World) -> tuple[str, ...]:
    """Whether a primary without its lease can stop in time (R5); `BadArguments` if it never can.

    How often it is monitored is not told here: the interval that the metadata advises stands for it.
    """
    why = promise.lease_doubt(world.parameters, ADVISED_INTERVAL)
    if why and promise.lease_doubt(world.parameters, 0):
        raise BadArguments(why)
    return (why,) if why else ()


def _doubts_of_the_record(world: World, looks: bool) -> tuple[str, ...]:
    """What the chosen authority is worth; the cluster itself is asked where the node is looked at."""
    p = world.parameters
    view = steps.cluster_view(world) if looks else None
    if isinstance(view, ClusterView):
        return tuple(promise.doubts(p, len(view.members), view.ignores_quorum))
    return tuple(promise.doubts(p, len(p.node_list), ignores_quorum=False))
