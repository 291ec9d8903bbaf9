# SPDX-License-Identifier: GPL-2.0-or-later
"""start: a standby, closed, and connected only to a primary whose history its data lies on."""

from __future__ import annotations

import pytest
from tests.fake_site import KILLED, Ran, Site, a_running_site

from expgsql_ra.errors import BadArguments, NotPermitted
from expgsql_ra.rules.replication import CLOSED
from expgsql_ra.snapshot import NoCluster, Primary, Standby
from expgsql_ra.values import Lsn, RepMode


def names_of(site: Site, node: str) -> str | None:
    """The names in force on a node."""
    process = site.servers[node].process
    return process.names if process else None


def after_failover() -> Site:
    """node1 lost its power, node2 is primary on timeline 3, node1 is back and its server is not started yet."""
    site = a_running_site()
    site.commit("node1", 1)
    site.lose("node1")
    assert site.promote("node2").code == 0
    site.monitor_all(rounds=3)
    site.cluster.change("node1", online=True)
    return site


# --- a first start and a restart --------------------------------------------------------------


def test_a_server_starts_as_a_closed_standby_that_follows_nobody() -> None:
    site = Site()
    assert site.run("node1", "start") == Ran(0, None)
    server = site.servers["node1"]
    assert isinstance(server.server(1), Standby)
    assert (names_of(site, "node1"), server.is_connected()) == (CLOSED, False)
    assert site.effects.done == ["node1: settings", "node1: signal file", "node1: start"]


def test_starting_again_changes_nothing() -> None:
    site = a_running_site()
    assert site.run("node2", "start") == Ran(0, None)
    assert site.effects.done == []


def test_a_crashed_standby_is_asked_where_its_wal_ends_and_then_connected() -> None:
    site = a_running_site()
    site.servers["node2"].crash()
    site.servers["node2"].directory.told_timeline = 1  # its control file has not heard of the promotion yet
    assert site.run("node2", "start") == Ran(0, None)
    assert site.servers["node2"].server(1).streams  # type: ignore[union-attr]
    assert site.effects.done.index("node2: start") < len(site.effects.done) - 1


def test_a_standby_of_a_primary_elsewhere_is_connected_at_once() -> None:
    site = Site(RepMode.SLAVE, ("node1",))
    assert site.run("node1", "start") == Ran(0, None)
    assert site.servers["node1"].is_connected()


def test_without_a_cluster_a_server_starts_all_the_same() -> None:
    site = Site()
    site.cluster.absent = NoCluster()
    assert site.run("node1", "start") == Ran(0, None)


def test_an_old_postgresql_is_restarted_to_connect_it() -> None:
    site = a_running_site()
    server = site.servers["node2"]
    server.crash()
    server.directory.told_timeline = 1
    server.reloads = False
    assert site.run("node2", "start") == Ran(0, None)
    assert site.effects.done.count("node2: start") == 2
    assert server.server(1).streams  # type: ignore[union-attr]


# --- divergence -------------------------------------------------------------------------------


def test_an_old_primary_that_has_nothing_of_its_own_follows() -> None:
    site = after_failover()
    assert site.run("node1", "start") == Ran(0, None)
    assert site.servers["node1"].server(1).streams  # type: ignore[union-attr]
    assert names_of(site, "node1") == CLOSED


@pytest.mark.parametrize("state", ["in production", "shut down"])
def test_an_old_primary_with_wal_that_nobody_else_has_is_refused_and_does_not_run(state: str) -> None:
    site = after_failover()
    old = site.servers["node1"]
    old.directory.end = old.directory.checkpoint = Lsn(old.directory.end + 0x1000)
    old.directory.state = state
    ran = site.run("node1", "start")
    assert ran.code == 1
    assert ran.reason is not None
    assert ran.reason.startswith("data has diverged: run expgsql repair here")
    assert old.is_gone()


def test_another_database_system_is_refused_before_anything_is_changed() -> None:
    site = after_failover()
    site.servers["node1"].directory.system = "1"
    ran = site.run("node1", "start")
    assert (ran.code, ran.reason) == (
        1,
        "data of another database system: run expgsql rebuild here",
    )
    assert [one for one in site.effects.done if one.startswith("node1")] == []


def test_a_standby_that_missed_two_promotions_follows_by_itself() -> None:
    site = a_running_site()
    site.lose("node3")
    for old, new in (("node1", "node2"), ("node2", "node1")):
        site.monitor_all_but("node3")
        site.must(old, "demote")
        site.cluster.promoted = ()
        assert site.promote(new).code == 0
        site.monitor_all_but("node3")
    site.cluster.change("node3", online=True)
    assert site.run("node3", "start") == Ran(0, None)
    assert site.servers["node3"].server(1).streams  # type: ignore[union-attr]
    assert site.servers["node3"].directory.timeline == 4


