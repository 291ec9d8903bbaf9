# SPDX-License-Identifier: GPL-2.0-or-later
"""A promotion that nobody confirmed (a left-over signal, a hand) acknowledges nothing, and its data is not trusted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from tests.fake_site import ARBITER, KILLED, TTL, Ran, Site, a_running_site

from expgsql_ra.ocf import Code
from expgsql_ra.snapshot import Primary

Parameters = Mapping[str, Any]
by = pytest.mark.parametrize("by", [{}, ARBITER], ids=["cluster", "arbiter"])


def promoted_by_a_left_over_signal(by: Parameters) -> Site:
    """node2, a standby in sync, accepts writes all of a sudden."""
    site = a_running_site(**by)
    site.commit("node1", 1)
    site.servers["node2"].promote()
    site.clock.pause(1)
    assert isinstance(site.servers["node2"].server(1), Primary)
    return site


def successors(site: Site) -> tuple[str, ...]:
    """Who may be the primary next."""
    return site.record.nodes if site.record else ()


@by
def test_it_acknowledges_nothing_and_is_stopped(by: Parameters) -> None:
    site = promoted_by_a_left_over_signal(by)
    assert not site.commit("node2", 2)
    ran = site.run("node2", "monitor")
    assert ran.code == Code.FAILED_PROMOTED
    assert site.servers["node2"].is_gone()
    assert not site.commit("node1", 3)
    site.must("node1", "monitor")
    assert successors(site) == ("node1", "node3")
    assert site.commit("node1", 4)


@by
def test_its_data_is_never_waited_for_again(by: Parameters) -> None:
    # its timeline has the number and the beginning of the one that is completed elsewhere: no history tells them apart
    site = promoted_by_a_left_over_signal({**by, "sync_standby_count": 2})
    site.run("node2", "monitor")
    site.must("node2", "stop")
    site.lose("node1")
    site.clock.pause(TTL)
    assert site.promote("node3") == Ran(0, None)
    assert site.servers["node3"].directory.forks == site.servers["node2"].directory.forks
    site.monitor_all_but("node1", "node2")
    assert all(site.commit("node3", number) for number in range(2, 40))  # so that it has more WAL than the stray
    site.must("node2", "start")
    assert site.servers["node2"].directory.kept.strayed
    site.monitor_all_but("node1")
    assert site.servers["node2"].streaming
    assert successors(site) == ("node3",)


@by
def test_a_promotion_by_the_record_makes_it_whole_again(by: Parameters) -> None:
    # killed after the promotion and before that was kept: it cannot be told from a stray one
    site = a_running_site(**by)
    site.lose("node1")
    site.clock.pause(TTL)
    site.effects.done.clear()
    site.effects.kill_after = 6
    assert site.run("node2", "promote").code == KILLED
    assert site.effects.done[-1] == "node2: promote"
    site.effects.kill_after = None
    site.clock.pause(1)
    assert isinstance(site.servers["node2"].server(1), Primary)
    site.servers["node2"].crash()
    site.must("node2", "start")
    assert site.servers["node2"].directory.kept.strayed
    assert site.promote("node2") == Ran(0, None)
    assert not site.servers["node2"].directory.kept.strayed
    assert site.commit("node2", 2)


@by
def test_a_primary_that_crashed_and_one_that_was_demoted_have_not_strayed(by: Parameters) -> None:
    site = a_running_site(**by)
    site.must("node1", "demote")
    assert not site.servers["node1"].directory.kept.strayed
    site.cluster.promoted = ()
    assert site.promote("node1") == Ran(0, None)
    site.servers["node1"].crash()
    site.cluster.promoted = ()
    site.must("node1", "start")
    assert not site.servers["node1"].directory.kept.strayed
