# SPDX-License-Identifier: GPL-2.0-or-later
"""PostgreSQL's programs as a repair calls them: with which arguments, and what never is one."""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import Any

import pytest
from tests.builders import some_parameters

from expgsql_ra.effects.installation import Installation
from expgsql_ra.effects.mending import LiveTools
from expgsql_ra.errors import CannotTell, CommandFailed

SECRET = "hush-hush"
PROGRAM = """#!/bin/sh
{{ echo "$0 $*"; env; }} >> {log}
{answer}
"""


class Bench:
    """Programs that note how they were called."""

    def __init__(self, folder: Path, major: int = 15, **parameters: Any) -> None:
        self.log = folder / "calls"
        self.log.touch()
        self.folder = folder
        for name in ("pg_ctl", "pg_rewind", "pg_basebackup", "postgres", "psql"):
            self.answers(name)
        (folder / "data").mkdir()
        (folder / "data/PG_VERSION").write_text(f"{major}\n")
        (folder / "tmp").mkdir()
        me = pwd.getpwuid(os.geteuid()).pw_name
        given = some_parameters(
            pgdata=str(folder / "data"),
            pgdba=me,
            pgctl=str(folder / "pg_ctl"),
            tmpdir=str(folder / "tmp"),
            master_ip="192.0.2.100",
            repuser="replication",
            **parameters,
        )
        self.tools = LiveTools(Installation(given, "node1"), str(folder / "data.new"))

    def answers(self, name: str, answer: str = "") -> None:
        """What a program prints, and how it ends."""
        path = self.folder / name
        path.write_text(PROGRAM.format(log=self.log, answer=answer))
        path.chmod(0o755)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """With a password where it must not be seen."""
    options = f"sslmode=require password={SECRET}"
    return Bench(tmp_path, primary_conninfo_opt=options, passfile="/etc/pass")


def arguments(bench: Bench) -> str:
    """Of everything that was called."""
    return "\n".join(line for line in bench.log.read_text().splitlines() if line.startswith(str(bench.folder)))


def test_a_password_is_never_an_argument(bench: Bench) -> None:
    bench.answers("psql", "echo '{}'")
    bench.tools.checkpoint_source(5)
    bench.tools.rewind(print, 5, trial=True)
    bench.tools.back_up(print, 5)
    assert SECRET not in arguments(bench)
    assert "sslmode=require" in arguments(bench)
    assert bench.log.read_text().count(f"PGPASSWORD={SECRET}") == 3
    assert bench.log.read_text().count("PGPASSFILE=/etc/pass") == 3


def test_nobody_connects_under_a_nodes_name(bench: Bench) -> None:
    bench.tools.rewind(print, 5, trial=False)
    assert "application_name='expgsql repair'" in arguments(bench)


def test_a_trial_changes_nothing(bench: Bench) -> None:
    bench.tools.rewind(print, 5, trial=True)
    assert "--dry-run" in arguments(bench)
    assert "--no-ensure-shutdown" in arguments(bench)


def test_archived_wal_is_used_where_there_is_an_archive(tmp_path: Path) -> None:
    bench = Bench(tmp_path, restore_command="cp '/archive/%f' %p")
    bench.tools.rewind(print, 5, trial=False)
    assert f"--restore-target-wal --config-file={tmp_path}/tmp/rewind.conf" in arguments(bench)
    assert (tmp_path / "tmp/rewind.conf").read_text() == "restore_command = 'cp ''/archive/%f'' %p'\n"


@pytest.mark.parametrize(("known", "wanted"), [("cp a b", True), ("", False)])
def test_postgresql_13_takes_the_command_from_its_own_file(tmp_path: Path, known: str, wanted: bool) -> None:
    bench = Bench(tmp_path, major=13, restore_command="cp a b")
    bench.answers("postgres", f"echo '{known}'")
    bench.tools.rewind(print, 5, trial=False)
    assert ("--restore-target-wal" in arguments(bench)) is wanted


def test_postgresql_12_knows_neither(tmp_path: Path) -> None:
    bench = Bench(tmp_path, major=12, restore_command="cp a b")
    bench.tools.rewind(print, 5, trial=False)
    assert "--restore-target-wal" not in arguments(bench)
    assert "--no-ensure-shutdown" not in arguments(bench)


def test_what_a_program_complains_of_is_passed_on(bench: Bench) -> None:
    bench.answers("pg_basebackup", "echo 'no space left' >&2; exit 1")
    with pytest.raises(CommandFailed, match=r"pg_basebackup failed \(1\): no space left"):
        bench.tools.back_up(print, 5)


def test_crash_recovery_serves_nobody_and_knows_no_standby(bench: Bench) -> None:
    (bench.folder / "data/standby.signal").touch()
    bench.tools.recover(print, 5)
    assert not (bench.folder / "data/standby.signal").exists()
    assert "postgres --single -D" in arguments(bench)
    assert f"config_file={bench.folder}/data/postgresql.conf" in arguments(bench)
    assert " -F" not in arguments(bench)


def test_the_primary_tells_what_it_is(bench: Bench) -> None:
    answer = (
        '{"system": "7", "recovery": false, "timeline": "0000000A", "checkpointed": 9, "tablespaces": ["/t"], '
        '"size": 5}'
    )
    bench.answers("psql", f"echo '{answer}'")
    found = bench.tools.source(5)
    assert (found.system, found.in_recovery, found.timeline, found.checkpointed) == ("7", False, 10, 9)
    assert (found.size, found.tablespaces) == (5, ("/t",))


def test_a_size_that_is_not_to_be_known_is_not_guessed(bench: Bench) -> None:
    answer = '{"system": "7", "recovery": true, "timeline": null, "checkpointed": 9, "tablespaces": null}'
    bench.answers("psql", f"grep -q pg_database_size && exit 3\necho '{answer}'")
    assert bench.tools.source(5).size is None


def test_a_primary_that_lets_nobody_in_is_said_to(bench: Bench) -> None:
    bench.answers("psql", "echo 'no pg_hba.conf entry' >&2; exit 2")
    with pytest.raises(CannotTell, match=r"does not let replication in at 192.0.2.100.*no pg_hba.conf entry"):
        bench.tools.source(5)
