# SPDX-License-Identifier: GPL-2.0-or-later
"""Which processes belong to a data directory, by what the kernel says of them.

A postmaster and all its children have the data directory as working directory (PostgreSQL source,
``ChangeToDataDir``), so a pid file that names somebody else's process, or none, fools nobody; neither
does a data directory that was unmounted or removed under a running server.
"""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Iterator
from typing import NamedTuple

from expgsql_ra.effects import files
from expgsql_ra.errors import CannotTell

DELETED = " (deleted)"
PID_FILE = "postmaster.pid"
PROGRAMS = {"postgres", "postmaster"}
SHELLS = frozenset({"sh", "dash", "bash"})


class Alive(NamedTuple):
    """A postmaster of our data directory runs; the fields after ``pid`` are those of its pid file."""

    pid: int
    port: str
    socket_folder: str
    status: str


class Gone(NamedTuple):
    """No postmaster of our data directory runs; ``orphans`` are processes it left behind."""

    orphans: tuple[int, ...]


def postmaster(pgdata: str) -> Alive | Gone:
    """The postmaster of a data directory; `CannotTell` if its files cannot be read."""
    folder = os.path.realpath(pgdata)
    claimed = _pid_file(pgdata)
    if claimed is not None and serves(claimed.pid, folder):
        return claimed
    found = tuple(processes_of(folder))
    root = next((pid for pid in found if _parent(pid) not in found and _is_postmaster(pid)), None)
    if root is not None:
        return Alive(root, "", "", "")
    arriving = next((pid for pid in _all() if _arrives(pid, pgdata)), None)
    return Gone(found) if arriving is None else Alive(arriving, "", "", "starting")


def _all() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdigit())


def _arrives(pid: int, pgdata: str) -> bool:
    """Whether a process is about to become the server: after ``pg_ctl start`` it takes a moment to get there.

    Until then it is ``pg_ctl``'s shell, then ``postgres`` in another directory; whoever stops the server in that
    moment must not believe that there is none.
    """
    try:
        words, program = _arguments(pid), _program(pid)
    except OSError:
        return False
    if program in SHELLS:
        return words[1:2] == ["-c"] and words[2].startswith("exec ") and f'-D "{pgdata}" ' in words[2]
    return program in PROGRAMS and ("-D", pgdata) in itertools.pairwise(words)


def is_zombie(pid: int) -> bool:
    """Whether a process has ended and waits for its parent to take note."""
    try:
        return _state(pid) == "Z"
    except OSError:
        return False


def _pid_file(pgdata: str) -> Alive | None:
    """``postmaster.pid``, line by line as PostgreSQL's miscadmin.h documents it; None if there is none."""
    content = files.read(os.path.join(pgdata, PID_FILE))
    lines = (content or "").splitlines() + [""] * 8
    if not lines[0].strip().lstrip("-").isdigit():
        return None
    return Alive(abs(int(lines[0])), lines[3].strip(), lines[4].strip(), lines[7].strip())


def serves(pid: int, folder: str) -> bool:
    """Whether a process lives (a zombie does not) and is PostgreSQL's, at work in that data directory."""
    try:
        return _folder(pid) == folder and _state(pid) not in {"Z", "X"} and _program(pid) in PROGRAMS
    except (FileNotFoundError, ProcessLookupError):
        return False
    except OSError as problem:
        raise CannotTell(f"cannot look at process {pid}: {problem.strerror}") from None


def processes_of(folder: str) -> Iterator[int]:
    """Every living PostgreSQL process that works in that data directory."""
    return (pid for pid in _all() if _belongs(pid, folder))


def holders_of(path: str) -> Iterator[int]:
    """Every living process that has that file open."""
    return (pid for pid in _all() if _has_open(pid, path))


def _has_open(pid: int, path: str) -> bool:
    folder = f"/proc/{pid}/fd"
    try:
        return any(os.readlink(f"{folder}/{name}") == path for name in os.listdir(folder))
    except OSError:
        return False


def _belongs(pid: int, folder: str) -> bool:
    """Like `serves`, for a process met in passing: one that cannot be looked at is not ours."""
    try:
        return serves(pid, folder)
    except CannotTell:
        return False


def _folder(pid: int) -> str:
    return os.readlink(f"/proc/{pid}/cwd").removesuffix(DELETED)


def _program(pid: int) -> str:
    return os.path.basename(os.readlink(f"/proc/{pid}/exe").removesuffix(DELETED))


def _stat(pid: int) -> list[str]:
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stream:
        return stream.read().rpartition(")")[2].split()


def _state(pid: int) -> str:
    return _stat(pid)[0]


def _parent(pid: int) -> int:
    try:
        return int(_stat(pid)[1])
    except OSError:
        return 0


def _is_postmaster(pid: int) -> bool:
    """Whether it was started with arguments of its own: children rewrite theirs to ``postgres: name``."""
    try:
        return not _arguments(pid)[0].startswith("postgres:")
    except OSError:
        return False


def _arguments(pid: int) -> list[str]:
    with open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="replace") as stream:
        return stream.read().split("\0")


def send(pid: int, folder: str, number: signal.Signals) -> None:
    """Signal a process of the data directory; nothing happens if it has ended or is somebody else's by now."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if serves(pid, folder):
            signal.pidfd_send_signal(descriptor, number)
    except ProcessLookupError:
        return
    finally:
        os.close(descriptor)
