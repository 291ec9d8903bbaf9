# SPDX-License-Identifier: GPL-2.0-or-later
"""The right to be primary: a record that is missing, foreign, old or out of reach, and what follows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from tests.fake_site import ARBITER, KILLED, LOCK, TTL, Ran, Site, a_running_site

from expgsql_ra.errors import CannotTell
from expgsql_ra.record import HighWater, Kept, Record, Successor
from expgsql_ra.snapshot import Primary, Unknown
from expgsql_ra.values import RepMode

PRIMARY, STANDBY, SPARE = "node1", "node2", "node3"
Parameters = Mapping[str, Any]
by = pytest.mark.parametrize("by", [{}, ARBITER], ids=["cluster", "arbiter"])


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


def without_standbys(by: Parameters) -> Site:
    """A primary that would like to go on alone."""
    site = a_running_site(**by)
    site.cut |= {STANDBY, SPARE}
    return site


def without_primary(by: Parameters) -> Site:
    """A standby that would like to take over; the old lease is over."""
    site = a_running_site(**by)
    site.commit(PRIMARY, 1)
    site.lose(PRIMARY)
    site.clock.pause(TTL)
    site.effects.done.clear()
    return site


def forgotten(site: Site) -> None:
    """The authority was put back to an older state, or replaced by an empty one that was filled by hand."""
    put(site, recorded(site)._replace(revision=1))


def earlier_epoch(site: Site) -> None:
    """The same, by the other number."""
    put(site, recorded(site)._replace(epoch=1))


def foreign(site: Site) -> None:
    """Two clusters share a lock name."""
    put(site, recorded(site)._replace(system="1", revision=99))


def missing(site: Site) -> None:
    """The row is gone, and so is what the cluster knew of a primary before."""
    put(site, None)
    site.cluster.state = site.cluster.state._replace(repl_info=None, ancestry=None)


DOUBTS = [forgotten, earlier_epoch, foreign, missing]
every_doubt = pytest.mark.parametrize("doubt", DOUBTS, ids=lambda one: one.__name__)


# --- cannot tell ------------------------------------------------------------------------------


@by
@every_doubt
def test_a_primary_relaxes_nothing_by_a_record_that_it_cannot_trust(by: Parameters, doubt: Any) -> None:
    site = without_standbys(by)
    doubt(site)
    before = site.record
    site.run(PRIMARY, "monitor")
    assert not site.commit(PRIMARY, 1)
    assert site.record == before
    assert "reload" not in " ".join(site.effects.done)


@by
@every_doubt
def test_nobody_is_promoted_by_a_record_that_he_cannot_trust(by: Parameters, doubt: Any) -> None:
    site = without_primary(by)
    before = recorded(site)
    doubt(site)
    ran = site.run(STANDBY, "promote")
    assert ran.code == 1
    assert ran.reason
    assert not isinstance(site.servers[STANDBY].server(1), Primary)
    assert site.record is None or site.record.epoch <= before.epoch
    assert score(site, STANDBY) == "-INFINITY"


@by
@every_doubt
def test_no_recorded_primary_starts_as_such_by_a_record_that_it_cannot_trust(by: Parameters, doubt: Any) -> None:
    site = a_running_site(**by)
    site.servers[PRIMARY].crash()
    site.cluster.promoted = ()
    doubt(site)
    assert site.run(PRIMARY, "start", meta={"notify_promote_uname": PRIMARY}) == Ran(0, None)
    assert not isinstance(site.servers[PRIMARY].server(1), Primary)


@by
def test_what_is_wrong_is_said(by: Parameters) -> None:
    reasons = []
    for doubt in (forgotten, foreign):
        site = without_primary(by)
        doubt(site)
        reasons.append(site.run(STANDBY, "promote").reason or "")
    assert reasons[0].startswith("the record went back from epoch 2")
    assert reasons[1].startswith("the record is of the database system 1, this node's data of")


def test_a_record_that_makes_no_sense_is_not_the_same_as_none() -> None:
    site = without_standbys({})
    put(site, Unknown("pgsql_RECORD makes no sense"))
    site.run(PRIMARY, "monitor")
    assert not site.commit(PRIMARY, 1)
    assert site.effects.done == []
    site = without_primary({})
    put(site, Unknown("pgsql_RECORD makes no sense"))
    assert site.run(STANDBY, "promote") == Ran(1, "pgsql_RECORD makes no sense")


@by
def test_what_was_seen_is_kept_and_nothing_older_is_believed_later(by: Parameters) -> None:
    site = a_running_site(**by)
    now = recorded(site)
    assert site.keepings[PRIMARY].seen == HighWater(now.epoch, now.revision)
    site.lose(PRIMARY)
    site.clock.pause(TTL)
    assert site.promote(STANDBY) == Ran(0, None)
    after = recorded(site)
    assert site.keepings[STANDBY].seen == HighWater(after.epoch, after.revision)
    # a standby without a primary sees it, too, and so knows better than an authority that forgets
    site.lose(STANDBY)
    site.run(SPARE, "monitor")
    assert site.keepings[SPARE].seen == HighWater(after.epoch, after.revision)
    put(site, now._replace(successors=(*now.successors, Successor(SPARE, f"id-{SPARE}"))))
    site.clock.pause(TTL)
    assert site.run(SPARE, "promote").code == 1
    assert site.keepings[SPARE].seen == HighWater(after.epoch, after.revision)


def test_a_node_that_does_not_know_any_more_what_it_has_seen_promotes_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged() -> HighWater:
        raise CannotTell("pgsql.json is damaged")

    site = without_primary({})
    monkeypatch.setattr(site.keepings[STANDBY], "highest", damaged)
    assert site.run(STANDBY, "promote") == Ran(1, "pgsql.json is damaged")
    assert site.run(STANDBY, "monitor").code == 0


# --- out of reach -----------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [RepMode.SYNC, RepMode.ASYNC])
def test_while_the_arbiter_is_silent_nobody_is_promoted_and_nobody_is_banned(mode: RepMode) -> None:
    site = a_running_site(mode, **ARBITER)
    site.commit(PRIMARY, 1)
    site.lose(PRIMARY)
    site.keeper.down = True
    site.clock.pause(TTL)
    before = site.clock.now()
    assert site.run(STANDBY, "promote") == Ran(1, "no answer")
    assert 8 < site.clock.now() - before < 15
    assert score(site, STANDBY) == "-INFINITY"
    for _ in range(4):
        assert site.run(STANDBY, "monitor").code == 0
        assert score(site, STANDBY) == "-INFINITY"
    site.keeper.down = False
    site.must(STANDBY, "monitor")
    assert score(site, STANDBY) == "100"
    assert site.promote(STANDBY) == Ran(0, None)
    assert site.commit(STANDBY, 2)


def test_a_short_silence_costs_a_promotion_nothing_but_that_time(monkeypatch: pytest.MonkeyPatch) -> None:
    site = without_primary(ARBITER)
    site.keeper.down = True
    pause = site.clock.pause

    def heals(seconds: float) -> None:
        pause(seconds)
        site.keeper.down = site.clock.now() < before + 3

    before = site.clock.now()
    monkeypatch.setattr(site.clock, "pause", heals)
    assert site.promote(STANDBY) == Ran(0, None)


@pytest.mark.parametrize("answers", ["lost", "late"])
def test_a_write_whose_reply_is_lost_is_not_known_to_be_true(answers: str) -> None:
    site = without_standbys(ARBITER)
    client = site.clients[PRIMARY]
    client.lose_replies, client.delay_writes = answers == "lost", answers == "late"
    assert site.run(PRIMARY, "monitor").code == 8
    assert not site.commit(PRIMARY, 1)
    client.deliver()
    client.lose_replies = client.delay_writes = False
    site.must(PRIMARY, "monitor")
    assert site.commit(PRIMARY, 2)


def test_the_race_for_a_lock_is_lost_softly() -> None:
    site = a_running_site(sync_standby_count=2, **ARBITER)
    site.lose(PRIMARY)
    site.clock.pause(TTL)
    assert site.promote(SPARE) == Ran(0, None)
    site.cluster.promoted = ()
    ran = site.run(STANDBY, "promote")
    assert ran.code == 1
    assert ran.reason is not None
    assert ran.reason.startswith("data here may lack commits of node3")
    assert score(site, STANDBY) == "-INFINITY"


def test_a_lease_that_does_not_end_in_time_lets_others_try() -> None:
    site = a_running_site(**ARBITER)
    site.lose(PRIMARY)
    assert site.run(STANDBY, "promote", seconds=20) == Ran(1, "the time is over while waiting for the old lease to end")
    assert score(site, STANDBY) == "-INFINITY"
    site.clock.pause(TTL)
    for _ in range(3):
        site.must(STANDBY, "monitor")
    assert score(site, STANDBY) == "100"
    assert site.promote(STANDBY) == Ran(0, None)


# --- scores by the record ---------------------------------------------------------------------


@by
def test_the_winner_of_an_epoch_that_never_came_back_is_waited_for_like_any_primary(by: Parameters) -> None:
    # node1 was the primary; node2 took the next epoch, died, and is gone for good
    site = a_running_site(**by)
    site.lose(PRIMARY)
    site.clock.pause(TTL)
    site.effects.kill_after = len(site.effects.done) + 1
    assert site.run(STANDBY, "promote").code == KILLED
    site.effects.kill_after = None
    site.lose(STANDBY)
    site.clock.pause(TTL)
    site.cluster.change(PRIMARY, online=True)
    site.must(PRIMARY, "start")
    scores = []
    for _ in range(4):
        site.must(PRIMARY, "monitor")
        scores.append(score(site, PRIMARY))
    assert scores == ["-INFINITY", "-INFINITY", "100", "100"]
    assert site.promote(PRIMARY) == Ran(0, None)
    assert site.servers[PRIMARY].directory.timeline == 3


@by
def test_a_directory_that_was_made_anew_does_not_offer_itself(by: Parameters) -> None:
    site = without_primary(by)
    site.servers[STANDBY].directory.kept = Kept("another", 0, 0)
    for _ in range(4):
        site.must(STANDBY, "monitor")
    assert score(site, STANDBY) == "-INFINITY"


def test_a_word_that_nobody_took_is_said_again() -> None:
    site = a_running_site()
    site.cluster.change(STANDBY, follows=None)
    site.memories[STANDBY].kept = type(site.memories[STANDBY].kept)()
    site.cluster.deaf = "attrd_updater does not end"
    site.must(STANDBY, "monitor")
    site.cluster.deaf = None
    site.must(STANDBY, "monitor")
    found = site.cluster.state.member(STANDBY)
    assert found is not None
    assert found.follows is not None
