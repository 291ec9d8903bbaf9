"""The lab's audits can fail: what must never be seen is told from what may be."""

from __future__ import annotations

import pytest
from tests.lab.watch import Told, overlaps
from tests.lab.watch_record import objections

from expgsql_ra.record import NO_LEASE, Record, Successor

NODES = ("node1", "node2", "node3")


def told(node: str, timeline: int, asked: float, answered: float) -> Told:
    """An acknowledgement whose row does not matter."""
    return Told(node, 1, timeline, asked, answered)


def a_record(*successors: str) -> Record:
    """A record of node1."""
    listed = tuple(Successor(node, "id") for node in successors)
    return Record("7", 2, 9, "node1", listed, NO_LEASE, "node1", "", "")


def test_handing_over_and_back_is_no_overlap() -> None:
    history = [told("node1", 1, 0, 1), told("node2", 2, 2, 3), told("node1", 3, 4, 5)]
    assert overlaps(history) == []


def test_answer_to_what_was_asked_before_the_other_served_is_no_overlap() -> None:
    assert overlaps([told("node2", 2, 2, 3), told("node1", 1, 1, 4)]) == []


def test_old_primary_that_takes_new_commits_is_found() -> None:
    (found,) = overlaps([told("node2", 2, 2, 3), told("node1", 1, 3.5, 4)])
    assert found.startswith("node1 still acknowledges 1.00 s after node2 does")


def test_two_nodes_on_one_timeline_are_found() -> None:
    (found,) = overlaps([told("node1", 2, 0, 1), told("node2", 2, 2, 3)])
    assert found.startswith("node1 and node2 both acknowledge on timeline 2")


@pytest.mark.parametrize(
    ("successors", "names"),
    [
        (("node1",), ""),
        (("node1",), 'FIRST 1 ("node2")'),
        (("node1", "node2"), 'FIRST 1 ("node2")'),
        (("node1", "node2", "node3"), 'FIRST 2 ("node2", "node3")'),
        (("node1", "node2"), 'FIRST 1 ("nobody at all")'),
    ],
)
def test_names_that_hold_every_successor_are_in_order(successors: tuple[str, ...], names: str) -> None:
    assert objections(a_record(*successors), names, NODES) == []


@pytest.mark.parametrize(
    ("successors", "names", "says"),
    [
        (("node1", "node2"), "", "node2 may succeed it"),
        (("node1", "node2", "node3"), 'FIRST 1 ("node2")', "node3 may succeed it"),
        (("node1", "node2"), 'FIRST 1 ("node2", "node3")', "waits for 1 of 2 names"),
    ],
)
def test_successor_that_commits_do_not_wait_for_is_found(successors: tuple[str, ...], names: str, says: str) -> None:
    (found,) = objections(a_record(*successors), names, NODES)
    assert says in found
