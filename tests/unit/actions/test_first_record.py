# SPDX-License-Identifier: GPL-2.0-or-later
"""The first record: made by the primary of an older agent, or by a command that names the primary."""

from __future__ import annotations

from typing import Any

import pytest
from tests.fake_site import ARBITER, KILLED, LOCK, TTL, Ran, Site, a_running_site

from expgsql_ra.ocf import Code
from expgsql_ra.record import HighWater, Kept, Record, Successor, first_record
from expgsql_ra.snapshot import Unknown

PRIMARY, STANDBY, SPARE = "node1", "node2", "node3"


def recorded(site: Site) -> Record:
    """The record, which is there."""
    assert site.record is not None
    return site.record


def put(site: Site, record: Record | Unknown | None) -> None:
    """Somebody else changes the record, whoever keeps it."""
    if isinstance(record, Record):
        site.keeper.keep(LOCK, record)
    else:
        site.keeper.records.pop(LOCK, None)
    site.cluster.state = site.cluster.state._replace(record=record)


def score(site: Site, node: str) -> str | None:
    """A node's promotion score."""
    found = site.cluster.state.member(node)
    return found.score if found else None


# --- the first record -------------------------------------------------------------------------


def of_an_older_agent() -> Site:
    """A cluster whose agents knew no record: marks and properties are there, nothing else."""
    site = a_running_site()
    site.forget_record()
    return site


def test_the_running_primary_of_an_older_agent_makes_the_clusters_record() -> None:
    site = of_an_older_agent()
    site.must(PRIMARY, "monitor")
    assert (recorded(site).epoch, recorded(site).nodes) == (1, (PRIMARY,))
    assert site.servers[PRIMARY].directory.kept == Kept("id-node1", 1, 2)
    site.monitor_all(rounds=3)
    assert recorded(site).nodes == (PRIMARY, STANDBY)
    assert site.commit(PRIMARY, 1)
    assert not any("shutdown" in one for one in site.effects.done)


@pytest.mark.parametrize("effects", [1, 2])
def test_killed_while_it_makes_the_record_it_is_not_taken_for_a_usurper(effects: int) -> None:
    site = of_an_older_agent()
    site.effects.kill_after = effects
    assert site.run(PRIMARY, "monitor").code == KILLED
    site.effects.kill_after = None
    site.monitor_all(rounds=3)
    assert recorded(site).nodes == (PRIMARY, STANDBY)
    assert not any("shutdown" in one for one in site.effects.done)


def test_a_primary_that_the_cluster_does_not_know_makes_no_record() -> None:
    site = of_an_older_agent()
    site.cut |= {STANDBY, SPARE}
    site.cluster.state = site.cluster.state._replace(repl_info=None)
    site.run(PRIMARY, "monitor")
    assert site.record is None
    assert site.effects.done == []


def test_without_quorum_no_record_is_made() -> None:
    site = of_an_older_agent()
    site.cluster.state = site.cluster.state._replace(quorate=False)
    site.run(PRIMARY, "monitor")
    assert site.record is None


def test_a_record_that_another_node_made_meanwhile_is_not_overwritten(monkeypatch: pytest.MonkeyPatch) -> None:
    site = of_an_older_agent()
    site.cut |= {STANDBY, SPARE}
    other = first_record(
        site.servers[STANDBY].directory.system, Successor(STANDBY, "id-node2"), (1, 1), STANDBY, "first"
    )
    view = site.cluster.view

    def late(node: str, roles: bool) -> Any:
        found = view(node, roles)
        put(site, other)
        return found

    monkeypatch.setattr(site.cluster, "view", late)
    site.run(PRIMARY, "monitor")
    assert site.record == other
    assert not site.commit(PRIMARY, 1)


# --- a record that a command made -------------------------------------------------------------


