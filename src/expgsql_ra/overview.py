# SPDX-License-Identifier: GPL-2.0-or-later
"""Everything that one look at a deployment brings together: the cluster, each node's server, and the record."""

from __future__ import annotations

from typing import NamedTuple

from expgsql_ra.deployment import Deployment, NodeFacts, unreachable
from expgsql_ra.record import Found, Reading, Record
from expgsql_ra.values import same_node


class Overview(NamedTuple):
    """One look."""

    seen: Deployment
    facts: tuple[NodeFacts, ...]
    reading: Reading
    time: str = ""
    """UTC, for people."""

    def of(self, node: str) -> NodeFacts:
        """What a node has said of its server."""
        found = (one for one in self.facts if same_node(one.node, node))
        return next(found, unreachable(node, "it was not asked"))

    @property
    def record(self) -> Record | None:
        """The record, where it could be read."""
        return self.reading.record if isinstance(self.reading, Found) else None

    @property
    def primary(self) -> NodeFacts | None:
        """The promoted node's server, where it has said that it is a primary."""
        told = self.of(self.seen.promoted) if self.seen.promoted else None
        return told if told is not None and told.server == "primary" else None
