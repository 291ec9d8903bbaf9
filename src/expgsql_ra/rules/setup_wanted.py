# SPDX-License-Identifier: GPL-2.0-or-later
"""The cluster's configuration that a set-up asks for, as facts: how it is spelled is for others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from expgsql_ra.setup_model import Fencing, Setup

AGENT = "ocf:heartbeat:expgsql"
ADDRESS = "ocf:heartbeat:IPaddr2"
BALANCER = "ocf:heartbeat:lvsdr"
REAL_SERVER = "ocf:heartbeat:lvsdr-realsvr"
PROMOTED = "Promoted"
UNPROMOTED = "Unpromoted"
INFINITY = "INFINITY"
Pairs = tuple[tuple[str, str], ...]


class Operation(NamedTuple):
    """One operation; times in seconds."""

    name: str
    interval: int
    timeout: int
    on_fail: str = ""
    role: str = ""


class Primitive(NamedTuple):
    """One resource."""

    name: str
    agent: str
    parameters: Pairs
    operations: tuple[Operation, ...]
    meta: Pairs = ()


class Clone(NamedTuple):
    """A resource on many nodes."""

    name: str
    member: str
    meta: Pairs


class Group(NamedTuple):
    """Resources that stay together."""

    name: str
    members: tuple[str, ...]
    meta: Pairs


class Colocation(NamedTuple):
    """``resource`` only where the other one runs, in that role."""

    name: str
    resource: str
    beside: str
    role: str = ""


class Order(NamedTuple):
    """One thing after the other, and not the reverse."""

    name: str
    first: str
    first_action: str
    then: str
    then_action: str
    mandatory: bool


class Expression(NamedTuple):
    """A condition on a node's attribute; ``not_defined`` has no value."""

    attribute: str
    operation: str
    value: str = ""


class Location(NamedTuple):
    """Where all of the expressions hold, the resource (or its role) has this score."""

    name: str
    resource: str
    score: str
    expressions: tuple[Expression, ...]
    role: str = ""


Constraint = Colocation | Order | Location


class Wanted(NamedTuple):
    """All of it."""

    primitives: tuple[Primitive, ...]
    clones: tuple[Clone, ...]
    groups: tuple[Group, ...]
    constraints: tuple[Constraint, ...]
    properties: Pairs

    @property
    def names(self) -> frozenset[str]:
        """The resources that are ours."""
        inside, around = [one.name for one in self.primitives], [one.name for one in self.clones]
        return frozenset([*inside, *around, *(one.name for one in self.groups)])

    @property
    def agents(self) -> tuple[str, ...]:
        """The agents that the nodes need."""
        return tuple(dict.fromkeys(one.agent for one in self.primitives))


def wanted(setup: Setup) -> Wanted:
    """What the set-up asks for."""
    n = setup.names
    steady = (
        ("migration-threshold", str(setup.cluster.migration_threshold)),
        ("resource-stickiness", str(setup.cluster.stickiness)),
    )
    promotable = (
        *(("clone-node-max", "1"), ("notify", "true"), ("promotable", "true")),
        *(("promoted-max", "1"), ("promoted-node-max", "1")),
    )
    clones = [Clone(n.clone, n.resource, tuple(sorted((*promotable, *steady))))]
    primitives = [_database(setup), _address(setup, n.writer, setup.addresses.writer, ())]
    if setup.addresses.reader:
        primitives.append(_reader(setup))
    if setup.lvs.enabled:
        primitives += _balancing(setup)
        clones.append(Clone("lvsdr-realsvr-clone", "lvsdr-realsvr", (("clone-node-max", "1"), ("notify", "false"))))
    return Wanted(
        primitives=tuple(primitives),
        clones=tuple(clones),
        groups=(Group(n.group, (n.writer,), steady),),
        constraints=(*_constraints(setup),),
        properties=(*_properties(setup),),
    )


def _database(setup: Setup) -> Primitive:
    of, limit = setup.operations, setup.operations.timeout
    return Primitive(
        setup.names.resource,
        AGENT,
        tuple(sorted(setup.agent_parameters().items())),
        (
            Operation("start", 0, limit, "restart"),
            Operation("monitor", of.monitor_standby, limit, "restart"),
            Operation("monitor", of.monitor_primary, limit, "restart", PROMOTED),
            Operation("promote", 0, limit, "restart"),
            Operation("demote", 0, limit, "restart"),
            Operation("stop", 0, limit, "block"),
            Operation("notify", 0, limit),
        ),
    )


def _simple_operations(monitor: int, monitor_timeout: int = 60) -> tuple[Operation, ...]:
    return (
        Operation("start", 0, 60, "restart"),
        Operation("monitor", monitor, monitor_timeout, "restart"),
        Operation("stop", 0, 60, "block"),
    )


