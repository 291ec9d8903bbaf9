# SPDX-License-Identifier: GPL-2.0-or-later
"""``expgsql repair`` and ``rebuild`` as they are typed: arguments, and what goes to another node."""

from __future__ import annotations

import os

import pytest
from click.testing import CliRunner

from expgsql_ra.cli import expgsql, run
from expgsql_ra.cli import repair as module
from expgsql_ra.cli.old_names import OLD_NAMES, _asks
from expgsql_ra.cli.outcome import Exit, Failure
from expgsql_ra.effects.process import Result


@pytest.mark.parametrize("command", ["repair", "rebuild"])
def test_help_says_what_it_does(command: str) -> None:
    done = CliRunner().invoke(expgsql, [command, "--help"])
    assert done.exit_code == 0
    assert "standby" in done.output or "base backup" in done.output
    assert "--background" not in done.output


@pytest.mark.parametrize("arguments", [["--nonsense"], ["--wait", "-1"], ["node1", "node2"]])
@pytest.mark.parametrize("command", ["repair", "rebuild"])
def test_wrong_arguments_are_refused(command: str, arguments: list[str]) -> None:
    assert run(expgsql, [command, *arguments]) == Exit.BAD_ARGUMENTS


def test_the_names_of_old_ask_nothing() -> None:
    assert all(_asks(OLD_NAMES[name]) for name in ("cls_repair_by_pg_rewind", "cls_repair_slave", "cls_rebuild_slave"))


class Elsewhere:
    """Another node, as far as ssh gets."""

    def __init__(self, *codes: int) -> None:
        self.codes = list(codes)
        self.calls: list[list[str]] = []

    def follow(self, argv: list[str], **_: object) -> Result:
        """Note the words that go to the other node's shell."""
        self.calls.append(argv[-1].split())
        return Result(self.codes.pop(0), "", "no route to host")


def test_on_another_node_it_is_first_told_and_then_done(monkeypatch: pytest.MonkeyPatch) -> None:
    there = Elsewhere(0, 11)
    monkeypatch.setattr(module, "follow", there.follow)
    assert run(expgsql, ["repair", "elsewhere", "--or-rebuild", "--keep-old", "--yes"]) == Exit.NOT_IN_TIME
    first, second = there.calls
    assert first[1:3] == second[1:3] == ["repair", "--or-rebuild"]
    assert (first[-1], second[-1]) == ("--dry-run", "--yes")
    assert "--keep-old" in second


def test_what_is_refused_there_is_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    there = Elsewhere(10)
    monkeypatch.setattr(module, "follow", there.follow)
    assert run(expgsql, ["rebuild", "elsewhere", "--yes"]) == Exit.NOT_NOW


def test_a_node_that_ssh_does_not_reach_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "follow", Elsewhere(255).follow)
    assert run(expgsql, ["rebuild", "elsewhere"]) == Exit.ERROR
    assert "ssh does not get to elsewhere" in capsys.readouterr().err


def test_this_node_by_its_name_is_this_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_elsewhere", None)
    monkeypatch.setattr(module, "site", lambda *_, **__: (_ for _ in ()).throw(Failure("looked here")))
    assert run(expgsql, ["repair", os.uname().nodename.upper()]) == Exit.ERROR
