# SPDX-License-Identifier: GPL-2.0-or-later
"""stop: success only with the proof that nothing of the server is left (R8)."""

from __future__ import annotations

import pytest
from tests.fake_site import Ran, Site, a_running_site

from expgsql_ra.rules.replication import CLOSED
from expgsql_ra.values import RepMode
from expgsql_ra.world import Shutdown

FAST, IMMEDIATE = Shutdown.FAST, Shutdown.IMMEDIATE
DEAF_TO = [frozenset(some) for some in ((), (FAST,), (IMMEDIATE,), (FAST, IMMEDIATE))]


def shutdowns(site: Site, node: str) -> list[str]:
    """The shutdowns that were asked for, from polite to final."""
    return [one.split()[1] for one in site.effects.done if one.startswith(node) and one.endswith("shutdown")]


def test_a_fast_shutdown_is_enough_as_a_rule() -> None:
    site = a_running_site()
    assert site.run("node1", "stop") == Ran(0, None)
    assert shutdowns(site, "node1") == ["fast"]
    assert site.servers["node1"].directory.state == "shut down"


def test_stopping_what_is_stopped_succeeds() -> None:
    site = Site()
    assert site.run("node1", "stop") == Ran(0, None)
    assert shutdowns(site, "node1") == []


@pytest.mark.parametrize("ignores", DEAF_TO, ids=str)
@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("seconds", [5, 20, 120])
def test_stop_uses_harsher_means_until_the_server_is_gone_within_its_time(
    ignores: frozenset[Shutdown], frozen: bool, seconds: int
) -> None:
    site = a_running_site()
    server = site.servers["node1"]
    server.ignores, server.frozen = ignores, frozen
    before = site.clock.now()
    assert site.run("node1", "stop", seconds=seconds) == Ran(0, None)
    assert server.is_gone()
    assert site.clock.now() - before < seconds


def test_stop_never_succeeds_while_a_server_cannot_be_killed() -> None:
    site = a_running_site()
    server = site.servers["node1"]
    server.immortal = True
    ran = site.run("node1", "stop")
    assert ran == Ran(1, "the time is over while waiting for PostgreSQL to stop")
    assert not server.is_gone()


def test_stop_does_not_succeed_where_it_cannot_tell() -> None:
    site = a_running_site()
    site.servers["node1"].unreadable = "cannot read postmaster.pid: Input/output error"
    assert site.run("node1", "stop") == Ran(1, "cannot read postmaster.pid: Input/output error")


def test_what_a_dead_postmaster_left_behind_is_ended_too() -> None:
    site = a_running_site()
    site.servers["node1"].crash(orphans=(71,))
    assert site.run("node1", "stop") == Ran(0, None)
    assert site.servers["node1"].is_gone()


def test_no_patience_means_an_immediate_shutdown_at_once() -> None:
    site = a_running_site(stop_escalate=0)
    assert site.run("node1", "stop") == Ran(0, None)
    assert shutdowns(site, "node1") == ["immediate"]
    assert site.run("node2", "stop") == Ran(0, None)
    assert shutdowns(site, "node2") == ["fast"]


@pytest.mark.parametrize("trouble", ["unreadable", "deaf"])
def test_a_cluster_that_does_not_answer_stops_no_stop(trouble: str) -> None:
    site = a_running_site()
    setattr(site.cluster, trouble, "cibadmin does not end")
    assert site.run("node1", "stop") == Ran(0, None)
    assert site.servers["node1"].is_gone()


def test_a_bad_configuration_stops_no_stop() -> None:
    site = a_running_site()
    site.parameters = site.parameters.replace(rep_mode=RepMode.NONE, node_list=("nobody",))
    assert site.run("node1", "stop") == Ran(0, None)
    assert site.servers["node1"].is_gone()


# --- what the cluster is told -----------------------------------------------------------------


def told(site: Site, node: str) -> tuple[object, object]:
    """A node's status and score."""
    found = site.cluster.state.member(node)
    assert found is not None
    return found.status, found.score


def test_a_stopped_standby_gives_up_its_right() -> None:
    site = a_running_site()
    site.must("node2", "stop")
    assert told(site, "node2") == ("STOP", "-INFINITY")


def test_the_stopped_recorded_primary_keeps_its_right_to_come_back() -> None:
    site = a_running_site()
    site.must("node1", "stop")
    assert told(site, "node1") == ("STOP", "1000")


def test_nothing_is_told_where_a_start_follows_at_once() -> None:
    site = a_running_site()
    site.must("node1", "stop", meta={"notify_start_uname": "node3 NODE1 "})
    assert told(site, "node1") == ("PRI", "1000")


def test_no_shutdown_relaxes_the_names() -> None:
    site = a_running_site()
    site.must("node1", "stop")
    assert site.servers["node1"].directory.names == 'FIRST 1 ("node2")'
    site.must("node2", "stop")
    assert site.servers["node2"].directory.names == CLOSED
