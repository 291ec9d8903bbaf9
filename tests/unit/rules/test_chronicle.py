"""One story out of the nodes' journals and the record's history."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from expgsql_ra.events import Event, Kind
from expgsql_ra.rules.chronicle import from_record, merged


def entry(
    revision: int, epoch: int, primary: str, *others: str, writer: str = "", reason: str = ""
) -> Mapping[str, Any]:
    """One entry of a record's history, a minute after the one before it."""
    return {
        "revision": revision,
        "epoch": epoch,
        "primary": primary,
        "successors": {node: f"id-{node}" for node in (primary, *others)},
        "writer": writer or primary,
        "time": f"2026-01-01T00:{revision:02}:00.123Z",
        "reason": reason or f"r{revision}",
    }


CREATED = entry(1, 1, "node1", writer="root@node1")
JOINED = entry(2, 1, "node1", "node2")
LEFT = entry(3, 1, "node1")
BACK = entry(4, 1, "node1", "node2")
CLAIMED = entry(5, 2, "node2", "node1", reason="node2 takes over from node1")
CONFIRMED = entry(6, 2, "node2")
AGAIN = entry(7, 2, "node2", "node1")
BY_HAND = entry(8, 3, "node3", writer="root@node3")


def promotion(time: str, timeline: int = 0, writer: str = "node2") -> Event:
    return Event(time, "node2", Kind.PROMOTED, "node2 takes over from node1", timeline, writer)


def test_the_records_history_tells_what_happened() -> None:
    newest_first = [BY_HAND, AGAIN, CONFIRMED, CLAIMED, BACK, LEFT, JOINED, {"owner": "node1", "time": "x"}, CREATED]
    told = [(one.kind, one.node, one.reason) for one in from_record(newest_first)]
    assert told == [
        (Kind.RESTORED, "node1", "r2"),
        (Kind.DEGRADED, "node1", "r3"),
        (Kind.RESTORED, "node1", "r4"),
        (Kind.PROMOTED, "node2", "node2 takes over from node1"),
        (Kind.RESTORED, "node2", "r7"),
        (Kind.RESET, "node3", "r8"),
    ]


def test_a_rewrite_of_the_same_successors_is_nothing_to_tell() -> None:
    assert from_record([entry(3, 1, "node1", "node2"), JOINED]) == ()


def test_what_both_tell_is_told_once_with_its_timeline() -> None:
    journal = promotion("2026-01-01T00:05:01Z", timeline=3)
    record = promotion("2026-01-01T00:05:00.123Z", writer="record")
    earlier = promotion("2025-12-31T00:00:00Z", writer="record")
    other = record._replace(reason="another reason")
    assert merged([journal, journal], [record, earlier, other], 10) == (earlier, other, journal)


def test_the_newest_are_kept_and_what_has_no_time_comes_first() -> None:
    old, new = promotion("2026-01-01T00:05:01Z"), promotion("2026-01-02T00:05:01Z")
    lost = promotion("sometime")
    assert merged([new, lost, old], [], 10) == (lost, old, new)
    assert merged([new, lost, old], [], 1) == (new,)
