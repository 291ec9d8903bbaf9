# SPDX-License-Identifier: GPL-2.0-or-later
"""Files: whole or not at all, no links followed, and every surprise an error of ours."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expgsql_ra.effects import files
from expgsql_ra.effects.process import account
from expgsql_ra.errors import CannotTell, NotInstalled, NotPermitted


@given(content=st.text(st.characters(exclude_categories=["Cs"]), max_size=200))
def test_a_file_is_read_as_it_was_written(tmp_path_factory: pytest.TempPathFactory, content: str) -> None:
    path = str(tmp_path_factory.mktemp("files") / "conf")
    files.write(path, "before")
    files.write(path, content)
    assert files.read(path) == content


@given(content=st.binary(max_size=100))
def test_bytes_of_any_encoding_survive_a_rewrite(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    # an administrator's comments in postgresql.conf need not be UTF-8
    path = tmp_path_factory.mktemp("files") / "conf"
    path.write_bytes(content)
    files.write(str(path), f"{files.read(str(path))}more\n")
    assert path.read_bytes() == content + b"more\n"


def test_a_written_file_is_private_and_leaves_no_other(tmp_path: Path) -> None:
    files.write(str(tmp_path / "conf"), "text")
    assert (tmp_path / "conf").stat().st_mode & 0o777 == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["conf"]


def test_what_was_left_of_an_interrupted_write_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "conf.new").write_text("half", encoding="utf-8")
    files.write(str(tmp_path / "conf"), "whole")
    assert files.read(str(tmp_path / "conf")) == "whole"
    assert not (tmp_path / "conf.new").exists()


def test_what_cannot_be_written_whole_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "conf"
    files.write(str(path), "before")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(NotPermitted, match="File too large"):
            files.write(str(path), "after" * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_text(encoding="utf-8") == "before"
    assert [one.name for one in tmp_path.iterdir()] == ["conf"]


def test_a_link_is_replaced_and_never_written_through(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("precious", encoding="utf-8")
    for name in ("conf", "conf.new"):
        (tmp_path / name).symlink_to(target)
    files.write(str(tmp_path / "conf"), "mine")
    assert target.read_text(encoding="utf-8") == "precious"
    assert not (tmp_path / "conf").is_symlink()


def test_a_link_is_not_read_through(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret", encoding="utf-8")
    (tmp_path / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(CannotTell, match="cannot read"):
        files.read(str(tmp_path / "link"))


def test_a_file_that_is_not_there_is_an_answer(tmp_path: Path) -> None:
    assert files.read(str(tmp_path / "missing")) is None
    (tmp_path / "file").touch()
    assert files.read(str(tmp_path / "file" / "below")) is None
    files.remove(str(tmp_path / "missing"))


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(CannotTell, match="Is a directory"):
        files.read(str(tmp_path))
    with pytest.raises(NotPermitted, match="Is a directory"):
        files.write(str(tmp_path), "text")
    (tmp_path / "below").mkdir()
    with pytest.raises(NotPermitted, match="cannot remove"):
        files.remove(str(tmp_path / "below"))


def test_a_file_too_large_to_be_ours_is_not_read_in_part(tmp_path: Path) -> None:
    (tmp_path / "conf").write_bytes(b"#" * (2 * files.READ_LIMIT))
    with pytest.raises(CannotTell, match="a file of this size"):
        files.read(str(tmp_path / "conf"))


def test_a_pipe_does_not_hang_the_reader(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert files.read(str(tmp_path / "pipe")) == ""


def test_a_directory_that_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotPermitted, match="No such file or directory; free space or correct its owner"):
        files.write(str(tmp_path / "missing" / "conf"), "text")


def test_the_end_of_a_log_is_read_whatever_it_is(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"x" * 100_000 + b"\nFATAL:  \xff last\n")
    assert files.tail(str(log)).splitlines()[-1] == "FATAL:  \ufffd last"
    assert [files.tail(str(path)) for path in (tmp_path, tmp_path / "missing", Path("/dev/null"))] == [""] * 3


def test_acting_as_oneself_changes_nothing() -> None:
    myself = account("root")
    assert files.as_user(myself, os.geteuid) == os.geteuid()


def test_a_user_that_does_not_exist_is_told() -> None:
    with pytest.raises(NotInstalled, match="there is no user nobody-of-that-name on this node; set pgdba"):
        account("nobody-of-that-name")
