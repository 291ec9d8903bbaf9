# SPDX-License-Identifier: GPL-2.0-or-later
"""``expgsql doctor`` and ``expgsql completion``: what they print, and with which exit code they end."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from tests.checkups import a_node, facts, settings

from expgsql_ra.checkup import Facts
from expgsql_ra.cli import doctor, expgsql, run
from expgsql_ra.effects.deployed import NoClusterHere
from expgsql_ra.effects.reader import LiveReader
from expgsql_ra.errors import AgentError, BadArguments, CannotTell
from expgsql_ra.rules.checkup import CHECKS

Called = Callable[..., tuple[int, str]]


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Called:
    """Run the doctor on facts; its code and what it printed."""

    def call(seen: Facts, *arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(doctor, "look", lambda *_: seen)
        code = run(expgsql, ["doctor", *arguments])
        return code, capsys.readouterr().out

    return call


def test_all_is_fine(called: Called) -> None:
    assert called(facts()) == (0, f"fine: 0 errors, 0 warnings, {len(CHECKS)} checks fine\n")


def test_warnings(called: Called) -> None:
    code, out = called(facts(a_node("node2", offset=9.0)))
    assert code == 1
    assert out.splitlines() == [
        "warning clocks           node2: its clock is 9.0 s ahead: logs, histories and lags in seconds mislead",
        "                         -> on node2: timedatectl set-ntp true",
        f"warnings: 0 errors, 1 warnings, {len(CHECKS) - 1} checks fine",
    ]


def test_errors_are_what_counts_and_can_be_left_out(called: Called) -> None:
    seen = facts(settings(fsync="off"), a_node("node3", offset=9.0))
    assert called(seen)[0] == 2
    assert called(seen, "--ignore", "durability")[0] == 1
    assert called(seen, "--ignore", "durability", "--ignore", "clocks")[0] == 0


def test_all_of_it_on_request(called: Called) -> None:
    _, out = called(facts(), "--all")
    assert all(f"ok      {check.name}" in out for check in CHECKS)


def test_for_programs(called: Called) -> None:
    code, out = called(facts(settings(fsync="off")), "--json")
    told = json.loads(out)
    assert (code, told["worst"]) == (2, "error")
    assert [one["check"] for one in told["findings"]] == ["durability"]
    assert told["findings"][0]["node"] == "node2"
    assert told["findings"][0]["remedy"].startswith("psql")
    assert len(json.loads(called(facts(), "--json", "--all")[1])["findings"]) == len(CHECKS)


def test_an_unknown_check_is_a_wrong_argument(called: Called) -> None:
    assert called(facts(), "--ignore", "everything")[0] == 100


@pytest.mark.parametrize(
    ("problem", "code"),
    [(NoClusterHere("none"), 101), (BadArguments("which?"), 100), (CannotTell("no answer"), 102)],
)
def test_where_nothing_can_be_seen(problem: AgentError, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def deployment(_: LiveReader) -> None:
        raise problem

    monkeypatch.setattr(LiveReader, "deployment", deployment)
    assert run(expgsql, ["doctor"]) == code


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_clicks_own(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(expgsql, ["completion", shell]) == 0
    out = capsys.readouterr().out
    assert "_EXPGSQL_COMPLETE" in out
    assert "expgsql" in out


def test_the_program_completes(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("_EXPGSQL_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "expgsql doc")
    monkeypatch.setenv("COMP_CWORD", "1")
    with pytest.raises(SystemExit):
        run(expgsql, [])
    assert capsys.readouterr().out.splitlines() == ["plain,doctor"]
