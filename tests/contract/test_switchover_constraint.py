# SPDX-License-Identifier: GPL-2.0-or-later
"""What Pacemaker makes of the constraint that moves the promoted role, asked of its own scheduler without a cluster."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

from expgsql_ra.deployment import Constraint
from expgsql_ra.effects.clock import utc_in
from expgsql_ra.effects.deployed import read_deployment
from expgsql_ra.effects.pacemaker import LivePacemaker, location
from expgsql_ra.effects.process import run

GOLDEN = Path(__file__).parents[1] / "golden"
CIB = GOLDEN / "cib/pacemaker-2.1-healthy.xml"  # node1 is promoted, node2 may succeed; resources stick for ever
STATUS = GOLDEN / "crm_mon/pacemaker-2.1.xml"
NAME = "expgsql-switchover-msPostgresql"

pytestmark = pytest.mark.skipif(shutil.which("crm_simulate") is None, reason="Pacemaker is not installed")


class Offline:
    """A configuration in a file, on which Pacemaker's own tools work."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "cib.xml"
        self.path.write_text(CIB.read_text())
        self.path.chmod(0o600)

    def tool(self, words: Sequence[str]) -> str:
        environ = {**os.environ, "CIB_file": str(self.path), "LC_ALL": "C"}
        done = subprocess.run(words, env=environ, capture_output=True, text=True, check=True, timeout=30)
        return done.stdout

    def pacemaker(self, monkeypatch: pytest.MonkeyPatch) -> LivePacemaker:
        """Ours, working on the file."""
        environ = {"CIB_file": str(self.path)}
        monkeypatch.setattr("expgsql_ra.effects.pacemaker.run", partial(run, environ=environ))
        return LivePacemaker()

    def lay_down(self, scores: dict[str, str], seconds: float) -> None:
        constraint = location("msPostgresql", scores, utc_in(seconds))
        self.tool(["cibadmin", "--modify", "--allow-create", "--scope", "constraints", "--xml-text", constraint])

    def plan(self) -> list[str]:
        """Who is to be demoted and promoted."""
        lines = self.tool(["crm_simulate", "--live-check", "--simulate"]).splitlines()
        return sorted(line.split("action: ")[1].strip() for line in lines if "pgsql " in line and "action:" in line)


@pytest.fixture
def offline(tmp_path: Path) -> Offline:
    return Offline(tmp_path)


def moves(plan: list[str]) -> list[str]:
    words = [line.split() for line in plan]
    return [f"{one[-3]} {one[-1]}" for one in words if {"demote", "promote"} & set(one)]


def test_where_resources_stick_for_ever_the_role_moves_if_it_must_leave(offline: Offline) -> None:
    assert moves(offline.plan()) == []
    offline.lay_down({"node2": "INFINITY"}, 60)
    assert moves(offline.plan()) == []
    offline.lay_down({"node2": "INFINITY", "node1": "-INFINITY"}, 60)
    assert moves(offline.plan()) == ["demote node1", "promote node2"]


def test_elsewhere_a_preference_is_enough(offline: Offline) -> None:
    offline.path.write_text(
        offline.path.read_text().replace('resource-stickiness" value="INFINITY"', 'resource-stickiness" value="10000"')
    )
    offline.lay_down({"node2": "INFINITY"}, 60)
    assert moves(offline.plan()) == ["demote node1", "promote node2"]


def test_it_ends_by_itself(offline: Offline) -> None:
    offline.lay_down({"node2": "INFINITY", "node1": "-INFINITY"}, -1)
    assert moves(offline.plan()) == []


def test_it_is_known_as_ours_and_removed_by_its_name(offline: Offline, monkeypatch: pytest.MonkeyPatch) -> None:
    offline.lay_down({"node2": "INFINITY", "node1": "-INFINITY"}, 60)
    seen = read_deployment(offline.path.read_text(), STATUS.read_text(), "", "node1")
    assert seen.constraints == (Constraint(NAME, "node2", "INFINITY"), Constraint(NAME, "node1", "-INFINITY"))
    assert all(one.ours for one in seen.constraints)
    assert (seen.stuck, seen.view.switchover) == (True, True)
    pacemaker = offline.pacemaker(monkeypatch)
    pacemaker.lift(NAME)
    pacemaker.lift(NAME)
    left = read_deployment(offline.path.read_text(), STATUS.read_text(), "", "node1")
    assert (left.constraints, left.view.switchover) == ((), False)


def test_a_configuration_of_an_older_schema_takes_it_too(offline: Offline, monkeypatch: pytest.MonkeyPatch) -> None:
    old = offline.path.read_text().replace("pacemaker-3.9", "pacemaker-3.2").replace('"Promoted"', '"Master"')
    offline.path.write_text(old)
    offline.pacemaker(monkeypatch).move("msPostgresql", "node2", 60, "node1")
    assert moves(offline.plan()) == ["demote node1", "promote node2"]
