# SPDX-License-Identifier: GPL-2.0-or-later
"""What ``expgsql doctor`` looks at: the cluster's configuration, and each node's own word on itself.

Facts only, frozen. `effects.checkup` gathers them, `rules.checkup` judges them.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from expgsql_ra.deployment import Deployment

NONE: Mapping[str, str] = MappingProxyType({})


class ConfiguredOperation(NamedTuple):
    """One operation of the resource, as the configuration has it; seconds, None where it does not say."""

    name: str
    role: str = ""
    """``Promoted``, ``Unpromoted``, or empty: for any."""
    interval: float | None = None
    timeout: float | None = None


class Configuration(NamedTuple):
    """What else of the cluster's configuration concerns us."""

    operations: tuple[ConfiguredOperation, ...] = ()
    meta: Mapping[str, str] = NONE
    """Meta attributes in force for the resource: its own, its clone's, the cluster's defaults."""
    bans: tuple[tuple[str, str], ...] = ()
    """Constraints that bans and moves have left behind: their id and resource."""
    fences: tuple[str, ...] = ()
    """Fence devices."""


class Starter(NamedTuple):
    """A server that the operating system starts by itself."""

    unit: str
    directory: str = ""
    """Empty where it is not known which."""
    port: str = ""


class Disk(NamedTuple):
    """A file system that we write to, by the directory in it; bytes."""

    path: str
    free: int
    size: int


class NodeCheckup(NamedTuple):
    """What one node says of itself. Texts that tell a problem are empty where there is none."""

    node: str
    why: str = ""
    """Why it could not be asked; the rest is missing then."""
    server: str = "unknown"
    """As in `deployment.NodeFacts`."""
    marks: tuple[str, ...] = ()
    versions: Mapping[str, str] = NONE
    """Of ``expgsql``, ``pacemaker``, ``corosync`` and ``postgresql``; empty where it is not known."""
    settings: Mapping[str, str] = NONE
    """Of the running server, as ``pg_settings`` has them."""
    pending: tuple[str, ...] = ()
    """Settings that were changed and wait for a restart."""
    totem: Mapping[str, str] = NONE
    """Of the running Corosync."""
    problems: tuple[str, ...] = ()
    """What stands in the way of a start, as validate-all sees it."""
    passfile: str = ""
    replication: Mapping[str, str] = NONE
    """By host: why a replication connection from here to there failed."""
    ssh: Mapping[str, str] = NONE
    """By node: why ssh from here to there failed."""
    arbiter: str = ""
    """Why the record could not be read from the arbiter."""
    remarks: tuple[str, ...] = ()
    """What the arbiter's own settings leave to wish for."""
    units: Mapping[str, str] = NONE
    """Of the cluster software: ``enabled``, ``disabled``, ...; empty where there is no systemd."""
    starters: tuple[Starter, ...] = ()
    disks: tuple[Disk, ...] = ()
    clock: float = 0.0
    """Seconds since the epoch when this was said."""
    offset: float = 0.0
    """By how many seconds that is ahead of the asking node's clock; as whoever asked has found out."""

    @property
    def answers(self) -> bool:
        """Whether a server runs there and spoke to us."""
        return self.server in {"primary", "standby"}


class Facts(NamedTuple):
    """All of it."""

    deployment: Deployment
    configuration: Configuration
    nodes: tuple[NodeCheckup, ...]

    @property
    def asked(self) -> tuple[NodeCheckup, ...]:
        """The nodes that said something."""
        return tuple(one for one in self.nodes if not one.why)

    @property
    def serving(self) -> tuple[NodeCheckup, ...]:
        """The nodes whose server answers."""
        return tuple(one for one in self.asked if one.answers)


def as_mapping(one: NodeCheckup) -> dict[str, Any]:
    """For JSON."""
    found = {name: dict(value) if isinstance(value, Mapping) else value for name, value in one._asdict().items()}
    return {**found, "starters": [list(each) for each in one.starters], "disks": [list(each) for each in one.disks]}


def from_mapping(given: dict[str, Any]) -> NodeCheckup:
    """Read what `as_mapping` made; ValueError, KeyError or TypeError for anything else."""
    return NodeCheckup(**given)._replace(
        marks=tuple(map(str, given["marks"])),
        pending=tuple(map(str, given["pending"])),
        problems=tuple(map(str, given["problems"])),
        remarks=tuple(map(str, given["remarks"])),
        starters=tuple(Starter(*each) for each in given["starters"]),
        disks=tuple(Disk(str(path), int(free), int(size)) for path, free, size in given["disks"]),
        clock=float(given["clock"]),
    )
