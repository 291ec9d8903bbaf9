# SPDX-License-Identifier: GPL-2.0-or-later
"""Gathering for the doctor: the configuration out of a CIB, a node's own word, and what cannot be had."""

from __future__ import annotations

import getpass
import json
import os
from pathlib import Path

import pytest
from tests.builders import some_parameters

from expgsql_ra.checkup import ConfiguredOperation, NodeCheckup, Starter, as_mapping, from_mapping
from expgsql_ra.deployment import Deployment
from expgsql_ra.effects import checkup, starters
from expgsql_ra.effects.checkup_cib import seconds, understood
from expgsql_ra.effects.deployed import read_deployment
from expgsql_ra.effects.installation import Installation
from expgsql_ra.effects.preflight import check_passfile, problem_of, problems
from expgsql_ra.effects.process import Result
from expgsql_ra.errors import CannotTell

GOLDEN = Path(__file__).parents[2] / "golden"
HEALTHY = (GOLDEN / "cib/pacemaker-2.1-healthy.xml").read_text(encoding="utf-8")


@pytest.mark.parametrize("version", ["2.1", "3.0"])
def test_the_configuration_is_read_as_pcs_has_made_it(version: str) -> None:
    document = (GOLDEN / f"cib/pacemaker-{version}-healthy.xml").read_text(encoding="utf-8")
    found = understood(document, "pgsql", "msPostgresql")
    assert ConfiguredOperation("monitor", "Promoted", 3.0, 60.0) in found.operations
    assert ConfiguredOperation("monitor", "", 4.0, 60.0) in found.operations
    assert ConfiguredOperation("stop", "", 0.0, 60.0) in found.operations
    assert {"notify": "true", "promotable": "true", "migration-threshold": "3"}.items() <= found.meta.items()
    assert found.bans == ()
    assert found.fences == ()


LITTLE = """
<cib><configuration>
 <resources>
  <master id="old"/>
  <clone id="c"><meta_attributes id="m1"><nvpair id="a" name="notify" value="true"/></meta_attributes>
   <primitive id="pgsql" class="ocf" provider="heartbeat" type="expgsql">
    <meta_attributes id="m2"><nvpair id="b" name="failure-timeout" value="60"/></meta_attributes>
    <operations>
     <op id="o1" name="monitor" interval="3" role="Master"/>
     <op id="o2" name="stop"><meta_attributes id="m3"><nvpair id="d" name="timeout" value="2min"/></meta_attributes>
     </op>
    </operations>
   </primitive></clone>
  <primitive id="ipmi" class="stonith" type="fence_ipmilan"/>
 </resources>
 <rsc_defaults><meta_attributes id="m4"><nvpair id="e" name="failure-timeout" value="1"/></meta_attributes>
 </rsc_defaults>
 <op_defaults><meta_attributes id="m5"><nvpair id="f" name="timeout" value="40s"/></meta_attributes></op_defaults>
 <constraints>
  <rsc_colocation id="k" rsc="vips" with-rsc="c" with-rsc-role="Master"/>
  <rsc_location id="cli-ban-c-on-node1" rsc="c" node="node1" score="-INFINITY"/>
  <rsc_location id="cli-prefer-vips" rsc="vips" node="node1" score="INFINITY"/>
  <rsc_location id="cli-prefer-web" rsc="web" node="node1" score="INFINITY"/>
  <rsc_location id="mine" rsc="c" node="node1" score="5"/>
 </constraints>
</configuration></cib>
"""


def test_what_is_nearest_counts() -> None:
    found = understood(LITTLE, "pgsql", "c")
    assert found.meta == {"notify": "true", "failure-timeout": "60"}
    assert found.operations == (
        ConfiguredOperation("monitor", "Promoted", 3.0, 40.0),
        ConfiguredOperation("stop", "", 0.0, 120.0),
    )
    assert found.bans == (("cli-ban-c-on-node1", "c"), ("cli-prefer-vips", "vips"))
    assert found.fences == ("ipmi",)


def test_without_the_resource_there_are_no_operations() -> None:
    assert understood(LITTLE, "other", "").operations == ()


def test_what_is_no_document_is_said() -> None:
    with pytest.raises(CannotTell, match="no XML"):
        understood("<cib", "pgsql", "")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        *(("10", 10.0), ("10s", 10.0), ("500ms", 0.5), ("2min", 120.0), ("1h", 3600.0), ("PT1M30S", 90.0)),
        *(("PT2H", 7200.0), ("PT", None), ("soon", None), ("3 parsecs", None), (None, None), ("1.5s", 1.5)),
    ],
)
def test_durations_of_pacemaker(text: str | None, meant: float | None) -> None:
    assert seconds(text) == meant


