# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading the record for people, wherever it is kept. Nothing is taken, renewed or written."""

from __future__ import annotations

from expgsql_ra.deployment import Deployment
from expgsql_ra.effects.authority import authority_of, chosen_authority, cluster_authority
from expgsql_ra.errors import AgentError
from expgsql_ra.record import Past, Reading, Unreachable
from expgsql_ra.world import Archive


class LiveRecords:
    """As this node reaches it, each time within so many seconds."""

    def __init__(self, within: float) -> None:
        self._within = within

    def read(self, seen: Deployment) -> Reading:
        """The record as it is now; the cluster's own has been read with everything else."""
        if not seen.parameters.enable_distlock:
            return seen.view.recorded
        try:
            return chosen_authority(seen.parameters, seen.resource, seen.me).read(self._within)
        except AgentError as problem:
            return Unreachable(str(problem))

    def history(self, seen: Deployment, newest: int) -> Past | Unreachable:
        """The newest entries of its history."""
        try:
            return _archive(seen).history(newest, self._within)
        except AgentError as problem:
            return Unreachable(str(problem))


def _archive(seen: Deployment) -> Archive:
    p = seen.parameters
    if p.enable_distlock and p.distlock_conninfo:
        return authority_of(p.distlock_conninfo, p.distlock_lockname, p.distlock_ttl, p.passfile)
    return cluster_authority(seen.resource, seen.me)
