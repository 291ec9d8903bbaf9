"""The same agent on Debian 13: Pacemaker 3.0, PostgreSQL 17, Python 3.13. A short walk, with all audits."""

from __future__ import annotations

import pytest
from tests.lab import faults
from tests.lab.cluster import Cluster
from tests.lab.configuration import Config, setup_file
from tests.lab.layer import BUILD_SECONDS
from tests.lab.waiting import now
from tests.lab.writer import Writer
from tests.system import by_hand, story
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


@pytest.mark.parametrize("tool", ["pcs", "crmsh"])
def test_its_tools_make_the_same_of_a_set_up(cluster: Cluster, tool: str) -> None:
    node, file = cluster.nodes[0], "/root/expgsql.toml"
    node.write(file, setup_file(cluster.config, node.bindir), mode=0o600)
    node.run(f"cibadmin --empty > {by_hand.SCRATCH}").check()
    by_hand.configure(node, file, tool)
    assert "no difference" in by_hand.expgsql(node, f"setup plan {file} --cib {by_hand.SCRATCH} --with cibadmin")
    assert "no difference" in by_hand.expgsql(node, f"setup plan {file} --with cibadmin")


def test_start_kill_failover_and_move(audited: Cluster, writer: Writer) -> None:
    first = the_primary(audited)
    timeline, record = story.timeline(first), story.repl_info(audited)

    faults.kill_server(first, audited)
    killed = now()
    writer.wait_for_acks(since=killed)
    story.wait_whole(audited)
    assert (the_primary(audited), story.timeline(first), story.repl_info(audited)) == (first, timeline, record)
    story.assert_counted(audited, first, 1)

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
