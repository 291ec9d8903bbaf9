# SPDX-License-Identifier: GPL-2.0-or-later
"""monitor of a primary: the record before the names, the names before the record, and a usurper is stopped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from tests.builders import a_history
from tests.fake_site import ARBITER, Ran, Site, a_running_site

from expgsql_ra.ocf import Code
from expgsql_ra.record import Kept
from expgsql_ra.rules.replication import CLOSED
from expgsql_ra.values import Lsn, ReplInfo, RepMode
from expgsql_ra.world import Memory

PRIMARY, STANDBY = "node1", "node2"
Parameters = Mapping[str, Any]
by = pytest.mark.parametrize("by", [{}, ARBITER], ids=["cluster", "arbiter"])


@pytest.fixture(params=[{}, ARBITER], ids=["cluster", "arbiter"])
def site(request: pytest.FixtureRequest) -> Site:
    """A site in the steady state: node1 is primary, node2 in sync; each authority in its turn."""
    return a_running_site(**request.param)


def member(site: Site, name: str) -> dict[str, object]:
    """A node's entry."""
    found = site.cluster.state.member(name)
    assert found is not None
    return found._asdict()


# --- a primary and its cluster ----------------------------------------------------------------


@by
def test_a_usurper_is_stopped_before_it_is_reported(by: Parameters) -> None:
    site = a_running_site(**by)
    site.cut |= {"node2", "node3"}
    site.outvote("node2")
    reason = "the record names node2 as the primary (epoch 3), not this node"
    assert site.run(PRIMARY, "monitor") == Ran(Code.FAILED_PROMOTED, reason)
    assert site.servers[PRIMARY].is_gone()
    assert site.effects.done == ["node1: fast shutdown"]


def test_a_primary_whose_promotion_was_not_completed_here_is_stopped() -> None:
    # its timeline is not the one that the epoch began: a left-over promotion, or another directory
    site = a_running_site()
    site.servers[PRIMARY].directory.kept = Kept("id-node1", 2, 1)
    assert site.run(PRIMARY, "monitor") == Ran(Code.FAILED_PROMOTED, "the promotion of epoch 2 was not completed here")
    assert site.servers[PRIMARY].is_gone()


def test_an_asynchronous_usurper_is_told_by_the_clusters_properties() -> None:
    site = a_running_site(RepMode.ASYNC)
    site.servers[PRIMARY].rename(CLOSED)
    end = site.servers[PRIMARY].directory.end
    site.cluster.state = site.cluster.state._replace(repl_info=ReplInfo("node2", 2, end))
    ran = site.run(PRIMARY, "monitor")
    assert ran.code == Code.FAILED_PROMOTED
    assert ran.reason is not None
    assert ran.reason.startswith("the cluster records node2 as the primary, not this node")
    assert site.servers[PRIMARY].is_gone()


def test_without_quorum_a_primary_changes_nothing() -> None:
    site = a_running_site()
    site.cluster.state = site.cluster.state._replace(quorate=False)
    site.cut |= {"node2", "node3"}
    assert [site.run(PRIMARY, "monitor").code for _ in range(3)] == [8, 8, 191]
    assert site.effects.done == []
    assert not site.commit(PRIMARY, 1)


def test_marks_that_nobody_takes_cost_no_commit_where_an_arbiter_keeps_the_record() -> None:
    site = a_running_site(**ARBITER)
    site.cut |= {"node2", "node3"}
    site.cluster.deaf = "attrd_updater does not end"
    assert site.run(PRIMARY, "monitor") == Ran(8, None)
    assert site.commit(PRIMARY, 1)


def test_an_arbiter_alone_says_who_may_succeed_whatever_the_quorum() -> None:
    site = a_running_site(**ARBITER)
    site.cluster.state = site.cluster.state._replace(quorate=False)
    site.cut |= {"node2", "node3"}
    site.must(PRIMARY, "monitor")
    assert site.record is not None
    assert site.record.nodes == ("node1",)
    assert site.commit(PRIMARY, 1)


