# SPDX-License-Identifier: GPL-2.0-or-later
"""Standby, maintenance and cleanup."""

from __future__ import annotations

import pytest
from tests.builders import some_parameters
from tests.fake_operator import FakeCluster, a_deployment, a_node, a_peer, facts_of_primary, facts_of_stopped
from tests.fakes import Killed

from expgsql_ra.deployment import Constraint, Failure
from expgsql_ra.errors import BadArguments, DeadlineExceeded, Inconsistent, Refused
from expgsql_ra.procedures import nodes

FAILED = Failure("node2", "pgsql", "monitor", 1, "diverged", "now")


def obeying(cluster: FakeCluster) -> FakeCluster:
    """Pacemaker does at each look what it was told."""

    def passing() -> None:
        wanted = [one.node for one in cluster.now.constraints if one.ours]
        if wanted:
            cluster.promote(wanted[0])
        away = {one.name for one in cluster.now.nodes if one.standby}
        roles = tuple(pair for pair in cluster.now.roles if pair[0] not in away)
        back = tuple((one.name, "Unpromoted") for one in cluster.now.nodes if not one.standby)
        missing = tuple(pair for pair in back if pair[0] not in dict(roles))
        cluster.now = cluster.now._replace(roles=(*roles, *missing))

    cluster.passing = passing
    return cluster


# --- standby ----------------------------------------------------------------------------------


def test_a_standby_goes_and_comes_back() -> None:
    cluster = obeying(FakeCluster())
    nodes.standby_on(cluster.site(), "NODE3", 60)
    assert cluster.now.role("node3") == "Stopped"
    nodes.standby_off(cluster.site(), "node3", 60)
    assert cluster.now.role("node3") == "Unpromoted"
    assert cluster.done == ["standby node3 on", "standby node3 off"]


def test_a_primary_hands_over_first() -> None:
    cluster = obeying(FakeCluster())
    nodes.standby_on(cluster.site(), "node1", 60)
    assert cluster.now.promoted == "node2"
    assert cluster.done[-3:] == [
        "move msPostgresql node2",
        "lift expgsql-switchover-msPostgresql",
        "standby node1 on",
    ]


def test_a_primary_without_successor_stays() -> None:
    cluster = FakeCluster(a_deployment(synchronous=""))
    with pytest.raises(Refused, match="nobody would be in its place"):
        nodes.standby_on(cluster.site(), "node1", 60)
    assert cluster.done == []


def test_the_last_standby_is_asked_for() -> None:
    cluster = FakeCluster(None, facts_of_primary("node1", a_peer("node2")))
    cluster.console.agrees = False
    with pytest.raises(Refused):
        nodes.standby_on(cluster.site(), "node2", 60)
    assert cluster.done == []
    assert "node2 is the only standby" in cluster.console.warned[0]


def test_nothing_is_to_be_done_twice() -> None:
    cluster = FakeCluster(a_deployment("node1", "node2", a_node("node3", standby=True)))
    nodes.standby_on(cluster.site(), "node3", 60)
    assert cluster.done == []


def test_a_dry_run_of_standby_changes_nothing() -> None:
    cluster = FakeCluster()
    nodes.standby_on(cluster.site(dry_run=True), "node1", 60)
    nodes.standby_off(cluster.site(dry_run=True), "node1", 60)
    assert cluster.done == []
    assert "would run: standby node1 True" in cluster.console.said


def test_a_node_that_does_not_empty_in_time_is_told() -> None:
    cluster = FakeCluster()
    with pytest.raises(DeadlineExceeded, match="node3 to run nothing"):
        nodes.standby_on(cluster.site(), "node3", 60)


def test_a_node_that_is_away_is_not_waited_for() -> None:
    cluster = FakeCluster(a_deployment("node1", "node2", a_node("node3", online=False, standby=True)))
    nodes.standby_off(cluster.site(), "node3", 60)
    assert "not online" in cluster.console.said[-1]


