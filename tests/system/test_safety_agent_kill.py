"""The agent is killed in the middle of what it does: the next action repairs it, and nothing is lost."""

from __future__ import annotations

import signal

import pytest
from tests.lab import faults
from tests.lab.agent_kill import Killer, Moment
from tests.lab.cluster import Cluster
from tests.lab.configuration import CLONE, Config
from tests.lab.waiting import now
from tests.lab.watch import Watch, overlaps
from tests.lab.writer import Writer
from tests.system import safety, story
from tests.system.safety import BEAT, LEASE, the_record

pytestmark = [pytest.mark.lab, pytest.mark.story, pytest.mark.timeout(400)]

PROMOTE = (
    Moment("promote"),
    Moment("promote", program="psql"),
    Moment("promote", program="psql", after=0.1),
    Moment("promote", after=0.3),
)
DEMOTE = (Moment("demote"), Moment("demote", program="."), Moment("demote", after=0.2))
DEGRADE = (Moment("monitor", program="psql", after=0.02), Moment("monitor", after=0.1), Moment("monitor", after=0.2))


@pytest.fixture(scope="module")
def config() -> Config:
    """Build two nodes and an arbiter."""
    return safety.with_arbiter()


@pytest.mark.parametrize("moment", PROMOTE, ids=str)
def test_killed_promote_is_made_good(audited: Cluster, writer: Writer, watch: Watch, moment: Moment) -> None:
    primary, standby = safety.pair(audited)
    with faults.powered_off(primary, audited), Killer(standby, moment).waiting() as killer:
        killer.wait(within=60)
        safety.wait_service(writer, now())
        assert audited.primary == standby
    story.wait_whole(audited)
    assert watch.told(standby)


def test_promote_that_pauses_beyond_the_lease_does_no_harm(audited: Cluster, writer: Writer, watch: Watch) -> None:
    """Between looking and acting, while the node that it takes over from comes back."""
    primary, standby = safety.pair(audited)
    killer = Killer(standby, Moment("promote", program="psql"), number=signal.SIGSTOP, whole=False)
    with killer.waiting():
        with faults.powered_off(primary, audited):
            killer.wait(within=60)
        story.stays(lambda: not overlaps(watch.told()), LEASE + BEAT, "one primary at a time")
        killer.wake()
        safety.wait_service(writer, now())
    story.wait_whole(audited)
    assert watch.told()


@pytest.mark.parametrize("moment", DEMOTE, ids=str)
def test_killed_demote_is_made_good(audited: Cluster, writer: Writer, watch: Watch, moment: Moment) -> None:
    primary, standby = safety.pair(audited)
    with Killer(primary, moment).waiting() as killer:
        primary.run(f"crm_resource --resource {CLONE} --move --promoted --node {standby}").check()
        killer.wait(within=60)
        safety.wait_service(writer, now())
    standby.run(f"crm_resource --resource {CLONE} --clear").check()
    story.wait_whole(audited)
    assert watch.told()


@pytest.mark.parametrize("moment", DEGRADE, ids=str)
def test_killed_degrade_keeps_record_and_server_together(
    audited: Cluster, writer: Writer, watch: Watch, moment: Moment
) -> None:
    primary, standby = safety.pair(audited)
    with faults.powered_off(standby, audited):
        with Killer(primary, moment).waiting() as killer:
            killer.wait(within=30)
        safety.wait_service(writer, now())
        assert the_record(audited).nodes == (primary.name,)
        told = len(watch.told(primary))
        primary.power_off()
        audited.boot(standby)
        safety.assert_serves_nobody(watch, standby, LEASE + 2 * BEAT)
        audited.boot(primary)
        safety.wait_service(writer, now())
        assert len(watch.told(primary)) >= told
    story.wait_whole(audited)
    assert story.the_primary(audited) == primary
