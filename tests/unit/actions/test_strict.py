# SPDX-License-Identifier: GPL-2.0-or-later
"""strict_sync blocks rather than degrades; sync_standby_count=2 waits for both and makes do with one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from tests.fake_site import ARBITER, TTL, Ran, Site, a_running_site

from expgsql_ra.rules.replication import CLOSED

Parameters = Mapping[str, Any]
by = pytest.mark.parametrize("by", [{}, ARBITER], ids=["cluster", "arbiter"])


def names(site: Site, node: str) -> str | None:
    """The names in force."""
    process = site.servers[node].process
    return process.names if process else None


def successors(site: Site) -> tuple[str, ...]:
    """Who may be the primary next."""
    assert site.record is not None
    return site.record.nodes


# --- strict_sync ------------------------------------------------------------------------------


@by
def test_a_strict_primary_without_standbys_keeps_its_commits_waiting(by: Parameters) -> None:
    site = a_running_site(strict_sync=True, **by)
    assert site.commit("node1", 1)
    before = site.record
    site.cut |= {"node2", "node3"}
    reason = "strict_sync: 0 of 1 synchronous standbys are there; start the others"
    assert [site.run("node1", "monitor") for _ in range(3)] == [Ran(8, None), Ran(8, None), Ran(191, reason)]
    assert names(site, "node1") == 'FIRST 1 ("node2")'
    assert not site.commit("node1", 2)
    assert successors(site) == ("node1", "node2")
    assert before is not None
    site.cut.clear()
    assert site.run("node1", "monitor") == Ran(8, None)
    assert site.commit("node1", 3)


@by
def test_a_strict_primary_takes_another_standby_for_the_one_that_is_lost(by: Parameters) -> None:
    site = a_running_site(strict_sync=True, **by)
    site.cut.add("node2")
    site.must("node1", "monitor")
    assert (names(site, "node1"), successors(site)) == ('FIRST 1 ("node3")', ("node1", "node3"))
    assert site.commit("node1", 1)


@by
def test_a_strict_successor_stays_closed_until_a_standby_is_there(by: Parameters) -> None:
    site = a_running_site(strict_sync=True, **by)
    site.commit("node1", 1)
    site.lose("node1")
    site.cut.add("node3")
    assert site.promote("node2") == Ran(0, None)
    assert names(site, "node2") == CLOSED
    for _ in range(3):
        site.must("node2", "monitor")
    assert not site.commit("node2", 2)
    site.cut.clear()
    site.monitor_all_but("node1")
    assert names(site, "node2") == 'FIRST 1 ("node3")'
    assert successors(site) == ("node2", "node3")
    assert site.commit("node2", 3)


@by
def test_a_strict_primary_that_comes_back_is_not_opened_either(by: Parameters) -> None:
    site = a_running_site(strict_sync=True, **by)
    site.cut |= {"node2", "node3"}
    site.servers["node1"].crash()
    site.cluster.promoted = ()
    site.must("node1", "start")
    assert site.promote("node1") == Ran(0, None)
    site.must("node1", "monitor")
    assert not site.commit("node1", 1)
    site.cut.clear()
    site.monitor_all(rounds=3)
    assert site.commit("node1", 2)


@by
def test_two_strict_standbys_are_both_needed(by: Parameters) -> None:
    site = a_running_site(strict_sync=True, sync_standby_count=2, **by)
    assert site.commit("node1", 1)
    site.cut.add("node3")
    site.must("node1", "monitor")
    assert not site.commit("node1", 2)
    assert names(site, "node1") in {'FIRST 2 ("node2", "node3")', 'FIRST 2 ("node3", "node2")'}


# --- two synchronous standbys -----------------------------------------------------------------


@by
def test_two_standbys_are_both_waited_for_and_both_may_succeed(by: Parameters) -> None:
    site = a_running_site(sync_standby_count=2, **by)
    assert successors(site) == ("node1", "node2", "node3")
    assert [one.data_status for one in site.cluster.state.members] == ["LATEST", "STREAMING|SYNC", "STREAMING|SYNC"]
    site.lagging.add("node3")
    assert not site.commit("node1", 1)


@by
def test_one_of_two_is_lost_and_the_other_stays_waited_for_all_the_time(by: Parameters) -> None:
    site = a_running_site(sync_standby_count=2, **by)
    site.cut.add("node3")
    site.must("node1", "monitor")
    assert (names(site, "node1"), successors(site)) == ('FIRST 1 ("node2")', ("node1", "node2"))
    # between lists of which one is longer than one name the names are closed: nothing passes by the wrong one
    reloads = [one.partition("reload to ")[2] for one in site.effects.done if "reload" in one]
    assert reloads == [repr(CLOSED), repr('FIRST 1 ("node2")')]
    assert {one.partition(" node1 ")[2] for one in site.effects.done if one.startswith("record")} == {
        "('node1', 'node2')"
    }
    assert site.commit("node1", 1)
    site.cut.clear()
    site.effects.done.clear()
    site.monitor_all(rounds=3)
    # the newcomer stands in front: so a walsender that has not taken the longer list shows another priority
    assert names(site, "node1") == 'FIRST 2 ("node3", "node2")'
    assert successors(site) == ("node1", "node2", "node3")


@by
@pytest.mark.parametrize("winner", ["node2", "node3"])
def test_either_of_two_may_succeed(by: Parameters, winner: str) -> None:
    site = a_running_site(sync_standby_count=2, **by)
    assert site.commit("node1", 1)
    site.lose("node1")
    assert site.promote(winner) == Ran(0, None)
    other = "node3" if winner == "node2" else "node2"
    # it is not asked: from the second write on it may lack what the winner acknowledges
    site.clock.pause(TTL)
    assert site.run(other, "promote").code == 1
    site.monitor_all_but("node1")
    assert successors(site) == (*sorted((winner, other)),)
    assert site.commit(winner, 2)
