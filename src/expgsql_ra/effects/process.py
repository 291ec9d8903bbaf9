# SPDX-License-Identifier: GPL-2.0-or-later
"""The one place that starts programs: an argument list, a user, an environment of its own, a time limit.

No shell anywhere, so nothing an administrator writes into a parameter can be read as a command.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import select
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from expgsql_ra.errors import CommandFailed, DeadlineExceeded, NotInstalled

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
TAIL = 300
LAST_LINES = 10
LINE_END = re.compile(r"[\r\n]")


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


LARGEST_DIGIT = 9
_shared: tuple[int, ...] = ()


def share(descriptor: int) -> None:
    """Let every program that is started from now on inherit this descriptor, too."""
    global _shared  # noqa: PLW0603 - what a process shares with its children is a matter of the whole process
    _shared = (*_shared, descriptor)


def unshare(descriptor: int) -> None:
    """The opposite."""
    global _shared  # noqa: PLW0603 - see above
    _shared = tuple(one for one in _shared if one != descriptor)


def closing_shared() -> str:
    """For the command line of a shell: what keeps the program that it becomes from inheriting them.

    Empty where there are none, or where a shell cannot: it knows descriptors of one digit only.
    """
    return " ".join(f"{descriptor}>&-" for descriptor in _shared if descriptor <= LARGEST_DIGIT)


def run(
    argv: Sequence[str],
    *,
    timeout: float,
    user: Account | None = None,
    environ: Mapping[str, str] | None = None,
    stdin: str = "",
    shares: bool = True,
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
            pass_fds=_shared if shares else (),
        )
    except subprocess.TimeoutExpired:
        raise DeadlineExceeded(f"{argv[0]} did not end within {timeout:.1f} s") from None
    except OSError as problem:
        raise NotInstalled(f"cannot run {argv[0]}: {problem.strerror}; install it or correct the parameter") from None
    return Result(done.returncode, done.stdout, done.stderr)


def run_with_children(
    argv: Sequence[str], timeout: float, stdin: str = "", environ: Mapping[str, str] | None = None
) -> Result:
    """Run a program that may start others, as root; at the end of its time all of them are killed.

    Who has left its process group is not found; it is not waited for either.
    """
    process = _begin(argv, environ, stdin=subprocess.PIPE, start_new_session=True)
    try:
        out, err = process.communicate(stdin, timeout=max(timeout, 0.1))
    except subprocess.TimeoutExpired:
        raise DeadlineExceeded(f"{argv[0]} did not end within {timeout:.1f} s") from None
    finally:
        _end_group(process)
    return Result(process.returncode, out, err)


def _end_group(process: subprocess.Popen[str]) -> None:
    """Kill what is left of it, and do not read what somebody may still print."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    for stream in filter(None, (process.stdin, process.stdout, process.stderr)):
        with contextlib.suppress(OSError):
            stream.close()
    process.wait()


def follow(
    argv: Sequence[str],
    *,
    timeout: float,
    line: Callable[[str], None],
    user: Account | None = None,
    environ: Mapping[str, str] | None = None,
) -> Result:
    """Run a program that takes its time, and pass on each line that it prints, as it comes; also half ones (``\\r``).

    It does not outlive this call, however that ends, unless we are killed ourselves. `NotInstalled` if it cannot be
    started, `DeadlineExceeded` after ``timeout`` seconds. The result's ``err`` is the end of what it printed.
    """
    other = user is not None and _is_other(user)
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd="/",
            env=_environment(user, environ),
            user=user.uid if user and other else None,
            group=user.gid if user and other else None,
            extra_groups=_groups(user),
            pass_fds=_shared,
            start_new_session=True,
        )
    except OSError as problem:
        raise NotInstalled(f"cannot run {argv[0]}: {problem.strerror}; install it or correct the parameter") from None
    end, last = time.monotonic() + timeout, deque[str](maxlen=LAST_LINES)
    try:
        for text in _lines(process, end, argv[0]):
            last.append(text)
            line(text)
        process.wait(max(end - time.monotonic(), 0.1))
    except subprocess.TimeoutExpired:
        raise DeadlineExceeded(f"{argv[0]} did not end within {timeout:.0f} s") from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        with process:
            process.kill()
    return Result(process.returncode, "", "\n".join(last))


def _lines(process: subprocess.Popen[bytes], end: float, name: str) -> Iterator[str]:
    """What a program prints until it closes its output, split at every line or carriage return."""
    assert process.stdout is not None  # noqa: S101 - it was asked for
    descriptor, rest = process.stdout.fileno(), ""
    while True:
        left = end - time.monotonic()
        if left <= 0:
            raise DeadlineExceeded(f"{name} did not end in time")
        if not select.select([descriptor], [], [], left)[0]:
            continue
        got = os.read(descriptor, 65536)
        *whole, rest = LINE_END.split(rest + got.decode(errors="replace"))
        yield from (text for text in whole if text.strip())
        if not got:
            break
    if rest.strip():
        yield rest


def run_together(commands: Sequence[Sequence[str]], timeout: float) -> tuple[Result, ...]:
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


def _begin(
    argv: Sequence[str],
    environ: Mapping[str, str] | None = None,
    *,
    stdin: int = subprocess.DEVNULL,
    start_new_session: bool = False,
) -> subprocess.Popen[str]:
    try:
        return subprocess.Popen(
            argv,
            stdin=stdin,
            start_new_session=start_new_session,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            cwd="/",
            env=_environment(None, environ),
            pass_fds=_shared,
        )
    except OSError as problem:
        raise NotInstalled(f"cannot run {argv[0]}: {problem.strerror}; install it or correct the parameter") from None


def _end(process: subprocess.Popen[str], argv: Sequence[str], seconds: float) -> Result:
    try:
        out, err = process.communicate(timeout=max(seconds, 0.1))
    except subprocess.TimeoutExpired:
        raise DeadlineExceeded(f"{argv[0]} did not end in time") from None
    return Result(process.returncode, out, err)


def detach(argv: Sequence[str], *, environ: Mapping[str, str], descriptors: Sequence[int]) -> None:
    """Start a program as root that outlives us: in a session of its own, with nothing of ours but ``descriptors``."""
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env=_environment(None, environ),
            pass_fds=descriptors,
            start_new_session=True,
        )
    except OSError as problem:
        raise NotInstalled(f"cannot run {argv[0]}: {problem.strerror}") from None
    process.returncode = 0  # nobody waits for it, and Popen shall not complain of that


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