@pytest.mark.parametrize("trouble", ["unreadable", "deaf"])
def test_a_cluster_that_does_not_answer_costs_no_primary(trouble: str) -> None:
    site = a_running_site()
    site.cut |= {"node2", "node3"}
    setattr(site.cluster, trouble, "cibadmin does not end")
    assert site.run(PRIMARY, "monitor") == Ran(8, None)
    assert "reload" not in " ".join(site.effects.done)
    assert any(line.startswith("WARNING") and "cibadmin does not end" in line for line in site.log)


@by
def test_the_record_is_written_before_postgresql_stops_waiting(by: Parameters) -> None:
    site = a_running_site(**by)
    site.cut.add("node2")
    site.must(PRIMARY, "monitor")
    done = " | ".join(site.effects.done)
    narrowed, renamed = done.index("node1 ('node1',)"), done.index("reload to 'FIRST 1 (\"node3\")'")
    widened, marked = done.index("('node1', 'node3')"), done.index("'STREAMING|SYNC'")
    assert narrowed < renamed < widened < marked
    assert member(site, "node3")["score"] == "100"
    assert member(site, "node2")["score"] == "-INFINITY"


@by
def test_a_read_record_that_lacks_the_standby_already_is_written_all_the_same(by: Parameters) -> None:
    # R1: the write kills an older one that is still under way; a read does not
    site = a_running_site(**by)
    site.servers["node2"].crash()
    site.cut.add("node3")
    assert site.record is not None
    site.must(PRIMARY, "monitor")
    revision = site.record.revision
    site.servers[PRIMARY].rename('FIRST 1 ("node2")')
    site.must(PRIMARY, "monitor")
    assert site.record.nodes == ("node1",)
    assert site.record.revision == revision + 1
    assert site.effects.done[-1] == "node1: reload to ''"


@pytest.mark.parametrize("seconds", [3.6, 6.6, 20])
def test_a_degrade_has_the_time_to_outlast_a_membership_timeout(seconds: float) -> None:
    # 6.6 s: Corosync's own defaults (token 3 s, consensus 1.2 times that)
    site = a_running_site()
    site.property.membership_timeout = seconds
    site.cut |= {"node2", "node3"}
    before = site.clock.now()
    assert site.run(PRIMARY, "monitor", seconds=30).code == 8
    assert site.clock.now() - before >= seconds
    assert site.commit(PRIMARY, 1)


def test_a_degrade_that_would_take_longer_than_the_monitor_is_not_begun() -> None:
    site = a_running_site()
    site.property.membership_timeout = 60
    site.cut |= {"node2", "node3"}
    assert site.run(PRIMARY, "monitor", seconds=30).code == 8
    assert site.effects.done == []
    assert not site.commit(PRIMARY, 1)


def test_a_promise_that_stays_weakened_is_told(site: Site) -> None:
    site.cut |= {"node2", "node3"}
    reason = "no synchronous standby: commits are on this node only; start a standby"
    assert [site.run(PRIMARY, "monitor") for _ in range(3)] == [Ran(8, None), Ran(8, None), Ran(191, reason)]
    assert site.commit(PRIMARY, 1)
    site.cut.clear()
    assert site.run(PRIMARY, "monitor") == Ran(8, None)


def test_a_promise_that_stays_weakened_is_not_told_to_an_old_pacemaker(site: Site) -> None:
    site.cut |= {"node2", "node3"}
    world = site.world(PRIMARY, "monitor")
    assert world.context.understands_degraded
    site.memories[PRIMARY].save(Memory(weak=5))
    assert site.run(PRIMARY, "monitor", meta={"interval": "0"}).code == 8


def test_a_commit_is_acknowledged_alone_only_after_the_record_says_so(site: Site) -> None:
    site.cut |= {"node2", "node3"}
    assert not site.commit(PRIMARY, 1)
    site.must(PRIMARY, "monitor")
    assert site.commit(PRIMARY, 2)
    assert [one.data_status for one in site.cluster.state.members] == ["LATEST", "DISCONNECT", "DISCONNECT"]


