# SPDX-License-Identifier: GPL-2.0-or-later
"""Names that are in the file when a primary starts, and how long its standby takes to come back."""

from __future__ import annotations

import pytest
from tests.lab.waiting import now
from tests.postgresql.commits import Commit
from tests.postgresql.expected import check, expected_at_start
from tests.postgresql.pausing import blocks_hangup, stop_first_child, thaw
from tests.postgresql.server import NOBODY, Server, until

pytestmark = [pytest.mark.lab, pytest.mark.timeout(120, func_only=True)]

TRIES = 50
REFUSED = "could not connect to the primary server"


def start_without_checkpointer(server: Server) -> int:
    """Start a server whose checkpointer is stopped before it looks at the names; the checkpointer.

    It is the first child, and it takes no signals yet when it is stopped: it unblocks them directly before it looks.
    """
    for _ in range(TRIES):
        server.launch()
        child = stop_first_child(server.pid)
        assert child, "a server without children"
        if blocks_hangup(child):
            until(server.accepts, "the server to accept sessions")
            return child
        thaw(child)
        until(server.accepts, "the server to accept sessions")
        server.stop()
    pytest.fail(f"in {TRIES} starts the checkpointer was never stopped early enough")


def test_a_commit_before_the_checkpointers_first_look(primary: Server) -> None:
    primary.stop()
    primary.write_settings(synchronous_standby_names=NOBODY)
    checkpointer = start_without_checkpointer(primary)
    first = Commit(primary, "first")
    observed = first.outcome()
    assert blocks_hangup(checkpointer)
    thaw(checkpointer)
    assert primary.child("checkpointer") == checkpointer
    assert observed == expected_at_start(primary.programs), primary.programs.version
    assert first.outcome() == observed


def test_names_kept_over_a_crash_hold_from_the_first_commit_on(pair: tuple[Server, Server]) -> None:
    primary, standby = pair
    for number in range(5):
        primary.crash()
        standby.stop()
        primary.start()
        first = Commit(primary, f"first {number}")
        check(primary.programs, "crash in place: first commit", first.outcome())
        standby.start()
        first.wait_acknowledged()
        until(lambda first=first: standby.has(first.row), "the row on the standby")  # type: ignore[misc]


@pytest.mark.parametrize(("interval", "at_least", "at_most"), [("200ms", 0.0, 4.0), ("5s", 4.0, 20.0)])
def test_how_long_commits_wait_after_a_restart_in_place(
    pair: tuple[Server, Server], interval: str, at_least: float, at_most: float
) -> None:
    primary, standby = pair
    standby.reload(wal_retrieve_retry_interval=interval)
    attempts = standby.logged().count(REFUSED)
    primary.crash()
    # It tries at once, and in vain; then it keeps to the interval.
    until(lambda: standby.logged().count(REFUSED) > attempts, "a first attempt")
    tried = now()
    primary.start()
    Commit(primary, "first").wait_acknowledged()
    assert at_least < now() - tried < at_most
    print(f"PostgreSQL {primary.programs.version}, {interval}: {now() - tried:.2f} s")
