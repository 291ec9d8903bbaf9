# SPDX-License-Identifier: GPL-2.0-or-later
"""``expgsql arbiter`` and ``distlock`` as their users meet them: arguments, output and exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.contract.authorities import OnEtcd, OnPostgres, Remote
from tests.contract.test_arbiter import OLD_LAYOUT

pytestmark = [pytest.mark.lab, pytest.mark.timeout(120)]
BIN = Path(sys.executable).parent


def call(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run one of the commands."""
    return subprocess.run([BIN / program, *arguments], capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture(params=["on_postgres", "on_etcd"])
def remote(request: pytest.FixtureRequest) -> Remote:
    """An arbiter, empty."""
    found: Remote = request.getfixturevalue(request.param)
    return found


def arbiter(remote: Remote, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """``expgsql arbiter COMMAND`` for that arbiter."""
    return call("expgsql", "arbiter", command, "--conninfo", remote.where(), "--lockname", "cls1", *arguments)


def shown(remote: Remote) -> Any:
    """What ``show --json`` prints."""
    done = arbiter(remote, "show", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def test_a_record_is_created_by_the_command_that_names_its_primary(remote: Remote) -> None:
    assert arbiter(remote, "show").returncode == 10
    without = arbiter(remote, "init")
    assert without.returncode == 0
    assert "init --primary NODE" in without.stdout
    assert arbiter(remote, "show").returncode == 10
    assert arbiter(remote, "init", "--primary", "node1", "--system", "77", "--directory", "d1").returncode == 0
    found = shown(remote)
    assert found["record"]["primary"] == "node1"
    assert found["record"]["successors"] == {"node1": "d1"}
    assert (found["record"]["system"], found["record"]["epoch"], found["record"]["revision"]) == ("77", 1, 1)
    assert found["record"]["holder"] == ""
    assert [entry["revision"] for entry in found["history"]] == [1]


def test_init_again_changes_nothing(remote: Remote) -> None:
    arbiter(remote, "init", "--primary", "node1")
    before = shown(remote)
    again = arbiter(remote, "init", "--primary", "node2")
    assert again.returncode == 0
    assert "the record names node1 as primary; it was left as it is" in again.stdout
    assert arbiter(remote, "init").returncode == 0
    assert shown(remote) == before


def test_a_new_arbiter_begins_above_what_was_seen(remote: Remote) -> None:
    done = arbiter(remote, "init", "--primary", "node2", "--epoch", "8", "--revision", "124", "--json")
    record = json.loads(done.stdout)["record"]
    assert (record["primary"], record["epoch"], record["revision"]) == ("node2", 8, 124)


def test_people_get_text(remote: Remote) -> None:
    arbiter(remote, "init", "--primary", "node1")
    text = arbiter(remote, "show").stdout
    assert "primary    node1" in text
    assert "none: it serves alone" in text
    assert "epoch 1 revision 1: node1" in text


@pytest.mark.parametrize("conninfo", ["host=127.0.0.1 port=1 dbname=x", "etcd://127.0.0.1:1/x"])
@pytest.mark.parametrize("command", ["init", "show"])
def test_an_arbiter_out_of_reach_is_an_error(conninfo: str, command: str) -> None:
    done = call("expgsql", "arbiter", command, "--conninfo", conninfo, "--lockname", "x", "--timeout", "2")
    assert done.returncode == 1
    assert "cannot be reached" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("arbiter", "init"),
        ("arbiter", "show"),  # there is no cluster here that would know it
        ("arbiter", "show", "--conninfo", "etcd://"),
        ("arbiter", "show", "--lockname", "x"),
        ("arbiter", "show", "--conninfo", "etcd://", "--lockname", "x"),
        ("arbiter", "undo"),
        ("nothing",),
    ],
)
def test_wrong_arguments(arguments: tuple[str, ...]) -> None:
    assert call("expgsql", *arguments).returncode == 100


# --- distlock ---------------------------------------------------------------------------------


class Lock:
    """``distlock`` on a database, as the shell agent's configuration calls it."""

    def __init__(self, on: OnPostgres) -> None:
        self.on = on
        self.psql = f'/usr/bin/psql "{on.where()}"'

    def __call__(self, operation: str, owner: str, *times: str, path: str = "distlock:cls1") -> tuple[int, str]:
        """Exit code and output."""
        done = call("distlock", self.psql, operation, path, owner, *times)
        return done.returncode, done.stdout.strip()


@pytest.fixture(params=["old", "upgraded"])
def lock(request: pytest.FixtureRequest, on_postgres: OnPostgres) -> Lock:
    """A free lock, in a table of the old layout and in an upgraded one."""
    server, database = on_postgres.server, on_postgres.database
    server.do(OLD_LAYOUT, database)
    server.do("insert into distlock values ('cls1', '', now(), interval '-1 second')", database)
    if request.param == "upgraded":
        assert arbiter(on_postgres, "init").returncode == 0
    return Lock(on_postgres)


def test_a_lock_is_granted_to_one_owner(lock: Lock) -> None:
    assert lock("trylock", "node1", "100") == (0, "1")
    assert lock("trylock", "node1", "100") == (0, "1")
    assert lock("trylock", "node2", "100") == (0, "0")
    assert lock("lock", "node2", "100", "1") == (0, "0")
    assert lock("unlock", "node2") == (0, "0")
    assert lock("unlock", "node1") == (0, "1")
    assert lock("lock", "node2", "100", "1") == (0, "1")
    past = lock.on.server.do("select owner from distlock_history order by id", lock.on.database)
    assert past == [("",), ("node1",), ("",), ("node2",)]


def test_a_lock_is_waited_for(lock: Lock) -> None:
    assert lock("trylock", "node1", "1") == (0, "1")
    assert lock("lock", "node2", "100", "20") == (0, "1")


def test_names_are_data(lock: Lock) -> None:
    owner = "it's; drop table distlock; --"
    assert lock("trylock", owner, "100") == (0, "1")
    assert lock("unlock", owner) == (0, "1")
    assert lock("unlock", "x", path="distlock:it's") == (1, "")


def test_a_lock_that_does_not_exist_is_not_held_by_somebody(lock: Lock) -> None:
    assert lock("trylock", "node1", "100", path="distlock:other") == (1, "")
    assert lock("trylock", "node1", "100", path="elsewhere:cls1") == (1, "")


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("psql", "trylock", "distlock:cls1", "node1"),
        ("psql", "steal", "distlock:cls1", "node1", "10"),
        ("psql", "trylock", "distlock;x:cls1", "node1", "10"),
        ("psql | cat", "trylock", "distlock:cls1", "node1", "10"),
        ("psql", "trylock", "distlock:cls1", "", "10"),
    ],
)
def test_wrong_arguments_grant_nothing(arguments: tuple[str, ...]) -> None:
    done = call("distlock", *arguments)
    assert (done.returncode, done.stdout) == (1, "")


def test_a_server_out_of_reach_grants_nothing() -> None:
    done = call("distlock", "psql -h 127.0.0.1 -p 1", "trylock", "distlock:cls1", "node1", "10")
    assert (done.returncode, done.stdout) == (1, "")


def test_a_record_is_not_a_plain_lock(on_postgres: OnPostgres) -> None:
    arbiter(on_postgres, "init", "--primary", "node1")
    lock = Lock(on_postgres)
    for owner in ("node1", "node2"):
        assert lock("trylock", owner, "10") == (1, "")
        assert lock("unlock", owner) == (1, "")


def test_the_table_of_a_schema_and_variables_before_psql(lock: Lock) -> None:
    lock.psql = f"PGAPPNAME=x PGUSER=nobody {lock.psql}"
    assert lock("trylock", "node1", "10", path="public.distlock:cls1") == (0, "1")


def test_etcd_is_none_of_its_business(on_etcd: OnEtcd) -> None:
    done = call("distlock", on_etcd.where(), "trylock", "distlock:cls1", "node1", "10")
    assert done.returncode == 1
