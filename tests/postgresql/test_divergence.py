# SPDX-License-Identifier: GPL-2.0-or-later
"""What a standby says that has WAL of its own beyond the fork, in the segment where the fork lies."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from tests.postgresql.commits import WAITS, Commit, commit
from tests.postgresql.conftest import MakeServer, with_standbys
from tests.postgresql.expected import check
from tests.postgresql.server import NOBODY, OPEN, Server, names, until

pytestmark = [pytest.mark.lab, pytest.mark.timeout(120, func_only=True)]

TAIL = "insert into t select 'tail ' || n from generate_series(1, 5000) n"
HISTORY = "00000002.history"


@dataclass(frozen=True)
class Fork:
    """Timeline 2 begun by `new`; `old` was the primary of timeline 1, and `third` a standby of it."""

    old: Server
    new: Server
    third: Server
    end: str
    """Where timeline 1 ends on the old primary and on a standby that was ahead."""

    def wait_for(self, listed: str) -> Commit:
        """Name standbys on the new primary; a commit that waits for them, before the end of timeline 1's tail."""
        self.new.enforce(listed)
        found = Commit(self.new, "new")
        assert found.outcome() == WAITS
        assert self.new.value("select pg_current_wal_insert_lsn() < %s::pg_lsn", self.end)
        return found

    def teach(self, server: Server) -> None:
        """Put the new timeline's history where a restored archive, or an earlier connection, would have put it."""
        server.put(f"pg_wal/{HISTORY}", (self.new.data / "pg_wal" / HISTORY).read_text(encoding="ascii"))

    def wait_false_flush(self, server: Server) -> None:
        """Wait until that standby is said to have flushed what it was never sent."""
        until(lambda: self.new.sender(server, "flush_lsn > sent_lsn"), f"what {server.name} says of its flush")


def fork(primary: Server, make: MakeServer, *, ahead: bool) -> Fork:
    """Divide the history. The third server has the old primary's tail if it is to be `ahead`, else nothing of it."""
    new, third = with_standbys(primary, make, "n", "c")
    primary.enforce(OPEN)
    primary.wait_streaming_to(new, third)
    new.stop()
    if not ahead:
        third.stop()
    primary.ask(TAIL)
    if ahead:
        primary.wait_streaming_to(third)
    end = primary.flushed()
    primary.crash()
    new.start()
    new.ask("select pg_promote()")
    until(lambda: new.timeline() == 2, "timeline 2")
    return Fork(primary, new, third, end)


def end_of_replay(server: Server) -> tuple[str, int]:
    """How far a standby has replayed, and on which timeline: the second CHECKPOINT writes it down for certain."""
    for _ in range(2):
        server.ask("checkpoint")
    found = server.ask("select min_recovery_end_lsn::text, min_recovery_end_timeline from pg_control_recovery()")[0]
    return str(found[0]), int(found[1])


def received_timeline(server: Server) -> int | None:
    """What the standby says of itself while it streams."""
    found = server.value("select received_tli from pg_stat_wal_receiver where status = 'streaming'")
    return None if found is None else int(found)


def test_a_diverged_standby_under_a_name_in_force_releases_what_it_lacks(primary: Server, make: MakeServer) -> None:
    forked = fork(primary, make, ahead=False)
    old, new = forked.old, forked.new
    waiting = forked.wait_for(names(old.name))
    old.follow(new)
    old.start()
    until(lambda: waiting.acknowledged, "what becomes of the commit")
    check(new.programs, "diverged, named: the commit that waits", waiting.outcome())
    until(lambda: received_timeline(old) == 1, "the standby to say what it receives")
    assert not old.has("new")
    old.stop()
    until(lambda: not new.ask("select from pg_stat_replication"), "nobody to be connected")
    later = commit(new, "later")
    assert new.value("select pg_current_wal_insert_lsn() < %s::pg_lsn", forked.end)
    check(new.programs, "diverged, named: a later commit with nobody connected", later)


def test_a_diverged_standby_under_a_name_in_no_list_releases_nothing(primary: Server, make: MakeServer) -> None:
    forked = fork(primary, make, ahead=False)
    waiting = forked.wait_for(NOBODY)
    forked.old.follow(forked.new)
    forked.old.start()
    forked.wait_false_flush(forked.old)
    check(forked.new.programs, "diverged, in no list: the commit that waits", waiting.outcome())


@pytest.mark.parametrize("which", ["old primary", "standby that was ahead"])
def test_a_diverged_standby_that_knows_the_history_streams_on_the_new_timeline(
    primary: Server, make: MakeServer, which: str
) -> None:
    forked = fork(primary, make, ahead=which != "old primary")
    diverged = forked.third if which != "old primary" else forked.old
    if not diverged.ended():
        diverged.crash()
    waiting = forked.wait_for(names(diverged.name))
    forked.teach(diverged)
    diverged.follow(forked.new)
    diverged.start()
    until(lambda: waiting.acknowledged, "what becomes of the commit")
    until(lambda: received_timeline(diverged) is not None, "the standby to stream")
    forked.wait_false_flush(diverged)
    state = "state || ' ' || sync_state"
    until(lambda: forked.new.sender(diverged, state) == "streaming sync", "the standby to count as synchronous")
    assert not diverged.has("new")
    replayed, timeline = end_of_replay(diverged)
    assert replayed == forked.end
    observed = (received_timeline(diverged), waiting.outcome(), timeline)
    check(forked.new.programs, f"diverged, knows the history: {which}", observed)


def test_a_standby_that_is_not_diverged_replays_the_new_timeline(primary: Server, make: MakeServer) -> None:
    forked = fork(primary, make, ahead=False)
    waiting = forked.wait_for(names(forked.third.name))
    forked.third.follow(forked.new)
    forked.third.start()
    waiting.wait_acknowledged()
    until(lambda: forked.third.has("new"), "the row")
    observed = (received_timeline(forked.third), waiting.outcome(), end_of_replay(forked.third)[1])
    check(forked.new.programs, "not diverged", observed)
