"""The audits can fail: the same two nodes, whose agent was not told of the arbiter, do all that must never be."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.lab import faults
from tests.lab.cluster import Cluster
from tests.lab.configuration import Config
from tests.lab.lock_service import LOCKNAME
from tests.lab.waiting import now
from tests.lab.watch import Watch, overlaps
from tests.lab.watch_record import RecordWatch
from tests.lab.writer import Writer
from tests.system import safety, story
from tests.system.shared import SharedCluster

pytestmark = [pytest.mark.lab, pytest.mark.story, pytest.mark.timeout(400)]

# Both may succeed, says the record; nobody asks it.
BOTH = f"""
update distlock set revision = revision + 1, successors = '{{"node1": "a", "node2": "b"}}' where lockname = '{LOCKNAME}'
"""


@pytest.fixture(scope="module")
def config() -> Config:
    """Build two nodes and an arbiter that is not used."""
    return safety.with_arbiter(params=dict.fromkeys(("enable_distlock", "distlock_conninfo", "distlock_lockname"), ""))


@pytest.fixture
def cluster(shared: SharedCluster, config: Config) -> Iterator[Cluster]:
    """Build them; what is left of them afterwards nobody wants."""
    yield shared.healthy(config)
    shared.discard()


def test_without_the_record_two_acknowledge_and_commits_are_lost(cluster: Cluster) -> None:
    primary = story.the_primary(cluster)
    (standby,) = cluster.others(primary)
    psql = (f"{primary.bindir}/psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", "ha", "-c", BOTH)
    safety.arbiter_of(cluster).machine.run(psql, user="postgres").check()
    with Writer.running(cluster) as writer, Watch.running(cluster) as watch, RecordWatch.running(cluster) as records:
        writer.open_session(primary)
        with faults.cut_link(primary, standby):
            cut = now()
            for node in (primary, standby):
                cluster.wait_for(
                    lambda node=node: len(watch.told(node, since=cut + 2)) > 10,  # type: ignore[misc]
                    within=60,
                    what=f"{node} to acknowledge",
                )
            primary.power_off()
        assert any(f"{primary} still acknowledges" in line for line in overlaps(watch.told()))
        assert any(f"{standby} may succeed it" in line for line in records.wrong)
        assert writer.look_up().lost > 10
        assert watch.missing()
