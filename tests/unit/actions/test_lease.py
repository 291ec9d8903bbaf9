# SPDX-License-Identifier: GPL-2.0-or-later
"""The lease (R5): a primary that may have been succeeded is gone before its successor comes."""

from __future__ import annotations

import pytest
from tests.fake_site import ARBITER, KILLED, LOCK, TTL, Ran, Site, a_running_site

from expgsql_ra.actions import right, stop
from expgsql_ra.actions.validate import ADVISED_INTERVAL
from expgsql_ra.errors import NotPermitted
from expgsql_ra.ocf import Code
from expgsql_ra.rules.succession import STOP_SECONDS, lease_too_short
from expgsql_ra.values import RepMode
from expgsql_ra.world import Shutdown

INTERVAL = 3.0
PRIMARY = "node1"


def a_site(nodes: tuple[str, ...] = ("node1", "node2", "node3"), **parameters: object) -> Site:
    """node1 is primary and holds the lease of an arbiter, node2 is in sync."""
    return a_running_site(nodes=nodes, **{**ARBITER, **parameters})


def stop_at(site: Site) -> float:
    """When the primary will stop unless it is renewed."""
    return site.memories[PRIMARY].kept.stop_at


def monitored(site: Site, seconds: float) -> list[int]:
    """The primary's monitors for that long, as Pacemaker runs them, until one fails; the guard looks meanwhile."""
    codes: list[int] = []
    end = site.clock.now() + seconds
    while site.clock.now() < end and codes[-1:] not in ([Code.FAILED_PROMOTED], [Code.NOT_RUNNING]):
        for _ in range(int(INTERVAL)):
            site.clock.pause(1)
            guard(site)
        codes.append(site.run(PRIMARY, "monitor").code)
    return codes


def guard(site: Site) -> None:
    """What the guard beside the server does: it ends it when the time has come (tests/contract/test_guard.py)."""
    if 0 < stop_at(site) <= site.clock.now():
        site.clock.pause(STOP_SECONDS - 1)
        site.servers[PRIMARY].crash()


def test_a_granted_request_counts_from_before_it_was_sent() -> None:
    site = a_site()
    site.clock.pause(100)
    before = site.clock.now()
    site.must(PRIMARY, "monitor")
    assert site.keeper.lease(LOCK) == (PRIMARY, TTL)
    assert stop_at(site) == before + TTL - STOP_SECONDS


def test_whoever_is_alone_in_the_record_never_has_to_stop() -> None:
    site = a_site()
    site.cut |= {"node2", "node3"}
    site.must(PRIMARY, "monitor")
    assert stop_at(site) == 0.0
    site.keeper.down = True
    assert set(monitored(site, 5 * TTL)) <= {8, 191}
    assert site.commit(PRIMARY, 1)


def test_without_the_arbiter_the_service_goes_on_while_every_successor_follows() -> None:
    site = a_site()
    site.keeper.down = True
    assert set(monitored(site, 5 * TTL)) <= {8, 191}
    assert site.commit(PRIMARY, 1)
    assert site.effects.done == []
    site.keeper.down = False
    assert site.run(PRIMARY, "monitor") == Ran(8, None)
    assert site.keeper.lease(LOCK) == (PRIMARY, TTL)


def test_monitors_that_are_late_beside_a_silent_arbiter_do_not_end_the_service() -> None:
    """Each waits for the whole of its question, and for seconds before it begins."""
    site = a_site(distlock_ttl=15)
    site.must(PRIMARY, "monitor")
    site.keeper.down = True

    def passing(seconds: float) -> None:
        for _ in range(int(seconds)):
            site.clock.pause(1)
            guard(site)

    site.keeper.passing = passing
    for late in (0, 4, 4, 0, 4, 5):
        passing(INTERVAL + late)
        assert site.run(PRIMARY, "monitor").code in {8, 191}
    assert site.commit(PRIMARY, 1)


def test_a_primary_that_stalls_for_one_probe_keeps_its_lease() -> None:
    site = a_site(distlock_ttl=12)
    site.must(PRIMARY, "monitor")
    for _ in range(3):
        site.servers[PRIMARY].frozen = True
        assert monitored(site, INTERVAL) == [8]
        site.servers[PRIMARY].frozen = False
        assert monitored(site, INTERVAL) == [8]
    assert site.commit(PRIMARY, 1)


def test_a_primary_without_a_connection_for_the_agent_keeps_its_lease() -> None:
    site = a_site(distlock_ttl=12)
    site.servers[PRIMARY].refuses = "sorry, too many clients already"
    assert set(monitored(site, 60)) == {191}
    site.servers[PRIMARY].refuses = None
    assert site.commit(PRIMARY, 1)


@pytest.mark.parametrize("trouble", ["another's", "no answer", "unreadable"])
def test_a_primary_that_does_not_answer_gets_no_lease_that_is_not_granted(trouble: str) -> None:
    site = a_site(distlock_ttl=12)
    before = stop_at(site)
    site.servers[PRIMARY].refuses = "sorry, too many clients already"
    if trouble == "another's":
        site.outvote("node2")
    site.keeper.down = trouble == "no answer"
    if trouble == "unreadable":
        site.keepings[PRIMARY].trouble = NotPermitted("no space left on device")
    site.clock.pause(INTERVAL)
    assert site.run(PRIMARY, "monitor").code == 191
    assert stop_at(site) == before


def test_a_standby_that_does_not_answer_asks_for_no_lease() -> None:
    site = a_site()
    site.clock.pause(INTERVAL)
    before = site.keeper.lease(LOCK)
    site.servers["node2"].refuses = "sorry, too many clients already"
    assert site.run("node2", "monitor").code == 190
    assert site.keeper.lease(LOCK) == before


