# SPDX-License-Identifier: GPL-2.0-or-later
"""Looking at the whole cluster from one node."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from expgsql_ra.deployment import Deployment, NodeFacts
from expgsql_ra.effects.deployed import deployed
from expgsql_ra.effects.inquiry import facts_of
from expgsql_ra.parameters import Parameters


class LiveReader:
    """The real cluster. ``resource`` may be empty where there is one only."""

    def __init__(self, resource: str, within: float) -> None:
        self._resource = resource
        self._within = within
        self._me = os.uname().nodename

    def deployment(self) -> Deployment:
        """The cluster as it is now."""
        seen = deployed(self._resource, self._me, self._within)
        self._resource, self._me = seen.resource, seen.me
        return seen

    def writable(self, parameters: Parameters, places: Sequence[str]) -> tuple[str, ...]:
        """At which of these places a server accepts writes, asked one after the other."""
        from expgsql_ra.effects.bystanders import why_not_writable  # noqa: PLC0415 - it imports the driver

        return tuple(place for place in places if not why_not_writable(place, parameters, self._within / 3))

    def answering(self, parameters: Parameters, places: Sequence[str]) -> tuple[str, ...]:
        """At which of these places a server is there at all."""
        from expgsql_ra.effects.bystanders import answers  # noqa: PLC0415 - it imports the driver

        return tuple(place for place in places if answers(place, parameters, self._within / 3))

    def facts(self, nodes: Iterable[str]) -> tuple[NodeFacts, ...]:
        """What these nodes say of their servers."""
        return facts_of(tuple(nodes), self._resource, self._me, self._within)
