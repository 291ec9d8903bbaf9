# SPDX-License-Identifier: GPL-2.0-or-later
"""The commands that change the cluster, as they are typed: arguments, exit codes, and the names of old."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.builders import NODES
from tests.fake_operator import FakeCluster, a_deployment

from expgsql_ra.cli import COMMANDS, control, expgsql, run
from expgsql_ra.cli.old_names import OLD_NAMES, called
from expgsql_ra.cli.outcome import Exit
from expgsql_ra.effects.deployed import NoClusterHere
from expgsql_ra.site import Site

DOCS = Path(__file__).parents[2] / "docs"
Given = Callable[[FakeCluster], FakeCluster]


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Given:
    """Have the commands work on a fake."""

    def use(cluster: FakeCluster) -> FakeCluster:
        def site(_resource: str, _timeout: float, *, dry_run: bool = False, yes: bool = False) -> Site:
            cluster.console.agrees = yes or dry_run
            return cluster.site(dry_run=dry_run)

        monkeypatch.setattr(control, "site", site)
        monkeypatch.setattr(control, "configured_nodes", lambda: NODES)
        return cluster

    return use


def moving(cluster: FakeCluster) -> FakeCluster:
    """Pacemaker does what it is told."""

    def passing() -> None:
        for one in cluster.now.constraints:
            cluster.promote(one.node)
        if cluster.now.disabled:
            cluster.now = cluster.now._replace(roles=())

    cluster.passing = passing
    return cluster


def test_a_switchover_ends_well(given: Given) -> None:
    cluster = given(moving(FakeCluster()))
    assert run(expgsql, ["switchover"]) == Exit.DONE
    assert cluster.now.promoted == "node2"


def test_each_kind_of_no_has_its_code(given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = given(FakeCluster())
    assert run(expgsql, ["switchover", "node3"]) == Exit.NOT_NOW
    assert run(expgsql, ["switchover", "node9"]) == Exit.BAD_ARGUMENTS
    assert run(expgsql, ["switchover", "node2", "--wait", "1"]) == Exit.NOT_IN_TIME
    assert run(expgsql, ["switchover", "--nonsense"]) == Exit.BAD_ARGUMENTS
    cluster.now = cluster.now._replace(view=cluster.now.view._replace(quorate=False))
    assert run(expgsql, ["switchover"]) == Exit.INCONSISTENT

    def none() -> None:
        raise NoClusterHere("none")

    monkeypatch.setattr(cluster, "deployment", none)
    assert run(expgsql, ["switchover"]) == Exit.NO_CLUSTER


def test_what_is_dangerous_is_asked(given: Given) -> None:
    cluster = given(moving(FakeCluster()))
    assert run(expgsql, ["stop"]) == Exit.NOT_NOW  # the real console's no is an error of its own
    assert cluster.done == []
    assert run(expgsql, ["stop", "--dry-run"]) == Exit.DONE
    assert cluster.done == []
    assert run(expgsql, ["stop", "--yes"]) == Exit.DONE
    assert "node1$ systemctl stop corosync" in cluster.done


def test_the_names_of_old_do_not_ask(given: Given) -> None:
    cluster = given(moving(FakeCluster()))
    assert called("cls_stop", []) == Exit.DONE
    assert "node1$ systemctl stop corosync" in cluster.done


@pytest.mark.parametrize(
    ("name", "arguments", "effect"),
    [
        ("cls_maintenance", [], "maintenance on"),
        ("cls_unmanage", [], "maintenance on"),
        ("cls_maintenance_node", ["node2"], "maintenance on node2"),
        ("cls_unmaintenance", [], "maintenance off"),
        ("cls_unmaintenance_node", ["node2"], "maintenance off node2"),
        ("cls_unstandby_node", ["node2"], "standby node2 off"),
        ("cls_cleanup", [], "cleanup msPostgresql"),
        ("cls_start", [], "node1$ systemctl start corosync pacemaker"),
    ],
)
def test_names_of_old_do_what_they_did(given: Given, name: str, arguments: list[str], effect: str) -> None:
    cluster = given(FakeCluster())
    assert called(name, arguments) == Exit.DONE
    assert effect in cluster.done


def test_a_name_of_old_that_needs_a_node_says_so(given: Given) -> None:
    given(FakeCluster())
    assert called("cls_standby_node", []) == Exit.BAD_ARGUMENTS


def test_naming_a_primary_is_refused_while_there_is_one(given: Given) -> None:
    cluster = given(FakeCluster(a_deployment()))
    assert called("cls_reset_master", []) == Exit.NOT_NOW
    assert cluster.done == []


def test_the_primary_to_be_is_an_argument_of_the_name_of_old(given: Given, capsys: pytest.CaptureFixture[str]) -> None:
    given(FakeCluster(a_deployment()._replace(roles=())))
    assert called("cls_reset_master", ["node9", "--without", "node3"]) == Exit.BAD_ARGUMENTS
    assert "node9" in capsys.readouterr().err
    assert called("cls_reset_master", ["node2", "node3"]) == Exit.BAD_ARGUMENTS
    assert "unexpected extra argument (node3)" in capsys.readouterr().err


def test_every_name_of_old_is_explained() -> None:
    text = (DOCS / "control.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| (`[^|]*?) \| `expgsql ([^`]*)` \|$", text, re.MULTILINE))
    told = {re.sub(r"[` ]|NODE", "", name): new for names, new in rows.items() for name in names.split(",")}
    installed = tomllib.loads((DOCS.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    assert set(told) == set(installed) - {"expgsql", "distlock"}
    for name, words in OLD_NAMES.items():
        assert told[name].startswith(" ".join(words)), name


def test_every_command_of_the_page_exists() -> None:
    text = (DOCS / "control.md").read_text(encoding="utf-8").split("## The names of old")[0]
    named = set(re.findall(r"expgsql ([a-z-]+)\b", text)) - {"why"}
    assert named - set(COMMANDS) == set()