@pytest.mark.parametrize("trouble", ["down", "cluster too"])
def test_cut_off_from_arbiter_and_standbys_the_primary_is_gone_before_its_lease_ends(trouble: str) -> None:
    site = a_site()
    lease_ends = site.keeper.holders[LOCK][1]
    site.cut |= {"node2", "node3"}
    site.keeper.down = True
    if trouble == "cluster too":
        site.cluster.unreadable = "cibadmin does not end"
    monitored(site, 5 * TTL)
    assert site.servers[PRIMARY].is_gone()
    assert site.clock.now() <= lease_ends + INTERVAL
    assert stop_at(site) < lease_ends
    assert "reload" not in " ".join(site.effects.done)


@pytest.mark.parametrize("trouble", ["down", "cluster too"])
@pytest.mark.parametrize("hung", [False, True])
def test_where_no_guard_is_the_next_monitor_stops_the_primary(trouble: str, hung: bool) -> None:
    site = a_site()
    site.cut |= {"node2", "node3"}
    site.keeper.down = True
    if trouble == "cluster too":
        site.cluster.unreadable = "cibadmin does not end"
    if hung:
        site.servers[PRIMARY].ignores = frozenset({Shutdown.FAST, Shutdown.IMMEDIATE})
    site.clock.pause(TTL - 4)
    assert site.run(PRIMARY, "monitor").code == 8
    site.clock.pause(INTERVAL)
    before = site.clock.now()
    assert site.run(PRIMARY, "monitor").code == Code.FAILED_PROMOTED
    assert site.servers[PRIMARY].is_gone()
    assert site.clock.now() - before < 2 * stop.HUNG_SECONDS + stop.KILL_SECONDS


def test_the_reason_says_what_happened() -> None:
    site = a_site()
    site.cut |= {"node2", "node3"}
    site.keeper.down = True
    site.clock.pause(TTL)
    assert site.run(PRIMARY, "monitor") == Ran(
        Code.FAILED_PROMOTED, "its lease is running out, nobody renews it, and another node may be promoted: no answer"
    )


def test_a_successor_that_does_not_follow_any_more_may_have_been_promoted() -> None:
    site = a_site()
    site.keeper.down = True
    assert set(monitored(site, 3 * TTL)) <= {8, 191}
    site.cut.add("node2")
    last_seen = site.clock.now()
    assert monitored(site, 3 * TTL)[-1] in {Code.FAILED_PROMOTED, Code.NOT_RUNNING}
    assert site.clock.now() - last_seen <= TTL + INTERVAL


def test_one_of_two_successors_that_does_not_follow_is_enough_to_stop() -> None:
    site = a_site(sync_standby_count=2)
    site.keeper.down = True
    site.cut.add("node3")
    assert monitored(site, 2 * TTL)[-1] in {Code.FAILED_PROMOTED, Code.NOT_RUNNING}


def test_an_asynchronous_primary_waits_for_nobody_and_so_knows_of_nobody() -> None:
    site = a_running_site(RepMode.ASYNC, **ARBITER)
    assert site.record is not None
    assert site.record.nodes == ("node1", "node2", "node3")
    site.keeper.down = True
    assert monitored(site, 2 * TTL)[-1] in {Code.FAILED_PROMOTED, Code.NOT_RUNNING}


def test_a_cluster_without_an_arbiter_has_no_lease() -> None:
    site = a_running_site()
    site.cut |= {"node2", "node3"}
    site.cluster.unreadable = "cibadmin does not end"
    assert stop_at(site) == 0.0
    assert set(monitored(site, 5 * TTL)) == {8}


def test_nobody_is_promoted_before_the_old_lease_is_over() -> None:
    site = a_site()
    lease_ends = site.keeper.holders[LOCK][1]
    site.lose(PRIMARY)
    assert site.promote("node2") == Ran(0, None)
    assert site.clock.now() >= lease_ends


@pytest.mark.parametrize("effects", [1, 2, 4])
def test_no_guard_ends_a_standby_whose_promotion_was_cut_short(effects: int) -> None:
    site = a_site()
    site.lose(PRIMARY)
    site.effects.kill_after = len(site.effects.done) + effects
    assert site.run("node2", "promote").code == KILLED
    assert not site.servers["node2"].accepts_writes
    assert site.memories["node2"].kept.stop_at == 0.0


@pytest.mark.parametrize("trouble", [None, "down"])
def test_no_guard_ends_a_standby_that_was_the_primary(trouble: str | None) -> None:
    site = a_site()
    assert stop_at(site) > 0
    site.keeper.down = trouble is not None
    site.must(PRIMARY, "demote")
    assert stop_at(site) == 0.0
    site.cluster.promoted = ()
    for _ in range(3):
        site.must(PRIMARY, "monitor")
        assert stop_at(site) == 0.0


# --- the arithmetic ---------------------------------------------------------------------------


def test_the_default_lease_is_long_enough() -> None:
    default = a_site().parameters.distlock_ttl
    assert lease_too_short(default, ADVISED_INTERVAL, right.ASK_SECONDS, STOP_SECONDS) is None


@pytest.mark.parametrize("ttl", [1, 2, 3])
def test_with_too_short_a_lease_a_primary_that_is_not_renewed_stops_at_once(ttl: int) -> None:
    site = a_site(distlock_ttl=ttl)
    site.must(PRIMARY, "monitor")
    site.cut |= {"node2", "node3"}
    site.keeper.down = True
    assert site.run(PRIMARY, "monitor").code == Code.FAILED_PROMOTED
