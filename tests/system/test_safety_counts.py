"""strict_sync and sync_standby_count: how many have to answer, and what happens when they do not."""

from __future__ import annotations

import pytest
from tests.lab import faults
from tests.lab.cluster import Cluster
from tests.lab.configuration import Config
from tests.lab.waiting import now
from tests.lab.watch import Watch
from tests.lab.writer import Writer
from tests.system import safety, story
from tests.system.safety import BEAT, LEASE, the_record

pytestmark = [pytest.mark.lab, pytest.mark.story, pytest.mark.timeout(400)]

STRICT = safety.with_arbiter(params={"strict_sync": "true"})
BOTH = safety.with_arbiter(nodes=3, params={"sync_standby_count": "2"})


@pytest.fixture
def config(request: pytest.FixtureRequest) -> Config:
    """Build what the test says."""
    found = request.param
    assert isinstance(found, Config)
    return found


@pytest.mark.parametrize("config", [STRICT], indirect=True, ids=["strict"])
def test_strict_primary_waits_for_its_standby(audited: Cluster, writer: Writer, watch: Watch) -> None:
    primary, standby = safety.pair(audited)
    session = writer.open_session(primary)
    with faults.powered_off(standby, audited):
        cut = now()
        names, successors = safety.names_in_force(primary), the_record(audited).nodes
        story.stays(lambda: not watch.told(primary, since=cut), LEASE + 2 * BEAT, "the waiting of commits")
        assert (safety.names_in_force(primary), the_record(audited).nodes) == (names, successors)
    began = now()
    safety.wait_service(writer, began)
    audited.wait_for(
        lambda: writer.acks(session)[-1].answered > began, within=30, what="the session that waited to go on"
    )
    story.wait_whole(audited)
    assert story.the_primary(audited) == primary


@pytest.mark.parametrize("config", [BOTH], indirect=True, ids=["both"])
def test_two_standbys_are_both_waited_for_until_one_is_lost(audited: Cluster, writer: Writer, watch: Watch) -> None:
    safety.wait_recorded(audited, audited.config.node_names)
    primary = story.the_primary(audited)
    one, two = audited.others(primary)
    for standby in (one, two):
        with faults.frozen(standby):
            cut = now()
            # Short of wal_sender_timeout, and of what would be a reason to degrade.
            story.stays(lambda cut=cut: not watch.told(primary, since=cut + 0.2), 2.0, f"the waiting for {standby}")  # type: ignore[misc]
        safety.wait_service(writer, now())
        safety.wait_recorded(audited, audited.config.node_names)
    with faults.powered_off(one, audited):
        safety.wait_service(writer, now())
        assert the_record(audited).nodes == tuple(sorted((primary.name, two.name)))
        assert safety.names_in_force(primary) == f'FIRST 1 ("{two}")'
    story.wait_whole(audited)
    safety.wait_recorded(audited, audited.config.node_names)