def test_standby_is_refused_where_nothing_counts() -> None:
    cluster = FakeCluster()
    cluster.now = cluster.now._replace(view=cluster.now.view._replace(quorate=False))
    for command in (nodes.standby_on, nodes.standby_off):
        with pytest.raises(Inconsistent):
            command(cluster.site(), "node2", 60)
    with pytest.raises(BadArguments, match="no node node9"):
        nodes.maintenance_on(cluster.site(), "node9")


@pytest.mark.parametrize("after", range(1, 6))
def test_killed_after_any_step_the_next_call_empties_the_node(after: int) -> None:
    cluster = obeying(FakeCluster())
    cluster.kill_after = after
    with pytest.raises(Killed):
        nodes.standby_on(cluster.site(), "node1", 60)
    cluster.kill_after = None
    cluster.passing()
    nodes.standby_on(cluster.site(), "node1", 60)
    cluster.passing()
    assert cluster.now.role("node1") == "Stopped"
    assert cluster.now.promoted == "node2"


# --- maintenance ------------------------------------------------------------------------------


def test_everything_or_one_node_is_left_alone() -> None:
    cluster = FakeCluster()
    nodes.maintenance_on(cluster.site(), "")
    nodes.maintenance_on(cluster.site(), "NODE2")
    nodes.maintenance_off(cluster.site(), "node2", 60)
    nodes.maintenance_off(cluster.site(), "", 60)
    assert cluster.done == ["maintenance on", "maintenance on node2", "maintenance off node2", "maintenance off"]
    assert cluster.console.warned == []


def test_with_an_arbiter_the_lease_is_mentioned() -> None:
    cluster = FakeCluster()
    parameters = some_parameters(enable_distlock=True, distlock_conninfo="host=a", distlock_lockname="x")
    cluster.now = cluster.now._replace(parameters=parameters)
    nodes.maintenance_on(cluster.site(), "")
    assert any("lease" in line for line in cluster.console.said)


def test_what_changed_in_maintenance_is_told_before_pacemaker_acts() -> None:
    cluster = FakeCluster()
    cluster.servers["node2"] = facts_of_stopped("node2")
    nodes.maintenance_off(cluster.site(), "", 60)
    assert "node2: the server was standby and is stopped now" in cluster.console.warned[0]


def test_a_primary_that_lost_its_score_gets_it_back_before_pacemaker_looks() -> None:
    cluster = FakeCluster()
    cluster.score("node1", None)
    nodes.maintenance_off(cluster.site(dry_run=True), "", 60)
    assert cluster.done == []
    nodes.maintenance_off(cluster.site(), "", 60)
    assert cluster.done == ["attribute node1 master-pgsql=1000", "maintenance off"]


def test_a_cluster_that_just_starts_is_waited_for() -> None:
    cluster = FakeCluster()
    joined = cluster.now
    cluster.change("node1", lambda one: one._replace(online=False))
    cluster.passing = lambda: setattr(cluster, "now", joined)
    nodes.maintenance_off(cluster.site(), "", 60)
    assert cluster.done == ["maintenance off"]
    cluster.passing = lambda: None
    cluster.change("node1", lambda one: one._replace(online=False))
    with pytest.raises(DeadlineExceeded, match="no node coordinates"):
        nodes.maintenance_off(cluster.site(), "", 60)


def test_a_pacemaker_that_has_not_looked_yet_is_waited_for() -> None:
    cluster = FakeCluster()
    looked = cluster.now
    cluster.now = looked._replace(roles=())
    cluster.passing = lambda: setattr(cluster, "now", looked)
    nodes.maintenance_off(cluster.site(), "", 60)
    assert cluster.done == ["maintenance off"]
    cluster.now = looked._replace(roles=())
    cluster.passing = lambda: None
    with pytest.raises(DeadlineExceeded, match="does not know that node1 is the primary"):
        nodes.maintenance_off(cluster.site(), "", 60)
    assert cluster.done == ["maintenance off"]


