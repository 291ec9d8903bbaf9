# SPDX-License-Identifier: GPL-2.0-or-later
"""Before a fault the cluster is whole and quiet; after a fault it is made so again, by the same means for all."""

from __future__ import annotations

from contextlib import suppress

import psycopg
from tests.bench import switchover
from tests.bench.costs import primary_of
from tests.bench.figures import Figure
from tests.lab import databases, quirks
from tests.lab.cluster import Cluster, SplitBrain
from tests.lab.command import CommandFailed
from tests.lab.configuration import RESOURCE
from tests.lab.node import Node
from tests.lab.waiting import Timeout

WHOLE_SECONDS = 120.0
# What heals by itself has done so after this time; the rest is repaired.
SELF_HEALING_SECONDS = 25.0
START = f"{RESOURCE}_start_0"
UNSETTLED = (psycopg.OperationalError, SplitBrain, CommandFailed, Timeout)


def settle(cluster: Cluster) -> None:
    """Wait until nothing is missing and Pacemaker has nothing left to do, with the primary off the DC.

    The loss of the DC costs every agent an election more, which would hide what they do differently.
    """
    wait_whole(cluster)
    primary = primary_of(cluster)
    if cluster.status().dc == primary.name:
        target = switchover.readiest(primary, cluster)
        switchover.ask(target)
        switchover.wait_until_moved(target, cluster, WHOLE_SECONDS)
        _finish_switchover(cluster)


def _finish_switchover(cluster: Cluster) -> None:
    _heal(cluster)
    switchover.take_back(cluster)
    wait_whole(cluster)


def wait_whole(cluster: Cluster, within: float = WHOLE_SECONDS) -> None:
    """Wait until every node does its part and Pacemaker is idle."""
    cluster.wait_for(lambda: _is_whole(cluster), within=within, what="a whole cluster")
    cluster.nodes[0].run("crm_resource --wait --timeout=30s", timeout=40)


def _is_whole(cluster: Cluster) -> bool:
    with suppress(*UNSETTLED):
        return cluster.is_healthy()
    return False


def repair(cluster: Cluster, figure: Figure, old: Node) -> None:
    """Make a cluster whole after a fault of a node that was its primary."""
    if figure is Figure.POWER:
        old.power_on()
        quirks.after_boot(cluster.config, old)
    if figure is Figure.CABLE:
        old.plug()
    if cluster.config.agent == "null":
        _rejoin(old)
    elif figure is not Figure.SWITCHOVER and primary_of(cluster) != old:
        _renew(cluster, old)
    if figure is Figure.SWITCHOVER:
        _finish_switchover(cluster)
    else:
        _heal(cluster)


def _rejoin(node: Node) -> None:
    if not node.runs_cluster:
        node.start_cluster()


def _renew(cluster: Cluster, node: Node) -> None:
    """Give a node the primary's data; its cluster software is down meanwhile, so that nothing starts on the old."""
    if node.runs_cluster:
        node.stop_cluster()
    # two nodes with the address, after a cable: Pacemaker takes it from both for a while
    cluster.wait_for(lambda: cluster.holder() == primary_of(cluster) != node, within=60, what="the primary's address")
    databases.rebuild(node)
    quirks.after_rebuild(cluster.config, node)
    node.start_cluster()


def _heal(cluster: Cluster) -> None:
    """Wait until the cluster is whole, and renew what does not become so by itself."""
    with suppress(Timeout):
        cluster.wait_for(lambda: _is_whole(cluster) or _refused(cluster), within=SELF_HEALING_SECONDS, what="healing")
    for node in _refused(cluster) or _left_behind(cluster):
        _renew(cluster, node)
    wait_whole(cluster)


def _refused(cluster: Cluster) -> list[Node]:
    """Return the nodes whose server the agent would not start, as `pgsql` does after it stopped a primary."""
    failures = cluster.status().failures
    return [node for node in cluster.nodes if any(one.startswith(f"{START} {node} ") for one in failures)]


def _left_behind(cluster: Cluster) -> list[Node]:
    """Return the nodes that do not follow the primary."""
    if cluster.config.agent == "null":
        return []
    primary = primary_of(cluster)
    rows = primary.sql("select application_name from pg_stat_replication where state = 'streaming'")
    return [node for node in cluster.others(primary) if (node.name,) not in rows]
