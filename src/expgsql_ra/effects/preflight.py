# SPDX-License-Identifier: GPL-2.0-or-later
"""What must hold on this node before a server is started: looked at first, so that nothing is left half done.

Each check raises the error that names the remedy; none changes anything.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from expgsql_ra.effects import files, places, proc
from expgsql_ra.effects.installation import Installation
from expgsql_ra.effects.process import run
from expgsql_ra.errors import AgentError, BadArguments, NotInstalled, NotPermitted
from expgsql_ra.values import RepMode

TOOLS = ("postgres", "pg_controldata", "pg_isready")
SHORT_COMMAND = 10.0
ZOMBIE_SECONDS = 3.0
OWNER_ONLY = 0o027
NAMES = "synchronous_standby_names"


def check_programs(at: Installation) -> None:
    """The programs that every action needs."""
    p = at.parameters
    for path, parameter in (
        (p.pgctl, "pgctl"),
        (p.psql, "psql"),
        *((at.tool(name), "pgctl") for name in TOOLS),
    ):
        if os.environ.get("OCF_TESTER_FAIL_HAVE_BINARY") or not is_program(path):
            raise NotInstalled(f"{path} is not an executable program; install it or correct {parameter}")
    at.account  # noqa: B018 - raises if there is no such user


def is_program(path: str) -> bool:
    """Whether a path leads to something that can be executed."""
    return os.path.isfile(path) and os.access(path, os.X_OK)


def check_before_start(at: Installation) -> None:
    """Everything, in the order in which an administrator would want to hear of it."""
    checks: tuple[Callable[[Installation], None], ...] = (
        check_programs,
        _check_data_directory,
        _check_version,
        _check_writable,
        _check_places,
        check_passfile,
        _check_standby_names,
        _check_pid_file,
        _check_port,
    )
    for check in checks:
        check(at)


def problems(at: Installation) -> tuple[str, ...]:
    """What would stand in the way of the next start, as far as it can be seen, without writing, beside a server."""
    checks = (check_programs, _check_data_directory, _check_version, _check_places, _check_standby_names)
    return tuple(dict.fromkeys(filter(None, (problem_of(check, at) for check in checks))))


def problem_of(check: Callable[[Installation], None], at: Installation) -> str:
    """What a check complains of; empty if of nothing."""
    try:
        check(at)
    except AgentError as problem:
        return str(problem)
    return ""


def _check_data_directory(at: Installation) -> None:
    at.major()
    try:
        found = os.stat(at.folder)
    except OSError as problem:
        raise NotPermitted(f"cannot use pgdata {at.parameters.pgdata}: {problem.strerror}") from None
    if found.st_uid != at.account.uid:
        raise NotPermitted(f"pgdata {at.folder} does not belong to {at.account.name}; chown it or correct pgdba")
    if found.st_mode & OWNER_ONLY:
        raise NotPermitted(f"pgdata {at.folder} is open to other users; chmod it to 0700 or 0750")


def _check_version(at: Installation) -> None:
    done = run([at.tool("postgres"), "-V"], timeout=SHORT_COMMAND, environ=at.environ)
    words = done.out.split()
    version = words[2].split(".")[0] if len(words) > 2 else ""
    digits = "".join(char for char in version if char.isdigit())
    if digits and int(digits) != at.major():
        raise BadArguments(
            f"pgdata {at.folder} was made by PostgreSQL {at.major()}, but pgctl is of version {digits}; "
            "correct pgctl, or upgrade the data directory"
        )


def _check_writable(at: Installation) -> None:
    """By writing: access rights tell nothing of a file system that is full or was remounted read-only."""
    probe = at.within("expgsql.probe")

    def attempt() -> None:
        files.write(probe, "0" * 8192)
        files.remove(probe)

    files.as_user(at.account, attempt)


def _check_places(at: Installation) -> None:
    p, user = at.parameters, at.account
    places.check_readable(user, at.config, "config", "set config to the server's postgresql.conf")
    places.check_log(user, p.logfile, "logfile")
    if p.socketdir:
        places.check_folder(user, p.socketdir, "socketdir")
    if p.rep_mode is not RepMode.NONE:
        places.check_own_folder(user, p.tmpdir, "tmpdir")


def check_passfile(at: Installation) -> None:
    """libpq ignores a password file that others can read."""
    p, user = at.parameters, at.account
    if p.passfile:
        places.check_readable(user, p.passfile, "passfile", f"create it for {user.name}, mode 0600")
        places.check_private(p.passfile, "passfile")


def _check_standby_names(at: Installation) -> None:
    """A setting that outranks our include file would decide instead of the cluster who is in sync."""
    if at.parameters.rep_mode is RepMode.NONE:
        return
    settings = files.read(at.within("postgresql.auto.conf")) or ""
    if any(line.split("=")[0].strip().lower() == NAMES for line in settings.splitlines()):
        raise BadArguments(
            f"{NAMES} was set by ALTER SYSTEM, which outranks the cluster; start the server by hand and run "
            f"ALTER SYSTEM RESET {NAMES}, or delete its line from postgresql.auto.conf"
        )
    if NAMES in at.parameters.start_opt.lower().replace("-", "_"):
        raise BadArguments(f"start_opt sets {NAMES}, which is the cluster's to set; remove it")


def _check_pid_file(at: Installation) -> None:
    """A pid file left by a power loss may name a process of today; PostgreSQL would refuse without saying this."""
    content = files.read(at.within(proc.PID_FILE)) or ""
    first = content.partition("\n")[0].strip()
    if not first.isdigit():
        return
    _await_burial(int(first))
    try:
        owner = os.stat(f"/proc/{first}").st_uid
    except OSError:
        return
    if owner == at.account.uid and not proc.serves(int(first), at.folder):
        raise BadArguments(
            f"postmaster.pid names process {first}, which is not this server's; no server runs here: "
            f"delete {at.within(proc.PID_FILE)}"
        )


def _await_burial(pid: int) -> None:
    """Give the parent of a server that was killed a moment: PostgreSQL would take its zombie for a running server."""
    end = time.monotonic() + ZOMBIE_SECONDS
    while proc.is_zombie(pid) and time.monotonic() < end:
        time.sleep(0.02)


def _check_port(at: Installation) -> None:
    import errno
    import socket

    if isinstance(proc.postmaster(at.parameters.pgdata), proc.Alive):
        return  # its own server has it
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", at.parameters.pgport))
        except OSError as problem:
            if problem.errno == errno.EADDRINUSE:
                raise BadArguments(
                    f"port {at.parameters.pgport} is taken by another process; stop it or correct pgport"
                ) from None
