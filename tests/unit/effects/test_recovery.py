# SPDX-License-Identifier: GPL-2.0-or-later
"""The files that make a server a standby, for PostgreSQL 12 and newer and for 10 and 11."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expgsql_ra.effects import files
from expgsql_ra.effects.recovery import HEADER, Following, Recovery, conninfo, names_in, recovery_of
from expgsql_ra.errors import NotPermitted
from expgsql_ra.rules.replication import CLOSED

CONNECTED = Following("host=192.0.2.100 application_name=node1", "s_node1", "cp '/a b/%f' %p", "", "")
ALONE = CONNECTED._replace(conninfo="")
ALWAYS = ["restart_after_crash = 'off'", "wal_retrieve_retry_interval = '250ms'"]
CLOSED_LINE = "synchronous_standby_names = 'FIRST 1 (\"closed: this server is not the primary\")'"


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """A data directory and a directory for generated files."""
    (tmp_path / "pgdata").mkdir()
    (tmp_path / "tmp").mkdir()
    return tmp_path


def recovery(folders: Path, major: int) -> Recovery:
    """The way of that version."""
    return recovery_of(major, str(folders / "pgdata"), str(folders / "tmp"))


def settings(path: Path) -> list[str]:
    """The lines of a file without the header."""
    return path.read_text(encoding="utf-8").removeprefix(HEADER).splitlines()


@pytest.mark.parametrize("major", [12, 15, 18])
def test_a_standby_of_a_new_version(folders: Path, major: int) -> None:
    recovery(folders, major).become_standby(CLOSED, CONNECTED)
    assert (folders / "pgdata/standby.signal").read_text(encoding="utf-8") == ""
    assert settings(folders / "tmp/rep_mode.conf") == [
        "restart_after_crash = 'off'",
        "wal_retrieve_retry_interval = '250ms'",
        "primary_conninfo = 'host=192.0.2.100 application_name=node1'",
        "primary_slot_name = 's_node1'",
        "restore_command = 'cp ''/a b/%f'' %p'",
        "archive_cleanup_command = ''",
        "recovery_end_command = ''",
        "recovery_target_timeline = 'latest'",
        CLOSED_LINE,
    ]
    assert not (folders / "pgdata/recovery.conf").exists()


@pytest.mark.parametrize("major", [10, 11])
def test_a_standby_of_an_old_version(folders: Path, major: int) -> None:
    recovery(folders, major).become_standby(CLOSED, CONNECTED)
    assert not (folders / "pgdata/standby.signal").exists()
    assert settings(folders / "tmp/rep_mode.conf") == [*ALWAYS, CLOSED_LINE]
    assert settings(folders / "pgdata/recovery.conf") == [
        "standby_mode = 'on'",
        "primary_conninfo = 'host=192.0.2.100 application_name=node1'",
        "primary_slot_name = 's_node1'",
        "restore_command = 'cp ''/a b/%f'' %p'",
        "recovery_target_timeline = 'latest'",
    ]


def test_a_standby_that_follows_nobody_uses_no_slot(folders: Path) -> None:
    recovery(folders, 15).become_standby(CLOSED, ALONE)
    lines = settings(folders / "tmp/rep_mode.conf")
    assert "primary_conninfo = ''" in lines
    assert "primary_slot_name = ''" in lines
    recovery(folders, 11).become_standby(CLOSED, ALONE)
    assert not [line for line in settings(folders / "pgdata/recovery.conf") if line.startswith("primary")]


@pytest.mark.parametrize("major", [11, 15])
def test_a_primary_has_no_signal_and_follows_nobody(folders: Path, major: int) -> None:
    recovery(folders, major).become_standby(CLOSED, CONNECTED)
    recovery(folders, major).become_primary("")
    assert [path.name for path in (folders / "pgdata").iterdir()] == []
    assert settings(folders / "tmp/rep_mode.conf") == [*ALWAYS, "synchronous_standby_names = ''"]


@pytest.mark.parametrize("major", [11, 15])
@pytest.mark.parametrize("names", ['FIRST 1 ("node2")', "", CLOSED])
def test_a_primary_that_keeps_its_names_finds_its_settings_as_they_were(folders: Path, major: int, names: str) -> None:
    # R4: never rewritten from what was read somewhere else
    recovery(folders, major).become_standby(CLOSED, ALONE)
    recovery(folders, major).rename(names)
    before = (folders / "tmp/rep_mode.conf").stat()
    recovery(folders, major).become_primary(None)
    assert [path.name for path in (folders / "pgdata").iterdir()] == []
    assert (folders / "tmp/rep_mode.conf").stat() == before


@given(st.text(st.characters(codec="utf-8", exclude_characters="\n\r\0\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029")))
def test_names_are_read_from_the_settings_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, names: str
) -> None:
    folders = tmp_path_factory.mktemp("names")
    (folders / "tmp").mkdir()
    for major in (11, 15):
        recovery(folders, major).rename(names)
        assert names_in((folders / "tmp/rep_mode.conf").read_text(encoding="utf-8")) == names


@pytest.mark.parametrize(
    ("content", "names"),
    [
        ("", None),
        (HEADER, None),
        ("#synchronous_standby_names = 'node2'\n", None),
        ("synchronous_standby_names = ''\n", ""),
        ("synchronous_standby_names = 'a'\nrestart_after_crash = 'off'\nsynchronous_standby_names = 'b'\n", "b"),
    ],
)
def test_where_no_names_are_set_none_are_read(content: str, names: str | None) -> None:
    assert names_in(content) == names


@pytest.mark.parametrize("major", [11, 15])
def test_other_names_leave_everything_else_as_it_is(folders: Path, major: int) -> None:
    recovery(folders, major).become_standby(CLOSED, CONNECTED)
    before = settings(folders / "tmp/rep_mode.conf")
    for names in ('FIRST 1 ("node-2")', "", 'FIRST 1 ("it\'s")'):
        recovery(folders, major).rename(names)
    assert settings(folders / "tmp/rep_mode.conf") == [
        *before[:-1],
        "synchronous_standby_names = 'FIRST 1 (\"it''s\")'",
    ]


@pytest.mark.parametrize(("major", "reloads"), [(11, False), (12, False), (13, True), (18, True)])
def test_which_versions_take_a_new_primary_by_a_reload(folders: Path, major: int, reloads: bool) -> None:
    assert recovery(folders, major).reloads is reloads


CHANGES: dict[str, Callable[[Recovery], None]] = {
    "become a standby": lambda of: of.become_standby(CLOSED, CONNECTED),
    "become a primary": lambda of: of.become_primary(""),
    "other names": lambda of: of.rename('FIRST 1 ("node2")'),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
@pytest.mark.parametrize("major", [11, 15])
def test_where_the_settings_cannot_be_written_the_role_does_not_change(
    folders: Path, major: int, change: Callable[[Recovery], None]
) -> None:
    recovery(folders, major).become_standby(CLOSED, CONNECTED)
    role = sorted(path.name for path in (folders / "pgdata").iterdir())
    before = settings(folders / "tmp/rep_mode.conf")
    (folders / "tmp/rep_mode.conf.new").mkdir()
    (folders / "tmp/rep_mode.conf.new/in the way").touch()
    with pytest.raises(NotPermitted, match=r"rep_mode\.conf"):
        change(recovery(folders, major))
    assert sorted(path.name for path in (folders / "pgdata").iterdir()) == role
    assert settings(folders / "tmp/rep_mode.conf") == before


@pytest.mark.parametrize("major", [11, 15])
def test_a_primary_does_not_become_a_standby_without_its_settings(folders: Path, major: int) -> None:
    # a standby without the closed names of its settings could be promoted by a left-over signal and acknowledge alone
    (folders / "tmp/rep_mode.conf.new").mkdir()
    with pytest.raises(NotPermitted, match=r"rep_mode\.conf"):
        recovery(folders, major).become_standby(CLOSED, CONNECTED)
    assert list((folders / "pgdata").iterdir()) == []


# --- connection strings -----------------------------------------------------------------------


def pairs_of(text: str) -> dict[str, str]:
    """What libpq reads: later settings win; its quoting is close enough to a shell's with these values."""
    return dict(word.split("=", 1) for word in shlex.split(text))


def test_our_settings_come_last_and_win() -> None:
    text = conninfo(
        (("host", "192.0.2.1"), ("passfile", ""), ("application_name", "node-1.example")), "sslmode=require"
    )
    assert text == "sslmode=require host=192.0.2.1 application_name=node-1.example"


@given(
    st.text(st.characters(codec="ascii", categories=["L", "N", "P", "S", "Zs"], exclude_characters="'\\\""), min_size=1)
)
def test_any_value_is_quoted_so_that_it_stays_one(value: str) -> None:
    assert pairs_of(conninfo((("user", value), ("application_name", "n")), "")) == {
        "user": value,
        "application_name": "n",
    }


@pytest.mark.parametrize(("value", "quoted"), [("it's", r"'it\'s'"), ("a\\b", r"'a\\b'"), ("", ""), ("::1", "::1")])
def test_quotes_and_backslashes_are_escaped_as_libpq_wants(value: str, quoted: str) -> None:
    assert conninfo((("host", value),), "") == (f"host={quoted}" if value else "")


def test_files_are_written_whole(folders: Path) -> None:
    recovery(folders, 15).become_standby(CLOSED, CONNECTED)
    assert files.read(str(folders / "tmp/rep_mode.conf.new")) is None
