# SPDX-License-Identifier: GPL-2.0-or-later
"""The nodes of Corosync's configuration, which can be read while the cluster is down (corosync.conf(5), "nodelist")."""

from __future__ import annotations

from collections.abc import Iterator

from expgsql_ra.effects import files
from expgsql_ra.effects.deployed import NoClusterHere

COROSYNC_CONF = "/etc/corosync/corosync.conf"


def configured_nodes(path: str = COROSYNC_CONF) -> tuple[str, ...]:
    """Their names; `NoClusterHere` where there is no configuration, or none with a list of nodes."""
    text = files.read(path)
    if text is None:
        raise NoClusterHere(f"this node belongs to no cluster: there is no {path}; expgsql setup makes one")
    found = tuple(read_nodes(text))
    if not found:
        raise NoClusterHere(f"{path} has no list of nodes (nodelist): expgsql cannot tell which nodes to start")
    return found


def read_nodes(text: str) -> Iterator[str]:
    """The name of each node, or its first address where it has none."""
    sections: list[str] = []
    node: dict[str, str] = {}
    for line in (raw.split("#", 1)[0].strip() for raw in text.splitlines()):
        if line.endswith("{"):
            sections.append(line[:-1].strip())
            node = {}
        elif line == "}":
            if sections == ["nodelist", "node"] and node:
                yield node.get("name") or node.get("ring0_addr", "")
            sections = sections[:-1]
        elif ":" in line:
            key, value = line.split(":", 1)
            node[key.strip()] = value.strip()
