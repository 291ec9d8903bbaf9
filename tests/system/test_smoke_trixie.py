"""The same agent on Debian 13: Pacemaker 3.0, PostgreSQL 17, Python 3.13. A short walk, with all audits."""

from __future__ import annotations

import pytest
from tests.lab import faults
from tests.lab.cluster import Cluster
from tests.lab.configuration import Config
from tests.lab.layer import BUILD_SECONDS
from tests.lab.waiting import now
from tests.lab.writer import Writer
from tests.system import story
from tests.system.shared import lab_config
from tests.system.story import the_primary

# The first run on a machine builds the root that the nodes are overlays of.
pytestmark = [pytest.mark.lab, pytest.mark.timeout(int(BUILD_SECONDS) + 400)]


@pytest.fixture(scope="module")
def config() -> Config:
    """Build the nodes from another release than this machine may be."""
    return lab_config(layer="trixie", install_layer=None)


def test_versions_are_the_other_ones(cluster: Cluster) -> None:
    node = the_primary(cluster)
    assert node.run("pacemakerd --version").stdout.startswith("Pacemaker 3.")
    assert node.sql("select current_setting('server_version_num')::int / 10000") == [(17,)]


def test_start_kill_failover_and_move(audited: Cluster, writer: Writer) -> None:
    first = the_primary(audited)
    timeline, record = story.timeline(first), story.repl_info(audited)

    killed = now()
    faults.kill_server(first, audited)
    writer.wait_for_acks(since=killed + 0.1)
    story.wait_whole(audited)
    assert (the_primary(audited), story.timeline(first), story.repl_info(audited)) == (first, timeline, record)
    assert story.fail_count(audited, first) == "1"

    story.sync_standby(audited)
    lost = now()
    with faults.powered_off(first, audited):
        second = story.new_primary(audited, first)
        writer.wait_for_acks(since=lost)
        assert story.timeline(second) == timeline + 1
        story.assert_recorded(audited, second, timeline)
    story.comes_back(audited, first, story.recorded_fork(audited))

    target = story.sync_standby(audited)
    audited.move(target)
    writer.wait_for_acks(since=now())
    story.wait_whole(audited)
    assert the_primary(audited) == target
    assert story.timeline(target) == timeline + 2
    assert story.streams(audited, second)
