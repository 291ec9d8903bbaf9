"""Faults as context managers that heal themselves, and `heal_all` for what a test left broken."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import Enum

from tests.lab import processes
from tests.lab.cluster import Cluster
from tests.lab.membership import in_parallel
from tests.lab.node import PACEMAKER, PGDATA, POSTGRES, Node
from tests.lab.waiting import wait_until

NULL_ROLE = "/run/null-agent.role"
FILLER = ".lab-filler"
PORT = 5432


class Direction(Enum):
    """Which way a link is cut, as seen from the node that is named first."""

    BOTH = "both"
    IN = "in"
    OUT = "out"


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
    """Cut a node from the other nodes; clients and this machine still reach it."""
    with partitioned([node], cluster.others(node), direction):
        yield


@contextmanager
def cut_link(node: Node, other: Node, direction: Direction = Direction.BOTH) -> Iterator[None]:
    """Cut what two nodes say to each other; with IN, `node` no longer hears `other`."""
    with partitioned([node], [other], direction):
        yield


@contextmanager
def partitioned(side: Sequence[Node], others: Sequence[Node], direction: Direction = Direction.BOTH) -> Iterator[None]:
    """Cut one group of nodes from another."""
    for node in side:
        cut_from_addresses(node, [other.address for other in others], direction)
    try:
        yield
    finally:
        for node in side:
            mend(node, [other.address for other in others])


def cut_from_addresses(node: Node, addresses: Sequence[str], direction: Direction = Direction.BOTH) -> None:
    """Drop packets between a node and those addresses, each in a table of its own."""
    node.run("nft -f -", stdin="".join(_table(address, direction) for address in addresses)).check()


def mend(node: Node, addresses: Sequence[str]) -> None:
    """Let packets through again; a node that is off has no filters left."""
    if node.is_on:
        for address in addresses:
            node.run(f"nft delete table inet {_table_name(address)} 2>/dev/null")


def _table_name(address: str) -> str:
    return "lab_cut_" + address.replace(".", "_")


def _table(address: str, direction: Direction) -> str:
    chains = ""
    if direction is not Direction.OUT:
        chains += _chain("input", f"ip saddr {address} drop")
    if direction is not Direction.IN:
        chains += _chain("output", f"ip daddr {address} drop")
    return f"table inet {_table_name(address)} {{\n{chains}}}\n"


def _chain(hook: str, rule: str) -> str:
    return f"chain {hook} {{\ntype filter hook {hook} priority 0; policy accept;\n{rule}\n}}\n"


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
        if not node.runs_cluster:
            node.start_cluster()


@contextmanager
def frozen(node: Node, pattern: str = POSTGRES) -> Iterator[None]:
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
    rule = _chain("input", f"tcp dport {PORT} reject with tcp reset")
    node.run("nft -f -", stdin=f"table inet lab_closed_port {{\n{rule}}}\n").check()
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


# Healing


def heal_all(cluster: Cluster) -> None:
    """End every fault, whoever caused it: power, cables, filters, stopped processes, full disks."""
    in_parallel(lambda node: _heal(node, cluster), cluster.nodes)


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