def test_a_standby_is_marked_only_once_it_has_passed_what_was_committed_without_it(site: Site) -> None:
    site.cut |= {"node2", "node3"}
    site.must(PRIMARY, "monitor")
    assert site.commit(PRIMARY, 1)
    site.cut.discard("node2")
    site.must(PRIMARY, "monitor")
    assert member(site, "node2")["data_status"] == "STREAMING|SYNC"
    assert 1 in site.servers["node2"].directory.commits


def test_a_standby_that_still_lags_is_waited_for_and_not_marked(site: Site) -> None:
    site.cut |= {"node2", "node3"}
    site.must(PRIMARY, "monitor")
    assert site.commit(PRIMARY, 1)
    site.cut.discard("node2")
    site.lagging.add("node2")
    for _ in range(2):
        site.must(PRIMARY, "monitor")
        assert member(site, "node2")["data_status"] == "STREAMING|POTENTIAL"
        assert not site.commit(PRIMARY, 2)
    site.lagging.clear()
    site.must(PRIMARY, "monitor")
    assert member(site, "node2")["data_status"] == "STREAMING|SYNC"
    assert site.commit(PRIMARY, 3)


def test_a_missing_slot_is_made() -> None:
    site = a_running_site(replication_slot_name="s")
    assert set(site.servers[PRIMARY].slots) == {"s_node2", "s_node3"}


def test_a_lost_record_of_the_history_is_written_again(site: Site) -> None:
    wanted = site.cluster.state.ancestry
    assert wanted == a_history("1@0/1000")
    site.cluster.state = site.cluster.state._replace(ancestry=None)
    site.must(PRIMARY, "monitor")
    assert site.cluster.state.ancestry == wanted


def test_receivers_are_published_where_asked_for() -> None:
    site = a_running_site(check_wal_receiver=True)
    assert [one.receiver for one in site.cluster.state.members] == ["normal (master)", "normal", "normal"]
    site.cut.add("node3")
    site.must("node3", "monitor")
    assert member(site, "node3")["receiver"] == "ERROR"


def successors(site: Site) -> tuple[str, ...]:
    """Who may be the primary next."""
    return site.record.nodes if site.record else ()


# --- whom commits may wait for ----------------------------------------------------------------


@by
@pytest.mark.parametrize("asked", [True, False])
def test_a_diverged_standby_that_connects_all_the_same_is_never_waited_for(by: Parameters, asked: bool) -> None:
    # its fork lies in the segment that it asks for; it claims its own replay position as flushed (H7, H8)
    site = a_running_site(**by)
    away = site.servers["node3"]
    away.directory.end = Lsn(away.directory.end + 0x5000)
    away.deceives = True
    site.lose(PRIMARY)
    assert site.promote("node2") == Ran(0, None)
    if asked:
        ran = site.run("node3", "monitor")
        assert ran.code == 1
        assert ran.reason is not None
        assert ran.reason.startswith("data has diverged")
    site.run("node2", "monitor")
    assert [one.name for one in site.servers["node2"].senders] == ["node3"]
    assert site.record is not None
    assert site.record.nodes == ("node2",)
    assert site.servers["node2"].directory.names == ""
    assert member(site, "node3")["score"] == "-INFINITY"


@by
def test_a_standby_that_never_gave_its_word_is_never_waited_for(by: Parameters) -> None:
    site = a_running_site(**by)
    site.cut.add("node2")
    site.cluster.change("node3", follows=None)
    site.must(PRIMARY, "monitor")
    assert successors(site) == (PRIMARY,)
    site.memories["node3"].kept = Memory()
    site.must("node3", "monitor")
    site.must(PRIMARY, "monitor")
    assert successors(site) == (PRIMARY, "node3")


@by
def test_names_that_a_killed_agent_left_in_the_file_count_as_names_in_force(by: Parameters) -> None:
    # whoever reloads puts them in force: a commit would pass by names that the record does not know
    site = a_running_site(**by)
    site.servers[PRIMARY].directory.names = ""
    site.must(PRIMARY, "monitor")
    assert site.effects.done[0].endswith("node1 ('node1',)")
    assert site.servers[PRIMARY].directory.names == 'FIRST 1 ("node2")'
    assert site.record is not None
    assert site.record.nodes == (PRIMARY, "node2")
