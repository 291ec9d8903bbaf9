"""The cluster's configuration as a user would make it: with `expgsql setup`, or for other agents with pcs.

Fifteen calls of pcs take eight seconds, so tests load the CIB that the same calls produced before,
as long as nothing they depend on has changed. What `expgsql setup` makes is rendered in this process:
that is quick, and an installation that was broken on purpose gets the same configuration.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.lab import lock_service
from tests.lab.cache import cache_dir
from tests.lab.databases import PASSFILE, REPLICATION_USER
from tests.lab.layer import HOST
from tests.lab.node import PGDATA, SERVER_LOG, Node
from tests.lab.places import Places

from expgsql_ra.rules.setup_cib import merged
from expgsql_ra.rules.setup_wanted import wanted
from expgsql_ra.setup_files import read_setup

RESOURCE = "pgsql"
CLONE = "msPostgresql"
WRITER_VIP = "vip-master"
READER_VIP = "vip-slave"
AGENTS = ("expgsql", "pgsql", "pgsqlms", "null")
# These publish pgsql-status, which the reader's address follows.
WITH_STATUS = ("expgsql", "pgsql")

CIB_FILE = "/root/cib.xml"
KEEPALIVES = "keepalives_idle=60 keepalives_interval=5 keepalives_count=5"


@dataclass(frozen=True, kw_only=True)
class Config:
    """Everything a cluster of the lab is built from."""

    lab: str = "expg"
    layer: str = HOST
    agent: str = "expgsql"
    nodes: int = 3
    # Major version of the server; the newest the layer has if empty.
    pg: str = ""
    # Copied onto each node's disk; with agent expgsql and none given, what `make install` makes.
    install_layer: Path | None = None
    rep_mode: str = "sync"
    # Parameters of the resource, added to or replacing the usual ones; an empty value removes one.
    params: Mapping[str, str] = field(default_factory=dict)
    # Settings of the servers and of Corosync's totem section, likewise.
    settings: Mapping[str, str] = field(default_factory=dict)
    totem: Mapping[str, str] = field(default_factory=dict)
    properties: Mapping[str, str] = field(default_factory=dict)
    migration_threshold: int = 3
    # What keeps the record outside the cluster, one of lock_service.KINDS; nothing if empty.
    arbiter: str = ""
    # Seconds of the lease that it grants: more than a monitor interval, a renewal and a stop (validate-all).
    lease: int = 12

    @property
    def places(self) -> Places:
        """Names and addresses of the lab."""
        return Places(self.lab)

    @property
    def node_names(self) -> tuple[str, ...]:
        """Names of the nodes."""
        return tuple(f"node{number}" for number in range(1, self.nodes + 1))


def parameters(config: Config, bindir: str) -> dict[str, str]:
    """Return the resource's parameters, those of `config` included."""
    usual = {
        "expgsql": _pgsql_parameters,
        "pgsql": _pgsql_parameters,
        "pgsqlms": _paf_parameters,
        "null": _no_parameters,
    }[config.agent](config, bindir)
    return {key: value for key, value in {**usual, **config.params}.items() if value}


def _pgsql_parameters(config: Config, bindir: str) -> dict[str, str]:
    with_arbiter = lock_service.parameters(config.arbiter, config.places, config.lease, PASSFILE)
    return {
        "pgctl": f"{bindir}/pg_ctl",
        "psql": f"{bindir}/psql",
        "pgdata": PGDATA,
        "pgdba": "postgres",
        "config": f"{PGDATA}/postgresql.conf",
        "logfile": SERVER_LOG,
        "rep_mode": config.rep_mode,
        "node_list": " ".join(config.node_names),
        "master_ip": config.places.writer_ip,
        "repuser": REPLICATION_USER,
        "primary_conninfo_opt": KEEPALIVES,
        **(with_arbiter if config.arbiter else {}),
    }


def _no_parameters(_config: Config, _bindir: str) -> dict[str, str]:
    return {}


def _paf_parameters(_config: Config, bindir: str) -> dict[str, str]:
    return {"bindir": bindir, "pgdata": PGDATA, "pghost": "/run/postgresql", "pgport": "5432"}


def commands(config: Config, bindir: str) -> list[list[str]]:
    """Return the words after `pcs -f FILE` of each call, in order."""
    # Of two nodes either has to go on without the other; who may, the arbiter says.
    two_nodes = {"no-quorum-policy": "ignore"} if config.arbiter and config.nodes == 2 else {}
    properties = {"stonith-enabled": "false", **two_nodes, **config.properties}
    lines = [
        "property set " + " ".join(f"{key}={value}" for key, value in properties.items()),
        f"resource defaults update resource-stickiness=10000 migration-threshold={config.migration_threshold}",
        _address(WRITER_VIP, config.places.writer_ip),
        _database(config, bindir),
        f"resource promotable {RESOURCE} {CLONE} meta promoted-max=1 promoted-node-max=1 clone-node-max=1 notify=true",
        f"resource group add master-group {WRITER_VIP}",
        f"constraint colocation add master-group with Promoted {CLONE} INFINITY",
        f"constraint order promote {CLONE} then start master-group symmetrical=false",
        f"constraint order demote {CLONE} then stop master-group symmetrical=false kind=Optional",
    ]
    if config.agent in WITH_STATUS:
        lines += _reader(config)
    return [shlex.split(line) for line in lines]


