# SPDX-License-Identifier: GPL-2.0-or-later
"""A planned switchover: the standby is promoted with all of the old primary's WAL only, and nobody is left alone."""

from __future__ import annotations

import pytest
from tests.fake_site import Ran, Site, a_running_site

from expgsql_ra.snapshot import Primary
from expgsql_ra.values import Lsn, RepMode

DEMOTED = {"notify_demote_uname": "node1"}
BOTH_MODES = pytest.mark.parametrize("mode", [RepMode.SYNC, RepMode.ASYNC])


def asked_for(mode: RepMode = RepMode.SYNC) -> Site:
    """``expgsql switchover`` has laid down its constraint."""
    site = a_running_site(mode)
    site.commit("node1", 1)
    site.cluster.state = site.cluster.state._replace(switchover=True)
    site.effects.done.clear()
    return site


def demote(site: Site) -> None:
    """What Pacemaker does: from then on it knows of no primary."""
    site.must("node1", "demote")
    site.cluster.promoted = ()


def told_end(site: Site) -> Lsn | None:
    member = site.cluster.state.member("node1")
    assert member is not None
    return member.wal


@BOTH_MODES
def test_a_standby_that_has_everything_is_promoted(mode: RepMode) -> None:
    site = asked_for(mode)
    demote(site)
    assert told_end(site) == site.servers["node1"].directory.end
    assert site.run("node2", "promote", meta=DEMOTED) == Ran(0, None)
    assert isinstance(site.servers["node2"].server(1), Primary)


def test_a_standby_that_lacks_the_last_record_is_refused_and_the_old_primary_returns() -> None:
    site = asked_for()
    demote(site)
    site.servers["node2"].directory.end = Lsn(site.servers["node2"].directory.end - 8)
    score = [one.score for one in site.cluster.state.members]
    ran = site.run("node2", "promote", meta=DEMOTED)
    assert ran.code == 1
    assert ran.reason is not None
    assert "that of node1 at" in ran.reason
    assert [one.score for one in site.cluster.state.members] == score
    site.cluster.state = site.cluster.state._replace(switchover=False)  # the command takes its wish back
    assert site.run("node1", "promote") == Ran(0, None)
    site.must("node1", "monitor")
    assert told_end(site) is None


def test_without_a_switchover_a_demotion_says_nothing_and_nobody_is_refused() -> None:
    site = asked_for()
    site.cluster.state = site.cluster.state._replace(switchover=False)
    demote(site)
    assert told_end(site) is None
    assert site.run("node2", "promote", meta=DEMOTED) == Ran(0, None)


def test_an_old_primary_that_could_not_tell_its_end_stays_the_primary() -> None:
    site = asked_for()
    demote(site)
    site.cluster.change("node1", wal=None, timeline=None)
    ran = site.run("node2", "promote", meta=DEMOTED)
    assert ran == Ran(1, "node1 has not told where its WAL ends: it stays the primary")


def test_an_old_primary_that_died_meanwhile_is_succeeded() -> None:
    site = asked_for()
    site.servers["node1"].crash()
    demote(site)
    meta = {**DEMOTED, "notify_stop_uname": "node1"}
    assert site.run("node2", "promote", meta=meta) == Ran(0, None)


def test_an_old_primary_whose_node_is_lost_meanwhile_is_succeeded() -> None:
    site = asked_for()
    demote(site)
    site.servers["node2"].directory.end = Lsn(site.servers["node2"].directory.end - 8)
    site.lose("node1")
    assert site.run("node2", "promote") == Ran(0, None)


def test_the_old_primary_itself_needs_no_proof() -> None:
    site = asked_for()
    demote(site)
    assert site.run("node1", "promote", meta=DEMOTED) == Ran(0, None)
