# SPDX-License-Identifier: GPL-2.0-or-later
"""promote: intent first, then the server, then the names; a refusal is soft and carries its reason."""

from __future__ import annotations

import pytest
from tests.builders import a_history
from tests.fake_site import KILLED, Ran, Site, a_running_site

from expgsql_ra.rules.replication import CLOSED, OPEN
from expgsql_ra.snapshot import NoCluster, Primary
from expgsql_ra.values import Lsn, ReplInfo, RepMode


def lost_primary(mode: RepMode = RepMode.SYNC) -> Site:
    """node1, the primary, has lost its power."""
    site = a_running_site(mode)
    site.commit("node1", 1)
    site.lose("node1")
    site.effects.done.clear()
    return site


def at(site: Site, beginning: str) -> int:
    """When an effect happened."""
    return next(number for number, one in enumerate(site.effects.done) if beginning in one)


def test_the_synchronous_standby_takes_over_on_a_new_timeline() -> None:
    site = lost_primary()
    end = site.servers["node2"].directory.end
    assert site.promote("node2") == Ran(0, None)
    assert site.cluster.state.repl_info == ReplInfo("node2", 2, end)
    assert site.cluster.state.history == a_history("1@0/1000", f"2@{end}")
    assert [(one.data_status, one.score, one.status) for one in site.cluster.state.members] == [
        ("DISCONNECT", None, None),
        ("LATEST", "1000", "PRI"),
        ("DISCONNECT", "-INFINITY", "HS:async"),
    ]
    assert site.commit("node2", 2)


def test_the_intent_comes_before_the_promotion_and_the_names_after_it() -> None:
    site = lost_primary()
    site.must("node2", "promote")
    assert at(site, "SetReplInfo") < at(site, "node2: promote") < at(site, "reload to ''") < at(site, "SetAncestry")
    first = site.effects.done[0]
    assert "SetReplInfo" in first
    assert "SetDataStatus(node='node3', value='DISCONNECT')" in first


def test_a_promotion_that_was_begun_and_not_completed_goes_on() -> None:
    site = lost_primary()
    site.effects.kill_after = 1
    assert site.run("node2", "promote").code == KILLED
    site.effects.kill_after = None
    assert site.run("node3", "promote").code == 1
    assert site.run("node2", "promote") == Ran(0, None)
    assert site.servers["node2"].directory.timeline == 3


def test_the_recorded_primary_goes_on_in_place_without_a_new_timeline() -> None:
    site = a_running_site()
    site.servers["node1"].crash()
    site.must("node1", "start")
    site.effects.done.clear()
    assert site.promote("node1") == Ran(0, None)
    assert site.servers["node1"].directory.timeline == 2
    assert at(site, "DISCONNECT") < at(site, "no signal file") < at(site, "node1: start")
    site.monitor_all(rounds=3)
    assert site.commit("node1", 1)


def test_a_primary_is_promoted_already() -> None:
    site = a_running_site()
    assert site.run("node1", "promote") == Ran(0, None)
    assert not any("reload" in one or "promote" in one for one in site.effects.done)


def test_a_primary_that_was_promoted_and_never_opened_is_opened() -> None:
    site = lost_primary()
    site.run("node2", "promote")
    site.servers["node2"].rename(CLOSED)
    assert site.promote("node2") == Ran(0, None)
    assert site.servers["node2"].server(1).names == OPEN  # type: ignore[union-attr]


def test_names_are_not_opened_before_all_others_have_lost_their_right() -> None:
    site = a_running_site()
    site.servers["node1"].rename(CLOSED)
    site.effects.done.clear()
    assert site.run("node1", "promote") == Ran(0, None)
    assert at(site, "SetDataStatus(node='node2', value='DISCONNECT')") < at(site, "reload to ''")


def test_no_other_node_keeps_a_score_through_a_promotion() -> None:
    site = lost_primary(RepMode.ASYNC)
    before = site.cluster.state.member("node3")
    assert before is not None
    assert before.score == "100"
    site.must("node2", "promote")
    assert [one.score for one in site.cluster.state.members] == [None, "1000", "-INFINITY"]


