"""A whole cluster: building it, asking it, waiting for it, taking it down."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from tests.lab import configuration, databases, membership, quirks
from tests.lab.arbiter import Arbiter, arbiter_of
from tests.lab.cib import Cib, Status, parse_cib, parse_status
from tests.lab.command import CommandFailed
from tests.lab.configuration import AGENTS, CLONE, RESOURCE, WITH_STATUS, WRITER_VIP, Config
from tests.lab.installation import installed_layer
from tests.lab.layer import Layer, layer
from tests.lab.links import Links
from tests.lab.lock_service import KINDS
from tests.lab.machine import Machine, make_ssh_keys
from tests.lab.membership import in_parallel
from tests.lab.netns import Network
from tests.lab.node import EXPGSQL, Node
from tests.lab.places import Places
from tests.lab.teardown import take_down
from tests.lab.waiting import Timeout, wait_until

T = TypeVar("T")
BUILD_SECONDS = 180.0
CONFIG_FILE = "config.json"


class SplitBrain(Exception):
    """More than one server accepts writes."""


@dataclass(frozen=True)
class Cluster:
    """The nodes of one lab and what they run."""

    config: Config
    nodes: tuple[Node, ...]

    # Building and taking down

    @classmethod
    def build(cls, config: Config, *, configured: bool = True) -> Cluster:
        """Replace whatever the lab holds by a new cluster; its health is not waited for.

        Without `configured` the cluster has members and databases but no resources yet.
        """
        if config.agent not in AGENTS:
            raise ValueError(f"agent {config.agent!r} is none of {', '.join(AGENTS)}")
        if config.arbiter and config.arbiter not in KINDS:
            raise ValueError(f"arbiter {config.arbiter!r} is none of {', '.join(KINDS)}")
        below = layer(config.layer)
        if (config.agent == "expgsql" or config.arbiter) and config.install_layer is None:
            config = replace(config, install_layer=installed_layer(below))
        take_down(config.places)
        cluster = cls(config, tuple(_nodes(config, below)))
        cluster._create_machines()
        databases.create(cluster.nodes, config.settings)
        if cluster.arbiter is not None:
            cluster.arbiter.create()
        membership.prepare(cluster.nodes, config.totem)
        quirks.prepare(config, cluster.nodes)
        cluster.start()
        if configured:
            cluster.configure()
        return cluster

    @classmethod
    def attach(cls, lab: str = "expg") -> Cluster:
        """Return the cluster that another process built and left up."""
        places = Places(lab)
        stored = json.loads((places.base / CONFIG_FILE).read_text())
        install = stored.pop("install_layer")
        config = Config(**stored, install_layer=None if install is None else Path(install))
        return cls(config, tuple(_nodes(config, layer(config.layer))))

    def _create_machines(self) -> None:
        places = self.config.places
        places.base.mkdir(parents=True)
        stored = {each.name: getattr(self.config, each.name) for each in fields(self.config)}
        (places.base / CONFIG_FILE).write_text(json.dumps(stored, default=_plain))
        Network(places).create()
        Links(places).prepare()
        make_ssh_keys(places, self.machines)
        in_parallel(Machine.create, self.machines)

    def configure(self) -> None:
        """Load the configuration a user would make with pcs."""
        configuration.configure(self.config, self.nodes[0], self.config.node_names)

    def start(self) -> None:
        """Start the cluster software on all nodes and wait until they are one cluster."""
        in_parallel(Node.start_cluster, self.nodes)
        self.wait_for(self.is_complete, within=BUILD_SECONDS, what="all nodes to join")

    def stop(self) -> None:
        """Stop the cluster software on all nodes at the same time, in order on each."""
        in_parallel(Node.stop_cluster, self.nodes)

    def down(self) -> None:
        """Leave nothing behind."""
        take_down(self.config.places)

    # Nodes

    @property
    def arbiter(self) -> Arbiter | None:
        """What keeps the record, if the lab has it."""
        return arbiter_of(self.config, self.nodes)

    @property
    def machines(self) -> tuple[Machine, ...]:
        """The nodes, and the machine beside them if there is one."""
        return self.nodes if self.arbiter is None else (*self.nodes, self.arbiter.machine)

    def machine(self, name: str) -> Machine:
        """Return the machine of that name."""
        return next(machine for machine in self.machines if machine.name == name)

    def node(self, name: str) -> Node:
        """Return the node of that name."""
        return next(node for node in self.nodes if node.name == name)

    def others(self, *nodes: Node) -> tuple[Node, ...]:
        """Return all nodes but these."""
        return tuple(node for node in self.nodes if node not in nodes)

    def boot(self, node: Node) -> None:
        """Switch a node on and start what its init system would start."""
        node.power_on()
        quirks.after_boot(self.config, node)
        if self.arbiter is not None:
            self.arbiter.start_on([node])
        node.start_cluster()

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        """Ask the primary."""
        primary = self.primary
        if primary is None:
            raise Timeout("a primary", 0, self.describe())
        return primary.sql(query)

    @property
    def writable(self) -> list[Node]:
        """Nodes whose server accepts writes, asked in SQL on every node."""
        return [node for node in self.nodes if node.accepts_writes()]

    @property
    def primary(self) -> Node | None:
        """The node whose server accepts writes."""
        writable = self.writable
        if len(writable) > 1:
            raise SplitBrain(", ".join(map(str, writable)))
        return writable[0] if writable else None

    # The cluster's own view

    def cib(self, by: Node | None = None) -> Cib:
        """Read the CIB, from a node with quorum unless one is named."""
        return parse_cib((by or self._spokesman()).run("cibadmin --query").check().stdout)

    def status(self, by: Node | None = None) -> Status:
        """Read crm_mon, from a node with quorum unless one is named."""
        seen = dict(self._views()) if by is None else {by.name: _status(by)}
        best = [view for view in seen.values() if view and view.quorate]
        return (best or [view for view in seen.values() if view] or [NO_VIEW])[0]

    def _views(self) -> Iterator[tuple[str, Status | None]]:
        """Ask one node after the other until one has quorum."""
        for node in self.nodes:
            view = _status(node)
            yield node.name, view
            if view is not None and view.quorate:
                return

    def _spokesman(self) -> Node:
        answered = [(name, view) for name, view in self._views() if view is not None]
        if not answered:
            raise Timeout("a node whose Pacemaker answers", 0, self.describe())
        quorate = [name for name, view in answered if view.quorate]
        return self.node((quorate or [name for name, _ in answered])[0])

    def holder(self, resource: str = WRITER_VIP) -> Node | None:
        """Return the node that Pacemaker says runs a plain resource."""
        names = self.status().nodes_with(resource, "Started")
        return self.node(names[0]) if names else None

    def promoted(self) -> Node | None:
        """Return the node that Pacemaker says is promoted."""
        names = self.status().nodes_with(RESOURCE, "Promoted")
        return self.node(names[0]) if names else None

    def move(self, to: Node) -> None:
        """Ask for a switchover the way a user does, and take the constraint back once it is done."""
        ask = f"crm_resource --resource {CLONE} --move --promoted --node {to.name}"
        self._spokesman().run(ask).check()
        # a constraint that goes earlier makes Pacemaker think again before it has moved the address
        self.wait_for(lambda: self.promoted() == to == self.holder(), within=120, what=f"{to} to be promoted")
        self._spokesman().run(f"crm_resource --resource {CLONE} --clear").check()

    def cleanup(self, resource: str = RESOURCE, node: Node | None = None) -> None:
        """Forget failures, on one node if it is named.

        On a node where an action is under way meanwhile, its result is not recorded: a start that is refused then is
        a ban without a reason.
        """
        where = "" if node is None else f" --node {node.name}"
        self._spokesman().run(f"crm_resource --cleanup --resource {resource}{where}").check()

    def rebuild(self, node: Node) -> None:
        """Make a standby anew from the primary, which its server being down calls for; then forget failures."""
        if self.config.agent == "expgsql":
            node.run((EXPGSQL, "rebuild", "--yes"), timeout=300).check()
            return
        databases.rebuild(node)
        quirks.after_rebuild(self.config, node)
        self.cleanup()

    # Conditions

    def is_complete(self) -> bool:
        """Whether all nodes are in one quorate cluster with a DC."""
        views = [_status(node) for node in self.nodes]
        return all(v is not None and v.dc and v.quorate and len(v.online) == len(self.nodes) for v in views)

    def is_healthy(self) -> bool:
        """Whether every node does its part and the address leads to the primary."""
        return not self.complaints()

    def complaints(self) -> list[str]:
        """What keeps the cluster from being healthy."""
        status = self.status()
        promoted = status.nodes_with(RESOURCE, "Promoted")
        found = [f"{name} is offline" for name in self.config.node_names if name not in status.online]
        if len(promoted) != 1:
            return [*found, f"promoted: {promoted or 'nobody'}"]
        followers = status.nodes_with(RESOURCE, "Unpromoted")
        if len(followers) != len(self.nodes) - 1:
            found.append(f"unpromoted: {followers}")
        if status.nodes_with(WRITER_VIP, "Started") != promoted:
            found.append(f"{WRITER_VIP} is not on {promoted[0]}")
        return found or self._replication_complaints(self.node(promoted[0]))

    def _replication_complaints(self, primary: Node) -> list[str]:
        if self.config.agent == "null":
            return []
        if self.primary != primary:
            return [f"the server on {primary} does not accept writes"]
        rows = primary.sql("select application_name, state, sync_state from pg_stat_replication")
        streaming = [name for name, state, _ in rows if state == "streaming"]
        found = [f"{node} does not stream" for node in self.others(primary) if node.name not in streaming]
        wants_sync = self.config.agent in WITH_STATUS and self.config.rep_mode == "sync"
        if wants_sync and not found and "sync" not in [sync_state for *_, sync_state in rows]:
            found.append("no standby is synchronous")
        return found

    # Waiting

    def wait_for(self, condition: Callable[[], T | None], *, within: float, what: str) -> T:
        """Return the first true value of a condition; on a timeout say what the cluster looked like."""
        return wait_until(condition, within=within, what=what, every=0.2, seen=self.describe)

    def wait_healthy(self, within: float = 120.0) -> None:
        """Wait until nothing is missing."""
        wait_until(
            self.is_healthy,
            within=within,
            what="a healthy cluster",
            every=0.3,
            seen=lambda: "\n".join([*self.complaints(), self.describe()]),
        )

    def describe(self) -> str:
        """Return what a person would look at: each node's server, and the fullest view of crm_mon."""
        lines = [f"{node}: {_server(node)}" for node in self.nodes]
        talking = [node for node in self.nodes if _status(node) is not None]
        if talking:
            lines.append(talking[0].run("crm_mon -1 -A -r -f -n").stdout)
        return "\n".join(lines)


