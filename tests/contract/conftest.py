# SPDX-License-Identifier: GPL-2.0-or-later
"""A server to hold to the contract: the fake one, and a real one in a directory of its own (marked ``lab``)."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.builders import some_parameters
from tests.contract.subjects import FakeSubject, RealSubject, Subject
from tests.lab.layer import layer

from expgsql_ra.parameters import Parameters

USER = "postgres"


def a_free_port() -> int:
    """A port that nobody uses just now."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


def bindir() -> str:
    """The programs of the server to test: the newest on this machine, or another that EXPGSQL_PG_BINDIR names."""
    return os.environ.get("EXPGSQL_PG_BINDIR") or f"/usr/lib/postgresql/{layer('host').postgresql_versions[0]}/bin"


@contextmanager
def a_folder() -> Iterator[Path]:
    """A directory of the server's user. Not pytest's, which is nobody's but root's."""
    with tempfile.TemporaryDirectory(prefix="expgsql-contract-") as name:
        shutil.chown(name, USER, USER)
        yield Path(name)


@pytest.fixture(scope="session")
def template() -> Iterator[Path]:
    """A data directory as initdb leaves it, made once."""
    if os.geteuid() != 0:
        pytest.skip("a real server needs root: it runs as the user postgres")
    initdb = (f"{bindir()}/initdb", "--no-sync", "-A", "trust", "-U", USER)
    with a_folder() as folder:
        owner = pwd.getpwnam(USER)
        subprocess.run(
            [*initdb, "-D", folder / "data"],
            check=True,
            cwd="/",
            stdout=subprocess.DEVNULL,
            user=owner.pw_uid,
            group=owner.pw_gid,
            extra_groups=[],
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
        )
        yield folder / "data"


@pytest.fixture
def real(template: Path) -> Iterator[RealSubject]:
    """A stopped PostgreSQL server of the newest version on this machine."""
    with a_folder() as folder:
        pgdata = folder / "pgdata"
        subprocess.run(["cp", "--archive", template, pgdata], check=True)
        subject = RealSubject(parameters_of(folder, pgdata))
        yield subject
        subject.clear_away()


def parameters_of(folder: Path, pgdata: Path) -> Parameters:
    """Parameters for a server of its own in that folder."""
    return some_parameters(
        pgctl=f"{bindir()}/pg_ctl",
        psql=f"{bindir()}/psql",
        pgdata=str(pgdata),
        pgport=a_free_port(),
        socketdir=str(folder),
        tmpdir=str(folder / "tmp"),
        logfile=str(folder / "server.log"),
        master_ip="127.0.0.1",
        start_opt="-c fsync=off -c wal_retrieve_retry_interval=200ms",
    )


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.lab)])
def subject(request: pytest.FixtureRequest) -> Subject:
    """Both, one after the other."""
    if request.param == "fake":
        return FakeSubject()
    found: RealSubject = request.getfixturevalue("real")
    return found
