# SPDX-License-Identifier: GPL-2.0-or-later
"""Puts the real world together for one action."""

from __future__ import annotations

import os

from expgsql_ra.effects.clock import MonotonicClock
from expgsql_ra.effects.cluster import LiveCluster
from expgsql_ra.effects.control import LiveControl
from expgsql_ra.effects.inspection import LiveInspection
from expgsql_ra.effects.installation import Installation
from expgsql_ra.effects.keeping import LiveKeeping
from expgsql_ra.effects.memory import FileMemory
from expgsql_ra.effects.rejoining import BackgroundRepair
from expgsql_ra.effects.watch import FileWatch
from expgsql_ra.events import Kind
from expgsql_ra.ocf import Context, Log
from expgsql_ra.parameters import Parameters
from expgsql_ra.record import Proposal, Reading, Record, Renewal, Successor, Writing
from expgsql_ra.world import Authority, Deadline, World


def live_world(context: Context, parameters: Parameters) -> World:
    """The world as the action will see it. Nothing is read yet."""
    node = context.node or os.uname().nodename
    installation = Installation(parameters, node)
    own = LiveKeeping(context.resource, installation)
    watch = FileWatch(context, node, parameters.pgdata, parameters.enable_distlock)
    return World(
        context=context,
        parameters=parameters,
        log=Log(context),
        deadline=Deadline(MonotonicClock(), context.budget),
        look=LiveInspection(installation),
        server=LiveControl(installation, watch),
        cluster=LiveCluster(parameters, context, node),
        memory=FileMemory(context.resource),
        own=own,
        authority=_Chosen(parameters, context.resource, node, own),
        watch=watch,
        journal=_Journal(context.resource, node),
        rejoining=BackgroundRepair(context.resource),
    )


class _Chosen:
    """The authority that the parameters name, imported when it is asked first: most monitors ask nobody."""

    def __init__(self, parameters: Parameters, resource: str, node: str, own: LiveKeeping) -> None:
        self._choice = (parameters, resource, node)
        self._own = own
        self._found: Authority | None = None

    def _it(self) -> Authority:
        if self._found is None:
            from expgsql_ra.effects.authority import chosen_authority  # noqa: PLC0415 - see above

            self._found = self._or_overridden(chosen_authority(*self._choice))
        return self._found

    def _or_overridden(self, chosen: Authority) -> Authority:
        parameters, resource, node = self._choice
        if not (parameters.enable_distlock and parameters.distlock_conninfo):
            return chosen
        from expgsql_ra.effects.override_file import OverrideFile  # noqa: PLC0415 - see above

        given = OverrideFile(resource)
        if given.load() is None:
            return chosen
        from expgsql_ra.effects.overridden import OverriddenAuthority  # noqa: PLC0415 - there hardly ever is one

        me = Successor(node, self._own.kept().directory)
        return OverriddenAuthority(chosen, given, lambda: me, self._own.highest)

    def read(self, within: float) -> Reading:
        return self._it().read(within)

    def write(self, proposal: Proposal, within: float) -> Writing:
        return self._it().write(proposal, within)

    def renew(self, record: Record, within: float) -> Renewal:
        return self._it().renew(record, within)

    def release(self, record: Record, within: float) -> Renewal:
        return self._it().release(record, within)

    def create(self, record: Record, within: float) -> Writing:
        from expgsql_ra.effects.authority import cluster_authority  # noqa: PLC0415 - see above

        _, resource, node = self._choice
        return cluster_authority(resource, node).create(record, within)


class _Journal:
    """The node's journal, imported when something happens."""

    def __init__(self, resource: str, node: str) -> None:
        self._resource, self._node = resource, node

    def record(self, kind: Kind, reason: str, timeline: int = 0) -> None:
        """Not waited for until it is on disk: in a failover every commit waits for this action."""
        from expgsql_ra.effects.journal import JournalFile, event_of  # noqa: PLC0415 - see above

        JournalFile(self._resource).add(event_of(kind, self._node, reason, timeline, self._node), sync=False)