def is_built(places: Places) -> bool:
    """Whether there is a cluster to attach to."""
    return (places.base / CONFIG_FILE).is_file()


NO_VIEW = Status(None, False, frozenset(), {}, ())


def _nodes(config: Config, below: Layer) -> Iterator[Node]:
    versions = below.postgresql_versions
    if not versions:
        raise ValueError(f"layer {below.name} has no PostgreSQL server")
    for number, name in enumerate(config.node_names, start=1):
        yield Node(
            name=name,
            address=config.places.node_ip(number),
            places=config.places,
            layer=below,
            install=config.install_layer,
            number=number,
            pg=config.pg or versions[0],
        )


def _plain(value: object) -> object:
    return str(value) if isinstance(value, Path) else dict(value)  # type: ignore[call-overload]


def _status(node: Node) -> Status | None:
    """Return what a node's Pacemaker says, None where there is none to ask."""
    if not node.is_on or not node.runs_cluster:
        return None
    try:
        return parse_status(node.run("crm_mon -1 --output-as=xml", timeout=10).check().stdout)
    except CommandFailed:
        return None


def _server(node: Node) -> str:
    if not node.is_on:
        return "off"
    answers = {True: "standby", False: "primary", None: "no answer"}
    return f"{answers[node.in_recovery()]}, {' '.join(node.addresses())}"
