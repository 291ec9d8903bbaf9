"""Reading the cluster: the CIB and crm_mon's XML as plain values."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass, field

ROLES = {"Master": "Promoted", "Slave": "Unpromoted"}


@dataclass(frozen=True)
class NodeAttributes:
    """Attributes of one node."""

    permanent: Mapping[str, str] = field(default_factory=dict)
    transient: Mapping[str, str] = field(default_factory=dict)

    def get(self, name: str) -> str | None:
        """Return a value; a transient one hides a permanent one, as for Pacemaker."""
        return self.transient.get(name, self.permanent.get(name))


@dataclass(frozen=True)
class Cib:
    """One reading of the CIB."""

    nodes: Mapping[str, NodeAttributes]
    properties: Mapping[str, str]
    text: str = field(repr=False, default="")

    def attribute(self, node: str, name: str) -> str | None:
        """Return an attribute of a node, wherever it is kept."""
        return self.nodes[node].get(name)

    def score(self, node: str, resource: str) -> str | None:
        """Return the promotion score of a node."""
        return self.attribute(node, f"master-{resource}")

    def is_monitored(self, node: str, resource: str) -> bool:
        """Whether Pacemaker runs a recurring monitor of a resource on a node."""
        path = f"status/node_state[@uname='{node}']//lrm_rsc_op"
        monitor = re.compile(rf"{resource}_monitor_[1-9]\d*")
        return any(monitor.fullmatch(one.get("id", "")) for one in ET.fromstring(self.text).iterfind(path))

    def fail_count(self, node: str, resource: str) -> str:
        """Return the failures Pacemaker counts: "0", a number, or "INFINITY"."""
        mark = f"fail-count-{resource}#"
        found = [value for name, value in self.nodes[node].transient.items() if name.startswith(mark)]
        return "INFINITY" if "INFINITY" in found else str(sum(int(value) for value in found))


def parse_cib(text: str) -> Cib:
    """Read the document that `cibadmin --query` prints."""
    root = ET.fromstring(text)
    states = {state.get("uname"): state for state in root.iterfind("status/node_state")}
    nodes = {}
    for node in root.iterfind("configuration/nodes/node"):
        name = node.get("uname", "")
        state = states.get(name)
        transient = {} if state is None else _pairs(state, "transient_attributes/instance_attributes/nvpair")
        nodes[name] = NodeAttributes(_pairs(node, "instance_attributes/nvpair"), transient)
    return Cib(nodes, _pairs(root, "configuration/crm_config/cluster_property_set/nvpair"), text)


def _pairs(parent: ET.Element, path: str) -> dict[str, str]:
    return {pair.get("name", ""): pair.get("value", "") for pair in parent.iterfind(path)}


@dataclass(frozen=True)
class Status:
    """One reading of crm_mon: who is there and who does what."""

    dc: str | None
    quorate: bool
    online: frozenset[str]
    # (resource without instance number, node) -> Promoted, Unpromoted, Started, Stopped, ...
    roles: Mapping[tuple[str, str], str]
    failures: tuple[str, ...]
    text: str = field(repr=False, default="")

    def nodes_with(self, resource: str, role: str) -> list[str]:
        """Return the nodes on which a resource has that role."""
        return sorted(node for (name, node), seen in self.roles.items() if (name, seen) == (resource, role))


def parse_status(text: str) -> Status:
    """Read the document that `crm_mon -1 --output-as=xml` prints (Pacemaker 2.1 and 3.0)."""
    root = ET.fromstring(text)
    dc = root.find("summary/current_dc")
    present = dc is not None and dc.get("present") == "true"
    nodes = root.findall("nodes/node")
    return Status(
        dc=dc.get("name") if dc is not None and present else None,
        quorate=dc is not None and dc.get("with_quorum") == "true",
        online=frozenset(
            node.get("name", "") for node in nodes if node.get("online") == "true" and node.get("pending") != "true"
        ),
        roles=_roles(root),
        failures=tuple(_failure(each) for each in root.iterfind("failures/failure")),
        text=text,
    )


def _roles(root: ET.Element) -> dict[tuple[str, str], str]:
    roles = {}
    for resource in root.iterfind("resources//resource"):
        role = resource.get("role", "")
        for node in resource.iterfind("node"):
            name = resource.get("id", "").partition(":")[0]
            roles[name, node.get("name", "")] = ROLES.get(role, role)
    return roles


def _failure(failure: ET.Element) -> str:
    words = (failure.get(key, "") for key in ("op_key", "node", "exitstatus", "exitreason"))
    return " ".join(words).strip()
