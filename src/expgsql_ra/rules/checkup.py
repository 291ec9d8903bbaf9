# SPDX-License-Identifier: GPL-2.0-or-later
"""``expgsql doctor``: the table of checks. Facts in, findings out; each check is a small function beside its name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from expgsql_ra.checkup import Facts
from expgsql_ra.rules import checkup_cluster as cluster
from expgsql_ra.rules import checkup_node as host
from expgsql_ra.rules import checkup_server as server
from expgsql_ra.rules.findings import Finding, Severity, Trouble

ANYWHERE = "\0"
"""Stands for the nodes in a remedy while it is not known yet how many they are."""


class Check(NamedTuple):
    """One check: its name, what is so where it finds nothing, and what it looks for."""

    name: str
    fine: str
    troubles: Callable[[Facts], Iterator[Trouble]]


CHECKS = (
    Check("nodes", "every node answers", host.unasked),
    Check("versions", "all nodes run the same, supported versions", host.versions),
    Check("quorum", "who goes on when nodes are lost is decided", cluster.quorum),
    Check("authority", "somebody can tell a dead node from a cut network", cluster.authority),
    Check("fencing", "Pacemaker's fencing is configured, or switched off on purpose", cluster.fencing),
    Check("lease", "a primary without its lease stops in time", cluster.lease),
    Check("operations", "both roles are monitored, and actions have enough time", cluster.operations),
    Check("clone", "the clone's meta attributes are as the agent needs them", cluster.clone),
    Check("failures", "failures neither ban a node for ever nor at once", cluster.failure_policy),
    Check("bans", "no ban or move is left behind", cluster.bans),
    Check("managed", "the cluster manages the resource on all nodes", cluster.managed),
    Check("node-list", "node_list and the cluster's nodes agree", cluster.node_list),
    Check("address", "the address that standbys connect to is a resource of the cluster", cluster.address),
    Check("passwords", "no password stands in the cluster's configuration", cluster.passwords),
    Check("parameters", "no parameter is deprecated", cluster.parameters),
    Check("start", "nothing stands in the way of a start", server.start),
    Check("passfile", "the server's user can use the passfile, and nobody else", server.passfile),
    Check("replication", "every node lets every node replicate", server.replication),
    Check("durability", "a commit is on disk when it is acknowledged", server.durability),
    Check("standby", "every server can serve as a standby", server.standby),
    Check("senders", "there are walsenders and slots for all standbys and a backup", server.senders),
    Check("rewind", "a diverged node can be rewound", server.rewind),
    Check("restart-waits", "commits wait for standbys from the first moment after a start", server.waits),
    Check("settings", "settings that a standby needs are as large as the primary's", server.sizes),
    Check("pending", "no changed setting waits for a restart", server.pending),
    Check("slots", "slots cannot fill the disk", server.slots),
    Check("repairs", "no repair is half finished", server.repairs),
    Check("arbiter", "every node reaches the arbiter's record", host.arbiter),
    Check("arbiter-settings", "the arbiter does not forget", host.arbiter_settings),
    Check("corosync", "Corosync's timing is the same everywhere and sensible", host.corosync),
    Check("clocks", "the nodes' clocks agree", host.clocks),
    Check("ssh", "every node reaches every node by ssh", host.ssh),
    Check("units", "the system starts the cluster software, and no server beside it", host.units),
    Check("disks", "there is space", host.disks),
)


def findings(facts: Facts, ignored: Iterable[str] = ()) -> tuple[Finding, ...]:
    """What all checks found, the worst first; a check that finds nothing says what is fine."""
    left_out = set(ignored)
    found = [one for check in CHECKS if check.name not in left_out for one in _found(check, facts)]
    order = list(Severity)
    return tuple(sorted(found, key=lambda one: order.index(one.severity)))


def worst(found: Iterable[Finding]) -> Severity:
    """The severity of the worst."""
    order = list(Severity)
    return min((one.severity for one in found), key=order.index, default=Severity.OK)


def _found(check: Check, facts: Facts) -> list[Finding]:
    """What is the same on several nodes is told once."""
    nodes: dict[Trouble, list[str]] = {}
    for one in check.troubles(facts):
        anywhere = one._replace(node="", remedy=one.remedy.replace(f"on {one.node}: ", f"on {ANYWHERE}: "))
        nodes.setdefault(anywhere, []).append(one.node)
    troubles = [_told(check.name, trouble, ", ".join(filter(None, where))) for trouble, where in nodes.items()]
    return troubles or [Finding(check.name, Severity.OK, check.fine)]


def _told(name: str, trouble: Trouble, where: str) -> Finding:
    return Finding(name, trouble.severity, trouble.what, trouble.remedy.replace(ANYWHERE, where), where)