def test_a_usurper_is_not_made_a_primary() -> None:
    site = a_running_site()
    end = site.servers["node1"].directory.end
    site.servers["node1"].rename(CLOSED)
    site.cluster.state = site.cluster.state._replace(repl_info=ReplInfo("node2", 2, end))
    site.effects.done.clear()
    ran = site.run("node1", "promote")
    assert ran.code == 1
    assert ran.reason is not None
    assert ran.reason.startswith("the cluster records node2 as the primary")
    assert site.effects.done == []


# --- refusals ---------------------------------------------------------------------------------


def test_a_standby_that_may_lack_commits_is_refused_softly() -> None:
    site = lost_primary()
    ran = site.run("node3", "promote")
    assert ran == Ran(
        1,
        "data here may lack commits of node1 (data status STREAMING|ASYNC); start node1, or name a new primary by hand",
    )
    assert site.effects.done == []


def test_a_rival_that_pacemaker_knows_to_be_promoted_is_waited_out() -> None:
    site = a_running_site()
    assert site.run("node2", "promote") == Ran(1, "node1 is still promoted; demote or stop it first")
    assert site.effects.done == []


def test_a_partition_without_quorum_promotes_nobody() -> None:
    site = lost_primary()
    site.cluster.state = site.cluster.state._replace(quorate=False)
    assert site.run("node2", "promote").code == 1
    assert site.effects.done == []


def test_only_a_running_standby_is_promoted() -> None:
    site = lost_primary()
    site.servers["node2"].crash()
    assert site.run("node2", "promote") == Ran(1, "only a running standby can be promoted, and here is stopped")


@pytest.mark.parametrize("trouble", ["unreadable", "deaf"])
def test_nobody_is_promoted_without_the_clusters_consent(trouble: str) -> None:
    site = lost_primary()
    setattr(site.cluster, trouble, "the cluster does not answer")
    assert site.run("node2", "promote", seconds=20).code == 1
    assert not any(one.startswith("node2") for one in site.effects.done)


def test_a_server_that_does_not_become_a_primary_is_reported_in_time() -> None:
    site = lost_primary()
    site.servers["node2"].never_promotes = True
    ran = site.run("node2", "promote", seconds=30)
    assert ran.code == 1
    assert ran.reason is not None
    assert ran.reason.startswith("the time is over while waiting for PostgreSQL to")


def test_by_hand_without_a_cluster_the_operator_decides() -> None:
    site = lost_primary()
    server = site.servers["node3"]
    # what the operator has made sure of
    site.cluster.change("node2", data_status="DISCONNECT")
    site.cluster.state = site.cluster.state._replace(repl_info=ReplInfo("node3", 2, server.directory.end))
    site.cluster.absent = NoCluster()
    assert site.run("node3", "promote") == Ran(0, None)
    assert isinstance(server.server(1), Primary)


# --- asynchronous mode ------------------------------------------------------------------------


def test_the_newest_asynchronous_standby_is_preferred() -> None:
    site = lost_primary(RepMode.ASYNC)
    ahead = site.servers["node3"]
    ahead.directory.end = Lsn(ahead.directory.end + 0x100)
    for node in ("node2", "node3"):
        site.notified(node, "pre-promote")
    ran = site.run("node2", "promote")
    assert ran.code == 1
    assert ran.reason is not None
    assert ran.reason.startswith("node3 has newer data")
    scores = {one.name: one.score for one in site.cluster.state.members}
    assert (scores["node2"], scores["node3"]) == ("-INFINITY", "110")
    assert site.promote("node3") == Ran(0, None)


def test_a_silent_standby_is_not_waited_for_very_long() -> None:
    site = lost_primary(RepMode.ASYNC)
    before = site.clock.now()
    assert site.promote("node2") == Ran(0, None)
    assert site.clock.now() - before < 5


def test_a_standby_that_ran_away_blocks_nobody() -> None:
    site = a_running_site(RepMode.ASYNC)
    site.cut.add("node3")
    away = site.servers["node3"].directory
    away.end = Lsn(away.end + 0x5000)
    site.must("node1", "monitor")
    site.lose("node1")
    for node in ("node2", "node3"):
        site.notified(node, "pre-promote")
    assert site.promote("node2") == Ran(0, None)
