# SPDX-License-Identifier: GPL-2.0-or-later
"""When changed names begin to hold commits: the checkpointer tells the other processes, and nobody tells of it."""

from __future__ import annotations

from pathlib import Path
from threading import Thread

import pytest
from tests.postgresql.commits import Commit, commit
from tests.postgresql.expected import check
from tests.postgresql.pausing import frozen, hangup_pending, held, status
from tests.postgresql.server import NOBODY, OPEN, Server, until

pytestmark = [pytest.mark.lab, pytest.mark.timeout(120, func_only=True)]

SWITCHES = ("voluntary_ctxt_switches", "nonvoluntary_ctxt_switches")


def has_reread(server: Server, checkpointer: int) -> bool:
    """Whether the checkpointer has read the names that a new session shows: it sleeps, and sleeps for want of work.

    The first process signals it before it starts a session that shows the names. A process that sleeps and has no
    signal left to take has run its handler, which sets its latch; with the latch set it does not sleep in its main
    loop before it has been round, and it rereads its configuration there. The counts of its switches say that it slept
    all the time between the two looks.
    """
    before = status(checkpointer)
    waits_for = server.value("select wait_event from pg_stat_activity where pid = %s", checkpointer)
    asleep = not hangup_pending(checkpointer)
    after = status(checkpointer)
    asleep &= before["State"][0] == after["State"][0] == "S"
    return asleep and waits_for == "CheckpointerMain" and all(before[key] == after[key] for key in SWITCHES)


def test_names_do_not_hold_before_the_checkpointer_has_looked(primary: Server) -> None:
    checkpointer = primary.child("checkpointer")
    with frozen(checkpointer):
        primary.name_standbys(NOBODY)
        check(primary.programs, "open to named, checkpointer stopped", commit(primary, "a"))
        assert not has_reread(primary, checkpointer)
    for _ in range(2):
        primary.ask("checkpoint")
    check(primary.programs, "open to named, after two CHECKPOINTs", commit(primary, "b"))


def test_names_hold_until_the_checkpointer_has_looked(primary: Server) -> None:
    primary.enforce(NOBODY)
    with frozen(primary.child("checkpointer")):
        primary.name_standbys(OPEN)
        late = Commit(primary, "a")
        check(primary.programs, "named to open, checkpointer stopped", late.outcome())
    late.wait_acknowledged()


def test_one_checkpoint_proves_nothing(primary: Server, folder: Path) -> None:
    # Held (1) when it has decided on a checkpoint, which a second request may still join, and has looked at its
    # configuration before; (2, 3) when it has told those who asked that it is done, and has not looked again.
    done = "smgrcloseall" if primary.programs.major < 17 else "smgrdestroyall"
    stops = ("RecoveryInProgress", done, "ConditionVariableBroadcast returned")
    checkpointer = primary.child("checkpointer")
    with held(checkpointer, *stops, folder=folder) as debugged:
        others = Thread(target=primary.ask, args=["checkpoint"])
        others.start()
        debugged.wait_at(0)
        primary.name_standbys(NOBODY)
        ours = Thread(target=primary.ask, args=["checkpoint"])
        ours.start()
        until(lambda: waiting_for_checkpoint(primary) == 2, "both requests")
        debugged.release(0)
        debugged.wait_at(1)
        debugged.release(1)
        debugged.wait_at(2)
        ours.join(10)
        assert not ours.is_alive()
        check(primary.programs, "open to named, after one CHECKPOINT", commit(primary, "a"))
        assert not has_reread(primary, checkpointer)
        debugged.release(2)
    others.join(10)
    primary.ask("checkpoint")
    check(primary.programs, "open to named, after two CHECKPOINTs", commit(primary, "b"))


def waiting_for_checkpoint(server: Server) -> int:
    """How many sessions wait for a checkpoint to begin."""
    question = "select count(*) from pg_stat_activity where query = 'checkpoint' and wait_event = 'CheckpointStart'"
    return int(server.value(question))


def test_a_commit_that_waits_proves_nothing(primary: Server, folder: Path) -> None:
    primary.enforce(NOBODY)
    with held(primary.child("checkpointer"), "ProcessConfigFile returned", folder=folder) as debugged:
        primary.name_standbys(OPEN)
        debugged.wait_at(0)
        primary.name_standbys(NOBODY)
        probe = Commit(primary, "probe")
        first = probe.outcome()
        debugged.release(0)
    until(lambda: probe.acknowledged, "the probe, let go by the older change")
    question = "probe under names that an older change is about to open"
    check(primary.programs, question, (first, probe.outcome()))


def test_a_checkpointer_that_sleeps_again_has_looked(primary: Server) -> None:
    checkpointer = primary.child("checkpointer")
    for number in range(20):
        primary.name_standbys(OPEN)
        until(lambda: has_reread(primary, checkpointer), "the checkpointer to sleep again")
        primary.name_standbys(NOBODY)
        until(lambda: has_reread(primary, checkpointer), "the checkpointer to sleep again")
        check(primary.programs, "open to named, checkpointer seen asleep", commit(primary, f"row {number}"))
