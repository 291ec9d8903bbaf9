# SPDX-License-Identifier: GPL-2.0-or-later
"""A planned switchover as an administrator does it: ask, wait until all is well, take the constraint back.

Taken back at the moment of the promotion, the constraint's end aborts what Pacemaker still has to do,
and an agent that raises its new primary's score in a monitor (PAF) sees the primary move back.
"""

from __future__ import annotations

from tests.lab.cluster import Cluster
from tests.lab.configuration import CLONE
from tests.lab.node import Node

READIEST = (
    "select application_name from pg_stat_replication where state = 'streaming' order by sync_state = 'sync' desc, 1"
)


def readiest(primary: Node, cluster: Cluster) -> Node:
    """Return a synchronous standby, else one that streams; of independent servers, any other."""
    if cluster.config.agent == "null":
        return cluster.others(primary)[0]
    return cluster.node(str(primary.sql(READIEST)[0][0]))


def ask(target: Node) -> None:
    """Ask Pacemaker to promote that node in place of the primary."""
    target.run(f"crm_resource --resource {CLONE} --move --promoted --node {target.name}").check()


def wait_until_moved(target: Node, cluster: Cluster, within: float) -> None:
    """Wait until the primary's address is there."""
    vip = cluster.config.places.writer_ip
    cluster.wait_for(lambda: vip in target.addresses(), within=within, what=f"{vip} on {target}")


def take_back(cluster: Cluster) -> None:
    """Leave the primary where it is from now on."""
    cluster.nodes[0].run(f"crm_resource --resource {CLONE} --clear").check()
