# SPDX-License-Identifier: GPL-2.0-or-later
"""Facts for the doctor, said in a few words: a cluster in which all is well, but for what a test asks for."""

from __future__ import annotations

from typing import Any

from tests.builders import NODES, a_view, some_parameters

from expgsql_ra.checkup import Configuration, ConfiguredOperation, Disk, Facts, NodeCheckup
from expgsql_ra.deployment import ClusterNode, Companion, Deployment
from expgsql_ra.values import RepMode

ARBITER = {"enable_distlock": True, "distlock_conninfo": "host=arbiter", "distlock_lockname": "c1"}
OPERATIONS = (
    *(
        ConfiguredOperation(name, timeout=60.0, interval=0.0)
        for name in ("start", "stop", "promote", "demote", "notify")
    ),
    ConfiguredOperation("monitor", "Promoted", 3.0, 60.0),
    ConfiguredOperation("monitor", "", 4.0, 60.0),
)
META = {
    "notify": "true",
    "promotable": "true",
    "master-max": "1",
    "migration-threshold": "3",
    "failure-timeout": "3600",
}
SETTINGS = {
    **dict.fromkeys(("fsync", "full_page_writes", "synchronous_commit", "hot_standby", "wal_log_hints"), "on"),
    "data_checksums": "off",
    "wal_level": "replica",
    "listen_addresses": "*",
    "max_wal_senders": "10",
    "max_replication_slots": "10",
    "max_connections": "100",
    "max_slot_wal_keep_size": "-1",
}
VERSIONS = {"expgsql": "0.1.0", "pacemaker": "2.1.5-1", "corosync": "3.1.7", "postgresql": "17.5"}


def a_node(name: str = "node1", server: str = "standby", **changes: Any) -> NodeCheckup:
    """One on which all is well."""
    others = [one for one in NODES if one != name]
    healthy: dict[str, Any] = {
        "versions": VERSIONS,
        "settings": SETTINGS,
        "totem": {"token": "1650", "consensus": "1980"},
        "replication": dict.fromkeys(["192.0.2.100", *others], ""),
        "ssh": dict.fromkeys(others, ""),
        "units": {"corosync": "enabled", "pacemaker": "enabled"},
        "disks": (Disk("/srv/pgdata", 50, 100), Disk("/proc", 0, 0)),
    }
    return NodeCheckup(name, server=server, **{**healthy, **changes})


def a_deployment(mode: RepMode = RepMode.SYNC, nodes: tuple[str, ...] = NODES, **changes: Any) -> Deployment:
    """A cluster in which all is well; ``given`` are parameters of the resource."""
    parameters = some_parameters(mode, **{"node_list": nodes, **changes.pop("given", {})})
    usual: dict[str, Any] = {
        "properties": (("stonith-enabled", "false"), ("no-quorum-policy", "stop")),
        "view": a_view(*nodes),
        "nodes": tuple(ClusterNode(name, online=True) for name in nodes),
        "companions": (Companion("vip", "ocf:heartbeat:IPaddr2", "192.0.2.100", ("node1",), "primary"),),
        "clone": "pgsql-clone",
    }
    return Deployment(
        resource="pgsql", parameters=parameters, roles=(), failures=(), fail_counts=(), **{**usual, **changes}
    )


def facts(
    *nodes: NodeCheckup, deployment: Deployment | None = None, configuration: Configuration | None = None
) -> Facts:
    """All is well, but for what is given; nodes replace those of the same name."""
    seen = deployment or a_deployment()
    given = {one.node: one for one in nodes}
    servers = {name: "primary" if number == 0 else "standby" for number, name in enumerate(NODES)}
    return Facts(
        seen,
        configuration or configured(),
        tuple(given.get(one.name) or a_node(one.name, servers[one.name]) for one in seen.nodes),
    )


def configured(*replaced: ConfiguredOperation, without: str = "", **changes: Any) -> Configuration:
    """A configuration in which all is well, but for operations that are replaced, or left out with their role."""
    kept = [one for one in OPERATIONS if (one.name, one.role) not in {(each.name, each.role) for each in replaced}]
    left = tuple(one for one in (*kept, *replaced) if f"{one.name} {one.role}".strip() != without)
    return Configuration(**{"operations": left, "meta": META, **changes})


def meta(**changes: str) -> Configuration:
    """Other meta attributes; an empty value removes one."""
    names = {name.replace("_", "-"): value for name, value in changes.items()}
    return configured(meta={name: value for name, value in {**META, **names}.items() if value})


def two(**changes: Any) -> Deployment:
    """Two nodes."""
    return a_deployment(nodes=("node1", "node2"), **changes)


def properties(**changes: str) -> tuple[tuple[str, str], ...]:
    """Properties of the cluster."""
    usual = {"stonith-enabled": "false", "no-quorum-policy": "stop"}
    return tuple({**usual, **{name.replace("_", "-"): value for name, value in changes.items()}}.items())


def settings(**changes: str) -> NodeCheckup:
    """A standby with other settings."""
    return a_node("node2", settings={**SETTINGS, **changes})
