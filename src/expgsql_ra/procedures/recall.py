# SPDX-License-Identifier: GPL-2.0-or-later
"""Gathering what happened, from all who have kept something."""

from __future__ import annotations

from typing import NamedTuple

from expgsql_ra.events import Event
from expgsql_ra.record import Past, Unreachable
from expgsql_ra.rules import chronicle
from expgsql_ra.site import Site


class Recalled(NamedTuple):
    """What happened, and who could not be asked."""

    events: tuple[Event, ...]
    missing: tuple[str, ...]


def recall(site: Site, newest: int) -> Recalled:
    """The newest events, the oldest of them first."""
    seen = site.read.deployment()
    journals = site.journal.gather(seen.resource, (node.name for node in seen.nodes))
    past = _past(site.records.history(seen, 4 * newest) if seen.parameters.enable_distlock else Past(()))
    told = (event for one in journals for event in one.events)
    missing = [f"{one.node} could not be asked: {one.why}" for one in journals if one.why]
    missing += [f"the record's history: {past}"] if isinstance(past, str) else []
    record = () if isinstance(past, str) else past
    return Recalled(chronicle.merged(told, record, newest), tuple(missing))


def _past(answer: Past | Unreachable) -> tuple[Event, ...] | str:
    return answer.why if isinstance(answer, Unreachable) else chronicle.from_record(answer.entries)
