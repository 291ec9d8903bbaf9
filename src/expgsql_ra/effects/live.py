# SPDX-License-Identifier: GPL-2.0-or-later
"""Puts the real world together for one action."""

from __future__ import annotations

import os

from expgsql_ra.effects.clock import MonotonicClock
from expgsql_ra.effects.cluster import LiveCluster
from expgsql_ra.effects.control import LiveControl
from expgsql_ra.effects.inspection import LiveInspection
from expgsql_ra.effects.installation import Installation
from expgsql_ra.effects.memory import FileMemory
from expgsql_ra.ocf import Context, Log
from expgsql_ra.parameters import Parameters
from expgsql_ra.world import Deadline, World


def live_world(context: Context, parameters: Parameters) -> World:
    """The world as the action will see it. Nothing is read yet."""
    node = context.node or os.uname().nodename
    installation = Installation(parameters, node)
    return World(
        context=context,
        parameters=parameters,
        log=Log(context),
        deadline=Deadline(MonotonicClock(), context.budget),
        look=LiveInspection(installation),
        server=LiveControl(installation),
        cluster=LiveCluster(parameters, context, node),
        memory=FileMemory(context.resource),
    )