def _address(setup: Setup, name: str, ip: str, meta: Pairs) -> Primitive:
    nic = (("nic", setup.addresses.nic),) if setup.addresses.nic else ()
    parameters = (("cidr_netmask", str(setup.addresses.netmask)), ("ip", ip), *nic)
    return Primitive(name, ADDRESS, parameters, _simple_operations(10), meta)


def _reader(setup: Setup) -> Primitive:
    # Its place follows the statuses, whose scores a greater stickiness would outweigh.
    meta = (("migration-threshold", str(setup.cluster.migration_threshold)), ("resource-stickiness", "1"))
    return _address(setup, setup.names.reader, setup.addresses.reader, meta)


def _balancing(setup: Setup) -> list[Primitive]:
    vip = ("vip", setup.addresses.reader)
    director = (
        ("port", str(setup.postgresql.port)),
        ("realserver_dependent_attribute_name", f"{setup.names.resource}-status"),
        ("realserver_dependent_attribute_value", "HS:sync|HS:potential|HS:async"),
        ("realserver_dependent_resource", "lvsdr-realsvr-clone"),
        vip,
        ("virtual_service_options", setup.lvs.options),
    )
    return [
        Primitive("lvsdr", BALANCER, director, _simple_operations(5, 30)),
        Primitive("lvsdr-realsvr", REAL_SERVER, (("nic_lo", "lo:0"), vip), _simple_operations(60, 30)),
    ]


def _constraints(setup: Setup) -> Iterator[Constraint]:
    n = setup.names
    yield Colocation(f"{n.resource}-writer-beside-primary", n.group, n.clone, PROMOTED)
    yield Order(f"{n.resource}-promote-then-writer", n.clone, "promote", n.group, "start", mandatory=True)
    yield Order(f"{n.resource}-demote-then-writer", n.clone, "demote", n.group, "stop", mandatory=False)
    for node in setup.cluster.never_primary:
        only = (Expression("#uname", "eq", node),)
        yield Location(f"{n.resource}-never-primary-{node}", n.clone, f"-{INFINITY}", only, PROMOTED)
    if setup.addresses.reader:
        yield from _places_of_reader(setup)
    if setup.lvs.enabled:
        yield Colocation(f"{n.resource}-lvsdr-beside-reader", "lvsdr", n.reader)
        yield Colocation(f"{n.resource}-realsvr-beside-standby", "lvsdr-realsvr-clone", n.clone, UNPROMOTED)
        yield Order(
            f"{n.resource}-realsvr-then-lvsdr", "lvsdr-realsvr-clone", "start", "lvsdr", "start", mandatory=False
        )
        yield Order(f"{n.resource}-lvsdr-then-reader", "lvsdr", "start", n.reader, "start", mandatory=False)


def _places_of_reader(setup: Setup) -> Iterator[Location]:
    """On a synchronous standby, else an asynchronous one, else the primary: by what the agent says of each node."""
    n = setup.names
    status = f"{n.resource}-status"
    known = ("HS:sync", "PRI", "HS:async")
    yield Location(f"{n.resource}-reader-sync", n.reader, "200", (Expression(status, "eq", "HS:sync"),))
    yield Location(f"{n.resource}-reader-async", n.reader, "100", (Expression(status, "eq", "HS:async"),))
    yield Location(f"{n.resource}-reader-unknown", n.reader, f"-{INFINITY}", (Expression(status, "not_defined"),))
    others = tuple(Expression(status, "ne", value) for value in known)
    yield Location(f"{n.resource}-reader-other", n.reader, f"-{INFINITY}", others)


def _properties(setup: Setup) -> Iterator[tuple[str, str]]:
    given = dict(setup.properties)
    if "stonith-enabled" not in given:
        yield "stonith-enabled", "false" if setup.cluster.fencing is Fencing.NONE else "true"
    # Of two nodes either has to go on without the other; who may, the arbiter says.
    if len(setup.nodes) == 2 and setup.has_arbiter and "no-quorum-policy" not in given:
        yield "no-quorum-policy", "ignore"
    yield from given.items()


def objections(setup: Setup) -> Iterator[str]:
    """What has to be accepted explicitly, in the file, before such a cluster is made."""
    if len(setup.nodes) == 2 and not setup.has_arbiter and not setup.arbiter.none:
        yield (
            "two nodes without an arbiter: a failover after a broken link can lose commits. Name one in [arbiter] "
            "conninfo and lockname (docs/arbiter.md), or accept that: [arbiter] none = true (for config.ini: "
            "--accept-no-arbiter)"
        )
    if len(setup.nodes) == 1 and setup.replication.mode.value != "none":
        yield "one node only: there is nobody to replicate to; name all nodes in [cluster] nodes"


def needs_fencing(setup: Setup) -> bool:
    """Whether a fence device has to exist before the configuration is of any use."""
    return dict(_properties(setup)).get("stonith-enabled") == "true"
