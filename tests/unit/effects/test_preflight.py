# SPDX-License-Identifier: GPL-2.0-or-later
"""What must hold before a start: each thing a user may get wrong has its code, its reason, and changes nothing."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.builders import some_parameters

from expgsql_ra.effects.installation import Installation
from expgsql_ra.effects.preflight import check_before_start
from expgsql_ra.errors import AgentError
from expgsql_ra.ocf import Code
from expgsql_ra.parameters import Parameters
from expgsql_ra.values import RepMode

NAMES = "synchronous_standby_names"


def a_free_port() -> int:
    """A port that nobody uses just now."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A machine on which everything is right: programs that answer, and a data directory of version 15."""
    programs, pgdata = tmp_path / "bin", tmp_path / "pgdata"
    programs.mkdir()
    for name in ("pg_ctl", "psql", "postgres", "pg_controldata", "pg_isready"):
        (programs / name).write_text("#!/bin/sh\necho 'postgres (PostgreSQL) 15.9 (Debian 15.9-0)'\n", encoding="utf-8")
        (programs / name).chmod(0o755)
    pgdata.mkdir(0o700)
    (pgdata / "PG_VERSION").write_text("15\n", encoding="utf-8")
    (pgdata / "postgresql.conf").write_text("", encoding="utf-8")
    (pgdata / "postgresql.auto.conf").write_text("# Do not edit\nwork_mem = '4MB'\n", encoding="utf-8")
    (tmp_path / "passfile").write_text("*:*:*:*:hush\n", encoding="utf-8")
    (tmp_path / "passfile").chmod(0o600)
    return tmp_path


def parameters(host: Path, **changes: object) -> Parameters:
    """The parameters that fit this host."""
    fitting: dict[str, object] = {
        "pgctl": f"{host}/bin/pg_ctl",
        "psql": f"{host}/bin/psql",
        "pgdata": f"{host}/pgdata",
        "pgdba": getpass.getuser(),
        "pgport": a_free_port(),
        "passfile": f"{host}/passfile",
    }
    return some_parameters(**{**fitting, **changes})  # type: ignore[arg-type]


def contents(host: Path) -> dict[str, tuple[int, bytes]]:
    """Every file of the host, with its mode."""
    files = (path for path in host.rglob("*") if path.is_file())
    return {str(path): (path.stat().st_mode, path.read_bytes()) for path in files}


def complaint(host: Path, **changes: object) -> AgentError:
    """What is wrong; nothing may have been changed by looking."""
    before = contents(host)
    with pytest.raises(AgentError) as caught:
        check_before_start(Installation(parameters(host, **changes), "node1"))
    assert contents(host) == before
    return caught.value


def test_where_everything_is_right_nothing_is_said_or_changed(host: Path) -> None:
    before = contents(host)
    check_before_start(Installation(parameters(host), "node1"))
    assert contents(host) == before


# --- parameters that do not fit the host ------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "code", "reason"),
    [
        (
            {"pgctl": "/no/such/pg_ctl"},
            Code.ERR_INSTALLED,
            "/no/such/pg_ctl is not an executable program; install it or correct pgctl",
        ),
        (
            {"psql": "/etc/passwd"},
            Code.ERR_INSTALLED,
            "/etc/passwd is not an executable program; install it or correct psql",
        ),
        ({"pgdba": "nobody-of-that-name"}, Code.ERR_INSTALLED, "there is no user nobody-of-that-name on this node"),
        ({"pgdata": "/no/such/directory"}, Code.ERR_ARGS, "/no/such/directory is no data directory"),
        ({"pgdata": "/etc"}, Code.ERR_ARGS, "/etc is no data directory (it has no PG_VERSION)"),
        ({"config": "/no/such.conf"}, Code.ERR_ARGS, "config /no/such.conf does not exist; set config"),
        ({"passfile": "/no/such/passfile"}, Code.ERR_ARGS, "passfile /no/such/passfile does not exist; create it"),
        ({"start_opt": f"-c {NAMES}=x"}, Code.ERR_ARGS, f"start_opt sets {NAMES}"),
    ],
)
def test_a_parameter_that_does_not_fit_the_host(host: Path, changes: dict[str, object], code: int, reason: str) -> None:
    problem = complaint(host, **changes)
    assert (problem.code, str(problem)[: len(reason)]) == (code, reason)


