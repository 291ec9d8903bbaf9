"""Negative controls on real servers: with one rule switched off, the fault that it is there for loses commits.

`make simulate` has one for each rule; here R1, R2 and R4 show that the lab's own audits would see such a loss.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from tests.lab import faults, processes
from tests.lab.cluster import Cluster
from tests.lab.node import Node
from tests.lab.sabotage import installation_without
from tests.lab.waiting import now
from tests.lab.watch import Watch
from tests.lab.writer import Writer
from tests.system import safety
from tests.system.shared import SharedCluster

pytestmark = [pytest.mark.lab, pytest.mark.story, pytest.mark.timeout(400)]

REFUSE = """
create function refuse() returns trigger language plpgsql as $$ begin raise exception 'not now'; end $$;
create trigger refuse before update on distlock for each row when (new.revision > old.revision)
 execute function refuse();
"""
ALLOW = "drop trigger refuse on distlock; drop function refuse;"
WALRECEIVER = "postgres: .*walreceiver"
ALONE = 20
ALONE_SECONDS = 60.0
MOMENT = 0.5


@pytest.fixture
def cluster(shared: SharedCluster, tmp_path_factory: pytest.TempPathFactory, rule: str) -> Iterator[Cluster]:
    """Two nodes and an arbiter, with an agent that lacks the rule; nobody wants them afterwards."""
    installation = installation_without(rule, tmp_path_factory.mktemp("rules"))
    # With R2 a connection has to outlast the two monitors that follow.
    patience = {"wal_sender_timeout": "20s"} if rule == "R2" else {}
    yield shared.healthy(safety.with_arbiter(install_layer=installation, settings=patience))
    shared.discard()


@pytest.mark.parametrize("rule", ["R1"])
def test_names_before_the_record(cluster: Cluster) -> None:
    primary, standby = safety.pair(cluster)
    with Writer.running(cluster) as writer, Watch.running(cluster) as watch:
        _on_arbiter(cluster, REFUSE)  # it renews the lease, and nothing else can be written
        with faults.frozen(standby, WALRECEIVER):
            _served_alone(cluster, watch, primary)
            primary.power_off()
            _on_arbiter(cluster, ALLOW)
        _lost(writer)


@pytest.mark.parametrize("rule", ["R2"])
def test_a_successor_that_has_not_flushed(cluster: Cluster) -> None:
    primary, standby = safety.pair(cluster)
    with Writer.running(cluster) as writer:
        primary.run(f"crm_attribute --node {standby} --name standby --update on").check()
        safety.wait_recorded(cluster, (primary.name,))
        primary.run(f"crm_attribute --node {standby} --name standby --delete").check()
        cluster.wait_for(lambda: _streams(primary), within=60, what=f"{standby} to stream")
        receivers = standby.processes(WALRECEIVER)
        processes.send(receivers, signal.SIGSTOP)
        writer.wait_for_acks(since=now(), count=ALONE)
        safety.wait_recorded(cluster, (primary.name, standby.name))
        primary.power_off()
        processes.kill(receivers)
        _lost(writer)


@pytest.mark.parametrize("rule", ["R4"])
def test_a_restart_in_place_that_leaves_a_successor(cluster: Cluster) -> None:
    primary, standby = safety.pair(cluster)
    with Writer.running(cluster) as writer:
        with faults.frozen(standby, WALRECEIVER):
            # the first monitor after the restart would write the record, which the restart itself should have done
            _on_arbiter(cluster, REFUSE)
            primary.kill_postgres()
            writer.wait_for_acks(since=now(), count=ALONE)
            primary.power_off()
        _on_arbiter(cluster, ALLOW)
        _lost(writer)


def _served_alone(cluster: Cluster, watch: Watch, primary: Node) -> None:
    """Wait until the primary has acknowledged commits that its standby cannot have."""
    began = now() + MOMENT  # until then what was under way may be acknowledged
    cluster.wait_for(
        lambda: len(watch.told(primary, since=began)) > ALONE, within=ALONE_SECONDS, what=f"{primary} to serve alone"
    )


def _lost(writer: Writer) -> None:
    """The standby takes over, and lacks what a client was told."""
    safety.wait_service(writer, now())
    assert writer.look_up().lost > 0


def _streams(primary: Node) -> bool:
    return bool(primary.sql("select 1 from pg_stat_replication where state = 'streaming'"))


def _on_arbiter(cluster: Cluster, statements: str) -> None:
    psql = (f"{cluster.nodes[0].bindir}/psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", "ha", "-c", statements)
    safety.arbiter_of(cluster).machine.run(psql, user="postgres").check()
