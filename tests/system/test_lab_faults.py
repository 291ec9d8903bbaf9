"""What the safety stories stand on: the arbiter's machine, links cut one way, outages that heal.

The agent is the one that does nothing: what is under test is the ground.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from tests.lab import faults
from tests.lab.arbiter import Arbiter
from tests.lab.cluster import Cluster
from tests.lab.configuration import Config
from tests.lab.faults import Outage
from tests.lab.links import Direction
from tests.lab.machine import Machine
from tests.lab.node import CIB_MANAGER
from tests.lab.places import Places
from tests.lab.teardown import leftovers
from tests.lab.waiting import wait_until
from tests.lab.watch import Watch, overlaps
from tests.system.shared import SharedCluster

from expgsql_ra.record import Found, Unreachable

LAB = "selfarb"
PLACES = Places(LAB)
WAYS = (Direction.OUT, Direction.IN)

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]


@pytest.fixture(scope="module", params=["postgresql", "etcd"])
def cluster(request: pytest.FixtureRequest, shared: SharedCluster) -> Iterator[Cluster]:
    """Two nodes and an arbiter; nothing is left of them afterwards."""
    shared.discard()  # two labs of one worker would starve each other
    built = Cluster.build(Config(lab=LAB, agent="null", nodes=2, arbiter=request.param))
    built.wait_healthy()
    yield built
    built.down()
    assert leftovers(PLACES) == []


@pytest.fixture
def arbiter(cluster: Cluster) -> Arbiter:
    """The cluster's arbiter."""
    assert cluster.arbiter is not None
    return cluster.arbiter


def hears(listener: Machine, speaker: Machine) -> bool:
    """Whether packets arrive: a datagram is sent that nobody has to answer."""
    listener.run("rm -f /run/heard /run/said")
    listen = listener.popen(("timeout", "60", "python3", "-c", LISTEN), log=-3)
    try:
        wait_until(lambda: listener.read("/run/heard") != "", within=30, what="a listener")
        speaker.run(("python3", "-c", SPEAK, listener.address)).check()
        listener.run("touch /run/said").check()
        return listen.wait(timeout=30) == 0
    finally:
        listen.kill()
        listen.wait()


LISTEN = """
import pathlib, socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("", 9999))
sock.settimeout(0.2)
pathlib.Path("/run/heard").write_text("listening")
while True:
    over = pathlib.Path("/run/said").exists()
    try:
        sock.recv(10)
        sys.exit(0)
    except TimeoutError:
        if over:
            sys.exit(1)
"""
SPEAK = """
import socket, sys
for _ in range(3):
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", (sys.argv[1], 9999))
"""


def test_record_is_prepared_as_a_user_does_it(cluster: Cluster, arbiter: Arbiter) -> None:
    found = arbiter.record()
    assert isinstance(found, Found)
    assert (found.record.primary, found.record.epoch) == (cluster.nodes[0].name, 1)
    shown = cluster.nodes[1].run(
        f"/opt/expgsql/bin/expgsql arbiter show --lockname pgsql_lab --conninfo '{arbiter.conninfo}' "
        "--passfile /var/lib/postgresql/.pgpass"
    )
    assert "primary    node1" in shown.check().stdout


@pytest.mark.parametrize("direction", WAYS, ids=str)
def test_link_is_cut_one_way_only(cluster: Cluster, arbiter: Arbiter, direction: Direction) -> None:
    one, two, three = *cluster.nodes, arbiter.machine
    for side, other in ((one, two), (two, three), (three, one)):
        assert (hears(side, other), hears(other, side)) == (True, True)
        with faults.cut_link(side, other, direction):
            heard = (hears(side, other), hears(other, side))
        assert heard == (direction is Direction.OUT, direction is Direction.IN)
        assert (hears(side, other), hears(other, side)) == (True, True)


def test_cut_survives_a_power_loss_and_healing_ends_it(cluster: Cluster, arbiter: Arbiter) -> None:
    one, two = cluster.nodes
    with faults.cut_link(one, arbiter.machine):
        with faults.powered_off(one, cluster):
            pass
        assert not hears(one, arbiter.machine)
        faults.heal_all(cluster)
        assert hears(one, arbiter.machine)
    assert hears(two, arbiter.machine)
    cluster.wait_healthy()


@pytest.mark.parametrize("outage", list(Outage), ids=str)
def test_arbiter_comes_back_with_its_record(cluster: Cluster, arbiter: Arbiter, outage: Outage) -> None:
    before = arbiter.record()
    with faults.arbiter_gone(cluster, outage):
        if cluster.config.arbiter == "etcd" and outage is Outage.POWERED_OFF:
            wait_until(arbiter.answers, within=15, what="two members of three to agree on a leader")
        else:
            assert not arbiter.answers()
    assert arbiter.record() == before
    cluster.wait_healthy()


def test_two_independent_servers_are_seen_to_acknowledge_at_the_same_time(cluster: Cluster) -> None:
    with Watch.running(cluster) as watch:
        for node in cluster.nodes:
            wait_until(lambda node=node: len(watch.told(node)) > 5, within=20, what=f"writes on {node}")  # type: ignore[misc]
    assert "both acknowledge on timeline 1" in overlaps(watch.told())[0]


def test_all_faults_at_once_heal(cluster: Cluster, arbiter: Arbiter) -> None:
    one, two = cluster.nodes
    with ExitStack() as broken:
        broken.enter_context(faults.cut_link(one, two, Direction.IN))
        arbiter.machine.power_off()
        two.kill_pacemaker()
        broken.enter_context(faults.frozen(one, CIB_MANAGER))
        faults.heal_all(cluster)
        cluster.wait_healthy()
        assert hears(one, two)
        assert not isinstance(arbiter.record(), Unreachable)
