# SPDX-License-Identifier: GPL-2.0-or-later
"""One hand (R11): the lock that a run of the agent holds, that its commands inherit, and its server does not."""

from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from expgsql_ra.effects import lock, process
from expgsql_ra.effects.clock import MonotonicClock
from expgsql_ra.world import Deadline

# Takes the lock, starts a command that inherits it, says so, and waits to be killed.
AGENT = """
import sys, time
from expgsql_ra.effects import lock, process
from expgsql_ra.effects.clock import MonotonicClock
from expgsql_ra.world import Deadline
with lock.held("pgsql", Deadline(MonotonicClock(), 5), sys.argv[1]):
    print("held", flush=True)
    process.run(sys.argv[2:], timeout=60)
"""


def deadline(seconds: float) -> Deadline:
    return Deadline(MonotonicClock(), seconds)


@pytest.fixture
def folder(tmp_path: Path) -> str:
    return str(tmp_path)


def another(folder: str, *command: str) -> subprocess.Popen[str]:
    """Another run of the agent, which holds the lock and runs a command."""
    found = subprocess.Popen([sys.executable, "-c", AGENT, folder, *command], stdout=subprocess.PIPE, text=True)
    assert found.stdout is not None
    assert found.stdout.readline() == "held\n"
    return found


@pytest.fixture
def agent(folder: str) -> Iterator[subprocess.Popen[str]]:
    with another(folder, "sleep", "60") as found:
        yield found
        found.kill()


def test_two_hands_are_one_too_many(folder: str, agent: subprocess.Popen[str]) -> None:
    with (
        pytest.raises(lock.Busy, match=f"busy: process {agent.pid} works on this server"),
        lock.held("pgsql", deadline(0.2), folder),
    ):
        pass


def test_another_resource_has_a_lock_of_its_own(folder: str, agent: subprocess.Popen[str]) -> None:
    assert agent.poll() is None
    with lock.held("other", deadline(0.2), folder):
        pass


def test_what_a_killed_agent_has_left_behind_is_ended_first(folder: str, agent: subprocess.Popen[str]) -> None:
    agent.kill()
    agent.wait()
    with lock.held("pgsql", deadline(lock.PATIENCE_SECONDS + 5), folder):
        assert agent.stdout is not None
        # its command held the other end of this pipe as well
        assert agent.stdout.read() == ""


def test_it_is_free_again_afterwards(folder: str) -> None:
    for _ in range(2):
        with lock.held("pgsql", deadline(0.2), folder):
            pass


def test_a_command_inherits_it_unless_it_must_not(folder: str) -> None:
    with lock.held("pgsql", deadline(1), folder):
        look = ["sh", "-c", "ls -l /proc/$$/fd"]
        assert folder in process.run(look, timeout=5).out
        assert folder not in process.run(look, timeout=5, shares=False).out
    assert folder not in process.run(look, timeout=5).out


def test_given_away_it_is_anothers_and_ours_again_afterwards(folder: str) -> None:
    assert lock.is_free("pgsql", folder)
    with lock.held("pgsql", deadline(1), folder):
        assert not lock.is_free("pgsql", folder)
        with lock.given_away("pgsql", deadline(1)):
            assert lock.is_free("pgsql", folder)
            assert folder not in process.run(["sh", "-c", "ls -l /proc/$$/fd"], timeout=5).out
        assert not lock.is_free("pgsql", folder)
        assert folder in process.run(["sh", "-c", "ls -l /proc/$$/fd"], timeout=5).out
    assert lock.is_free("pgsql", folder)


def test_two_locks_of_one_process_are_both_inherited(folder: str) -> None:
    look = ["sh", "-c", "ls -l /proc/$$/fd"]
    with lock.held("pgsql.repair", deadline(1), folder):
        with lock.held("pgsql", deadline(1), folder):
            assert process.run(look, timeout=5).out.count(folder) == 2
        assert process.run(look, timeout=5).out.count(folder) == 1


def test_a_place_that_cannot_be_written_is_busy_and_not_a_defect(tmp_path: Path) -> None:
    occupied = tmp_path / "file"
    occupied.touch()
    with pytest.raises(lock.Busy, match="cannot lock"), lock.held("pgsql", deadline(1), str(occupied)):
        pass


def test_who_cannot_say_that_he_has_it_has_it_all_the_same(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.pwrite", full)
    with lock.held("pgsql", deadline(1), folder):
        assert not lock.is_free("pgsql", folder)
