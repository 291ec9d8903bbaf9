# SPDX-License-Identifier: GPL-2.0-or-later
"""The set-up, killed or interrupted before one effect after the other: the next call goes on from there."""

from __future__ import annotations

import json
import re

import pytest
from tests.lab import databases, lock_service
from tests.lab.arbiter import OWNERS_PASSFILE
from tests.lab.cluster import Cluster
from tests.lab.node import PGDATA
from tests.system.by_hand import FILE, STANDBYS, expgsql, members_with_a_file
from tests.system.operating import OF_ARBITER, OF_SETUP, done, through
from tests.system.shared import FIRST_START_SECONDS, SharedCluster, lab_config

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def cluster(shared: SharedCluster) -> Cluster:
    """Nothing is set up but the file."""
    return members_with_a_file(shared)


def test_the_first_server(cluster: Cluster) -> None:
    first = cluster.node("node1")
    kept_from = through(first, "setup", "postgres", FILE, "--yes", effects=OF_SETUP)
    assert any(one.startswith("rename ") for one in kept_from)
    assert "nothing to do" in expgsql(first, f"setup postgres {FILE} --yes")
    assert first.sql(f"select rolsuper, rolreplication from pg_roles where rolname = '{STANDBYS}'") == [(False, True)]


@pytest.mark.parametrize("name", ["node2", "node3"])
def test_a_copy(cluster: Cluster, name: str) -> None:
    node, source = cluster.node(name), cluster.node("node1")
    kept_from = through(node, "setup", "standby", FILE, "--yes", effects=OF_SETUP)
    assert any(one.startswith(f"rename {PGDATA}.") for one in kept_from), kept_from
    assert "nothing to do" in expgsql(node, f"setup standby {FILE}")
    system = str(source.sql("select system_identifier from pg_control_system()")[0][0])
    control = node.run(f"LC_ALL=C {node.bindir}/pg_controldata {PGDATA}").check().stdout
    assert re.search(r"system identifier:\s+(\d+)", control)[1] == system  # type: ignore[index]


def test_the_cluster(cluster: Cluster) -> None:
    databases.stop_server(cluster.node("node1"))
    node = cluster.node("node1")
    through(node, "setup", "apply", FILE, "--yes")
    cluster.wait_healthy(FIRST_START_SECONDS)
    assert "no difference" in expgsql(node, f"setup plan {FILE}")


def test_the_arbiter(shared: SharedCluster) -> None:
    cluster = shared.unconfigured(lab_config(nodes=2, arbiter="postgresql"))
    node = cluster.nodes[0]
    owner = lock_service.conninfo("postgresql", cluster.config.places, lock_service.OWNER)
    drop = "drop table distlock, distlock_history cascade"
    node.run(f"PGPASSFILE={OWNERS_PASSFILE} {node.bindir}/psql -X -d '{owner}' -c '{drop}'").check()
    which = ("--conninfo", owner, "--passfile", OWNERS_PASSFILE, "--lockname", "interrupted")
    through(node, "arbiter", "init", *which, "--primary", "node1", effects=OF_ARBITER)
    shown = json.loads(done(node, "expgsql", "arbiter", "show", *which, "--json"))
    assert (shown["record"]["primary"], shown["record"]["epoch"]) == ("node1", 1)