def test_while_a_promotion_is_not_complete_nobody_is_connected() -> None:
    site = a_running_site()
    site.lose("node1")
    site.effects.kill_after = len(site.effects.done) + 2
    assert site.run("node2", "promote").code == KILLED
    assert site.effects.done[-1].startswith("SetReplInfo")  # the intent is recorded, nothing else
    site.effects.kill_after = None
    site.servers["node3"].crash()
    assert site.run("node3", "start") == Ran(0, None)
    assert not site.servers["node3"].is_connected()


# --- what is in the way -----------------------------------------------------------------------


def test_a_server_that_runs_as_a_primary_of_its_own_will_becomes_a_standby() -> None:
    site = Site()
    server = site.servers["node1"]
    server.directory.standby = False
    server.start_as_it_is()
    site.clock.pause(1)
    assert isinstance(server.server(1), Primary)
    assert site.run("node1", "start") == Ran(0, None)
    assert isinstance(server.server(1), Standby)


@pytest.mark.parametrize("frozen", [True, False])
def test_the_rest_of_a_dead_server_and_a_hung_one_are_cleared_away(frozen: bool) -> None:
    site = a_running_site()
    server = site.servers["node2"]
    if frozen:
        server.frozen = True
    else:
        server.crash(orphans=(7,))
    assert site.run("node2", "start") == Ran(0, None)
    assert isinstance(server.server(1), Standby)


def test_what_cannot_be_told_is_not_started_over() -> None:
    site = Site()
    site.servers["node1"].unreadable = "cannot read postmaster.pid"
    assert site.run("node1", "start").code == 1
    assert "node1: start" not in site.effects.done


# --- failures ---------------------------------------------------------------------------------


@pytest.mark.parametrize("problem", [BadArguments("port 5432 is taken"), NotPermitted("pgdata is read-only")])
@pytest.mark.parametrize("mode", [RepMode.NONE, RepMode.SYNC])
def test_a_bad_configuration_is_told_before_anything_is_changed(
    mode: RepMode, problem: BadArguments | NotPermitted
) -> None:
    site = Site(mode)
    site.servers["node1"].misconfigured = problem
    assert site.run("node1", "start") == Ran(problem.code, str(problem))
    assert site.effects.done == []


@pytest.mark.parametrize(
    ("node_list", "reason"),
    [
        (
            ("node1", "node9"),
            "node_list names node9, which the cluster does not know (its nodes: node1, node2, node3); "
            "correct node_list",
        ),
        (("node2", "node3"), "node_list does not name this node, node1; add it, or keep the resource off it"),
    ],
)
def test_a_node_list_that_does_not_fit_the_cluster_is_refused(node_list: tuple[str, ...], reason: str) -> None:
    site = Site()
    site.parameters = site.parameters.replace(node_list=node_list)
    assert site.run("node1", "start") == Ran(2, reason)
    assert site.effects.done == []


def test_a_node_list_in_another_case_fits() -> None:
    site = Site()
    site.parameters = site.parameters.replace(node_list=("NODE1", "Node2", "node3"))
    assert site.run("node1", "start") == Ran(0, None)


def test_a_server_that_ends_while_it_starts_is_a_quick_failure() -> None:
    site = Site()
    site.servers["node1"].dies_at_start = True
    ran = site.run("node1", "start")
    assert ran.code == 1
    assert ran.reason is not None
    assert ran.reason.startswith("PostgreSQL ended while it was starting")
    assert site.clock.now() < 10


def test_names_that_something_outranks_stop_the_server_again() -> None:
    site = Site()
    site.servers["node1"].keeps_names = "*"
    ran = site.run("node1", "start")
    assert ran.code == 2
    assert ran.reason is not None
    assert ran.reason.startswith("synchronous_standby_names is set where it outranks")
    assert site.servers["node1"].is_gone()


def test_a_cluster_that_cannot_be_read_starts_nobody_and_says_so_in_time() -> None:
    site = Site()
    site.cluster.unreadable = "cibadmin --query failed (107): Transport endpoint is not connected"
    ran = site.run("node1", "start", seconds=20)
    assert ran.code == 1
    assert site.clock.now() < 20
    assert site.effects.done == []
    assert any("Transport endpoint" in line for line in site.log)


def test_a_standby_drops_the_slots_of_its_time_as_a_primary() -> None:
    site = a_running_site(replication_slot_name="s")
    server = site.servers["node1"]
    server.slots = (*server.slots, "somebody_elses")
    server.crash()
    assert site.run("node1", "start") == Ran(0, None)
    assert server.slots == ("somebody_elses",)


# --- a single server --------------------------------------------------------------------------


def test_a_single_server_starts_as_it_is() -> None:
    site = Site(RepMode.NONE, ("node1",))
    assert site.run("node1", "start") == Ran(0, None)
    assert isinstance(site.servers["node1"].server(1), Primary)
    assert site.effects.done == ["node1: start"]
    assert site.run("node1", "start") == Ran(0, None)
    assert site.effects.done == ["node1: start"]
