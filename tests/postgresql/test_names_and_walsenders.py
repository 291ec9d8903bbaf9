# SPDX-License-Identifier: GPL-2.0-or-later
"""When a walsender stops to release commits for a standby that is no longer named, or no longer the only one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.postgresql.commits import WAITS, Commit
from tests.postgresql.conftest import MakeServer, with_standbys
from tests.postgresql.expected import check
from tests.postgresql.pausing import freeze, held, thaw
from tests.postgresql.server import Server, names, until

pytestmark = [pytest.mark.lab, pytest.mark.timeout(120, func_only=True)]


@dataclass(frozen=True)
class Scene:
    """Two standbys that do not write what they receive, and a commit that waits for the first of them."""

    primary: Server
    s1: Server
    s2: Server
    receivers: tuple[int, int]
    sender: int
    before: Commit

    def set(self, *listed: str) -> tuple[int, Commit]:
        """Name these instead of the first; the priority that its walsender shows then, and a commit after that."""
        self.primary.name_standbys(names(*listed))
        shown = int(self.primary.sender(self.s1, "sync_priority"))
        return shown, Commit(self.primary, "after")

    def let_s1_answer(self, position: str) -> None:
        """Wait until the first standby has flushed the WAL to that position, and so has said it."""
        thaw(self.receivers[0])
        question = "select flushed_lsn >= %s::pg_lsn from pg_stat_wal_receiver"
        until(lambda: self.s1.value(question, position), "s1 to flush")

    def wait_for_s1(self) -> None:
        """Wait until its walsender knows that the first standby has all."""
        until(lambda: self.primary.streams_to(self.s1), "the answer of s1")

    def end(self, *commits: Commit) -> None:
        """Let the second standby go on too: nothing waits any more."""
        thaw(self.receivers[1])
        for one in commits:
            one.wait_acknowledged()


@pytest.fixture
def scene(primary: Server, make: MakeServer) -> Scene:
    """Both standbys connected, the first named."""
    s1, s2 = with_standbys(primary, make, "s1", "s2")
    receivers = (s1.child("walreceiver"), s2.child("walreceiver"))
    for one in receivers:
        freeze(one)
    before = Commit(primary, "before")
    assert before.outcome() == WAITS
    until(lambda: primary.sender(s1, "sent_lsn = pg_current_wal_flush_lsn()"), "the commit to be sent")
    return Scene(primary, s1, s2, receivers, primary.walsender(s1), before)


def test_a_walsender_that_was_stopped_rereads_before_it_listens(scene: Scene) -> None:
    position = scene.primary.flushed()
    freeze(scene.sender)
    shown, after = scene.set("s2")
    scene.let_s1_answer(position)
    thaw(scene.sender)
    scene.wait_for_s1()
    observed = (shown, scene.before.outcome(), after.outcome())
    check(scene.primary.programs, "walsender stopped, s1 to s2", observed)
    assert scene.primary.sender(scene.s1, "sync_priority") == 0
    scene.end(scene.before, after)


@pytest.mark.parametrize("listed", [("s2",), ("s1", "s2"), ("s2", "s1")])
def test_a_walsender_held_on_its_way_from_the_names_to_the_answer(
    scene: Scene, folder: Path, listed: tuple[str, ...]
) -> None:
    position = scene.primary.flushed()
    with held(scene.sender, "pq_startmsgread", folder=folder) as debugged:
        # Any WAL wakes it: it looks at its names, and is held before it reads what the standby says.
        scene.primary.ask("create table something ()")
        debugged.wait_at(0)
        shown, after = scene.set(*listed)
        assert after.outcome() == WAITS
        scene.let_s1_answer(position)
        debugged.release(0)
        scene.wait_for_s1()
        observed = (shown, scene.before.outcome(), after.outcome())
    check(scene.primary.programs, f"walsender held, s1 to {' and '.join(listed)}", observed)
    assert not scene.s2.has("before")
    scene.end(scene.before, after)
