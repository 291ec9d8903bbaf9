# SPDX-License-Identifier: GPL-2.0-or-later
"""Who reports the end of the server: a file in root's own run directory, renamed by whoever takes that on.

``expgsql-RESOURCE.PID.watched``   a guard waits for the end of that server (it holds a lock on the file)
``expgsql-RESOURCE.PID.quiet``     an action answers for what becomes of the server
``expgsql-RESOURCE.PID.reported``  the guard reports, or has reported, its end (as long as it holds the lock)

A rename succeeds for one only, so of all who see a server end one alone tells Pacemaker. The name carries the
process, so what was agreed upon for one server means nothing for the next.
"""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from expgsql_ra.effects import proc
from expgsql_ra.effects.memory import FOLDER
from expgsql_ra.effects.process import detach
from expgsql_ra.errors import AgentError
from expgsql_ra.ocf import Context, Log

LEASED = "leased"
"""Tells the guard that the primary needs a lease."""
WATCHED, QUIET, REPORTED = "watched", "quiet", "reported"
# What the guard has to know of the call that started it, in the variables that a call has it in.
PASSED_ON = ("OCF_RESOURCE_INSTANCE", "OCF_RESKEY_crm_feature_set", "HA_LOGFACILITY", "HA_LOGFILE", "HA_debug")
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class FileWatch:
    """The watch over this node's server."""

    def __init__(self, context: Context, node: str, pgdata: str, leased: bool, folder: str = FOLDER) -> None:
        self._context, self._node, self._pgdata = context, node, pgdata
        self._leased = leased
        self._folder = folder
        self._prefix = f"expgsql-{context.resource}."

    def begin(self, pid: int) -> None:
        """See to it that a guard waits for the end of that server.

        Without one nothing fails: then the monitor alone finds out.
        """
        watched = os.path.join(self._folder, f"{self._prefix}{pid}.{WATCHED}")
        with suppress(OSError):
            os.rename(_as(watched, QUIET), watched)
        try:
            os.makedirs(self._folder, exist_ok=True)
            with _open(watched, os.O_RDWR | os.O_CREAT) as lock:
                if _locks(lock, fcntl.LOCK_EX):
                    self._start_guard(pid, watched, lock)
        except (AgentError, OSError) as problem:
            Log(self._context).warning(f"no guard waits for the end of PostgreSQL (pid {pid}): {problem}")

    def _start_guard(self, pid: int, watched: str, lock: int) -> None:
        server = os.pidfd_open(pid)
        try:
            if proc.serves(pid, os.path.realpath(self._pgdata)):
                # -P, -S: nothing but the standard library and this package, wherever the agent has it from
                argv = [sys.executable, "-P", "-S", "-m", "expgsql_ra.guard", watched, str(server), str(pid)]
                argv += [LEASED] if self._leased else []
                detach(argv, environ=self._environment(), descriptors=(lock, server))
        finally:
            os.close(server)

    def _environment(self) -> dict[str, str]:
        known = self._context.environ
        passed = {name: known[name] for name in PASSED_ON if name in known}
        return {**passed, "OCF_RESKEY_CRM_meta_on_node": self._node, "PYTHONPATH": ROOT}

    def release(self) -> None:
        """From now on whatever becomes of the server is for the caller to report."""
        for path in self._files(WATCHED):
            with suppress(OSError):
                os.rename(path, _as(path, QUIET))

    def is_reporting(self) -> bool:
        """Whether a guard is telling Pacemaker of the server's end just now."""
        return any(_is_locked(path) for path in self._files(REPORTED))

    def forget(self) -> None:
        """A new server comes: whatever was said of an earlier one is history."""
        for kind in (WATCHED, QUIET, REPORTED):
            for path in self._files(kind):
                with suppress(OSError):
                    os.unlink(path)

    def _files(self, kind: str) -> list[str]:
        try:
            names = os.listdir(self._folder)
        except OSError:
            return []
        return [os.path.join(self._folder, name) for name in names if self._is_ours(name, kind)]

    def _is_ours(self, name: str, kind: str) -> bool:
        pid, _, ending = name.removeprefix(self._prefix).partition(".")
        return name.startswith(self._prefix) and pid.isdigit() and ending == kind


def claim(watched: str) -> str | None:
    """Take the report of a server's end on oneself; the path to remove afterwards, None if it is not ours to make."""
    reported = _as(watched, REPORTED)
    try:
        os.rename(watched, reported)
    except OSError:
        with suppress(OSError):
            os.unlink(_as(watched, QUIET))
        return None
    return reported


def _as(path: str, kind: str) -> str:
    return f"{path.rpartition('.')[0]}.{kind}"


@contextmanager
def _open(path: str, flags: int) -> Iterator[int]:
    descriptor = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _locks(descriptor: int, how: int) -> bool:
    """Whether the lock was to be had."""
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_locked(path: str) -> bool:
    try:
        with _open(path, os.O_RDONLY) as descriptor:
            return not _locks(descriptor, fcntl.LOCK_SH)
    except OSError:
        return False
