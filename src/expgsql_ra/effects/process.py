# SPDX-License-Identifier: GPL-2.0-or-later
"""The one place that starts programs: an argument list, a user, an environment of its own, a time limit.

No shell anywhere, so nothing an administrator writes into a parameter can be read as a command.
"""

from __future__ import annotations

import os
import pwd
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from expgsql_ra.errors import CommandFailed, DeadlineExceeded, NotInstalled

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
TAIL = 300


class Result(NamedTuple):
    """How a program ended and what it printed."""

    code: int
    out: str
    err: str

    @property
    def tail(self) -> str:
        """The end of what it complained about, for an exit reason."""
        return " ".join((self.err or self.out).split())[-TAIL:]


class Account(NamedTuple):
    """A user to act as."""

    name: str
    uid: int
    gid: int
    home: str


def account(name: str) -> Account:
    """The operating system's user of that name; `NotInstalled` if there is none."""
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise NotInstalled(f"there is no user {name} on this node; set pgdba") from None
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid, entry.pw_dir)


def run(
    argv: Sequence[str],
    *,
    timeout: float,
    user: Account | None = None,
    environ: Mapping[str, str] | None = None,
    stdin: str = "",
) -> Result:
    """Run a program to its end; its exit code is the caller's to judge.

    Raises `NotInstalled` if it cannot be started and `DeadlineExceeded` if it took longer than
    ``timeout`` seconds (it is killed then).
    """
    try:
        done = subprocess.run(
            argv,
            input=stdin,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=max(timeout, 0.1),
            check=False,
            cwd="/",
            env=_environment(user, environ),
            user=user.uid if user and _is_other(user) else None,
            group=user.gid if user and _is_other(user) else None,
            extra_groups=_groups(user),
        )
    except subprocess.TimeoutExpired:
        raise DeadlineExceeded(f"{argv[0]} did not end within {timeout:.1f} s") from None
    except OSError as problem:
        raise NotInstalled(f"cannot run {argv[0]}: {problem.strerror}; install it or correct the parameter") from None
    return Result(done.returncode, done.stdout, done.stderr)


def run_together(commands: Sequence[Sequence[str]], *, timeout: float) -> tuple[Result, ...]:
    """Run several short programs at the same time, as root; the results in the order of the commands.

    All share the time limit. None outlives this call: what it would still do, nobody would know of.
    """
    end = time.monotonic() + timeout
    started: list[subprocess.Popen[str]] = []
    try:
        started.extend(_begin(argv) for argv in commands)
        pairs = zip(started, commands, strict=True)
        return tuple(_end(process, argv, end - time.monotonic()) for process, argv in pairs)
    finally:
        for process in started:
            with process:  # closes its pipes and waits for its end
                process.kill()


def _begin(argv: Sequence[str]) -> subprocess.Popen[str]:
    try:
        return subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            cwd="/",
            env=_environment(None, None),
        )
    except OSError as problem:
        raise NotInstalled(f"cannot run {argv[0]}: {problem.strerror}; install it or correct the parameter") from None


def _end(process: subprocess.Popen[str], argv: Sequence[str], seconds: float) -> Result:
    try:
        out, err = process.communicate(timeout=max(seconds, 0.1))
    except subprocess.TimeoutExpired:
        raise DeadlineExceeded(f"{argv[0]} did not end in time") from None
    return Result(process.returncode, out, err)


def check(result: Result, what: str) -> Result:
    """The result, or `CommandFailed` naming ``what`` if the program ended with an error."""
    if result.code:
        raise CommandFailed(f"{what} failed ({result.code}): {result.tail}")
    return result


def _environment(user: Account | None, environ: Mapping[str, str] | None) -> dict[str, str]:
    """A clean environment: the C locale for whatever is read, and nothing that Pacemaker passed on."""
    home = {"HOME": user.home, "USER": user.name, "LOGNAME": user.name} if user else {"HOME": "/root"}
    return {"PATH": PATH, "LC_ALL": "C", **home, **(environ or {})}


def _groups(user: Account | None) -> Sequence[int] | None:
    """The supplementary groups to take on; None to keep ours."""
    return os.getgrouplist(user.name, user.gid) if user and _is_other(user) else None


def _is_other(user: Account) -> bool:
    return user.uid != os.geteuid()
