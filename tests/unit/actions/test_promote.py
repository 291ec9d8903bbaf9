# SPDX-License-Identifier: GPL-2.0-or-later
"""promote: the record and the intent first, then the server, then the names; a refusal is soft, with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from tests.builders import a_history
from tests.fake_site import ARBITER, KILLED, TTL, Ran, Site, a_running_site

from expgsql_ra.errors import NotPermitted
from expgsql_ra.ocf import Code
from expgsql_ra.record import Kept
from expgsql_ra.rules.replication import CLOSED, OPEN
from expgsql_ra.snapshot import NoCluster, Primary, Standby
from expgsql_ra.values import Lsn, ReplInfo, RepMode, Score

Parameters = Mapping[str, Any]
by = pytest.mark.parametrize("by", [{}, ARBITER], ids=["cluster", "arbiter"])


def lost_primary(mode: RepMode = RepMode.SYNC, **parameters: Any) -> Site:
    """node1, the primary, has lost its power."""
    site = a_running_site(mode, **parameters)
    site.commit("node1", 1)
    site.lose("node1")
    site.effects.done.clear()
    return site


def at(site: Site, beginning: str) -> int:
    """When an effect happened."""
    return next(number for number, one in enumerate(site.effects.done) if beginning in one)


def writes(site: Site) -> list[tuple[str, tuple[str, ...]]]:
    """The writes of the record: the primary, and who may be it next."""
    found = [one.split(" ", 3) for one in site.effects.done if one.startswith("record ")]
    return [(primary, tuple(nodes.strip("(),").replace("'", "").split(", "))) for _, _, primary, nodes in found]


@by
def test_the_synchronous_standby_takes_over_on_a_new_timeline(by: Parameters) -> None:
    site = lost_primary(**by)
    end = site.servers["node2"].directory.end
    assert site.promote("node2") == Ran(0, None)
    assert site.cluster.state.repl_info == ReplInfo("node2", 2, end)
    assert site.cluster.state.history == a_history("1@0/1000", f"2@{end}")
    assert [(one.data_status, one.score, one.status) for one in site.cluster.state.members[1:]] == [
        ("LATEST", "1000", "PRI"),
        ("STREAMING|ASYNC", "-INFINITY", "HS:async"),
    ]
    assert site.servers["node2"].directory.kept == Kept("id-node2", 3, 3)
    assert site.commit("node2", 2)


@by
def test_two_writes_of_the_record_then_the_promotion_and_the_names_after_it(by: Parameters) -> None:
    site = lost_primary(**by)
    site.must("node2", "promote")
    # the first leaves everybody's right, so that a winner that dies blocks nobody; the second is the confirmation
    assert writes(site) == [("node2", ("node1", "node2")), ("node2", ("node2",))]
    order = ["record 3", "SetReplInfo", "node2: promote", "node2: completed", "reload to ''", "SetAncestry"]
    assert [at(site, one) for one in order] == sorted(at(site, one) for one in order)
    assert site.effects.done[at(site, "node2: promote") - 1].startswith("record 3")


@by
def test_a_winner_that_dies_after_its_first_write_blocks_nobody(by: Parameters) -> None:
    site = a_running_site(sync_standby_count=2, **by)
    site.commit("node1", 1)
    site.lose("node1")
    site.effects.kill_after = len(site.effects.done) + 1
    assert site.run("node2", "promote").code == KILLED
    site.effects.kill_after = None
    assert site.record is not None
    assert (site.record.primary, site.record.nodes) == ("node2", ("node1", "node2", "node3"))
    site.lose("node2")
    assert site.promote("node3") == Ran(0, None)
    assert site.servers["node3"].directory.timeline == 3
    assert site.commit("node3", 2)


@by
def test_a_winner_that_dies_after_its_second_write_is_the_only_one_to_go_on(by: Parameters) -> None:
    site = a_running_site(sync_standby_count=2, **by)
    site.lose("node1")
    site.effects.done.clear()
    site.must("node2", "promote")
    confirmed = [number for number, one in enumerate(site.effects.done, 1) if one.startswith("record")][1]
    site = a_running_site(sync_standby_count=2, **by)
    site.lose("node1")
    site.effects.kill_after = confirmed
    assert site.run("node2", "promote").code == KILLED
    site.effects.kill_after = None
    site.clock.pause(TTL)
    refused = site.run("node3", "promote")
    assert refused.code == 1
    assert refused.reason is not None
    assert refused.reason.startswith("data here may lack commits of node2: the record (epoch 3, revision ")
    assert site.promote("node2") == Ran(0, None)


@by
def test_the_recorded_primary_goes_on_in_place_without_a_new_timeline(by: Parameters) -> None:
    site = a_running_site(**by)
    site.servers["node1"].crash()
    site.must("node1", "start")
    site.effects.done.clear()
    assert site.promote("node1") == Ran(0, None)
    assert site.servers["node1"].directory.timeline == 2
    assert writes(site) == [("node1", ("node1",))]
    assert at(site, "record 2") < at(site, "no signal file") < at(site, "node1: start") < at(site, "reload to ''")
    site.monitor_all(rounds=3)
    assert site.commit("node1", 1)
    assert site.record is not None
    assert site.record.nodes == ("node1", "node2")


@by
def test_a_primary_whose_files_do_not_show_its_timeline_yet_begins_a_new_one(by: Parameters) -> None:
    # it crashed between its promotion and the first checkpoint: where it would start in place cannot be told
    site = a_running_site(**by)
    site.servers["node1"].crash()
    site.servers["node1"].directory.told_timeline = 1
    site.must("node1", "start")
    assert site.promote("node1") == Ran(0, None)
    assert site.servers["node1"].directory.kept == Kept("id-node1", 3, 3)


def test_a_directory_that_was_made_anew_is_no_successor_under_its_old_name() -> None:
    site = lost_primary()
    site.servers["node2"].directory.kept = Kept("another", 0, 0)
    ran = site.run("node2", "promote")
    assert ran.code == 1
    assert ran.reason is not None
    assert ran.reason.startswith("the record knows another data directory of node2 than this one")
    assert writes(site) == []


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


@by
def test_names_are_not_opened_before_all_others_have_lost_their_right(by: Parameters) -> None:
    site = a_running_site(**by)
    site.servers["node1"].rename(CLOSED)
    site.effects.done.clear()
    assert site.run("node1", "promote") == Ran(0, None)
    assert writes(site) == [("node1", ("node1",))]
    assert at(site, "record 2") < at(site, "reload to ''")


def test_no_other_node_keeps_a_score_through_a_promotion() -> None:
    site = lost_primary(RepMode.ASYNC)
    before = site.cluster.state.member("node3")
    assert before is not None
    assert before.score == "100"
    site.must("node2", "promote")
    assert [one.score for one in site.cluster.state.members] == [None, "1000", "-INFINITY"]


@by
@pytest.mark.parametrize("names", [CLOSED, 'FIRST 1 ("node2")'])
def test_a_usurper_is_not_made_a_primary(by: Parameters, names: str) -> None:
    site = a_running_site(**by)
    site.cut |= {"node2", "node3"}
    site.servers["node1"].rename(names)
    site.outvote("node2")
    site.effects.done.clear()
    ran = site.run("node1", "promote")
    assert ran.code == 1
    assert ran.reason is not None
    assert "node2" in ran.reason
    assert "epoch 3" in ran.reason
    assert writes(site) == []
    assert "reload" not in " ".join(site.effects.done)


# --- refusals ---------------------------------------------------------------------------------


def not_counted(node: str) -> str:
    """What keeps a refusal from being counted: three of them would ban the node until somebody cleans up."""
    return f"SparePromotion(node={node!r})"


@by
def test_a_standby_that_may_lack_commits_is_refused_softly(by: Parameters) -> None:
    site = lost_primary(**by)
    ran = site.run("node3", "promote")
    revision = site.record.revision if site.record else 0
    assert ran == Ran(
        1,
        f"data here may lack commits of node1: the record (epoch 2, revision {revision}) does not name node3 as a "
        "successor, but node1, node2",
    )
    assert site.effects.done == [not_counted("node3")]


@by
@pytest.mark.parametrize("mark", ["STREAMING|SYNC", "LATEST"])
def test_a_mark_in_an_old_copy_of_the_cluster_is_no_right(by: Parameters, mark: str) -> None:
    # what cost the seeds 4,768 of 5,765 commits: a cut-off standby read of itself that it was in sync
    site = lost_primary(**by)
    site.cluster.change("node3", data_status=mark, score="100", status="HS:sync")
    assert site.run("node3", "promote").code == 1
    step_back = "SetScore(node='node3', value=<Score.CANNOT: '-INFINITY'>)"
    assert site.effects.done == [step_back, not_counted("node3")]


def test_a_rival_that_pacemaker_knows_to_be_promoted_is_waited_out() -> None:
    site = a_running_site()
    assert site.run("node2", "promote") == Ran(1, "node1 is still promoted; demote or stop it first")
    assert site.effects.done == [not_counted("node2")]


@by
def test_who_was_refused_once_gets_its_score_back_beside_a_primary_that_stays_stopped(by: Parameters) -> None:
    # the node is there, its server is not: banned, or stopped for good; nobody else would ever raise the score
    site = a_running_site(**by)
    site.must("node1", "stop")
    site.cluster.change("node2", score="-INFINITY")
    scores = []
    for _ in range(4):
        site.run("node2", "monitor")
        site.clock.pause(4)
        scores += [one.score for one in site.cluster.state.members if one.name == "node2"]
    assert scores == ["-INFINITY", "-INFINITY", "100", "100"]


def test_a_partition_without_quorum_promotes_nobody() -> None:
    site = lost_primary()
    site.cluster.state = site.cluster.state._replace(quorate=False)
    ran = site.run("node2", "promote")
    assert ran.code == 1
    assert ran.reason is not None
    assert ran.reason.startswith("no quorum")
    assert writes(site) == []
    assert not any(one.startswith("node2: ") for one in site.effects.done)


def test_only_a_running_standby_is_promoted() -> None:
    site = lost_primary()
    site.servers["node2"].crash()
    assert site.run("node2", "promote") == Ran(1, "only a running standby can be promoted, and here is stopped")


@by
@pytest.mark.parametrize("trouble", ["unreadable", "deaf"])
def test_nobody_is_promoted_without_the_clusters_consent(by: Parameters, trouble: str) -> None:
    site = lost_primary(**by)
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
    assert not_counted("node2") not in site.effects.done


def test_by_hand_without_a_cluster_the_operator_decides() -> None:
    # there is no cluster to keep a record: ocf-tester, or the servers of a cluster that is gone
    site = Site(nodes=("node1",))
    site.cluster.absent = NoCluster()
    site.must("node1", "start")
    # what the operator has made sure of
    site.cluster.state = site.cluster.state._replace(
        repl_info=ReplInfo("node1", 1, site.servers["node1"].directory.end)
    )
    assert site.run("node1", "promote") == Ran(0, None)
    server = site.servers["node1"].server(1)
    assert isinstance(server, Primary)
    assert (server.timeline, server.names) == (2, OPEN)
    assert site.run("node1", "promote") == Ran(0, None)
    assert site.run("node1", "monitor") == Ran(8, None)
    assert site.run("node1", "demote") == Ran(0, None)
    assert isinstance(site.servers["node1"].server(1), Standby)


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


def test_the_guard_does_not_report_what_makes_the_promotion_fail() -> None:
    site = a_running_site()
    site.servers["node1"].crash()
    site.cluster.promoted = ()
    assert site.watches["node2"].watched is not None
    site.promote("node2")
    assert site.watches["node2"].watched is None
    site.must("node2", "monitor")
    assert site.watches["node2"].watched is not None


def test_the_proof_that_commits_wait_is_forgotten_before_the_names_are_opened() -> None:
    # names that were closed between two lists, and an agent that is killed between opening them and its end
    for number in range(1, 6):
        site = a_running_site(**ARBITER)
        site.servers["node1"].rename(CLOSED)
        site.memories["node1"].kept = site.memories["node1"].kept._replace(waits=1)
        site.effects.done.clear()
        site.effects.kill_after = number
        site.run("node1", "promote")
        process = site.servers["node1"].process
        assert process is not None
        assert process.names == CLOSED or site.memories["node1"].kept.waits == 0


@by
def test_a_full_disk_lets_pacemaker_turn_to_somebody_else(by: Parameters) -> None:
    site = lost_primary(**by)
    site.keepings["node2"].trouble = NotPermitted("no space left on device")
    assert site.run("node2", "promote") == Ran(Code.ERR_GENERIC, "no space left on device")
    assert site.cluster.state.members[1].score == Score.CANNOT
    assert not site.servers["node2"].accepts_writes
