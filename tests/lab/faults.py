"""Faults as context managers that heal themselves, and `heal_all` for what a test left broken."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import Enum

from tests.lab import processes
from tests.lab.cluster import Cluster
from tests.lab.links import Direction, Links
from tests.lab.machine import Machine
from tests.lab.membership import in_parallel
from tests.lab.node import PACEMAKER, PGDATA, POSTGRES, Node
from tests.lab.waiting import wait_until

NULL_ROLE = "/run/null-agent.role"
FILLER = ".lab-filler"
CLOSED_PORT = """
table inet lab_closed_port {
    chain input {
        type filter hook input priority 0; policy accept;
        tcp dport 5432 reject with tcp reset
    }
}
"""


class Outage(Enum):
    """Ways in which the arbiter's service is missing."""

    STOPPED = "stopped"
    KILLED = "killed"
    FROZEN = "frozen"
    POWERED_OFF = "powered off"


# Cables and packet filters


@contextmanager
def unplugged(node: Node) -> Iterator[None]:
    """Pull the node's network cable: it loses the cluster, the clients and the lock service."""
    node.unplug()
    try:
        yield
    finally:
        node.plug()


@contextmanager
def isolated(node: Node, cluster: Cluster, direction: Direction = Direction.BOTH) -> Iterator[None]:
    """Cut a node from the other nodes; clients, the arbiter and this machine still reach it."""
    with partitioned([node], cluster.others(node), direction):
        yield


@contextmanager
def cut_link(one: Machine, other: Machine, direction: Direction = Direction.BOTH) -> Iterator[None]:
    """Cut what two machines say to each other; with IN, `one` no longer hears `other`."""
    with partitioned([one], [other], direction):
        yield


@contextmanager
def partitioned(
    side: Sequence[Machine], others: Sequence[Machine], direction: Direction = Direction.BOTH
) -> Iterator[None]:
    """Cut one group of machines from another."""
    links = Links(side[0].places)
    links.cut(side, others, direction)
    try:
        yield
    finally:
        links.mend(side, others, direction)


# Power and processes


@contextmanager
def powered_off(node: Node, cluster: Cluster) -> Iterator[None]:
    """Take the node's power away; afterwards it boots and its cluster software starts."""
    node.power_off()
    try:
        yield
    finally:
        if not node.is_on:
            cluster.boot(node)


@contextmanager
def cluster_stopped(node: Node) -> Iterator[None]:
    """Stop the node's cluster software in order, and start it again."""
    node.stop_cluster()
    try:
        yield
    finally:
        if not node.runs_cluster:
            node.start_cluster()


@contextmanager
def cluster_crashed(node: Node) -> Iterator[None]:
    """Kill the node's cluster software, leave its server alone, and start the former again."""
    node.crash_cluster()
    try:
        yield
    finally:
        if node.is_on and not node.runs_cluster:
            node.start_cluster()


@contextmanager
def pacemaker_killed(node: Node) -> Iterator[None]:
    """Kill Pacemaker alone: Corosync, the server and the addresses stay; start it again."""
    node.kill_pacemaker()
    try:
        yield
    finally:
        if node.is_on and not node.runs_cluster:
            node.start_cluster()


@contextmanager
def frozen(node: Machine, pattern: str = POSTGRES) -> Iterator[None]:
    """Stop the processes that match, by default the whole server, so that they hang but live."""
    victims = node.signal(pattern, signal.SIGSTOP)
    try:
        yield
    finally:
        processes.send(victims, signal.SIGCONT)


def kill_server(node: Node, cluster: Cluster) -> None:
    """Kill the server with all its processes; nothing needs healing, that is the agent's work."""
    if cluster.config.agent == "null":
        _close_port(node)
    else:
        node.kill_postgres()


def _close_port(node: Node) -> None:
    """Do what a killed server does to clients and to the agent that keeps only a role."""
    node.run("nft -f -", stdin=CLOSED_PORT).check()
    node.run(f"rm -f {NULL_ROLE}").check()


@contextmanager
def disk_full(node: Node, path: str = PGDATA, *, spare_kib: int = 0) -> Iterator[None]:
    """Fill the disk that holds a directory of the node, but for a little."""
    filler = f"{path}/../{FILLER}" if path == PGDATA else f"{path}/{FILLER}"
    free = int(node.run(("stat", "--file-system", "--format=%a * %S", path)).check().stdout.split()[0])
    block = int(node.run(("stat", "--file-system", "--format=%S", path)).check().stdout)
    node.run(("fallocate", "--length", str(free * block - spare_kib * 1024), filler)).check()
    try:
        yield
    finally:
        if node.is_on:
            node.run(("rm", "-f", filler))


# The arbiter


@contextmanager
def arbiter_gone(cluster: Cluster, how: Outage) -> Iterator[None]:
    """Have the arbiter answer nobody."""
    arbiter = cluster.arbiter
    assert arbiter is not None, "this cluster has no arbiter"
    {
        Outage.STOPPED: arbiter.stop_service,
        Outage.KILLED: arbiter.kill_service,
        Outage.FROZEN: arbiter.freeze_service,
        Outage.POWERED_OFF: arbiter.machine.power_off,
    }[how]()
    try:
        yield
    finally:
        arbiter.heal()


# Healing


def heal_all(cluster: Cluster) -> None:
    """End every fault, whoever caused it: power, cables, filters, stopped processes, full disks."""
    Links(cluster.config.places).mend_all()
    in_parallel(lambda node: _heal(node, cluster), cluster.nodes)
    if cluster.arbiter is not None:
        cluster.arbiter.heal()


def _heal(node: Node, cluster: Cluster) -> None:
    if not node.is_on:
        cluster.boot(node)
        return
    node.plug()
    node.run("for t in $(nft list tables | awk '/ lab_cut_/ {print $3}'); do nft delete table inet $t; done")
    node.run(f"rm -f {PGDATA}/../{FILLER}; find / -maxdepth 3 -xdev -name {FILLER} -delete")
    node.signal(".", signal.SIGCONT)
    if not node.processes(PACEMAKER):
        node.start_cluster()
    elif not node.runs_cluster:
        # pacemakerd alone died: its children do not answer a second one in time.
        node.crash_cluster()
        node.start_cluster()


def wait_for_crash(node: Node, within: float = 10.0) -> None:
    """Wait until no process of the server is left."""
    wait_until(lambda: not node.processes(POSTGRES), within=within, what=f"the end of PostgreSQL on {node}")
