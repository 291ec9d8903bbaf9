# SPDX-License-Identifier: GPL-2.0-or-later
"""demote: end the primary in order and bring it back as a closed standby."""

from __future__ import annotations

import pytest
from tests.fake_site import Ran, Site, a_running_site

from expgsql_ra.rules.replication import CLOSED
from expgsql_ra.snapshot import Standby
from expgsql_ra.values import Lsn, ReplInfo, RepMode
from expgsql_ra.world import Shutdown


def test_a_primary_becomes_a_closed_standby() -> None:
    site = a_running_site()
    assert site.run("node1", "demote") == Ran(0, None)
    server = site.servers["node1"]
    assert isinstance(server.server(1), Standby)
    assert server.process is not None
    assert server.process.names == CLOSED


def test_the_server_is_stopped_before_anything_else_is_asked() -> None:
    # A6 of the old agent: in a partition, a cluster that hangs kept the old primary from being stopped
    site = a_running_site()
    site.cluster.unreadable = "cibadmin does not end"
    assert site.run("node1", "demote").code == 1
    assert site.servers["node1"].is_gone()


def test_a_standby_needs_no_demotion() -> None:
    site = a_running_site()
    assert site.run("node2", "demote") == Ran(0, None)
    assert site.effects.done == []


def test_a_server_that_died_is_not_started_by_a_demotion() -> None:
    site = a_running_site()
    site.servers["node1"].crash()
    assert site.run("node1", "demote") == Ran(0, None)
    assert site.servers["node1"].is_gone()


def test_a_demotion_never_turns_harsh() -> None:
    site = a_running_site()
    site.servers["node1"].ignores = frozenset({Shutdown.FAST})
    assert site.run("node1", "demote") == Ran(1, "the time is over while waiting for PostgreSQL to stop")
    assert not any("immediate" in one or "kill" in one for one in site.effects.done)


def test_what_cannot_be_told_is_no_success() -> None:
    site = a_running_site()
    site.servers["node1"].unreadable = "cannot read postmaster.pid"
    assert site.run("node1", "demote").code == 1


def test_a_diverged_usurper_is_stopped_and_not_started_again() -> None:
    site = a_running_site()
    site.servers["node1"].rename(CLOSED)
    directory = site.servers["node1"].directory
    site.cluster.state = site.cluster.state._replace(repl_info=ReplInfo("node2", 2, directory.end))
    history = site.cluster.state.ancestry
    assert history is not None
    fork = (*history.forks, history.forks[0]._replace(timeline=2, end=directory.end))
    site.cluster.state = site.cluster.state._replace(ancestry=history._replace(forks=fork, current=3))
    directory.end = Lsn(directory.end + 0x1000)
    ran = site.run("node1", "demote")
    assert ran.code == 1
    assert ran.reason is not None
    assert "diverged" in ran.reason
    assert site.servers["node1"].is_gone()


@pytest.mark.parametrize("mode", [RepMode.NONE, RepMode.SLAVE])
@pytest.mark.parametrize("action", ["demote", "promote"])
def test_modes_without_promotion_have_no_such_action(mode: RepMode, action: str) -> None:
    site = Site(mode, ("node1",))
    assert site.run("node1", action) == Ran(3, f"there is nothing to {action} with rep_mode={mode}")
