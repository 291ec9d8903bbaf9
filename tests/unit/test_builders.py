# SPDX-License-Identifier: GPL-2.0-or-later
"""The builders refuse to describe what cannot be: a test of the impossible proves nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.builders import Impossible, a_history, a_member, a_sender, a_view, forks, local_wal

IMPOSSIBLE: dict[str, Callable[[], object]] = {
    "two primaries": lambda: a_view(a_member("node1", status="PRI"), a_member("node2", status="PRI")),
    "two nodes of one name": lambda: a_view("node1", "NODE1"),
    "a view of a stranger": lambda: a_view("node2", "node3", me="node1"),
    "a promoted stranger": lambda: a_view(promoted=("node9",)),
    "a history without a primary": lambda: a_view(history=a_history("1@0/5000")),
    "a position without a timeline": lambda: a_member(wal="0/5000"),
    "a history that goes back": lambda: forks("2@0/5000", "1@0/6000"),
    "a child older than its parent": lambda: a_history("3@0/5000", current=2),
    "a directory older than its ancestor": lambda: local_wal(2, "2@0/5000"),
    "an unknown walsender state": lambda: a_sender(state="dreaming"),
    "an unknown sync state": lambda: a_sender(sync_state="maybe"),
}


@pytest.mark.parametrize("build", IMPOSSIBLE.values(), ids=IMPOSSIBLE.keys())
def test_the_impossible_is_refused(build: Callable[[], object]) -> None:
    with pytest.raises(Impossible):
        build()


def test_two_primaries_may_be_asked_for() -> None:
    view = a_view(a_member("node1", status="PRI"), a_member("node2", status="PRI"), rivals=True)
    assert [one.status for one in view.members] == ["PRI", "PRI"]
