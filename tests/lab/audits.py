"""Invariants of the whole cluster, checked after every test, whatever it did."""

from __future__ import annotations

import re
from collections.abc import Callable

from tests.lab.cib import Cib
from tests.lab.cluster import Cluster
from tests.lab.configuration import RESOURCE, WITH_STATUS
from tests.lab.node import Node
from tests.lab.waiting import Timeout, ticks
from tests.lab.writer import Writer

STATUSES = {
    *("PRI", "HS:sync", "HS:async", "HS:potential", "HS:quorum", "HS:connected", "HS:alone"),
    *("STOP", "UNKNOWN"),
}
DATA_STATUS = re.compile(r"LATEST|DISCONNECT|[A-Z]+\|[A-Z]+")
STANDBY_STATUS = re.compile(r"HS:\w+")
STREAMING = re.compile(r"STREAMING\|[A-Z]+")
SCORES = {"-INFINITY", "-1000000", "100", "110", "1000"}
PRIMARY_SCORE = "1000"
LSN = r"[0-9A-F]{16}"
LSN_ATTRIBUTES = (f"{RESOURCE}-xlog-loc", f"{RESOURCE}-master-baseline")
REPL_INFO = re.compile(rf"(?P<node>[^|]+)\|\d+\|{LSN}")


class AuditFailed(AssertionError):
    """An invariant does not hold."""


def audit(cluster: Cluster, writer: Writer | None = None) -> None:
    """Check everything that must hold at any time; raise all that does not."""
    found = [*one_writer(cluster), *address_on_writer(cluster)]
    if cluster.config.agent in WITH_STATUS:
        found += values(cluster)
    if writer is not None and cluster.config.agent != "null":
        found += nothing_lost(writer)
    if found:
        raise AuditFailed("\n".join(found))


def audit_settled(cluster: Cluster, *, within: float = 60.0) -> None:
    """Check what must hold once nothing changes any more: values that agree with the roles."""
    try:
        cluster.wait_for(lambda: not agreement(cluster), within=within, what="attributes to agree with roles")
    except Timeout as timeout:
        raise AuditFailed("\n".join([*agreement(cluster), str(timeout)])) from timeout


def one_writer(cluster: Cluster) -> list[str]:
    """At most one server accepts writes, asked in SQL on every node through its own socket."""
    if cluster.config.agent == "null":
        return []
    writable = [node.name for node in cluster.writable]
    return [f"servers that accept writes: {', '.join(writable)}"] if len(writable) > 1 else []


def address_on_writer(cluster: Cluster) -> list[str]:
    """The writer's address is on no node whose server does not accept writes.

    A server on its way down or up is seen in between: only what lasts for two seconds is wrong.
    """
    readings = [_stray_addresses(cluster) for _ in ticks(1.0, 2.0)]
    return sorted(set(readings[0]).intersection(*readings[1:]))


def _stray_addresses(cluster: Cluster) -> list[str]:
    vip = cluster.config.places.writer_ip
    holders = [node for node in cluster.nodes if vip in node.addresses()]
    return [f"{vip} is on {node}, which takes no writes" for node in holders if not node.accepts_writes()]


def nothing_lost(writer: Writer) -> list[str]:
    """Every acknowledged row is on the primary."""
    result = writer.look_up()
    return [f"{result.lost} of {result.acknowledged} acknowledged commits are lost"] if result.missing else []


def not_banned(cluster: Cluster) -> list[str]:
    """No node is kept from the database by failures it has counted or by a constraint somebody made."""
    cib = cluster.cib()
    threshold = cluster.config.migration_threshold
    counts = {node: cib.fail_count(node, RESOURCE) for node in cib.nodes}
    over = {node: count for node, count in counts.items() if count == "INFINITY" or int(count) >= threshold}
    found = [f"{node} is banned by its fail count {count}" for node, count in over.items()]
    return found + [f"constraint {name}" for name in re.findall(r'id="(cli-[^"]+)"', cib.text)]


def values(cluster: Cluster) -> list[str]:
    """Every value in the cluster state is one that the contract knows."""
    cib = cluster.cib()
    found = [complaint for name in cib.nodes for complaint in _node_values(cib, name)]
    info = cib.properties.get(f"{RESOURCE}_REPL_INFO")
    if info is not None and not REPL_INFO.fullmatch(info):
        found.append(f"{RESOURCE}_REPL_INFO is {info!r}")
    return found


def _node_values(cib: Cib, node: str) -> list[str]:
    allowed: dict[str, Callable[[str], object]] = {
        f"{RESOURCE}-status": STATUSES.__contains__,
        f"{RESOURCE}-data-status": DATA_STATUS.fullmatch,
        f"master-{RESOURCE}": SCORES.__contains__,
        **dict.fromkeys(LSN_ATTRIBUTES, re.compile(LSN).fullmatch),
    }
    seen = {name: cib.attribute(node, name) for name in allowed}
    return [
        f"{name} of {node} is {value!r}"
        for name, value in seen.items()
        if value is not None and not allowed[name](value)
    ]


def agreement(cluster: Cluster) -> list[str]:
    """Each running node's values say what its server is (contract, "Cluster state")."""
    status, cib = cluster.status(), cluster.cib()
    primary = cluster.primary
    if primary is None:
        return ["no server accepts writes"]
    running = [node for node in cluster.nodes if (RESOURCE, node.name) in status.roles]
    found = _primary_values(cib, primary.name)
    for node in running:
        if node != primary:
            found += _standby_values(cib, node)
    config = cluster.config
    if config.agent == "expgsql" and config.rep_mode == "sync" and not any(_may_succeed(cib, node) for node in running):
        found.append("no standby may succeed yet")
    return found


def _may_succeed(cib: Cib, node: Node) -> bool:
    """Whether a standby counts as a successor; only then does the loss of its primary cost no service."""
    said = (cib.attribute(node.name, f"{RESOURCE}-{name}") for name in ("data-status", "status"))
    return (*said, cib.score(node.name, RESOURCE)) == ("STREAMING|SYNC", "HS:sync", "100")


def _primary_values(cib: Cib, node: str) -> list[str]:
    wanted = {
        f"{RESOURCE}-status": "PRI",
        f"{RESOURCE}-data-status": "LATEST",
        f"master-{RESOURCE}": PRIMARY_SCORE,
    }
    return [
        f"{name} of the primary {node} is {cib.attribute(node, name)!r}, not {value!r}"
        for name, value in wanted.items()
        if cib.attribute(node, name) != value
    ]


def _standby_values(cib: Cib, node: Node) -> list[str]:
    wanted = {f"{RESOURCE}-status": STANDBY_STATUS, f"{RESOURCE}-data-status": STREAMING}
    found = [
        f"{name} of the standby {node} is {cib.attribute(node.name, name)!r}"
        for name, pattern in wanted.items()
        if not pattern.fullmatch(cib.attribute(node.name, name) or "")
    ]
    score = cib.score(node.name, RESOURCE)
    if score == PRIMARY_SCORE:
        found.append(f"the score of the standby {node} is the primary's")
    return found
