"""Two nodes and an arbiter: who may go on, who may not, and what is seen of it (docs/safety.md)."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from tests.lab import faults
from tests.lab.cluster import Cluster
from tests.lab.configuration import Config
from tests.lab.faults import Outage
from tests.lab.node import ATTRD, CIB_MANAGER
from tests.lab.waiting import now
from tests.lab.watch import Watch, overlaps
from tests.lab.writer import Writer
from tests.system import safety, story
from tests.system.safety import BEAT, LEASE, arbiter_of, the_record

# Pacemaker's controller waits for 5 s, then leaves the cluster and has its node stay down (crmd_exit, CRM_EX_FATAL).
STALL_SECONDS = 4.0

pytestmark = [pytest.mark.lab, pytest.mark.story, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def config() -> Config:
    """Build two nodes and an arbiter."""
    return safety.with_arbiter()


def test_what_the_primary_alone_was_told_is_not_lost_with_its_node(
    audited: Cluster, writer: Writer, watch: Watch
) -> None:
    """The scenario that lost 4,768 of 5,765 acknowledged commits with the shell agent."""
    primary, standby = safety.pair(audited)
    writer.open_session(primary)
    with ExitStack() as broken:
        # Primary and standby lose their link; the primary goes on alone, and only it has these commits.
        broken.enter_context(faults.cut_link(primary, standby))
        writer.wait_for_acks(since=now(), count=500)
        assert the_record(audited).nodes == (primary.name,)
        # It loses power, and the lease runs out.
        with faults.powered_off(primary, audited):
            safety.assert_serves_nobody(watch, standby, LEASE + 2 * BEAT)
            assert the_record(audited).lease.holder == ""
            safety.assert_reason(audited, standby, "record|arbiter|success")
            safety.assert_not_counted(audited, standby)
            # The clean-up that the shell agent's manual prescribes.
            audited.cleanup()
            safety.assert_serves_nobody(watch, standby, LEASE + BEAT)
        safety.wait_service(writer, now())
    story.wait_whole(audited)
    assert story.the_primary(audited) == primary
    safety.wait_recorded(audited, audited.config.node_names)


@pytest.mark.parametrize("outage", [Outage.STOPPED, Outage.FROZEN], ids=str)
def test_service_goes_on_without_the_arbiter_and_nobody_is_promoted_until_it_is_back(
    audited: Cluster, writer: Writer, watch: Watch, outage: Outage
) -> None:
    primary, standby = safety.pair(audited)
    with ExitStack() as broken:
        without = ExitStack()
        broken.enter_context(without)
        without.enter_context(faults.arbiter_gone(audited, outage))
        began = now()
        story.stays(
            lambda: primary.in_recovery() is not True and audited.promoted() in (primary, None),
            2.5 * LEASE,
            "the service",
            audited.describe,
        )
        audited.wait_for(lambda: audited.promoted() == primary == audited.primary, within=30, what=f"{primary}'s role")
        assert writer.longest_silence(began) < 2
        primary.kill_postgres()
        safety.assert_serves_nobody(watch, standby, BEAT)
        broken.enter_context(faults.powered_off(primary, audited))
        safety.assert_serves_nobody(watch, standby, LEASE + BEAT)
        safety.assert_reason(audited, standby, "arbiter")
        safety.assert_not_counted(audited, standby)
        without.close()
        safety.wait_service(writer, now())
        assert audited.primary == standby, "the promotion follows by itself"
    story.wait_whole(audited)


def test_primary_that_loses_standby_and_arbiter_acknowledges_nothing_until_either_returns(
    audited: Cluster, writer: Writer, watch: Watch
) -> None:
    """It may not go on alone (R1), and the standby, had it its power, might have been promoted (R5)."""
    primary, standby = safety.pair(audited)
    with faults.arbiter_gone(audited, Outage.STOPPED), faults.powered_off(standby, audited):
        lost = now()
        story.stays(lambda: not watch.told(since=lost), LEASE + BEAT, "the waiting of commits")
        audited.wait_for(lambda: not primary.accepts_writes(), within=30, what=f"{primary} to stop")
    safety.wait_service(writer, now())
    story.wait_whole(audited)


@pytest.mark.parametrize("stalled", [ATTRD, CIB_MANAGER], ids=["attrd", "cib"])
def test_failover_through_a_stalled_daemon_ends_without_a_hand(
    audited: Cluster, writer: Writer, watch: Watch, stalled: str
) -> None:
    primary, standby = safety.pair(audited)
    with ExitStack() as broken:
        without = ExitStack()
        broken.enter_context(without)
        without.enter_context(faults.frozen(standby, stalled))
        stalled_until = now() + STALL_SECONDS
        broken.enter_context(faults.powered_off(primary, audited))
        story.stays(lambda: not overlaps(watch.told()), stalled_until - now(), "one primary at a time")
        without.close()
        safety.wait_service(writer, now())
        assert audited.primary == standby
    story.wait_whole(audited)


def test_arbiter_alone_out_of_the_primarys_reach_disturbs_nobody(
    audited: Cluster, writer: Writer, watch: Watch
) -> None:
    primary, standby = safety.pair(audited)
    with faults.cut_link(primary, arbiter_of(audited).machine):
        began = now()
        story.stays(lambda: audited.promoted() in (primary, None), 2 * LEASE, f"{primary}'s role")
        audited.wait_for(lambda: audited.promoted() == primary, within=30, what=f"{primary}'s role")
        assert writer.longest_silence(began) < 2
        assert watch.told(standby) == []
    safety.wait_service(writer, now())
