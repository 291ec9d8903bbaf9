# SPDX-License-Identifier: GPL-2.0-or-later
"""Only what would change something is written, and in the order in which the rules said it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.builders import a_history, a_member, a_view

from expgsql_ra.changes import (
    Change,
    ClearWal,
    SetAncestry,
    SetBaseline,
    SetDataStatus,
    SetFollows,
    SetReceiver,
    SetReplInfo,
    SetScore,
    SetStatus,
    SetWal,
    applied,
    describe,
    differing,
)
from expgsql_ra.values import Ancestry, Attestation, Fork, Lsn, ReplInfo

HISTORY = a_history("1@0/4000")
WORD = Attestation("id", 2, (Fork(1, Lsn(0x4000)),))
VIEW = a_view(
    a_member("node1", status="PRI", data_status="LATEST", score="1000", receiver="normal (master)"),
    a_member("node2", status="HS:sync", data_status="STREAMING|SYNC", score="100", wal="0/5000", timeline=2)._replace(
        follows=WORD
    ),
    recorded="node1",
    history=HISTORY,
)
STANDING: list[Change] = [
    SetStatus("node1", "PRI"),
    SetScore("node2", "100"),
    SetScore("NODE2", "100"),
    SetDataStatus("node2", "STREAMING|SYNC"),
    SetReceiver("node1", "normal (master)"),
    SetFollows("node2", WORD),
    SetWal("node2", 2, Lsn(0x5000)),
    ClearWal("node1"),
    SetReplInfo(ReplInfo("node1", 1, Lsn(0x4000))),
    SetAncestry(HISTORY),
]
NEW: list[Change] = [
    SetStatus("node2", "HS:async"),
    SetScore("node1", "-INFINITY"),
    SetDataStatus("node2", "DISCONNECT"),
    SetReceiver("node2", "ERROR"),
    SetFollows("node1", WORD),
    SetFollows("node2", WORD._replace(directory="another")),
    SetFollows("node2", WORD._replace(timeline=3)),
    SetFollows("node2", WORD._replace(forks=(Fork(1, Lsn(0x4001)),))),
    SetWal("node2", 2, Lsn(0x5001)),
    SetWal("node2", 1, Lsn(0x5000)),
    SetReplInfo(ReplInfo("node2", 1, Lsn(0x4000))),
    SetAncestry(a_history("1@0/4000", current=3)),
    SetBaseline("node1", Lsn(0x4000)),
    SetStatus("node9", "PRI"),
    ClearWal("node2"),
]


@pytest.mark.parametrize("change", STANDING, ids=repr)
def test_what_stands_is_not_written_again(change: Change) -> None:
    assert differing((change,), VIEW) == ()


@pytest.mark.parametrize("change", NEW, ids=repr)
def test_what_differs_is_written(change: Change) -> None:
    assert differing((change,), VIEW) == (change,)


@given(st.lists(st.sampled_from(STANDING + NEW)))
def test_the_order_stays(changes: list[Change]) -> None:
    assert differing(tuple(changes), VIEW) == tuple(change for change in changes if change in NEW)


def test_nothing_is_recorded_yet() -> None:
    change = SetReplInfo(ReplInfo("node1", 1, Lsn(0x4000)))
    assert differing((change,), a_view()) == (change,)


@pytest.mark.parametrize(
    "change",
    [
        SetStatus("node2", "HS:sync"),
        SetScore("NODE2", "110"),
        SetDataStatus("node2", "STREAMING|SYNC"),
        SetReceiver("node2", "normal"),
        SetFollows("node2", WORD),
        SetWal("node2", 3, Lsn(0x1000)),
        ClearWal("node2"),
        SetReplInfo(ReplInfo("node2", 1, Lsn(0x1000))),
        SetAncestry(Ancestry("7", (), 1)),
    ],
)
def test_what_was_applied_differs_no_more(change: Change) -> None:
    before = a_view(a_member("node1"), a_member("node2", wal="0/1", timeline=1))
    assert differing((change,), before) == (change,)
    assert differing((change,), applied((change,), before)) == ()
    assert describe((change,))


def test_a_baseline_is_told_and_not_looked_at() -> None:
    baseline = SetBaseline("node1", Lsn(0x1000))
    assert applied((baseline,), a_view()) == a_view()
    assert describe((baseline, ClearWal("node2"))) == (
        "node1 is promoted at 0/1000, node2 takes its report of WAL back"
    )
