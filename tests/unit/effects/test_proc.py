# SPDX-License-Identifier: GPL-2.0-or-later
"""Which processes are the server's: by what the kernel says, whatever the pid file claims."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from expgsql_ra.effects import proc
from expgsql_ra.effects.proc import Alive, Gone, postmaster
from expgsql_ra.errors import CannotTell

Begin = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def pgdata(tmp_path: Path) -> Path:
    """A data directory."""
    folder = tmp_path / "pgdata"
    folder.mkdir()
    return folder


@pytest.fixture
def begin(tmp_path: Path, pgdata: Path) -> Iterator[Begin]:
    """Start a process that the kernel shows as a program of that name, working in the data directory."""
    processes: list[subprocess.Popen[bytes]] = []

    def start(program: str = "postgres", *, title: str = "", cwd: Path = pgdata) -> subprocess.Popen[bytes]:
        path = tmp_path / program
        if not path.exists():
            shutil.copy("/bin/sleep", path)
        argv = [title or str(path), "60"]
        processes.append(subprocess.Popen(argv, executable=path, cwd=cwd))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()


def claim(pgdata: Path, pid: int, status: str = "ready") -> None:
    """Write a pid file as PostgreSQL does."""
    lines = [str(pid), str(pgdata), "1700000000", "5433", "/run/postgresql", "*", "12345", status]
    (pgdata / "postmaster.pid").write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_an_empty_directory_has_no_server(pgdata: Path) -> None:
    assert postmaster(str(pgdata)) == Gone(())
    assert postmaster(str(pgdata / "missing")) == Gone(())


def test_a_pid_file_tells_how_to_reach_the_server(pgdata: Path, begin: Begin) -> None:
    pid = begin().pid
    claim(pgdata, pid)
    assert postmaster(str(pgdata)) == Alive(pid, "5433", "/run/postgresql", "ready")


def test_a_link_to_the_data_directory_is_as_good(tmp_path: Path, pgdata: Path, begin: Begin) -> None:
    pid = begin().pid
    claim(pgdata, pid)
    (tmp_path / "link").symlink_to(pgdata)
    assert postmaster(str(tmp_path / "link")) == Alive(pid, "5433", "/run/postgresql", "ready")


@pytest.mark.parametrize("content", [None, "", "\n", "garbage\n", "999999999\n"])
def test_a_server_is_found_without_a_useful_pid_file(pgdata: Path, begin: Begin, content: str | None) -> None:
    pid = begin().pid
    if content is not None:
        (pgdata / "postmaster.pid").write_text(content, encoding="utf-8")
    assert postmaster(str(pgdata)) == Alive(pid, "", "", "")


def test_another_programs_process_does_not_count_whatever_the_pid_file_says(pgdata: Path, begin: Begin) -> None:
    # a pid that was used again: by somebody elsewhere, or by a person's shell in this very directory
    for stranger in (os.getpid(), begin("bash").pid, begin("postgres", cwd=pgdata.parent).pid):
        claim(pgdata, stranger)
        assert postmaster(str(pgdata)) == Gone(())


def test_a_zombie_is_no_server(pgdata: Path, begin: Begin) -> None:
    process = begin()
    claim(pgdata, process.pid)
    process.kill()
    deadline = time.monotonic() + 5
    while proc._state(process.pid) != "Z" and time.monotonic() < deadline:
        time.sleep(0.01)
    assert postmaster(str(pgdata)) == Gone(())


def test_a_stopped_process_is_still_a_server(pgdata: Path, begin: Begin) -> None:
    process = begin()
    claim(pgdata, process.pid)
    process.send_signal(signal.SIGSTOP)
    assert isinstance(postmaster(str(pgdata)), Alive)


def test_children_without_their_postmaster_are_orphans(pgdata: Path, begin: Begin) -> None:
    children = {begin(title="postgres: walwriter").pid, begin(title="postgres: checkpointer").pid}
    found = postmaster(str(pgdata))
    assert isinstance(found, Gone)
    assert set(found.orphans) == children


def test_a_directory_that_was_removed_under_its_server_fools_nobody(pgdata: Path, begin: Begin) -> None:
    pid = begin().pid
    pgdata.rmdir()
    assert postmaster(str(pgdata)) == Alive(pid, "", "", "")


def test_an_unreadable_pid_file_is_not_no_pid_file(pgdata: Path) -> None:
    (pgdata / "postmaster.pid").symlink_to("/etc/hostname")
    with pytest.raises(CannotTell, match="cannot read"):
        postmaster(str(pgdata))


def test_a_signal_reaches_the_server_and_nobody_else(pgdata: Path, begin: Begin) -> None:
    server, stranger = begin(), begin("bash")
    for process in (server, stranger):
        proc.send(process.pid, str(pgdata), signal.SIGTERM)
    assert server.wait(5) == -signal.SIGTERM
    assert stranger.poll() is None
    proc.send(server.pid, str(pgdata), signal.SIGTERM)