# --- a node's word ----------------------------------------------------------------------------


def a_deployment() -> Deployment:
    """The recorded cluster, with this user as the server's."""
    status = (GOLDEN / "crm_mon/pacemaker-2.1.xml").read_text(encoding="utf-8")
    found = read_deployment(HEALTHY, status, "pgsql", "node1")
    here = some_parameters(pgdba=getpass.getuser(), pgdata="/nowhere", pgctl="/nowhere/pg_ctl", master_ip="127.0.0.1")
    return found._replace(parameters=here, nodes=found.nodes[:1])


def test_a_node_where_nothing_is_right_still_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    found = checkup.checkup_here(a_deployment(), 1.0)
    assert found.node == "node1"
    assert any("pgctl" in one for one in found.problems)
    assert found.replication.keys() == {"127.0.0.1"}
    assert all(found.replication.values())
    assert from_mapping(json.loads(json.dumps(as_mapping(found)))) == found


def answer(**changes: object) -> Result:
    """What a node says, as its command prints it."""
    return Result(0, json.dumps({**as_mapping(NodeCheckup("n", clock=1000.0)), **changes}), "")


def test_the_clock_is_compared_with_when_the_answer_was_here() -> None:
    found = checkup._understood("node2", answer())
    assert (found.node, found.why) == ("node2", "")
    assert found.offset < -1e6


@pytest.mark.parametrize(
    ("done", "why"),
    [
        (Result(255, "", "Permission denied"), "ssh does not get there: Permission denied"),
        (Result(101, "", "Error: no cluster answers"), "no cluster answers"),
        (Result(0, "{}", ""), "another version"),
        (Result(0, "hello", ""), "another version"),
        (answer(more=1), "another version"),
    ],
)
def test_a_node_that_does_not_tell_is_a_fact(done: Result, why: str) -> None:
    assert why in checkup._understood("node2", done).why


def test_nobody_is_asked_where_there_is_nobody() -> None:
    assert checkup.checkups_of((), "pgsql", "node1", 1.0) == ()


def test_a_passfile_has_a_check_of_its_own(tmp_path: Path) -> None:
    passfile = tmp_path / "pass"
    passfile.write_text("*:*:*:*:hush\n", encoding="utf-8")
    passfile.chmod(0o644)
    at = Installation(some_parameters(pgdba=getpass.getuser(), passfile=str(passfile)), "node1")
    assert "chmod it to 0600" in problem_of(check_passfile, at)
    assert not any("passfile" in one for one in problems(at))
    passfile.chmod(0o600)
    assert problem_of(check_passfile, at) == ""


# --- what the system starts -------------------------------------------------------------------


def test_debians_umbrella_starts_what_is_marked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, how in (("main", "auto"), ("other", "manual"), ("bare", "")):
        place = tmp_path / "17" / name
        place.mkdir(parents=True)
        place.joinpath("start.conf").write_text(f"# comment\n{how}\n", encoding="utf-8")
        place.joinpath("postgresql.conf").write_text(
            f"#port = 1\ndata_directory = '/var/lib/postgresql/17/{name}'\t# where\nport = 5433\n", encoding="utf-8"
        )
    monkeypatch.setattr(starters, "DEBIANS", str(tmp_path))
    told = ["postgresql.service enabled enabled", "postgresql@.socket enabled enabled", ""]
    monkeypatch.setattr(starters, "_systemctl", lambda *_: told)
    assert list(starters.starters()) == [Starter("postgresql.service", "/var/lib/postgresql/17/main", "5433")]


def test_elsewhere_a_unit_starts_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starters, "DEBIANS", "/nowhere")
    monkeypatch.setattr(starters, "_systemctl", lambda *_: ["postgresql.service enabled disabled"])
    assert list(starters.starters()) == [Starter("postgresql.service")]


def test_where_systemd_does_not_answer_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starters, "_systemctl", lambda *_: [])
    assert starters.units() == {}
    monkeypatch.setattr(starters, "_systemctl", lambda *_: ["enabled", "disabled"])
    assert starters.units() == {"corosync": "enabled", "pacemaker": "disabled"}


def test_a_file_system_is_told_once(tmp_path: Path) -> None:
    at = Installation(some_parameters(pgdata=str(tmp_path), tmpdir=str(tmp_path / "none")), "node1")
    paths = [disk.path for disk in checkup._disks(at)]
    assert paths[0] == os.path.realpath(tmp_path)
    assert len(paths) == len(set(paths))
