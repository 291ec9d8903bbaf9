# SPDX-License-Identifier: GPL-2.0-or-later
"""A server to hold to the contract: the fake one, and a real one in a directory of its own (marked ``lab``)."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.builders import some_parameters
from tests.contract.subjects import FakeSubject, RealSubject, Subject
from tests.lab.layer import layer

USER = "postgres"


def a_free_port() -> int:
    """A port that nobody uses just now."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory as initdb leaves it, made once."""
    if os.geteuid() != 0:
        pytest.skip("a real server needs root: it runs as the user postgres")
    version = layer("host").postgresql_versions[0]
    folder = tmp_path_factory.mktemp("template")
    owner = pwd.getpwnam(USER)
    for parent in (folder, *folder.parents):
        if parent.stat().st_mode & 0o001 == 0:
            parent.chmod(parent.stat().st_mode | 0o011)
    shutil.chown(folder, USER, USER)
    subprocess.run(
        [f"/usr/lib/postgresql/{version}/bin/initdb", "-D", folder / "data", "--no-sync", "-A", "trust", "-U", USER],
        check=True,
        capture_output=True,
        cwd="/",
        user=owner.pw_uid,
        group=owner.pw_gid,
        extra_groups=[],
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
    )
    return folder / "data"


@pytest.fixture
def real(tmp_path: Path, template: Path) -> Iterator[RealSubject]:
    """A stopped PostgreSQL server of the newest version on this machine."""
    for parent in (tmp_path, *tmp_path.parents):
        if parent.stat().st_mode & 0o001 == 0:
            parent.chmod(parent.stat().st_mode | 0o011)
    pgdata = tmp_path / "pgdata"
    subprocess.run(["cp", "--archive", template, pgdata], check=True)
    shutil.chown(tmp_path, USER, USER)
    version = (pgdata / "PG_VERSION").read_text(encoding="utf-8").strip()
    parameters = some_parameters(
        pgctl=f"/usr/lib/postgresql/{version}/bin/pg_ctl",
        psql=f"/usr/lib/postgresql/{version}/bin/psql",
        pgdata=str(pgdata),
        pgport=a_free_port(),
        socketdir=str(tmp_path),
        tmpdir=str(tmp_path / "tmp"),
        logfile=str(tmp_path / "server.log"),
        master_ip="127.0.0.1",
        start_opt="-c fsync=off -c max_wal_senders=5 -c wal_retrieve_retry_interval=200ms",
    )
    subject = RealSubject(parameters)
    yield subject
    subject.clear_away()


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.lab)])
def subject(request: pytest.FixtureRequest) -> Subject:
    """Both, one after the other."""
    if request.param == "fake":
        return FakeSubject()
    found: RealSubject = request.getfixturevalue("real")
    return found
