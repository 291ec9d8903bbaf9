# SPDX-License-Identifier: GPL-2.0-or-later
"""Starting and stopping everything: the order, what is waited for, and what an interruption leaves."""

from __future__ import annotations

import pytest
from tests.builders import NODES
from tests.fake_operator import Answer, FakeCluster, a_deployment
from tests.fakes import Killed

from expgsql_ra.errors import CannotTell, CommandFailed, DeadlineExceeded
from expgsql_ra.procedures import power

STARTED = [f"{node}$ systemctl start corosync pacemaker" for node in NODES]
STOPPED = [f"{node}$ systemctl stop {unit}" for unit in ("pacemaker", "corosync") for node in NODES]


def stopped() -> FakeCluster:
    """A cluster whose resource was stopped, and that starts it when it is let."""
    cluster = FakeCluster(a_deployment(primary="", synchronous="")._replace(roles=(), disabled=True))

    def reaction(effect: str) -> None:
        if effect == "enable msPostgresql on":
            cluster.now = a_deployment()

    cluster.reaction = reaction
    return cluster


def obeying() -> FakeCluster:
    """A healthy cluster that stops when it is told."""
    cluster = FakeCluster()

    def passing() -> None:
        if cluster.now.disabled:
            cluster.now = cluster.now._replace(roles=())

    cluster.passing = passing
    return cluster


# --- start ------------------------------------------------------------------------------------


def test_everything_is_started_and_the_resource_let_run() -> None:
    cluster = stopped()
    power.start(cluster.site(), NODES, 60)
    assert cluster.done == [*STARTED, "enable msPostgresql on"]
    assert cluster.console.said[-1] == "node1 is the primary; standbys: node2, node3"


def test_what_runs_already_stays_as_it_is() -> None:
    cluster = FakeCluster()
    power.start(cluster.site(), NODES, 60)
    assert cluster.done == STARTED


def test_a_dry_run_starts_nothing() -> None:
    cluster = stopped()
    power.start(cluster.site(dry_run=True), NODES, 60)
    assert cluster.done == []
    assert "would run on each: systemctl start corosync pacemaker" in cluster.console.said


def test_a_node_that_does_not_start_is_told_and_the_others_serve() -> None:
    cluster = stopped()
    cluster.answers["node3$"] = Answer(255, err="no route")
    power.start(cluster.site(), NODES, 60)
    assert cluster.console.warned == ["node3 was not started: failed: no route"]
    assert cluster.now.promoted == "node1"


def test_where_no_node_starts_that_is_an_error() -> None:
    cluster = stopped()
    cluster.answers = {f"{node}$": Answer(1) for node in NODES}
    with pytest.raises(CommandFailed, match="no node"):
        power.start(cluster.site(), NODES, 60)


def test_without_quorum_nothing_is_let_run() -> None:
    cluster = stopped()
    cluster.now = cluster.now._replace(view=cluster.now.view._replace(quorate=False))
    with pytest.raises(DeadlineExceeded, match="no quorum"):
        power.start(cluster.site(), NODES, 60)
    assert cluster.done == STARTED


def test_a_node_that_does_not_join_is_not_waited_for_for_ever() -> None:
    cluster = stopped()
    cluster.change("node3", lambda one: one._replace(online=False))
    power.start(cluster.site(), NODES, 60)
    assert cluster.clock.now() >= 60
    assert cluster.now.promoted == "node1"


def test_nothing_is_let_run_while_nobody_coordinates() -> None:
    cluster = stopped()
    cluster.change("node1", lambda one: one._replace(online=False))  # the last coordinator's name alone
    with pytest.raises(DeadlineExceeded, match="no quorum"):
        power.start(cluster.site(), NODES, 60)
    assert cluster.done == STARTED


def test_maintenance_is_left_as_it_is() -> None:
    cluster = stopped()
    cluster.now = cluster.now._replace(properties=(("maintenance-mode", "true"),), disabled=False)
    power.start(cluster.site(), NODES, 60)
    assert "expgsql maintenance off" in cluster.console.warned[0]


def test_a_cluster_without_primary_is_told() -> None:
    cluster = stopped()
    cluster.reaction = lambda _effect: None
    with pytest.raises(DeadlineExceeded, match="no primary after 60 s"):
        power.start(cluster.site(), NODES, 60)


def test_a_standby_that_does_not_come_is_told() -> None:
    cluster = FakeCluster()
    cluster.now = cluster.now._replace(roles=cluster.now.roles[:2])
    with pytest.raises(DeadlineExceeded, match="not running on: node3"):
        power.start(cluster.site(), NODES, 60)


# --- stop -------------------------------------------------------------------------------------


def test_the_resource_stops_before_the_software() -> None:
    cluster = obeying()
    power.stop(cluster.site(), NODES, 60)
    assert cluster.done == ["enable msPostgresql off", *STOPPED]


def test_a_dry_run_stops_nothing() -> None:
    cluster = obeying()
    power.stop(cluster.site(dry_run=True), NODES, 60)
    assert cluster.done == []
    assert "would run on node1, node2, node3: systemctl stop pacemaker" in cluster.console.said


def test_servers_that_do_not_stop_keep_the_software_running() -> None:
    cluster = FakeCluster()
    with pytest.raises(DeadlineExceeded, match="still running on node1, node2, node3"):
        power.stop(cluster.site(), NODES, 60)
    assert cluster.done == ["enable msPostgresql off"]


def test_in_maintenance_the_servers_go_on() -> None:
    cluster = FakeCluster(a_deployment()._replace(properties=(("maintenance-mode", "true"),)))
    power.stop(cluster.site(), NODES, 60)
    assert cluster.done == STOPPED
    assert "its servers go on" in cluster.console.warned[0]


def test_software_that_does_not_stop_is_an_error() -> None:
    cluster = obeying()
    cluster.answers["node2$ systemctl stop corosync"] = Answer(1, err="timeout")
    with pytest.raises(CommandFailed, match="corosync was not stopped everywhere"):
        power.stop(cluster.site(), NODES, 60)


def test_where_pacemaker_does_not_answer_what_is_left_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = FakeCluster()

    def silent() -> None:
        raise CannotTell("not connected")

    monkeypatch.setattr(cluster, "deployment", silent)
    power.stop(cluster.site(), NODES, 60)
    assert cluster.done == STOPPED
    assert "without order" in cluster.console.warned[0]


@pytest.mark.parametrize("after", range(1, 8))
def test_killed_after_any_step_it_can_be_stopped_or_started(after: int) -> None:
    for again in (power.stop, power.start):
        cluster = obeying()
        cluster.kill_after = after
        with pytest.raises(Killed):
            power.stop(cluster.site(), NODES, 60)
        cluster.kill_after = None

        def passing_or_started(cluster: FakeCluster = cluster) -> None:
            if cluster.now.disabled:
                cluster.now = cluster.now._replace(roles=())
            elif not cluster.now.roles:
                cluster.promote("node1")

        cluster.passing = passing_or_started
        again(cluster.site(), NODES, 60)
        assert cluster.now.disabled == (again is power.stop)