# --- a host that is not as it should be -------------------------------------------------------

Spoil = Callable[[Path], object]
SPOILT: dict[str, tuple[Spoil, int, str]] = {
    "another major version": (
        lambda host: (host / "pgdata/PG_VERSION").write_text("14\n"),
        Code.ERR_ARGS,
        "was made by PostgreSQL 14, but pgctl is of version 15; correct pgctl, or upgrade",
    ),
    "a version that is too old": (
        lambda host: (host / "pgdata/PG_VERSION").write_text("9.6\n"),
        Code.ERR_ARGS,
        "is of PostgreSQL 9, which is too old; upgrade it to version 10 or newer",
    ),
    "a data directory that is open to others": (
        lambda host: (host / "pgdata").chmod(0o755),
        Code.ERR_PERM,
        "is open to other users; chmod it to 0700 or 0750",
    ),
    "names that were set by ALTER SYSTEM": (
        lambda host: (host / "pgdata/postgresql.auto.conf").write_text(f"{NAMES} = '*'\n"),
        Code.ERR_ARGS,
        f"{NAMES} was set by ALTER SYSTEM, which outranks the cluster",
    ),
    "names that were set in capitals": (
        lambda host: (host / "pgdata/postgresql.auto.conf").write_text(f"{NAMES.upper()}='*'\n"),
        Code.ERR_ARGS,
        f"{NAMES} was set by ALTER SYSTEM, which outranks the cluster",
    ),
    "a pid file that names a process of today": (
        lambda host: (host / "pgdata/postmaster.pid").write_text(f"{os.getpid()}\n"),
        Code.ERR_ARGS,
        f"postmaster.pid names process {os.getpid()}, which is not this server's; no server runs here: delete",
    ),
    "a program that was removed": (
        lambda host: (host / "bin/pg_controldata").unlink(),
        Code.ERR_INSTALLED,
        "pg_controldata is not an executable program; install it or correct pgctl",
    ),
}


@pytest.mark.parametrize(("spoil", "code", "reason"), SPOILT.values(), ids=SPOILT.keys())
def test_a_host_that_is_not_as_it_should_be(host: Path, spoil: Spoil, code: int, reason: str) -> None:
    spoil(host)
    problem = complaint(host)
    assert problem.code == code
    assert reason in str(problem)


def test_a_configuration_that_is_a_directory(host: Path) -> None:
    (host / "pgdata/postgresql.conf").unlink()
    (host / "pgdata/postgresql.conf").mkdir()
    assert "postgresql.conf is no file; set config" in str(complaint(host))


def test_a_port_that_is_taken(host: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        problem = complaint(host, pgport=taken.getsockname()[1])
    assert problem.code == Code.ERR_ARGS
    assert "is taken by another process; stop it or correct pgport" in str(problem)


@pytest.mark.parametrize("content", ["", "garbage\n", "999999999\n"])
def test_a_pid_file_that_names_nobody_is_postgresqls_to_judge(host: Path, content: str) -> None:
    (host / "pgdata/postmaster.pid").write_text(content, encoding="utf-8")
    check_before_start(Installation(parameters(host), "node1"))


def test_a_single_server_may_set_its_names_itself(host: Path) -> None:
    (host / "pgdata/postgresql.auto.conf").write_text(f"{NAMES} = '*'\n", encoding="utf-8")
    check_before_start(Installation(parameters(host, mode=RepMode.NONE), "node1"))


def test_a_passfile_may_stay_with_libpq(host: Path) -> None:
    (host / "passfile").unlink()
    check_before_start(Installation(parameters(host, passfile=""), "node1"))
