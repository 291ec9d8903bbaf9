"""The lab itself: it can be built again over anything, and leaves nothing behind.

These run the "null" agent: what is under test is the ground the other tests stand on.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.lab import evidence, faults, processes
from tests.lab.cluster import Cluster, is_built
from tests.lab.configuration import Config
from tests.lab.links import Direction, Links
from tests.lab.places import Places
from tests.lab.teardown import leftovers, take_down
from tests.lab.waiting import now, wait_until
from tests.lab.writer import Writer
from tests.system.shared import SharedCluster

LAB = "selftst"
PLACES = Places(LAB)
REPOSITORY = Path(__file__).parents[2]
CONFIG = Config(lab=LAB, agent="null", nodes=2)

pytestmark = [
    pytest.mark.lab,
    pytest.mark.timeout(300),
    pytest.mark.skipif(os.geteuid() != 0, reason="the lab needs root"),
]


@pytest.fixture(scope="module")
def cluster(shared: SharedCluster) -> Iterator[Cluster]:
    """Two nodes that are up."""
    shared.discard()  # two labs of one worker would starve each other
    built = Cluster.build(CONFIG)
    built.wait_healthy()
    yield built
    built.down()


@pytest.fixture
def no_lab() -> Iterator[None]:
    """Start and end without the lab."""
    take_down(PLACES)
    yield
    take_down(PLACES)


def command(*words: str) -> subprocess.Popen[bytes]:
    """Run the lab's command line as a person would."""
    line = (sys.executable, "-m", "tests.lab", "--lab", LAB, *words)
    return subprocess.Popen(line, cwd=REPOSITORY, stdout=subprocess.DEVNULL, start_new_session=True)


def reach(node_name: str, other: Cluster) -> bool:
    """Whether a node answers the other node's ping."""
    one, two = other.nodes
    asking = two if one.name == node_name else one
    return asking.run(f"ping -c 1 -W 1 {other.node(node_name).address}").succeeded


def test_power_loss_keeps_the_disks_and_nothing_else(cluster: Cluster) -> None:
    node = cluster.nodes[1]
    node.write("/root/kept", "kept")
    node.write("/var/lib/pgsql/kept", "kept")
    node.write("/run/lost", "lost")
    with faults.powered_off(node, cluster):
        assert not node.is_on
        assert not node.processes(".")
        assert not reach(node.name, cluster)
    wait_until(lambda: reach(node.name, cluster), within=30, what="packets to arrive again")
    assert (node.read("/root/kept"), node.read("/var/lib/pgsql/kept")) == ("kept", "kept")
    assert node.read("/run/lost") == ""
    cluster.wait_healthy()


def test_unplugged_node_is_out_of_reach_until_it_is_plugged_in_again(cluster: Cluster) -> None:
    node = cluster.nodes[0]
    with faults.unplugged(node):
        assert not reach(node.name, cluster)
        assert node.sql("select 1") == [(1,)]
    wait_until(lambda: reach(node.name, cluster), within=30, what="the cable to carry packets again")
    cluster.wait_healthy()


@pytest.mark.parametrize("direction", list(Direction))
def test_cut_link_drops_packets_and_heals(cluster: Cluster, direction: Direction) -> None:
    one, two = cluster.nodes
    with faults.cut_link(one, two, direction):
        assert not reach(one.name, cluster)
    wait_until(lambda: reach(one.name, cluster), within=30, what="packets to arrive again")
    assert not one.run("nft list tables").stdout


def test_full_disk_refuses_writes_until_healed(cluster: Cluster) -> None:
    node = cluster.nodes[0]
    with faults.disk_full(node):
        assert not node.run("head -c 1M /dev/zero > /var/lib/pgsql/more").succeeded
        assert node.run("head -c 1M /dev/zero > /root/more").succeeded
    assert node.run("head -c 1M /dev/zero > /var/lib/pgsql/more").succeeded


def test_heal_all_ends_every_fault(cluster: Cluster) -> None:
    one, two = cluster.nodes
    one.unplug()
    Links(PLACES).cut([one], [two])
    one.signal("corosync", signal.SIGSTOP)
    two.power_off()
    faults.heal_all(cluster)
    cluster.wait_healthy()


def test_writer_counts_on_what_it_was_told(cluster: Cluster) -> None:
    with Writer.running(cluster) as writer:
        start = now()
        session = writer.open_session(cluster.nodes[0])
        writer.wait_for_acks(count=50)
        assert writer.longest_gap(start) < 1
        assert len(writer.acks(session)) > 1
    holder = cluster.promoted()
    assert holder is not None
    rows = holder.sql("select count(*) from lab_writes where session = 0")[0][0]
    assert rows >= len(writer.acks()) > 50


def test_evidence_has_logs_of_every_node(cluster: Cluster, tmp_path: Path) -> None:
    found = evidence.collect(cluster, tmp_path / "evidence")
    for node in cluster.nodes:
        assert "pacemaker" in (found / node.name / "syslog").read_text()
        assert "<cib" in (found / node.name / "cib.xml").read_text()


@pytest.mark.usefixtures("no_lab")
def test_built_again_over_itself_and_gone_after_down() -> None:
    for _ in range(2):
        Cluster.build(CONFIG).wait_healthy()
    assert command("down").wait(timeout=60) == 0
    assert leftovers(PLACES) == []


@pytest.mark.usefixtures("no_lab")
def test_killed_up_leaves_nothing_that_stands_in_the_way() -> None:
    building = command("up", "--agent", "null", "--nodes", "2")
    wait_until(lambda: processes.marked(*PLACES.mark), within=60, what="a first node to boot")
    os.killpg(building.pid, signal.SIGKILL)
    building.wait()
    assert leftovers(PLACES)
    Cluster.build(CONFIG).wait_healthy()
    assert is_built(PLACES)
    take_down(PLACES)
    assert leftovers(PLACES) == []
