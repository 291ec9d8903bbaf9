# SPDX-License-Identifier: GPL-2.0-or-later
"""Leaving in order: a standby takes itself out of the record (R10), a stopped primary releases its lease."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from tests.fake_site import ARBITER, LOCK, TTL, Ran, Site, a_running_site

from expgsql_ra.actions import right
from expgsql_ra.rules.replication import CLOSED
from expgsql_ra.world import Shutdown

Parameters = Mapping[str, Any]
by = pytest.mark.parametrize("by", [{}, ARBITER], ids=["cluster", "arbiter"])


def successors(site: Site) -> tuple[str, ...]:
    """Who may be the primary next."""
    assert site.record is not None
    return site.record.nodes


# --- a standby leaves -------------------------------------------------------------------------


@by
def test_a_standby_that_is_stopped_leaves_the_record_before_its_server_ends(by: Parameters) -> None:
    site = a_running_site(**by)
    site.must("node2", "stop")
    assert successors(site) == ("node1",)
    assert site.effects.done[0].startswith("record")
    assert site.effects.done[1] == "node2: fast shutdown"


def test_a_record_that_does_not_answer_leaves_the_server_time_to_end() -> None:
    site = a_running_site()
    site.property.hangs = True
    began = site.clock.now()
    site.must("node2", "stop")
    assert site.effects.done[0] == "node2: fast shutdown"
    assert site.clock.now() - began < right.ASK_SECONDS + 1


@by
def test_the_primary_still_writes_before_it_goes_on_without_the_one_that_left(by: Parameters) -> None:
    site = a_running_site(**by)
    site.must("node2", "stop")
    assert not site.commit("node1", 1)
    site.cut.add("node3")
    site.effects.done.clear()
    site.notified("node1", "post-stop")
    assert [one.partition(" ")[0] for one in site.effects.done[:3]] == ["record", "node1:", "node1:"]
    assert site.commit("node1", 2)


@by
def test_a_leave_that_comes_late_takes_nobody_out_who_is_back(by: Parameters) -> None:
    site = a_running_site(**by)
    site.clients["node2"].delay_writes = True
    site.must("node2", "stop")
    site.notified("node1", "post-stop")
    site.must("node2", "start")
    site.monitor_all(rounds=3)
    before = site.record
    site.clients["node2"].deliver()
    assert site.record == before


@by
def test_a_standby_that_is_no_successor_has_nothing_to_leave(by: Parameters) -> None:
    site = a_running_site(**by)
    before = successors(site)
    site.must("node3", "stop")
    assert successors(site) == before
    assert not any(one.startswith("record") for one in site.effects.done)


@by
def test_of_a_whole_cluster_that_is_stopped_every_successor_may_start_again(by: Parameters) -> None:
    # each leaving in its turn would leave one alone that may be started again
    site = a_running_site(sync_standby_count=2, **by)
    site.must("node1", "demote")
    site.cluster.promoted = ()
    for node in ("node2", "node3", "node1"):
        site.must(node, "stop")
    assert successors(site) == ("node1", "node2", "node3")
    site.lose("node1")
    for node in ("node2", "node3"):
        site.must(node, "start")
    assert site.promote("node3") == Ran(0, None)


def test_beside_a_primary_whose_lease_is_over_nobody_leaves() -> None:
    # cut off from it: what this node knows of a primary is old, and it may be needed
    site = a_running_site(nodes=("node1", "node2"), **ARBITER)
    site.clock.pause(TTL)
    site.must("node2", "stop")
    assert successors(site) == ("node1", "node2")


def test_without_quorum_nobody_leaves_the_clusters_record() -> None:
    site = a_running_site()
    site.cluster.state = site.cluster.state._replace(quorate=False)
    site.must("node2", "stop")
    assert successors(site) == ("node1", "node2")


def test_nobody_leaves_the_record_of_another_database() -> None:
    site = a_running_site(**ARBITER)
    assert site.record is not None
    foreign = site.record._replace(system="1", revision=99)
    site.keeper.keep(LOCK, foreign)
    site.must("node2", "stop")
    assert successors(site) == ("node1", "node2")


@by
@pytest.mark.parametrize("trouble", ["authority", "cluster", "lost replies"])
def test_what_keeps_a_standby_from_leaving_does_not_keep_it_from_stopping(by: Parameters, trouble: str) -> None:
    site = a_running_site(**by)
    if trouble == "lost replies":
        site.clients["node2"].lose_replies = True
    elif trouble == "authority":
        site.keeper.down = True
    else:
        site.cluster.unreadable = "cibadmin does not end"
    assert site.run("node2", "stop") == Ran(0, None)
    assert site.servers["node2"].is_gone()


# --- a primary ends ---------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["stop", "demote"])
def test_a_primary_that_is_proven_to_have_ended_releases_its_lease(action: str) -> None:
    site = a_running_site(**ARBITER)
    site.must("node1", action)
    assert site.keeper.lease(LOCK).holder == ""
    site.cluster.promoted = ()
    before = site.clock.now()
    assert site.promote("node2") == Ran(0, None)
    assert site.clock.now() - before < 1


def test_a_crashed_primary_releases_its_lease_when_pacemaker_stops_it() -> None:
    site = a_running_site(**ARBITER)
    site.servers["node1"].crash()
    site.must("node1", "stop")
    assert site.keeper.lease(LOCK).holder == ""


@pytest.mark.parametrize("action", ["stop", "demote"])
def test_the_lease_of_a_server_that_cannot_be_ended_is_not_released(action: str) -> None:
    site = a_running_site(**{**ARBITER, "distlock_ttl": 1000})
    site.servers["node1"].immortal = True
    assert site.run("node1", action).code == 1
    assert site.keeper.lease(LOCK).holder == "node1"


def test_the_lease_of_another_is_not_released() -> None:
    site = a_running_site(**ARBITER)
    site.must("node1", "stop")
    site.cluster.promoted = ()
    assert site.promote("node2") == Ran(0, None)
    site.must("node1", "stop")
    assert site.keeper.lease(LOCK).holder == "node2"


def test_a_silent_arbiter_stops_no_stop_and_the_lease_ends_by_itself() -> None:
    site = a_running_site(**ARBITER)
    site.keeper.down = True
    assert site.run("node1", "stop") == Ran(0, None)
    site.keeper.down = False
    assert site.keeper.lease(LOCK).holder == "node1"
    site.clock.pause(TTL)
    assert site.keeper.lease(LOCK).holder == ""


def test_a_planned_switchover_loses_nothing_and_waits_for_nobody() -> None:
    site = a_running_site(**ARBITER)
    site.commit("node1", 1)
    before = site.clock.now()
    site.must("node1", "demote")
    site.cluster.promoted = ()
    assert site.promote("node2") == Ran(0, None)
    assert site.clock.now() - before < 3
    site.monitor_all(rounds=3)
    assert successors(site) == ("node1", "node2")
    assert site.commit("node2", 2)
    names = site.servers["node1"].process
    assert names is not None
    assert names.names == CLOSED


def test_harsh_means_release_the_lease_as_well() -> None:
    site = a_running_site(**ARBITER)
    site.servers["node1"].ignores = frozenset({Shutdown.FAST, Shutdown.IMMEDIATE})
    site.must("node1", "stop")
    assert site.keeper.lease(LOCK).holder == ""


# --- a stop that is not on purpose ------------------------------------------------------------


@by
def test_a_standby_that_is_started_again_at_once_stays_in_the_record(by: Parameters) -> None:
    site = a_running_site(**by)
    assert site.run("node2", "stop", meta={"notify_start_uname": "node2"}) == Ran(0, None)
    assert successors(site) == ("node1", "node2")


def test_beside_a_lost_primary_whose_lease_still_runs_nobody_leaves() -> None:
    # a promotion that failed: Pacemaker stops the server, and this node alone can take over
    site = a_running_site(**ARBITER)
    site.must("node1", "monitor")
    site.lose("node1")
    assert site.keeper.lease(LOCK).holder == "node1"
    site.must("node2", "stop")
    assert successors(site) == ("node1", "node2")
