# SPDX-License-Identifier: GPL-2.0-or-later
"""Servers of every version that the lab's nodes run."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.lab.layer import HOST
from tests.postgresql.programs import USER, Programs, programs_of
from tests.postgresql.server import OPEN, PATIENCE, Server, names

MakeServer = Callable[..., Server]


@pytest.fixture(scope="session", params=[HOST, "trixie"])
def programs(request: pytest.FixtureRequest) -> Programs:
    """The servers of this machine and of the newer Debian, one after the other."""
    if os.geteuid() != 0:
        pytest.skip("a real server needs root: it runs as the user postgres")
    return programs_of(request.param)


@pytest.fixture(scope="session")
def template(programs: Programs) -> Iterator[Path]:
    """A data directory as initdb leaves it, made once for each version."""
    with tempfile.TemporaryDirectory(prefix="expgsql-postgresql-") as name:
        shutil.chown(name, USER, USER)
        data = Path(name, "data")
        initdb = programs.start("initdb", "--no-sync", "-E", "UTF8", "-A", "trust", "-U", USER, "-D", str(data))
        assert initdb.wait(PATIENCE * 2) == 0
        yield data


@pytest.fixture
def folder() -> Iterator[Path]:
    """A directory that the server's user reaches; its path is short enough for a socket's."""
    with tempfile.TemporaryDirectory(prefix="expgsql-pg-") as name:
        Path(name).chmod(0o711)
        yield Path(name)


@pytest.fixture
def make(programs: Programs, folder: Path) -> Iterator[MakeServer]:
    """Make servers; all of them are cleared away, and their logs are shown if the test fails."""
    made: list[Server] = []

    def server(name: str, source: Path) -> Server:
        made.append(Server(programs, folder, name))
        made[-1].fill_from(source)
        return made[-1]

    yield server
    for one in made:
        one.clear_away()
        print(f"--- {one.name}\n{one.logged()[-4000:]}")


@pytest.fixture
def primary(make: MakeServer, template: Path) -> Server:
    """A primary that waits for nobody, with the table ``t``."""
    server = make("p", template)
    # The workers of asynchronous I/O would be born before the checkpointer.
    extra = {"io_method": "sync"} if server.programs.major >= 18 else {}
    server.write_settings(synchronous_standby_names=OPEN, **extra)
    server.start()
    server.ask("create table t (what text)")
    return server


@pytest.fixture
def pair(primary: Server, make: MakeServer) -> tuple[Server, Server]:
    """A primary that waits for its standby, and the standby, which has all."""
    (standby,) = with_standbys(primary, make, "s")
    return primary, standby


def with_standbys(primary: Server, make: MakeServer, *called: str) -> list[Server]:
    """Standbys under these names, which have all; the primary waits for the first alone."""
    primary.stop()
    standbys = [make(name, primary.data) for name in called]
    primary.write_settings(synchronous_standby_names=names(called[0]))
    primary.start()
    for one in standbys:
        one.follow(primary)
        one.start()
    primary.wait_streaming_to(*standbys)
    return standbys
