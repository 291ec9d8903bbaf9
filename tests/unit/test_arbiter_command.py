# SPDX-License-Identifier: GPL-2.0-or-later
"""``expgsql arbiter`` without saying which: the cluster's resource knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from expgsql_ra.cli import arbiter, expgsql, run
from expgsql_ra.deployment import Deployment
from expgsql_ra.effects.deployed import NoClusterHere, read_deployment
from expgsql_ra.parameters import Parameters
from expgsql_ra.record import Found, Missing, Past, Reading, Successor, Unreachable, first_record

GOLDEN = Path(__file__).parents[1] / "golden"
RECORD = first_record("7", Successor("node1", "d1"), (3, 17), "root", "created")


def a_deployment(**parameters: Any) -> Deployment:
    """The recorded cluster with other parameters."""
    cib = (GOLDEN / "cib/pacemaker-2.1-healthy.xml").read_text(encoding="utf-8")
    found = read_deployment(cib, (GOLDEN / "crm_mon/pacemaker-2.1.xml").read_text(encoding="utf-8"), "", "node1")
    return found._replace(parameters=Parameters(**parameters))


class Authority:
    """One that answers."""

    def read(self, _within: float) -> Found:
        """The record."""
        return Found(RECORD)

    def history(self, _newest: int, _within: float) -> Past:
        """Nothing happened."""
        return Past(())


ARBITER = {"enable_distlock": True, "distlock_conninfo": "host=a", "distlock_lockname": "c1", "passfile": "/p"}


@pytest.mark.parametrize(
    ("parameters", "options", "asked"),
    [
        (ARBITER, [], ("host=a", "c1", "/p")),
        (ARBITER, ["--passfile", "/mine"], ("host=a", "c1", "/mine")),
        (ARBITER, ["--conninfo", "host=b", "--lockname", "c2"], ("host=b", "c2", "")),
        ({}, [], ("cluster:", "pgsql", "")),
    ],
)
def test_the_resource_says_which(
    parameters: dict[str, Any],
    options: list[str],
    asked: tuple[str, str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    seen = []

    def remembered(conninfo: str, lockname: str, _ttl: int, passfile: str = "") -> Authority:
        seen.append((conninfo, lockname, passfile))
        return Authority()

    monkeypatch.setattr(arbiter, "deployed", lambda *_: a_deployment(**parameters))
    monkeypatch.setattr(arbiter, "authority_of", remembered)
    assert run(expgsql, ["arbiter", "show", *options]) == 0
    assert seen == [asked]
    assert capsys.readouterr().out.startswith(f"{asked[1]}\n  primary    node1")


@pytest.mark.parametrize("options", [[], ["--conninfo", "host=a"], ["--lockname", "c1"]])
def test_without_a_cluster_it_has_to_be_said(options: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(*_: object) -> None:
        raise NoClusterHere("nobody answers")

    monkeypatch.setattr(arbiter, "deployed", nobody)
    assert run(expgsql, ["arbiter", "show", *options]) == 100


@pytest.mark.parametrize(
    ("reading", "code", "said"),
    [
        (Found(RECORD), 0, "the record is there and would be left as it is"),
        (Missing("there are no tables yet"), 0, "would create the record: node2 as primary, epoch 4, revision 1"),
        (Unreachable("no route to host"), 1, "no route to host"),
    ],
)
def test_a_dry_run_only_reads(
    reading: Reading, code: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class ReadOnly:
        def read(self, _within: float) -> Reading:
            return reading

    monkeypatch.setattr(arbiter, "authority_of", lambda *_: ReadOnly())
    words = ["--conninfo", "host=a", "--lockname", "c1", "--primary", "node2", "--epoch", "4", "--dry-run"]
    assert run(expgsql, ["arbiter", "init", *words]) == code
    told = capsys.readouterr()
    assert said in told.out + told.err
