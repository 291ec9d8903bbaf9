# SPDX-License-Identifier: GPL-2.0-or-later
"""The journals of all nodes, for commands; the agent knows its own node's alone."""

from __future__ import annotations

from collections.abc import Iterable

from expgsql_ra.effects.inquiry import histories_of
from expgsql_ra.effects.journal import event_of, record_event
from expgsql_ra.events import Kind, NodeHistory


class LiveJournal:
    """The journals of all nodes, from this one."""

    def __init__(self, me: str, within: float) -> None:
        self._me, self._within = me, within

    def record(self, resource: str, kind: Kind, node: str, reason: str, timeline: int = 0) -> None:
        """Keep, on this node and durably, that it happened to ``node`` just now."""
        record_event(resource, event_of(kind, node, reason, timeline, self._me))

    def gather(self, resource: str, nodes: Iterable[str]) -> tuple[NodeHistory, ...]:
        """What these nodes have kept."""
        return histories_of(tuple(nodes), resource, self._me, self._within)
