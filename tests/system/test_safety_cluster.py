"""Three nodes without an arbiter: the cluster's quorum is the authority (rule R9)."""

from __future__ import annotations

import pytest
from tests.lab import faults
from tests.lab.cluster import Cluster
from tests.lab.configuration import Config
from tests.lab.links import Direction
from tests.lab.waiting import now, ticks
from tests.lab.watch import Watch
from tests.lab.writer import Writer
from tests.system import safety, story
from tests.system.shared import lab_config

pytestmark = [pytest.mark.lab, pytest.mark.story, pytest.mark.timeout(400)]

# By then a membership that will be found has been.
SEARCH_SECONDS = 45.0
SETTLED_SECONDS = 10.0


@pytest.fixture(scope="module")
def config() -> Config:
    """Build three nodes."""
    return lab_config()


def test_isolated_primary_acknowledges_nothing_beside_its_successor(
    audited: Cluster, writer: Writer, watch: Watch
) -> None:
    old = story.the_primary(audited)
    writer.open_session(old)
    with faults.isolated(old, audited):
        new = story.new_primary(audited, old)
        audited.wait_for(lambda: watch.told(new), within=60, what=f"commits on {new}")
        audited.wait_for(lambda: not old.accepts_writes(), within=60, what=f"{old} to stop")
    safety.wait_service(writer, now())
    story.wait_whole(audited)
    assert story.the_primary(audited) == new


@pytest.mark.parametrize("direction", list(Direction), ids=str)
def test_isolated_standby_disturbs_nobody_for_long(
    audited: Cluster, writer: Writer, watch: Watch, direction: Direction
) -> None:
    standby = story.sync_standby(audited)
    with faults.isolated(standby, audited, direction):
        audited.wait_for(lambda: watch.told(since=now() - 0.5), within=60, what="commits to go on")
        safety.wait_service(writer, now())
        assert watch.told(standby) == []
    story.wait_whole(audited)


def test_pair_that_loses_its_link_alone_loses_nothing(audited: Cluster, writer: Writer, watch: Watch) -> None:
    """Both still hear the third node, which is what a membership protocol likes least.

    Corosync mostly finds a membership without one of them; where it goes on searching, nobody can write the record, and
    service returns with the link.
    """
    primary, standby = story.the_primary(audited), story.sync_standby(audited)
    with faults.cut_link(primary, standby):
        cut = now()
        for _ in ticks(0.5, SEARCH_SECONDS):
            if watch.told(since=cut + SETTLED_SECONDS):
                break
    safety.wait_service(writer, now())
    story.wait_whole(audited)
    assert watch.told()