def test_without_its_score_a_primary_stays_in_maintenance(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = FakeCluster()
    cluster.score("node1", None)
    monkeypatch.setattr(cluster, "score", lambda _node, _value: None)
    with pytest.raises(DeadlineExceeded, match="call again"):
        nodes.maintenance_off(cluster.site(), "", 60)
    assert "maintenance off" not in cluster.done


def test_a_cluster_without_primary_after_maintenance_is_told() -> None:
    cluster = FakeCluster(a_deployment(primary=""))
    with pytest.raises(DeadlineExceeded, match="no primary"):
        nodes.maintenance_off(cluster.site(), "", 60)


def test_a_dry_run_of_maintenance_changes_nothing() -> None:
    cluster = FakeCluster()
    nodes.maintenance_off(cluster.site(dry_run=True), "", 60)
    assert cluster.done == []


# --- cleanup ----------------------------------------------------------------------------------


def test_failures_and_left_over_constraints_of_ours_go() -> None:
    address = Failure("node1", "vip-master", "monitor", 7, "", "now")
    foreign = Failure("node1", "backup", "start", 1, "", "now")
    left = (Constraint("expgsql-switchover-msPostgresql", "node2", "INFINITY"),)
    seen = a_deployment()._replace(failures=(FAILED, address, foreign), constraints=left)
    cluster = FakeCluster(seen)
    cluster.reaction = lambda effect: _forget(cluster) if effect.startswith("cleanup msP") else None
    nodes.cleanup(cluster.site(), "")
    assert cluster.done == [
        "lift expgsql-switchover-msPostgresql",
        "cleanup msPostgresql",
        "cleanup vip-master",
    ]
    assert "pgsql monitor on node2 (diverged)" in " ".join(cluster.console.said)
    assert cluster.now.failures == (foreign,)


def _forget(cluster: FakeCluster) -> None:
    kept = tuple(one for one in cluster.now.failures if one.resource != "pgsql")
    cluster.now = cluster.now._replace(failures=kept)


def test_what_fails_again_is_told() -> None:
    cluster = FakeCluster(a_deployment()._replace(failures=(FAILED,)))
    with pytest.raises(DeadlineExceeded, match="failed again: pgsql monitor on node2"):
        nodes.cleanup(cluster.site(), "node2")
    assert cluster.done == ["cleanup msPostgresql node2"]


def _count_again(cluster: FakeCluster, node: str) -> None:
    cluster.now = cluster.now._replace(fail_counts=((node, "1"),))


def test_what_is_counted_while_it_is_forgotten_is_forgotten_too() -> None:
    cluster = FakeCluster()
    cluster.reaction = lambda _: _count_again(cluster, "node2") if len(cluster.done) == 1 else None
    nodes.cleanup(cluster.site(), "")
    assert cluster.done == ["cleanup msPostgresql"] * 2
    assert "counted meanwhile, and forgotten: 1 on node2" in cluster.console.said
    assert cluster.now.fail_counts == ()


def test_what_is_counted_again_and_again_is_told() -> None:
    cluster = FakeCluster()
    cluster.reaction = lambda _: _count_again(cluster, "node2")
    with pytest.raises(DeadlineExceeded, match=r"counts failures again \(1 on node2\)"):
        nodes.cleanup(cluster.site(), "node2")
    assert cluster.done == ["cleanup msPostgresql node2"] * 2


def test_the_count_of_a_node_that_was_not_named_stays() -> None:
    cluster = FakeCluster()
    cluster.reaction = lambda _: _count_again(cluster, "node3")
    nodes.cleanup(cluster.site(), "node2")
    assert cluster.done == ["cleanup msPostgresql node2"]


def test_nothing_to_clean_up_is_fine_and_a_dry_run_does_nothing() -> None:
    cluster = FakeCluster()
    nodes.cleanup(cluster.site(dry_run=True), "")
    assert cluster.done == []
    nodes.cleanup(cluster.site(), "")
    assert "forgotten: nothing had failed" in cluster.console.said
