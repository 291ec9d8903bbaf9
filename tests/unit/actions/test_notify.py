# SPDX-License-Identifier: GPL-2.0-or-later
"""notify: act at the moments that cost service, and leave all others alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from tests.fake_site import ARBITER, Ran, a_running_site

from expgsql_ra.rules.replication import CLOSED
from expgsql_ra.values import Lsn, ReplInfo, RepMode


@pytest.mark.parametrize("by", [{}, ARBITER], ids=["cluster", "arbiter"])
def test_a_primary_stops_waiting_for_a_standby_that_was_stopped(by: Mapping[str, Any]) -> None:
    site = a_running_site(**by)
    site.must("node2", "stop")
    assert not site.commit("node1", 1)
    assert site.notified("node1", "post-stop") == Ran(0, None)
    assert site.commit("node1", 2)


def test_standbys_connect_to_a_new_primary() -> None:
    site = a_running_site()
    site.servers["node3"].crash()
    view = site.cluster.state
    site.cluster.state = view._replace(ancestry=None)
    site.must("node3", "start")
    site.cluster.state = view
    assert not site.servers["node3"].is_connected()
    assert site.notified("node3", "post-promote") == Ran(0, None)
    assert site.servers["node3"].server(1).streams  # type: ignore[union-attr]


@pytest.mark.parametrize("mode", [RepMode.ASYNC, RepMode.SYNC])
def test_asynchronous_standbys_tell_a_candidate_how_far_they_are(mode: RepMode) -> None:
    site = a_running_site(mode)
    site.lose("node1")
    assert site.notified("node3", "pre-promote") == Ran(0, None)
    found = site.cluster.state.member("node3")
    assert found is not None
    end = site.servers["node3"].directory.end
    assert found.wal == (end if mode is RepMode.ASYNC else None)


@pytest.mark.parametrize(
    "moment", ["pre-start", "post-start", "pre-stop", "pre-demote", "post-demote", "post-monitor", "-"]
)
@pytest.mark.parametrize("node", ["node1", "node2"])
def test_other_moments_change_nothing(node: str, moment: str) -> None:
    site = a_running_site()
    site.cut |= {"node2", "node3"}
    assert site.notified(node, moment) == Ran(0, None)
    assert site.effects.done == []


@pytest.mark.parametrize("trouble", ["unreadable", "deaf"])
def test_a_cluster_that_does_not_answer_relaxes_nothing(trouble: str) -> None:
    site = a_running_site()
    site.must("node2", "stop")
    setattr(site.cluster, trouble, "no answer")
    site.notified("node1", "post-stop")
    assert not site.commit("node1", 1)


def test_a_standby_that_knows_no_position_tells_none() -> None:
    site = a_running_site(RepMode.ASYNC)
    site.lose("node1")
    site.servers["node3"].knows_its_end = False
    assert site.notified("node3", "pre-promote") == Ran(0, None)
    assert site.effects.done == []


@pytest.mark.parametrize("by", [{}, ARBITER], ids=["cluster", "arbiter"])
def test_a_usurper_does_not_make_itself_the_recorded_primary(by: Mapping[str, Any]) -> None:
    site = a_running_site(**by)
    site.cut |= {"node2", "node3"}
    site.outvote("node2")
    before = site.record
    site.notified("node1", "post-stop")
    assert site.record == before
    assert site.effects.done == []


def test_an_asynchronous_usurper_does_not_make_itself_the_recorded_primary() -> None:
    site = a_running_site(RepMode.ASYNC)
    site.servers["node1"].rename(CLOSED)
    record = ReplInfo("node2", 2, Lsn(0x2000))
    site.cluster.state = site.cluster.state._replace(repl_info=record)
    site.effects.done.clear()
    site.notified("node1", "post-stop")
    assert site.cluster.state.repl_info == record
    assert site.effects.done == []
