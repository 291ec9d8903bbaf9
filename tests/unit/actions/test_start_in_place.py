# SPDX-License-Identifier: GPL-2.0-or-later
"""start of the recorded primary: as a standby or as what it is about to be, never on a timeline not its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from tests.fake_site import ARBITER, KILLED, Ran, Site, a_running_site

from expgsql_ra.rules.replication import CLOSED
from expgsql_ra.snapshot import Primary, Standby

Parameters = Mapping[str, Any]
by = pytest.mark.parametrize("by", [{}, ARBITER], ids=["cluster", "arbiter"])


def names_of(site: Site, node: str) -> str | None:
    """The names in force on a node."""
    process = site.servers[node].process
    return process.names if process else None


def test_the_recorded_primary_comes_back_as_a_closed_standby() -> None:
    site = a_running_site()
    site.servers["node1"].crash()
    assert site.run("node1", "start") == Ran(0, None)
    assert isinstance(site.servers["node1"].server(1), Standby)
    assert names_of(site, "node1") == CLOSED


def test_the_recorded_primary_starts_with_its_names_where_postgresql_waits_from_the_start() -> None:
    site = a_running_site()
    site.servers["node1"].crash()
    before = site.record
    assert site.run("node1", "start", meta={"notify_promote_uname": "NODE1 "}) == Ran(0, None)
    assert site.effects.done == ["node1: no signal file", "node1: start"]
    assert isinstance(site.servers["node1"].server(1), Primary)
    assert names_of(site, "node1") == 'FIRST 1 ("node2")'
    assert site.promote("node1").code == 0
    assert site.record == before
    assert site.effects.done.count("node1: start") == 1
    assert site.commit("node1", 1)
    site.cut.add("node2")
    assert not site.commit("node1", 2)
    assert site.record == before


@pytest.mark.parametrize(
    ("programs", "by"),
    [
        ("postgres (PostgreSQL) 15.12", {}),
        ("postgres (PostgreSQL) 12.22", {}),
        ("postgres (PostgreSQL) 17beta1", {}),
        ("postgres", {}),
        ("postgres (PostgreSQL) 18.0", ARBITER),
    ],
)
def test_the_recorded_primary_starts_closed_where_its_names_would_not_hold(
    programs: str, by: Mapping[str, Any]
) -> None:
    site = a_running_site(**by)
    server = site.servers["node1"]
    server.programs = programs
    server.crash()
    assert site.run("node1", "start", meta={"notify_promote_uname": "NODE1 "}) == Ran(0, None)
    assert isinstance(server.server(1), Primary)
    assert names_of(site, "node1") == CLOSED
    assert not site.commit("node1", 1)
    assert site.effects.done[0].endswith("node1 ('node1',)")  # R4: nobody else may succeed before it starts
    assert site.promote("node1").code == 0
    assert names_of(site, "node1") == ""
    assert site.effects.done.count("node1: start") == 1
    assert site.commit("node1", 2)


@pytest.mark.parametrize("names", [None, "", 'FIRST 1 ("node3")', "*", CLOSED])
def test_names_that_do_not_hold_back_what_a_successor_must_have_are_not_kept(names: str | None) -> None:
    # written by hand, or lost with the disk's cache: the record names node2
    site = a_running_site()
    site.servers["node1"].crash()
    site.servers["node1"].directory.names = names  # type: ignore[assignment]
    assert site.run("node1", "start", meta={"notify_promote_uname": "node1"}) == Ran(0, None)
    assert site.record is not None
    assert site.record.nodes == ("node1",)
    assert names_of(site, "node1") == CLOSED


@pytest.mark.parametrize("trouble", ["down", "lost reply"])
def test_where_the_arbiter_does_not_answer_the_recorded_primary_does_not_start_as_such(trouble: str) -> None:
    site = a_running_site(**ARBITER)
    site.servers["node1"].crash()
    if trouble == "down":
        site.keeper.down = True
    else:
        site.clients["node1"].lose_replies = True
    ran = site.run("node1", "start", meta={"notify_promote_uname": "node1"})
    assert ran.code == (0 if trouble == "down" else 1)
    assert not isinstance(site.servers["node1"].server(1), Primary)
    assert "node1: no signal file" not in site.effects.done


def test_a_standby_that_is_promoted_next_starts_as_a_standby_all_the_same() -> None:
    site = a_running_site()
    site.servers["node2"].crash()
    assert site.run("node2", "start", meta={"notify_promote_uname": "node2"}) == Ran(0, None)
    assert isinstance(site.servers["node2"].server(1), Standby)


@pytest.mark.parametrize("who", ["node2", " ", "node11"])
def test_nobody_else_starts_as_a_primary(who: str) -> None:
    site = a_running_site()
    site.servers["node1"].crash()
    assert site.run("node1", "start", meta={"notify_promote_uname": who}) == Ran(0, None)
    assert isinstance(site.servers["node1"].server(1), Standby)


def test_a_recorded_primary_without_quorum_starts_as_a_standby() -> None:
    site = a_running_site()
    site.servers["node1"].crash()
    site.cluster.promoted = ()
    site.cluster.state = site.cluster.state._replace(quorate=False)
    site.effects.done.clear()
    assert site.run("node1", "start", meta={"notify_promote_uname": "node1"}) == Ran(0, None)
    assert isinstance(site.servers["node1"].server(1), Standby)


@by
@pytest.mark.parametrize("effects", [1, 2, 3, 5])
def test_a_promotion_that_was_begun_and_not_completed_does_not_start_in_place(by: Parameters, effects: int) -> None:
    # on the old timeline this node never was the primary: it has to be promoted (two histories on one timeline)
    site = a_running_site(**by)
    site.lose("node1")
    site.effects.kill_after = len(site.effects.done) + effects
    assert site.run("node2", "promote").code == KILLED
    assert site.effects.done[-1].startswith("record") is (effects in {1, 5})
    site.effects.kill_after = None
    site.servers["node2"].directory.checkpointed()
    site.servers["node2"].crash()
    assert site.run("node2", "start", meta={"notify_promote_uname": "node2"}) == Ran(0, None)
    assert isinstance(site.servers["node2"].server(1), Standby)
    assert site.promote("node2") == Ran(0, None)
    assert site.servers["node2"].directory.timeline == 3


def test_a_standby_is_not_given_up_before_it_had_time_to_come_back() -> None:
    site = a_running_site()
    site.servers["node1"].crash()
    site.must("node1", "start", meta={"notify_promote_uname": "node1"})
    assert site.promote("node1").code == 0
    before = site.record
    site.cut.add("node2")
    site.must("node1", "monitor")
    assert site.record == before
    site.must("node1", "monitor")
    assert site.record != before
