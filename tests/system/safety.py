"""What the safety stories ask and wait for beside story.py: the record, and why nobody is promoted."""

from __future__ import annotations

import re

from tests.lab.arbiter import Arbiter
from tests.lab.cluster import Cluster
from tests.lab.configuration import Config
from tests.lab.node import Node
from tests.lab.watch import Watch
from tests.lab.writer import Writer
from tests.system import story
from tests.system.shared import lab_config

from expgsql_ra.record import Found, Record

LEASE = 15
"""Beside other labs a monitor may be late by seconds: without the arbiter that must not end the lease (R5)."""
# A monitor, and the time it takes to be heard of.
BEAT = 5.0
SERVICE_SECONDS = 120.0


def with_arbiter(**settings: object) -> Config:
    """Return the configuration of two nodes and an arbiter."""
    return lab_config(**{"nodes": 2, "arbiter": "postgresql", "lease": LEASE, **settings})


def arbiter_of(cluster: Cluster) -> Arbiter:
    """Return the arbiter of a cluster that has one."""
    assert cluster.arbiter is not None
    return cluster.arbiter


def the_record(cluster: Cluster) -> Record:
    """Return the record; the arbiter answers."""

    def found() -> Record | None:
        answer = arbiter_of(cluster).record()
        return answer.record if isinstance(answer, Found) else None

    return cluster.wait_for(found, within=15, what="the arbiter's record")


def pair(cluster: Cluster) -> tuple[Node, Node]:
    """Return primary and standby, either of whom may succeed the other by now."""
    wait_recorded(cluster, cluster.config.node_names)
    primary = story.the_primary(cluster)
    (standby,) = cluster.others(primary)
    return primary, standby


def wait_recorded(cluster: Cluster, nodes: tuple[str, ...], within: float = 60.0) -> None:
    """Wait until the record's successors are exactly those."""

    def so() -> bool:
        found = arbiter_of(cluster).record()
        return isinstance(found, Found) and found.record.nodes == tuple(sorted(nodes))

    cluster.wait_for(so, within=within, what=f"the successors {', '.join(sorted(nodes))}")


def names_in_force(primary: Node) -> str:
    """Return whom new sessions on a node wait for."""
    return str(primary.sql("show synchronous_standby_names")[0][0])


def assert_serves_nobody(watch: Watch, node: Node, seconds: float) -> None:
    """Assert that a node acknowledges nothing and takes no writes for as long as it takes to see that."""
    began = len(watch.told(node))
    story.stays(lambda: len(watch.told(node)) == began and not node.accepts_writes(), seconds, f"the refusal of {node}")


def assert_reason(cluster: Cluster, node: Node, pattern: str) -> None:
    """Pacemaker shows a person, for that node, why it is not promoted."""

    def shown() -> bool:
        return any(
            f" {node} " in f"{line} " and re.search(pattern, line, re.IGNORECASE) for line in cluster.status().failures
        )

    cluster.wait_for(shown, within=30, what=f"{pattern!r} among the failures of {node}")


def assert_not_counted(cluster: Cluster, node: Node) -> None:
    """A promotion that was refused brings the node no nearer to being banned."""
    cluster.wait_for(lambda: story.fail_count(cluster, node) == "0", within=30, what=f"no failure counted on {node}")


def wait_service(writer: Writer, since: float, within: float = SERVICE_SECONDS) -> float:
    """Wait until clients can write again, and return how long that took."""
    return writer.wait_for_acks(since=since, within=within) - since
