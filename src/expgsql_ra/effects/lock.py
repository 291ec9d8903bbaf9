# SPDX-License-Identifier: GPL-2.0-or-later
"""One hand (R11): whatever writes the record, the names or signal files, or starts, stops or promotes the server
does so under one lock of this node.

The process that acts holds it, and its children inherit it: a command that outlives a killed agent keeps the
lock until it has ended too. The server itself does not inherit it (`process.closing_shared`).
"""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from expgsql_ra.effects import proc, process
from expgsql_ra.effects.memory import FOLDER
from expgsql_ra.errors import CannotTell, DeadlineExceeded
from expgsql_ra.world import Deadline

POLL_SECONDS = 0.02
PATIENCE_SECONDS = 2.0
_held: dict[str, tuple[int, str]] = {}
"""The locks that this process holds: their descriptors and paths."""


class Busy(CannotTell):
    """Another process works on this server."""


@contextmanager
def held(resource: str, deadline: Deadline, folder: str = FOLDER) -> Iterator[None]:
    """Hold the lock; `Busy` if somebody else does until the deadline."""
    path = os.path.join(folder, f"expgsql-{resource}.lock")
    try:
        os.makedirs(folder, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as problem:
        raise Busy(f"cannot lock {path}: {problem.strerror}; free space or correct its owner") from None
    try:
        _take(descriptor, path, deadline)
        process.share(descriptor)
        _held[resource] = (descriptor, path)
        yield
    finally:
        _held.pop(resource, None)
        process.unshare(descriptor)
        os.close(descriptor)


@contextmanager
def given_away(resource: str, deadline: Deadline) -> Iterator[None]:
    """Let others have the lock that is `held` for a while; `Busy` if it is not to be had again by the deadline.

    Nothing may be done meanwhile but looking and waiting.
    """
    descriptor, path = _held[resource]
    process.unshare(descriptor)
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    yield
    _take(descriptor, path, deadline)
    process.share(descriptor)


def is_free(resource: str, folder: str = FOLDER) -> bool:
    """Whether nobody holds the lock just now."""
    path = os.path.join(folder, f"expgsql-{resource}.lock")
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        return _locks(descriptor)
    finally:
        os.close(descriptor)


def _take(lock: int, path: str, deadline: Deadline) -> None:
    patience = deadline.within(PATIENCE_SECONDS)
    try:
        for _ in deadline.every(POLL_SECONDS, "another run of the agent to end"):
            if _locks(lock):
                _sign(lock)
                return
            if not patience.left():
                _end_left_behind(lock, path)
    except DeadlineExceeded:
        raise Busy(
            f"busy: process {_holder(lock) or '?'} works on this server (it holds {path}); end it, or wait for it"
        ) from None


def _sign(lock: int) -> None:
    """Say who has it; where that cannot be written (a full /run), nobody is told."""
    with suppress(OSError):
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)


def _locks(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(lock: int) -> int | None:
    """The process that took the lock, as it has said itself."""
    text = os.pread(lock, 20, 0).decode(errors="replace")
    return int(text) if text.isdigit() else None


def _end_left_behind(lock: int, path: str) -> None:
    """End the commands of an agent that was killed: it can neither wait for them nor hear what they say."""
    holder = _holder(lock)
    if holder is None or os.path.exists(f"/proc/{holder}"):
        return
    for pid in proc.holders_of(path):
        if pid != os.getpid():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