def _database(config: Config, bindir: str) -> str:
    options = " ".join(f"{key}={shlex.quote(value)}" for key, value in parameters(config, bindir).items())
    return (
        f"resource create {RESOURCE} ocf:heartbeat:{config.agent} {options} "
        "op start timeout=60s interval=0s on-fail=restart "
        "monitor timeout=60s interval=4s on-fail=restart "
        "monitor timeout=60s interval=3s on-fail=restart role=Promoted "
        "promote timeout=60s interval=0s on-fail=restart "
        "demote timeout=60s interval=0s on-fail=restart "
        "stop timeout=60s interval=0s on-fail=block "
        "notify timeout=60s interval=0s"
    )


def _address(name: str, ip: str) -> str:
    return (
        f"resource create {name} ocf:heartbeat:IPaddr2 ip={ip} nic=eth0 cidr_netmask=24 "
        "op start timeout=60s interval=0s on-fail=restart "
        "monitor timeout=60s interval=10s on-fail=restart "
        "stop timeout=60s interval=0s on-fail=block"
    )


def _reader(config: Config) -> list[str]:
    """Keep the reader's address on a synchronous standby, else an asynchronous one, else the primary."""
    place = f"constraint location {READER_VIP} rule"
    return [
        # Its place follows the statuses, whose scores the default stickiness would outweigh.
        f"{_address(READER_VIP, config.places.reader_ip)} meta resource-stickiness=1",
        f"{place} score=200 {RESOURCE}-status eq HS:sync",
        f"{place} score=100 {RESOURCE}-status eq HS:async",
        f"{place} score=-INFINITY not_defined {RESOURCE}-status",
        f"{place} score=-INFINITY {RESOURCE}-status ne HS:sync and {RESOURCE}-status ne PRI "
        f"and {RESOURCE}-status ne HS:async",
    ]


def setup_file(config: Config, bindir: str) -> str:
    """Return the expgsql.toml of the cluster, as its user would write it."""
    ours = _pgsql_parameters(config, bindir)
    tables: dict[str, dict[str, object]] = {
        "cluster": {
            "nodes": list(config.node_names),
            "addresses": [config.places.node_ip(number) for number in range(1, config.nodes + 1)],
            "fencing": "none",
            "migration_threshold": config.migration_threshold,
        },
        "addresses": {"writer": config.places.writer_ip, "reader": config.places.reader_ip, "nic": "eth0"},
        "postgresql": {name: ours[name] for name in ("pgctl", "pgdata", "logfile")},
        "replication": {"user": REPLICATION_USER, "mode": config.rep_mode, "conninfo": KEEPALIVES},
    }
    if config.arbiter:
        conninfo = lock_service.conninfo(config.arbiter, config.places)
        tables["arbiter"] = {"conninfo": conninfo, "lockname": lock_service.LOCKNAME, "ttl": config.lease}
    if config.nodes == 2 and not config.arbiter:
        tables["arbiter"] = {"none": True}
    tables |= {"parameters": dict(config.params), "properties": dict(config.properties)}
    return "\n".join(_table(name, values) for name, values in tables.items() if values)


def _table(name: str, values: Mapping[str, object]) -> str:
    return f"[{name}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())


def configure(config: Config, node: Node, names: Sequence[str]) -> None:
    """Load the configuration into the running cluster."""
    if config.agent == "expgsql":
        _load(node, _rendered(config, node))
    else:
        _configure_with_pcs(config, node, names)


def _rendered(config: Config, node: Node) -> str:
    """Return the configuration section that `expgsql setup apply` would make of the running cluster's."""
    setup = read_setup(setup_file(config, node.bindir), is_toml=True)
    outcome = merged(ET.fromstring(node.run("cibadmin --query").check().stdout), wanted(setup), RESOURCE)
    configuration = outcome.document.find("configuration")
    assert configuration is not None
    return ET.tostring(configuration, encoding="unicode")


def _load(node: Node, text: str) -> None:
    node.run("cibadmin --replace --scope configuration --xml-pipe", stdin=text).check()


def _configure_with_pcs(config: Config, node: Node, names: Sequence[str]) -> None:
    """Through the cache."""
    calls = commands(config, node.bindir)
    cached = cache_dir() / "cib" / f"{_key(config, node, calls, names)}.xml"
    if not cached.is_file():
        _remember(cached, _render(node, calls))
    _load(node, cached.read_text())


def _key(config: Config, node: Node, calls: Sequence[Sequence[str]], names: Sequence[str]) -> str:
    """Everything the result depends on: pcs copies the agent's advised operations into the CIB."""
    metadata = node.run(f"crm_resource --show-metadata ocf:heartbeat:{config.agent}").check().stdout
    versions = node.run("dpkg-query --show pcs pacemaker").check().stdout
    return hashlib.sha256(repr((calls, names, metadata, versions)).encode()).hexdigest()[:16]


def _render(node: Node, calls: Sequence[Sequence[str]]) -> str:
    """Let pcs edit a copy of the running cluster's CIB and return its configuration section."""
    node.run(f"cibadmin --query > {CIB_FILE}").check()
    lines = ["set -e", *(f"pcs -f {CIB_FILE} {shlex.join(words)}" for words in calls)]
    node.run("\n".join(lines), timeout=180).check()
    configuration = ET.fromstring(node.read(CIB_FILE)).find("configuration")
    assert configuration is not None
    return ET.tostring(configuration, encoding="unicode")


def _remember(cached: Path, text: str) -> None:
    cached.parent.mkdir(parents=True, exist_ok=True)
    unfinished = cached.with_suffix(f".{os.getpid()}")
    unfinished.write_text(text)
    unfinished.rename(cached)
