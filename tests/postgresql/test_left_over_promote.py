# SPDX-License-Identifier: GPL-2.0-or-later
"""A file ``promote`` whose signal was lost: what makes the standby act on it, at any later time."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest
from tests.postgresql.commits import WAITS, Commit, commit
from tests.postgresql.expected import check
from tests.postgresql.server import Server, until

pytestmark = [pytest.mark.lab, pytest.mark.timeout(120, func_only=True)]

Cause = Callable[[Server, Server], object]


def parallel_query(_primary: Server, standby: Server) -> None:
    """A query whose plan has a worker: the first process starts it."""
    setting = "force_parallel_mode" if standby.programs.major < 16 else "debug_parallel_query"
    with standby.session() as session:
        session.execute(f"set {setting} = on")
        session.execute("select count(*) from pg_class")


def restart(primary: Server, _standby: Server) -> None:
    """A crash in place of the other server: the walreceiver ends, and another is asked for."""
    primary.crash()
    primary.start()


CAUSES: dict[str, Cause] = {
    "nothing": lambda _primary, _standby: None,
    "SIGUSR1": lambda _primary, standby: os.kill(standby.pid, signal.SIGUSR1),
    "log rotated": lambda _primary, standby: standby.ask("select pg_rotate_logfile()"),
    "parallel query": parallel_query,
    "walreceiver ended": lambda _primary, standby: os.kill(standby.child("walreceiver"), signal.SIGTERM),
    "primary restarted": restart,
}


def left_over(standby: Server) -> bool:
    """Whether the file is still there, and the server a standby."""
    return (standby.data / "promote").exists() and bool(standby.value("select pg_is_in_recovery()"))


@pytest.mark.parametrize("cause", CAUSES)
def test_a_left_over_promote(pair: tuple[Server, Server], cause: str) -> None:
    primary, standby = pair
    if cause == "log rotated":
        standby.stop()
        standby.follow(primary, logging_collector="on", log_directory=str(standby.home))
        standby.start()
        primary.wait_streaming_to(standby)
    standby.put("promote")
    CAUSES[cause](primary, standby)
    # Whatever the standby replays of this, it has had its time to look for the file.
    sign = Commit(primary, "sign")
    until(lambda: not left_over(standby) or standby.has(sign.row), "a promotion, or more replay")
    promoted = not left_over(standby)
    if promoted:
        until(lambda: not standby.value("select pg_is_in_recovery()"), "the end of recovery")
        # Closed at rest: names that nobody bears.
        assert commit(standby, "alone") == WAITS
    check(standby.programs, f"promote left over: {cause}", promoted)


def test_a_start_removes_it(pair: tuple[Server, Server]) -> None:
    primary, standby = pair
    standby.stop()
    standby.put("promote")
    standby.start()
    primary.wait_streaming_to(standby)
    assert not (standby.data / "promote").exists()
    check(standby.programs, "promote left over: start", not standby.value("select pg_is_in_recovery()"))
