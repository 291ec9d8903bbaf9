# SPDX-License-Identifier: GPL-2.0-or-later
"""What a node keeps: never lost to a kill, never believed of a copy, never "nothing" because it is damaged."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expgsql_ra.effects.durable import DirectoryFile, SeenFile, own_folder
from expgsql_ra.effects.process import Account, account
from expgsql_ra.errors import CannotTell, NotPermitted
from expgsql_ra.record import NOTHING_SEEN, HighWater, Kept, Record, Successor, first_record

DAMAGED = ["", "{", "[]", "null", '"text"', "1", '{"epoch": 1}', "\x00" * 64, "[" * 5000]
KILLS = 12


def a_record(epoch: int = 1, revision: int = 1) -> Record:
    """A record of which nothing else matters here."""
    return first_record("", Successor("node1", "d1"), (epoch, revision), "node1", "test")


def me() -> Account:
    """Whoever runs the tests."""
    return account(pwd.getpwuid(os.geteuid()).pw_name)


@pytest.fixture
def pgdata(tmp_path: Path) -> Path:
    """What looks like a data directory."""
    return a_database(tmp_path / "data")


def a_database(path: Path) -> Path:
    """A directory with a control file."""
    (path / "global").mkdir(parents=True)
    (path / "global/pg_control").touch()
    return path


def directory(path: Path, node: str = "node1") -> DirectoryFile:
    """What the agent of a node sees."""
    return DirectoryFile(str(path), me(), node)


# --- what was seen ----------------------------------------------------------------------------


def seen(folder: Path) -> SeenFile:
    """That of the resource pgsql."""
    return SeenFile("pgsql", str(folder / "expgsql"))


def test_a_new_node_has_seen_nothing(tmp_path: Path) -> None:
    assert seen(tmp_path).load() == NOTHING_SEEN


def test_what_was_seen_only_grows(tmp_path: Path) -> None:
    assert seen(tmp_path).saw(a_record(epoch=2, revision=9)) == HighWater(2, 9)
    assert seen(tmp_path).saw(a_record(epoch=3, revision=7)) == HighWater(3, 9)
    assert seen(tmp_path).saw(a_record(epoch=1, revision=1)) == HighWater(3, 9)
    assert seen(tmp_path).load() == HighWater(3, 9)


def test_each_resource_has_seen_its_own(tmp_path: Path) -> None:
    seen(tmp_path).saw(a_record(epoch=2, revision=9))
    assert SeenFile("other", str(tmp_path / "expgsql")).load() == NOTHING_SEEN


def test_it_is_for_root_alone(tmp_path: Path) -> None:
    seen(tmp_path).saw(a_record())
    assert (tmp_path / "expgsql").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "expgsql/pgsql.json").stat().st_mode & 0o777 == 0o600


def test_a_folder_where_others_can_write_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "expgsql").mkdir()
    (tmp_path / "expgsql").chmod(0o777)
    with pytest.raises(NotPermitted, match="must belong to root"):
        seen(tmp_path).saw(a_record())


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "expgsql").write_text("a file", encoding="utf-8")
    with pytest.raises(NotPermitted, match="cannot create"):
        own_folder(str(tmp_path / "expgsql/below"))


@pytest.mark.parametrize("content", [*DAMAGED, '{"epoch": "1", "revision": 1}', '{"epoch": -1, "revision": 1}'])
def test_a_damaged_file_is_not_nothing_seen(tmp_path: Path, content: str) -> None:
    seen(tmp_path).saw(a_record(epoch=2, revision=9))
    (tmp_path / "expgsql/pgsql.json").write_text(content, encoding="utf-8")
    with pytest.raises(CannotTell, match="damaged"):
        seen(tmp_path).load()
    with pytest.raises(CannotTell, match="damaged"):
        seen(tmp_path).saw(a_record(epoch=3, revision=10))


def test_a_file_that_cannot_be_read_is_not_nothing_seen(tmp_path: Path) -> None:
    (tmp_path / "expgsql/pgsql.json").mkdir(parents=True)
    with pytest.raises(CannotTell, match="cannot read"):
        seen(tmp_path).load()


# --- what a data directory knows of itself ----------------------------------------------------


def test_a_new_directory_gets_an_id_that_stays(pgdata: Path) -> None:
    first = directory(pgdata).identity()
    assert (len(first.directory), first.epoch, first.timeline) == (32, 0, 0)
    assert directory(pgdata).identity() == first
    assert directory(pgdata, "NODE1").identity() == first


def test_a_completed_promotion_is_remembered(pgdata: Path) -> None:
    first = directory(pgdata).identity()
    assert directory(pgdata).completed(7, 4) == Kept(first.directory, 7, 4)
    assert directory(pgdata).identity() == Kept(first.directory, 7, 4)


def test_a_promotion_of_a_directory_without_an_id_gives_it_one(pgdata: Path) -> None:
    kept = directory(pgdata).completed(7, 4)
    assert directory(pgdata).identity() == kept


def test_it_is_the_servers_file(pgdata: Path) -> None:
    directory(pgdata).identity()
    assert (pgdata / "expgsql.state").stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act for another user")
def test_it_belongs_to_the_servers_user() -> None:
    with tempfile.TemporaryDirectory(prefix="expgsql-") as folder:  # pytest's own folders are closed to other users
        Path(folder).chmod(0o711)
        pgdata = a_database(Path(folder) / "data")
        user = account("nobody")
        shutil.chown(pgdata, user.uid)
        kept = DirectoryFile(str(pgdata), user, "node1").completed(1, 2)
        assert (pgdata / "expgsql.state").stat().st_uid == user.uid
        assert DirectoryFile(str(pgdata), user, "node1").identity() == kept


def test_a_renamed_directory_is_the_same(pgdata: Path, tmp_path: Path) -> None:
    kept = directory(pgdata).completed(7, 4)
    pgdata.rename(tmp_path / "elsewhere")
    assert directory(tmp_path / "elsewhere").identity() == kept


def assert_new(found: Kept, old: Kept) -> None:
    """It has an id of its own and knows of no promotion."""
    assert found.directory != old.directory
    assert (found.epoch, found.timeline) == (0, 0)


def test_a_base_backup_of_another_node_is_a_new_directory(pgdata: Path, tmp_path: Path) -> None:
    kept = directory(pgdata).completed(7, 4)
    copy = a_database(tmp_path / "copy")
    shutil.copy2(pgdata / "expgsql.state", copy)
    assert_new(directory(copy, "node2").identity(), kept)
    assert directory(pgdata).identity() == kept


def test_a_rewind_that_overwrites_the_file_in_place_makes_a_new_directory(pgdata: Path, tmp_path: Path) -> None:
    directory(pgdata).completed(7, 4)
    other = a_database(tmp_path / "other")
    theirs = directory(other, "node2").completed(8, 5)
    (pgdata / "expgsql.state").write_bytes((other / "expgsql.state").read_bytes())
    assert_new(directory(pgdata).identity(), theirs)


@pytest.mark.parametrize("command", ["cp --archive {} {}", "cp --recursive --reflink=auto {} {}"])
def test_a_copy_on_the_same_node_is_a_new_directory(pgdata: Path, tmp_path: Path, command: str) -> None:
    kept = directory(pgdata).completed(7, 4)
    copy = tmp_path / "copy"
    subprocess.run(command.format(pgdata, copy).split(), check=True)
    assert_new(directory(copy).identity(), kept)


def test_a_copy_that_takes_the_place_of_the_original_is_a_new_directory(pgdata: Path, tmp_path: Path) -> None:
    # a file system may give the copy the very inode number that the original had
    kept = directory(pgdata).completed(7, 4)
    for _ in range(20):
        subprocess.run(["cp", "--archive", pgdata, tmp_path / "backup"], check=True)
        shutil.rmtree(pgdata)
        subprocess.run(["cp", "--archive", tmp_path / "backup", pgdata], check=True)
        shutil.rmtree(tmp_path / "backup")
        found = directory(pgdata).identity()
        assert_new(found, kept)
        kept = directory(pgdata).completed(7, 4)


@pytest.mark.parametrize("content", [*DAMAGED, '{"directory": 1}'])
def test_a_damaged_file_makes_a_new_directory(pgdata: Path, content: str) -> None:
    kept = directory(pgdata).completed(7, 4)
    (pgdata / "expgsql.state").write_text(content, encoding="utf-8")
    assert_new(directory(pgdata).identity(), kept)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("directory", "../../etc"),
        ("directory", None),
        ("epoch", "7"),
        ("epoch", True),
        ("timeline", -1),
        ("node", ["node1"]),
        ("mark", 5),
    ],
)
def test_what_we_cannot_have_written_is_void(pgdata: Path, field: str, value: object) -> None:
    kept = directory(pgdata).completed(7, 4)
    path = pgdata / "expgsql.state"
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**content, field: value}), encoding="utf-8")
    assert_new(directory(pgdata).identity(), kept)


def test_a_link_is_not_followed(pgdata: Path, tmp_path: Path) -> None:
    (pgdata / "expgsql.state").symlink_to(tmp_path / "target")
    with pytest.raises(CannotTell, match="cannot read"):
        directory(pgdata).identity()
    assert not (tmp_path / "target").exists()


def test_an_empty_mount_point_gets_no_id(tmp_path: Path) -> None:
    with pytest.raises(CannotTell, match="holds no database"):
        directory(tmp_path).identity()
    assert list(tmp_path.iterdir()) == []


LOOP = """
import os, pwd, sys
from expgsql_ra.effects.durable import DirectoryFile, SeenFile
from expgsql_ra.effects.process import account
from expgsql_ra.record import Successor, first_record
state = DirectoryFile(sys.argv[1], account(pwd.getpwuid(os.geteuid()).pw_name), "node1")
seen = SeenFile("pgsql", sys.argv[2])
for number in range(state.identity().epoch + 1, 10**6):
    seen.saw(first_record("", Successor("node1", "d1"), (number, number), "node1", "test"))
    state.completed(number, number)
    if number % 4 == 0:
        print(number, flush=True)
"""


def test_a_kill_at_any_moment_leaves_the_old_or_the_new(pgdata: Path, tmp_path: Path) -> None:
    kept = directory(pgdata).identity()
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3] / "src")}
    for number in range(KILLS):
        command = [sys.executable, "-c", LOOP, str(pgdata), str(tmp_path / "expgsql")]
        with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            child.stdout.readline()
            time.sleep(number / 3000)
            child.kill()
        found = directory(pgdata).identity()
        assert found.directory == kept.directory
        assert found.epoch > kept.epoch
        assert seen(tmp_path).load().epoch in {found.epoch, found.epoch + 1}
        kept = found


@given(epoch=st.integers(0, 2**63), revision=st.integers(0, 2**63))
def test_large_numbers_survive(tmp_path_factory: pytest.TempPathFactory, epoch: int, revision: int) -> None:
    folder = tmp_path_factory.mktemp("seen")
    seen(folder).saw(a_record(epoch=epoch, revision=revision))
    assert seen(folder).load() == HighWater(epoch, revision)
