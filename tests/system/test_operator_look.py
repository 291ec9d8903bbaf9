"""The commands that only look, on a real cluster: healthy, after a switchover, with nodes away or mute."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from tests.lab import faults
from tests.lab.cluster import Cluster
from tests.lab.command import Result
from tests.lab.configuration import WRITER_VIP
from tests.lab.node import Node
from tests.lab.waiting import now

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]
COMMANDS = "/opt/expgsql/bin"
LONGEST_LOOK = 12.0
NO_CLUSTER = 101
SAMPLE = re.compile(r'^[a-z_]+(\{[a-z_]+="[^"]*"(,[a-z_]+="[^"]*")*\})? -?[0-9.]+$')
MEMBERS = 3


def asked(node: Node, command: str) -> Result:
    """Run a command on a node; it must not take long, whatever is broken."""
    begin = now()
    done = node.run(f"{COMMANDS}/{command}", timeout=60)
    assert now() - begin < LONGEST_LOOK, f"{command} took {now() - begin:.1f} s"
    return done


def status(node: Node) -> dict[str, Any]:
    """What it says of the deployment."""
    found: dict[str, Any] = json.loads(asked(node, "expgsql status --json").stdout)
    return found


def row(found: dict[str, Any], node: Node) -> dict[str, Any]:
    """What is said of one node."""
    rows: list[dict[str, Any]] = found["nodes"]
    return next(one for one in rows if one["node"] == node.name)


def wait_until_healthy(cluster: Cluster, node: Node) -> None:
    """The marks and the record follow a moment after the servers."""
    cluster.wait_for(lambda: status(node)["healthy"], within=60, what="status to be healthy")


def test_a_healthy_cluster_in_all_formats(cluster: Cluster) -> None:
    for node in cluster.nodes:
        wait_until_healthy(cluster, node)
    primary = cluster.primary
    assert primary is not None
    for node in cluster.nodes:
        found = status(node)
        assert (found["primary"], found["findings"], found["failures"]) == (primary.name, [], [])
        assert row(found, primary)["state"] == "running"
        standbys = [row(found, one) for one in cluster.others(primary)]
        assert [(one["state"], one["lag"] is not None) for one in standbys] == [("streaming", True)] * 2
        assert sorted(one["sync"] for one in standbys) == ["async", "sync"]
        assert {one["timeline"] for one in found["nodes"]} == {row(found, primary)["timeline"]}
        assert [one["takes_over"] for one in standbys] == [one["sync"] == "sync" for one in standbys]
    text = asked(primary, "cls_status")
    assert text.rc == 0
    assert text.stdout.startswith("pgsql: HEALTHY")
    assert "\033" not in text.stdout
    assert f"address  {WRITER_VIP} {cluster.config.places.writer_ip} on {primary}" in text.stdout
    metrics = asked(primary, "expgsql status --format prometheus").stdout.splitlines()
    assert all(line.startswith("# ") or SAMPLE.match(line) for line in metrics)
    assert f'expgsql_primary{{resource="pgsql",node="{primary}"}} 1' in metrics
    assert 'expgsql_healthy{resource="pgsql"} 1' in metrics


def test_watching_goes_on_until_it_is_interrupted(cluster: Cluster) -> None:
    script = f"""
        cd /tmp
        env --default-signal=INT {COMMANDS}/expgsql status --watch 1 --json > looks &
        for _ in $(seq 400); do test "$(wc -l < looks)" -ge 2 && break; sleep 0.1; done
        kill -INT $!; wait $!"""
    node = cluster.nodes[0]
    assert node.run(script, timeout=60).rc == 0
    looks = [json.loads(line) for line in node.read("/tmp/looks").splitlines()]
    assert len(looks) >= 2
    assert looks[0]["time"] < looks[1]["time"]


def test_the_primary_and_its_standbys_for_scripts(cluster: Cluster) -> None:
    primary = cluster.primary
    assert primary is not None
    standbys = sorted(node.name for node in cluster.others(primary))
    for command in ("expgsql master", "cls_master"):
        assert [asked(node, command).stdout for node in cluster.nodes] == [f"{primary}\n"] * MEMBERS
    psql = 'psql "host=/run/postgresql dbname=postgres user=postgres"'
    for command in ("expgsql active-standbys", f"get_active_slaves {psql}", f"get_active_slaves '{psql}'"):
        assert sorted(asked(primary, command).stdout.split()) == standbys
    for node in cluster.nodes:
        answer = "f\n" if node == primary else "t\n"
        assert asked(primary, f"expgsql check-standby {node}").stdout == answer
        assert (
            asked(node, f"check_active_slave {psql.replace('host=/run/postgresql', '')} -h /run/postgresql").stdout
            == answer
        )
    assert asked(primary, "get_active_slaves").rc == 1
    assert asked(primary, "check_active_slave 'psql port=1' 127.0.0.1").rc == 1


def test_a_switchover_is_told_by_history_and_why(cluster: Cluster) -> None:
    old = cluster.primary
    assert old is not None
    new = next(node for node in cluster.nodes if row(status(old), node)["sync"] == "sync")
    before = row(status(old), old)["timeline"]
    cluster.move(new)
    cluster.wait_healthy()
    wait_until_healthy(cluster, new)
    events = json.loads(asked(old, "expgsql history --json").stdout)
    assert events["missing"] == []
    promotion = [one for one in events["events"] if one["kind"] == "promoted"][-1]
    assert (promotion["node"], promotion["timeline"]) == (new.name, before + 1)
    assert promotion["reason"] == f"{new} takes over from {old}"
    assert f"{new}  promoted" in asked(new, "expgsql history").stdout
    answers = {one["node"]: one for one in json.loads(asked(old, "expgsql why --json").stdout)}
    assert {name: one["primary"]["holds"] for name, one in answers.items()} == {
        node.name: node == new for node in cluster.nodes
    }
    assert [answers[node.name]["streams"]["holds"] for node in cluster.others(new)] == [True, True]
    waits = [one for one in answers.values() if not one["promotable"]["holds"]]
    assert ["sync_standby_count=1" in one["promotable"]["reason"] for one in waits] == [True]
    assert asked(old, "expgsql why nobody").rc == 100


def test_a_node_that_is_away(cluster: Cluster) -> None:
    primary = cluster.primary
    assert primary is not None
    lost, witness = cluster.others(primary)
    with faults.powered_off(lost, cluster):
        cluster.wait_for(lambda: not row(status(witness), lost)["online"], within=60, what="the loss to be noticed")
        done = asked(witness, "expgsql status")
        assert done.rc == 1
        assert done.stdout.startswith("pgsql: DEGRADED")
        assert f"{lost}: it is offline (ssh does not get there" in done.stdout
        assert "-> start the machine if it is down; then: expgsql start" in done.stdout
        found = status(witness)
        assert (row(found, primary)["state"], row(found, lost)["state"]) == ("running", "offline")
        assert "it is offline" in asked(witness, f"expgsql why {lost}").stdout
        assert f"{lost} could not be asked" in asked(witness, "expgsql history").stderr
    cluster.wait_healthy()
    wait_until_healthy(cluster, witness)


def test_nodes_that_refuse_ssh_are_known_from_the_cluster(cluster: Cluster) -> None:
    primary = cluster.primary
    assert primary is not None
    asker, other = cluster.others(primary)
    asker.run("mv /root/.ssh /root/.ssh.away").check()
    try:
        done = asked(asker, "expgsql status --json")
        found = json.loads(done.stdout)
    finally:
        asker.run("mv /root/.ssh.away /root/.ssh").check()
    assert (done.rc, found["healthy"], found["primary"]) == (0, True, primary.name)
    assert [row(found, node)["asked"] for node in (primary, asker, other)] == [False, True, False]
    assert (row(found, primary)["state"], row(found, other)["state"]) == ("running", "streaming")
    assert [one["level"] for one in found["findings"]] == ["note", "note"]


def test_a_node_without_a_cluster_says_so(cluster: Cluster) -> None:
    primary = cluster.primary
    assert primary is not None
    alone = cluster.others(primary)[-1]
    with faults.cluster_stopped(alone):
        for command in ("expgsql status", "expgsql why", "expgsql master", "cls_master", "expgsql history"):
            assert asked(alone, command).rc == NO_CLUSTER, command
        assert asked(alone, "expgsql status --format prometheus").stdout.splitlines()[-1] == "expgsql_up 0"
        assert f"{alone}: it is offline (the cluster does not run there)" in asked(primary, "expgsql status").stdout
    cluster.wait_healthy()
