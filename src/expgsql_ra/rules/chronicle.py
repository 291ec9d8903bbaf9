# SPDX-License-Identifier: GPL-2.0-or-later
"""One story out of many: the nodes' journals and the history of the record, merged, sorted, without repetitions."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from expgsql_ra.events import Event, Kind
from expgsql_ra.values import same_node

SAME = timedelta(minutes=2)
"""Two clocks may differ by that much when they tell of one event."""
AUTHORITY = "record"


def from_record(entries: Iterable[Mapping[str, Any]]) -> tuple[Event, ...]:
    """What the entries of a record's history tell, which come the newest first. The lock of old tells nothing."""
    known = [one for one in entries if one.get("revision")][::-1]
    return tuple(_told(known))


def _told(known: Sequence[Mapping[str, Any]]) -> Iterator[Event]:
    begins = False
    for before, entry in itertools.pairwise(known):
        kind = _kind(before, entry)
        # the second write of a promotion leaves the new primary alone: that is part of it, not another event
        if kind and not (begins and kind is Kind.DEGRADED):
            reason = str(entry["reason"])
            yield Event(str(entry["time"]), str(entry["primary"]), kind, reason, writer=AUTHORITY)
        begins = kind is Kind.PROMOTED


def _kind(before: Mapping[str, Any], entry: Mapping[str, Any]) -> Kind | None:
    if entry["primary"] != before["primary"] and not same_node(str(entry["writer"]), str(entry["primary"])):
        return Kind.RESET
    if entry["epoch"] != before["epoch"]:
        return Kind.PROMOTED
    old, new = set(before["successors"]), set(entry["successors"])
    if old - new:
        return Kind.DEGRADED
    return Kind.RESTORED if new - old else None


def merged(journals: Iterable[Event], record: Iterable[Event], newest: int) -> tuple[Event, ...]:
    """The newest so many, the oldest of them first; of what both tell, the journal's, which knows the timeline."""
    told = sorted(set(journals), key=_moment)
    more = [one for one in record if not any(_is_same(one, other) for other in told)]
    return tuple(sorted([*told, *more], key=_moment)[-newest:])


def _is_same(one: Event, other: Event) -> bool:
    if (one.kind, one.reason) != (other.kind, other.reason):
        return False
    return abs(_moment(one) - _moment(other)) <= SAME


def _moment(event: Event) -> datetime:
    """Its time; one that cannot be read is the beginning of all."""
    try:
        return datetime.fromisoformat(event.time.replace("Z", "+00:00"))
    except ValueError:
        return datetime.fromisoformat("1970-01-01T00:00:00+00:00")
