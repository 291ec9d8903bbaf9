# SPDX-License-Identifier: GPL-2.0-or-later
"""What must hold in every state.

Each is a function of as few parts of a state as it needs, so that its verdicts can be remembered.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.simulation import postgresql
from tests.simulation.state import UNSET, Cib, Names, Node, Process

from expgsql_ra.record import Record, Successor
from expgsql_ra.rules import divergence

NAMES = {
    "I1": "an acknowledged commit is missing from the recorded primary",
    "I1s": "an acknowledged commit is missing from a recorded successor, which may become the primary next",
    "I2": "a server acknowledges alone and is not recorded alone",
    "I3": "one timeline with two contents",
    "I4": "a recorded successor is not waited for by every process of the recorded primary",
    "I5": "the recorded primary would acknowledge coming commits without waiting",
    "I6": "a directory that has diverged is told to follow",
}


def of_node(record: Record, acknowledged: int, node: Node) -> Iterator[str]:
    """What is broken at one node."""
    seat = next((one for one in record.successors if one.node == node.name), None)
    lost = acknowledged & ~node.directory.mask
    if record.primary == node.name and acknowledged and (lost or seat is None or seat != node.me):
        yield "I1"
    if seat == node.me and lost:
        yield "I1s"
    if node.process is not None and node.process.acknowledges_alone and not _alone(record, node.name):
        yield "I2"
    if record.primary == node.name and not _waits(record.successors, node):
        yield "I4"
    if record.primary == node.name and node.process is not None and node.process.primary and node.process.released:
        yield "I5"


def _alone(record: Record, name: str) -> bool:
    return record.primary == name and record.nodes == (name,)


def _waits(successors: tuple[Successor, ...], node: Node) -> bool:
    process = node.process
    if process is None or not process.primary:
        return True
    others = frozenset(one.node for one in successors if one.node != node.name)
    if not others:
        return True
    named: tuple[Names, ...] = (node.directory.file, process.shown)
    return process.flag not in ((), UNSET) and all(
        (
            *(names is None or others <= set(names) for names in named),
            *(others <= releasers for releasers in _releasers(process)),
        )
    )


def _releasers(process: Process) -> Iterator[frozenset[str]]:
    """The sets of nodes whose flushing some walsender takes for enough."""
    for sender in process.senders:
        for chosen in postgresql.releasing(process, sender, len(sender.names or ())):
            yield frozenset(one.node for one in chosen)


def of_pair(one: Node, other: Node) -> Iterator[str]:
    """What is broken between two directories: servers compare timeline and length alone."""
    first, second = one.directory, other.directory
    if first.timeline == second.timeline and first.whole and second.whole:
        shared = min(len(first.wal), len(second.wal))
        if first.wal[:shared] != second.wal[:shared]:
            yield "I3"


def of_history(record: Record, cib: Cib, node: Node, primary: Node) -> Iterator[str]:
    """Whether the published history sends a directory that has diverged to the recorded, running primary."""
    if not cib.complete or record.primary != primary.name or not primary.process or not primary.process.primary:
        return
    if primary.directory.completed.epoch not in {0, record.epoch} and primary.directory.timeline == cib.history.current:
        return
    mine, theirs = node.directory.wal, primary.directory.wal
    if divergence.may_follow(node.directory.local, cib.history) == divergence.Follows() and theirs[: len(mine)] != mine:
        yield "I6"
