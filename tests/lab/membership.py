"""What makes nodes one cluster: Corosync's configuration and a first, nearly empty CIB."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from tests.lab.machine import Machine
from tests.lab.node import Node

CIB_DIR = "/var/lib/pacemaker/cib"
# How long a node that starts waits for a DC before it calls an election; Pacemaker's 20 s would be
# the larger part of every test. It plays no part when a DC is lost.
DC_DEADTIME = "2s"

TOTEM = {
    "version": "2",
    "cluster_name": "expgsql",
    "transport": "knet",
    # The nodes share a machine: there is nobody on their network to hide from.
    "crypto_cipher": "none",
    "crypto_hash": "none",
    "token": "1000",
}
LOGGING = {
    "to_stderr": "no",
    "to_syslog": "no",
    "to_logfile": "yes",
    "logfile": "/var/log/corosync/corosync.log",
    "timestamp": "hires",
}


def corosync_conf(nodes: Sequence[Node], totem: Mapping[str, str]) -> str:
    """Render corosync.conf; the parser wants each brace at the end or on a line of its own."""
    members = [{"ring0_addr": n.address, "name": n.name, "nodeid": str(n.number)} for n in nodes]
    quorum = {"provider": "corosync_votequorum"}
    if len(nodes) == 2:
        quorum["two_node"] = "1"
    sections = [
        _section("totem", {**TOTEM, **totem}),
        "nodelist {\n" + "".join(_section("node", member) for member in members) + "}\n",
        _section("quorum", quorum),
        _section("logging", LOGGING),
    ]
    return "".join(sections)


def _section(name: str, values: Mapping[str, str]) -> str:
    return f"{name} {{\n" + "".join(f"    {key}: {value}\n" for key, value in values.items()) + "}\n"


def hosts_file(nodes: Sequence[Node]) -> str:
    """Render /etc/hosts."""
    lines = ["127.0.0.1 localhost", *(f"{node.address} {node.name}" for node in nodes)]
    return "\n".join(lines) + "\n"


def first_cib(node: Node, nodes: Sequence[Node]) -> ET.Element:
    """Return an empty CIB of the node's own Pacemaker that knows the nodes and hurries elections."""
    cib = ET.fromstring(node.run("cibadmin --empty").check().stdout)
    configuration = cib.find("configuration")
    assert configuration is not None
    properties = ET.SubElement(_child(configuration, "crm_config"), "cluster_property_set")
    properties.set("id", "cib-bootstrap-options")
    deadtime = {"id": "cib-bootstrap-options-dc-deadtime", "name": "dc-deadtime", "value": DC_DEADTIME}
    ET.SubElement(properties, "nvpair", deadtime)
    for each in nodes:
        ET.SubElement(_child(configuration, "nodes"), "node", {"id": str(each.number), "uname": each.name})
    return cib


def _child(parent: ET.Element, tag: str) -> ET.Element:
    found = parent.find(tag)
    return ET.SubElement(parent, tag) if found is None else found


def prepare(nodes: Sequence[Node], totem: Mapping[str, str]) -> None:
    """Write what every member needs before the cluster software starts for the first time."""
    conf, hosts = corosync_conf(nodes, totem), hosts_file(nodes)
    cib = ET.tostring(first_cib(nodes[0], nodes), encoding="unicode")

    def one(node: Node) -> None:
        node.write("/etc/corosync/corosync.conf", conf)
        node.write("/etc/hosts", hosts)
        node.write("/etc/hostname", f"{node.name}\n")
        node.write(f"{CIB_DIR}/cib.xml", cib, mode=0o600, owner="hacluster")
        node.run(f"chown -R hacluster:haclient {CIB_DIR}").check()

    in_parallel(one, nodes)


def in_parallel(action: object, nodes: Sequence[Machine]) -> None:
    """Do the same on all nodes at once; the first exception is raised."""
    assert callable(action)
    with ThreadPoolExecutor(max_workers=len(nodes)) as pool:
        for done in [pool.submit(action, node) for node in nodes]:
            done.result()
