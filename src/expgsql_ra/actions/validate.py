# SPDX-License-Identifier: GPL-2.0-or-later
"""validate-all: the parameters by themselves, and on request (OCF_CHECK_LEVEL >= 10) this node with them."""

from __future__ import annotations

from expgsql_ra.ocf import Code
from expgsql_ra.parameters import unknown_parameters, warnings
from expgsql_ra.rules.health import Report
from expgsql_ra.world import World

HOST_LEVEL = 10


def validate(world: World) -> Report:
    """The parameters have been read when this is called, which is all that level 0 asks for.

    What works and should nevertheless be changed is told as the reason of a success.
    """
    level = world.context.environ.get("OCF_CHECK_LEVEL", "0")
    if level.isdigit() and int(level) >= HOST_LEVEL:
        world.server.check_configuration()
    strange = [f"{name} is no parameter of this agent" for name in unknown_parameters(world.context.environ)]
    doubts = [*warnings(world.parameters), *strange]
    return Report(Code.SUCCESS, "; ".join(doubts) or None)
