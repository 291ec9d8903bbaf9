# SPDX-License-Identifier: GPL-2.0-or-later
"""Lasting changes: what the fake cluster makes of them, ``cibadmin`` makes of our document on a recorded CIB.

No cluster is needed: Pacemaker's tools work on the file that CIB_file names. Transient attributes need
the attribute manager of a running cluster; tests/system has those.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from tests.builders import NODES, a_context, a_history, some_parameters
from tests.fakes import Effects, FakeCluster

from expgsql_ra.changes import (
    Change,
    ClearWal,
    SetAncestry,
    SetDataStatus,
    SetFollows,
    SetReceiver,
    SetReplInfo,
    SetScore,
    SetStatus,
    SetWal,
    differing,
)
from expgsql_ra.effects.cluster import LiveCluster, lasting_changes, read_cib, transient_attributes
from expgsql_ra.errors import CannotTell
from expgsql_ra.snapshot import ClusterView, NoCluster, Unknown
from expgsql_ra.values import Attestation, Fork, Lsn, ReplInfo

RECORDED = Path(__file__).parents[1] / "golden/cib"
Lasting = SetDataStatus | SetReplInfo | SetAncestry
Apply = Callable[[tuple[Lasting, ...]], ClusterView]


@pytest.fixture
def cib(tmp_path: Path) -> Path:
    """The record of a cluster before its first primary, in a file."""
    if shutil.which("cibadmin") is None:
        pytest.skip("no cibadmin: run 'make deps'")
    path = tmp_path / "cib.xml"
    path.write_text((RECORDED / "pacemaker-2.1-first-start.xml").read_text(encoding="utf-8"), encoding="utf-8")
    return path


def cibadmin(cib: Path, *arguments: str) -> str:
    """Run Pacemaker's tool on a file."""
    environ = {**os.environ, "CIB_file": str(cib), "CIB_user": "root"}
    done = subprocess.run(["cibadmin", *arguments], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def view(cib: Path) -> ClusterView:
    """What the agent reads."""
    return read_cib(cibadmin(cib, "--query"), "pgsql", "node1", NODES)


@pytest.fixture(params=["fake", "real"])
def apply(request: pytest.FixtureRequest) -> Apply:
    """Apply changes and read the result."""
    if request.param == "fake":
        cluster = FakeCluster(NODES, Effects(lambda: None))
        return lambda changes: _faked(cluster, changes)
    path: Path = request.getfixturevalue("cib")
    ids = {name: name[-1] for name in NODES}
    return lambda changes: _written(path, changes, ids)


def _faked(cluster: FakeCluster, changes: tuple[Change, ...]) -> ClusterView:
    cluster.apply(changes)
    return cluster.state


def _written(path: Path, changes: tuple[Lasting, ...], ids: dict[str, str]) -> ClusterView:
    document = lasting_changes(list(changes), "pgsql", ids)
    cibadmin(path, "--modify", "--allow-create", "--scope", "configuration", "--xml-text", document)
    return view(path)


RECORD = ReplInfo("node1", 1, Lsn(0x1753608))


def test_marks_are_set_and_changed(apply: Apply) -> None:
    first = apply((SetDataStatus("node1", "LATEST"), SetDataStatus("node3", "STREAMING|SYNC")))
    assert [one.data_status for one in first.members] == ["LATEST", None, "STREAMING|SYNC"]
    second = apply((SetDataStatus("node3", "DISCONNECT"),))
    assert [one.data_status for one in second.members] == ["LATEST", None, "DISCONNECT"]


def test_the_record_is_written_beside_the_marks_in_one_document(apply: Apply) -> None:
    found = apply((SetReplInfo(RECORD), SetDataStatus("node2", "DISCONNECT"), SetAncestry(a_history("1@0/1753608"))))
    assert found.repl_info == RECORD
    assert found.history == a_history("1@0/1753608")
    assert [one.data_status for one in found.members] == [None, "DISCONNECT", None]


def test_a_new_record_replaces_the_old_one(apply: Apply) -> None:
    apply((SetReplInfo(RECORD),))
    assert apply((SetReplInfo(RECORD._replace(node="node3", timeline=2)),)).repl_info == ("node3", 2, RECORD.end)


def test_whatever_cluster_tools_wrote_before_is_found_and_replaced(cib: Path) -> None:
    # crm_attribute and pcs give the same identifiers; two attributes of one name would be a coin toss
    name = ("--type", "crm_config", "--set-name", "pgsql_replication", "--name", "pgsql_REPL_INFO")
    value = ("--update", "node9|7|0000000000000001")
    subprocess.run(["crm_attribute", *name, *value], env={**os.environ, "CIB_file": str(cib)}, check=True)
    found = _written(cib, (SetReplInfo(RECORD),), {})
    assert found.repl_info == RECORD
    assert cibadmin(cib, "--query").count("pgsql_REPL_INFO") == 2  # its identifier and its name


def test_the_document_is_valid_in_the_cib(cib: Path) -> None:
    _written(cib, (SetReplInfo(RECORD), SetDataStatus("node2", "DISCONNECT")), {"node2": "2"})
    done = subprocess.run(["crm_verify", "--xml-file", str(cib)], capture_output=True, text=True, check=False)
    assert "not validate" not in done.stderr
    assert "Schema" not in done.stderr


def test_the_same_document_twice_changes_nothing(cib: Path) -> None:
    changes: tuple[Lasting, ...] = (SetReplInfo(RECORD), SetDataStatus("node2", "DISCONNECT"))
    first = _written(cib, changes, {"node2": "2"})
    assert _written(cib, changes, {"node2": "2"}) == first


# --- transient attributes ---------------------------------------------------------------------

TRANSIENT: list[Change] = [
    SetStatus("node2", "HS:sync"),
    SetScore("node2", "100"),
    SetReceiver("node2", "normal"),
    SetWal("node2", 2, Lsn(0x1753608)),
    ClearWal("node2"),
    SetFollows("node2", Attestation("0123456789abcdef", 2, (Fork(1, Lsn(0x1753608)),))),
    SetFollows("node2", Attestation("0123456789abcdef", 1, ())),
]


def told(change: Change) -> ClusterView:
    """What the agent reads when the attribute manager has taken a change."""
    root = ElementTree.fromstring((RECORDED / "pacemaker-2.1-first-start.xml").read_text(encoding="utf-8"))
    for name, node, value in transient_attributes(change, "pgsql"):
        where = f"status/node_state[@uname='{node}']/transient_attributes/instance_attributes"
        holder = root.find(where)
        assert holder is not None
        for old in holder.findall(f"nvpair[@name='{name}']"):
            holder.remove(old)
        if value:
            ElementTree.SubElement(holder, "nvpair", id=f"x-{name}", name=name, value=value)
    return read_cib(ElementTree.tostring(root, encoding="unicode"), "pgsql", "node1", NODES)


@pytest.mark.parametrize("change", TRANSIENT, ids=str)
def test_a_transient_attribute_is_read_as_it_was_written(change: Change) -> None:
    before = read_cib((RECORDED / "pacemaker-2.1-first-start.xml").read_text(encoding="utf-8"), "pgsql", "node1", NODES)
    assert differing((change,), before) == (change,)
    after = told(change)
    assert differing((change,), after) == ()
    cluster = FakeCluster(NODES, Effects(lambda: None))
    cluster.state = before
    cluster.apply((change,))
    assert after.members == cluster.state.members


# --- no cluster -------------------------------------------------------------------------------


@pytest.mark.parametrize("roles", [False, True])
@pytest.mark.parametrize("by_hand", [False, True])
def test_where_no_cluster_runs_only_a_call_by_hand_goes_on_without(cib: Path, by_hand: bool, roles: bool) -> None:
    del cib  # the tools are there
    context = a_context("monitor")._replace(is_clone=not by_hand)
    found = LiveCluster(some_parameters(), context, "node1").view(10, roles)
    if by_hand:
        assert found == NoCluster()
    else:
        assert isinstance(found, Unknown)
        assert found.why.startswith("reading the cluster's state")


def test_a_write_that_nobody_takes_is_no_success(cib: Path) -> None:
    del cib
    cluster = LiveCluster(some_parameters(), a_context("monitor"), "node1")
    for change in (SetReplInfo(RECORD), SetStatus("node1", "PRI")):
        with pytest.raises(CannotTell, match="the cluster did not take"):
            cluster.apply((change,), 10)