def test_an_arbiters_record_is_made_by_a_command_alone() -> None:
    site = Site(**ARBITER)
    for node in site.servers:
        site.must(node, "start")
    site.monitor_all(rounds=6)
    assert {score(site, node) for node in site.servers} == {"-INFINITY"}
    assert site.run(PRIMARY, "promote") == Ran(1, "no record")
    assert site.record is None
    site.create_record(STANDBY)
    site.monitor_all()
    assert [score(site, node) for node in site.servers] == ["-INFINITY", "110", "-INFINITY"]
    ran = site.run(PRIMARY, "promote")
    assert (ran.code, (ran.reason or "")[:43]) == (1, "the record names node2 as the primary; star")
    assert site.promote(STANDBY) == Ran(0, None)
    assert recorded(site).successors == (Successor(STANDBY, "id-node2"),)
    assert recorded(site).system == site.servers[STANDBY].directory.system


def test_a_running_primary_makes_no_record_on_an_arbiter_that_has_lost_it() -> None:
    site = a_running_site(**ARBITER)
    site.cut |= {STANDBY, SPARE}
    put(site, None)
    assert site.run(PRIMARY, "monitor").code == 8
    assert site.record is None
    assert not site.commit(PRIMARY, 1)


@pytest.mark.parametrize("spelled", ["node1", "NODE1"])
def test_a_running_primary_binds_the_record_that_was_made_for_it(spelled: str) -> None:
    site = a_running_site(**ARBITER)
    put(site, None)
    site.keepings[PRIMARY].seen = HighWater(0, 0)  # another arbiter counts for itself
    site.keeper.holders.clear()
    site.create_record(spelled)
    site.effects.done.clear()
    site.monitor_all(rounds=3)
    assert (recorded(site).primary, recorded(site).epoch) == (spelled, 1)
    assert [one.casefold() for one in recorded(site).nodes] == [PRIMARY, STANDBY]
    assert site.servers[PRIMARY].directory.kept == Kept("id-node1", 1, 2)
    assert site.keeper.lease(LOCK).holder == spelled
    assert site.commit(PRIMARY, 1)
    assert not any("shutdown" in one for one in site.effects.done)
    # and it goes on: a renewal, a restart in place
    site.clock.pause(TTL - 1)
    site.must(PRIMARY, "monitor")
    assert site.keeper.lease(LOCK).holder == spelled
    assert site.keeper.lease(LOCK).seconds_left > TTL - 1
    site.servers[PRIMARY].crash()
    site.cluster.promoted = ()
    site.must(PRIMARY, "stop")
    assert site.keeper.lease(LOCK).holder == ""
    site.must(PRIMARY, "start")
    assert site.promote(PRIMARY) == Ran(0, None)
    site.monitor_all(rounds=3)
    assert site.servers[PRIMARY].directory.timeline == 2
    assert site.commit(PRIMARY, 2)


@pytest.mark.parametrize("effects", [1, 2])
def test_killed_while_it_binds_the_record_it_is_not_taken_for_a_usurper(effects: int) -> None:
    site = a_running_site(**ARBITER)
    put(site, None)
    site.keepings[PRIMARY].seen = HighWater(0, 0)
    site.create_record(PRIMARY)
    site.effects.done.clear()
    site.effects.kill_after = effects
    assert site.run(PRIMARY, "monitor").code == KILLED
    site.effects.kill_after = None
    site.monitor_all(rounds=3)
    assert recorded(site).nodes == (PRIMARY, STANDBY)
    assert not any("shutdown" in one for one in site.effects.done)


def test_a_command_that_names_another_node_stops_the_one_that_runs() -> None:
    site = a_running_site(**ARBITER)
    site.cut |= {STANDBY, SPARE}
    put(site, None)
    site.keepings[PRIMARY].seen = HighWater(0, 0)
    site.create_record(STANDBY)
    ran = site.run(PRIMARY, "monitor")
    assert ran == Ran(
        Code.FAILED_PROMOTED, "the record names node2 as the primary, not this node; it was made by operator"
    )
