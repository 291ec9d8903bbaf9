"""Data that has diverged and data that has not: who may follow, who is refused, and how it is repaired."""

from __future__ import annotations

import pytest
from tests.lab import faults
from tests.lab.cluster import Cluster
from tests.lab.node import Node
from tests.lab.waiting import now
from tests.lab.writer import Writer
from tests.system import story
from tests.system.story import the_primary

pytestmark = [pytest.mark.lab, pytest.mark.timeout(400)]

SELF_STOP_SECONDS = 30.0


def write_alone(node: Node) -> None:
    """Commit on this server what no standby can have: data of one node only."""
    node.sql("set synchronous_commit to local; create table if not exists alone as select 1 as row")


def test_isolated_primary_stops_taking_writes(audited: Cluster, writer: Writer) -> None:
    old = the_primary(audited)
    timeline = story.timeline(old)
    session = writer.open_session(old)
    with faults.unplugged(old):
        pulled = now()
        write_alone(old)
        primary = story.new_primary(audited, old)
        writer.wait_for_acks(since=pulled)
        audited.wait_for(lambda: not old.accepts_writes(), within=SELF_STOP_SECONDS, what=f"{old} to give up")
        assert story.timeline(primary) == timeline + 1
        assert writer.acks(session)[-1].asked < pulled
    # Its own commit lies beyond the fork: it must not follow as it is.
    assert story.comes_back(audited, old, story.recorded_fork(audited)) == story.REFUSED
    assert the_primary(audited) == primary
    assert old.sql("select to_regclass('alone') is null") == [(True,)]


def test_diverged_old_primary_is_refused_until_it_is_repaired(audited: Cluster, writer: Writer) -> None:
    old = the_primary(audited)
    old.unplug()
    write_alone(old)
    with faults.powered_off(old, audited):
        story.new_primary(audited, old)
        writer.wait_for_acks(since=now())
    assert story.outcome_of_return(audited, old) == story.REFUSED
    story.assert_refused_with_remedy(audited, old)
    assert story.data_status(audited, old) == "DISCONNECT"
    # Asking again without a repair changes nothing.
    audited.cleanup()
    assert story.outcome_of_return(audited, old) == story.REFUSED
    audited.rebuild(old)
    story.wait_whole(audited)


def test_clean_standby_that_missed_two_promotions_follows_by_itself(audited: Cluster, writer: Writer) -> None:
    first, away, last = the_primary(audited), story.spare_standby(audited), story.sync_standby(audited)
    timeline = story.timeline(first)
    with faults.powered_off(away, audited):
        for target in (last, first):
            audited.wait_for(
                lambda target=target: story.data_status(audited, target) == "STREAMING|SYNC",  # type: ignore[misc]
                within=60,
                what=f"{target} to be in sync",
            )
            audited.move(target)
            writer.wait_for_acks(since=now())
        assert story.timeline(first) == timeline + 2
    story.wait_whole(audited)
    assert story.streams(audited, away)
    assert story.fail_count(audited, away) == "0"
    assert the_primary(audited) == first
