# SPDX-License-Identifier: GPL-2.0-or-later
"""The data directory as files: marks, configuration that stays, a copy that takes its place."""

from __future__ import annotations

import os
import pwd
import stat
from pathlib import Path

import pytest
from tests.builders import some_parameters

from expgsql_ra.effects import marks
from expgsql_ra.effects.folder import DataFolder
from expgsql_ra.effects.installation import Installation
from expgsql_ra.errors import Refused
from expgsql_ra.repairs import Mark


@pytest.fixture
def pgdata(tmp_path: Path) -> Path:
    """What looks like a data directory, with configuration of the node's own."""
    path = tmp_path / "data"
    for folder in ("base", "global", "pg_wal", "conf.d", "log"):
        (path / folder).mkdir(parents=True)
    for name, content in {
        "PG_VERSION": "15\n",
        "postgresql.conf": "own\n",
        "pg_hba.conf": "own\n",
        "postgresql.auto.conf": "own\n",
        "conf.d/extra.conf": "own\n",
        "server.key": "own\n",
        "global/pg_control": "database",
        "pg_wal/archived.conf": "database",
        "log/old.conf": "log",
    }.items():
        (path / name).write_text(content)
    (path / "server.key").chmod(0o600)
    return path


@pytest.fixture
def folder(pgdata: Path, tmp_path: Path) -> DataFolder:
    """The same as the repair sees it."""
    me = pwd.getpwuid(os.geteuid()).pw_name
    parameters = some_parameters(pgdata=str(pgdata), pgdba=me)
    return DataFolder("pgsql", Installation(parameters, "node1"), str(tmp_path / "state"))


def a_copy(path: Path) -> None:
    """What a base backup leaves: the primary's files."""
    for name in ("base", "global", "pg_wal"):
        (path / name).mkdir(parents=True)
    for name in ("PG_VERSION", "postgresql.conf", "pg_hba.conf", "expgsql.state", "standby.signal"):
        (path / name).write_text("15\n" if name == "PG_VERSION" else "the primary's\n")


def test_a_mark_keeps_a_directory_from_being_started(pgdata: Path, folder: DataFolder) -> None:
    marks.check(str(pgdata))
    folder.mark(Mark.REPAIRING)
    folder.mark(Mark.REPAIRING)
    with pytest.raises(Refused, match="run expgsql repair"):
        marks.check(str(pgdata))
    folder.mark(Mark.REWINDING)
    assert folder.look().marks == (Mark.REWINDING, Mark.REPAIRING)
    with pytest.raises(Refused, match="half rewound"):
        marks.check(str(pgdata))
    for mark in Mark:
        folder.unmark(mark)
        folder.unmark(mark)
    marks.check(str(pgdata))


def test_a_mark_is_nothing_that_pg_rewind_removes(pgdata: Path, folder: DataFolder) -> None:
    folder.mark(Mark.REWINDING)
    assert stat.S_ISFIFO((pgdata / Mark.REWINDING).lstat().st_mode)


def test_the_nodes_own_files_outlast_a_rewind(pgdata: Path, folder: DataFolder) -> None:
    folder.keep_configuration()
    (pgdata / "conf.d/extra.conf").unlink()
    (pgdata / "server.key").unlink()
    for name in ("postgresql.conf", "pg_hba.conf", "expgsql.state"):
        (pgdata / name).write_text("the primary's\n")
    folder.restore_configuration()
    for name in ("postgresql.conf", "pg_hba.conf", "conf.d/extra.conf", "server.key"):
        assert (pgdata / name).read_text() == "own\n"
    assert (pgdata / "server.key").stat().st_mode & 0o777 == 0o600
    assert not (pgdata / "expgsql.state").exists()
    folder.forget_configuration()
    assert list((pgdata.parent / "state").iterdir()) == []


def test_what_was_kept_for_an_earlier_rewind_is_not_put_back_after_a_later_one(
    pgdata: Path, folder: DataFolder
) -> None:
    folder.keep_configuration()
    (pgdata / "pg_hba.conf").write_text("newer\n")
    folder.keep_configuration()
    folder.restore_configuration()
    assert (pgdata / "pg_hba.conf").read_text() == "newer\n"


def test_a_copy_gets_the_nodes_own_files_and_takes_the_place(pgdata: Path, folder: DataFolder) -> None:
    folder.mark(Mark.REPAIRING)
    folder.make_room()
    a_copy(Path(folder.new))
    folder.complete()
    assert folder.look().ready
    old = folder.take_place()
    assert (pgdata / "pg_hba.conf").read_text() == "own\n"
    assert not (pgdata / "expgsql.state").exists()
    assert not (pgdata / "standby.signal").exists()
    assert (pgdata / "log").exists() is False
    found = folder.look()
    assert (found.present, found.ready, found.marks, found.olds) == (True, False, (), (old,))
    assert (Path(old) / "global/pg_control").read_text() == "database"
    folder.discard_old(old)
    assert folder.look().olds == ()


def test_after_a_rewind_that_did_not_end_the_copy_gets_what_was_kept_before_it(
    pgdata: Path, folder: DataFolder
) -> None:
    folder.keep_configuration()
    folder.mark(Mark.REWINDING)
    (pgdata / "pg_hba.conf").write_text("the primary's\n")
    folder.make_room()
    a_copy(Path(folder.new))
    folder.complete()
    folder.take_place()
    assert (pgdata / "pg_hba.conf").read_text() == "own\n"


def test_a_lost_directory_gets_the_primarys_files(pgdata: Path, folder: DataFolder) -> None:
    pgdata.rename(pgdata.with_name("elsewhere"))
    found = folder.look()
    assert (found.present, found.empty) == (False, True)
    folder.mark(Mark.REPAIRING)
    folder.make_room()
    a_copy(Path(folder.new))
    folder.complete()
    assert folder.take_place() == ""
    assert (pgdata / "pg_hba.conf").read_text() == "the primary's\n"


def test_what_an_interrupted_copy_left_is_removed(folder: DataFolder) -> None:
    folder.make_room()
    a_copy(Path(folder.new))
    folder.make_room()
    assert list(Path(folder.new).iterdir()) == []


def test_places_of_tablespaces_have_to_be_empty(folder: DataFolder, tmp_path: Path) -> None:
    full, empty = tmp_path / "full", tmp_path / "empty"
    for one in (full, empty):
        one.mkdir()
    (full / "PG_15").touch()
    places = (str(full), str(empty), str(tmp_path / "missing"))
    assert folder.look(places).occupied == (str(full),)
    assert folder.look().free > 0
    assert not folder.look().is_mount_point
