# SPDX-License-Identifier: GPL-2.0-or-later
"""What a set-up says, declared once: this feeds the readers of both files, their errors, the example and the docs.

A table of ``expgsql.toml`` is a class, a key is an attribute. Nothing here looks at a host or at a cluster.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from expgsql_ra.parameter_kinds import (
    PREFIX,
    Doc,
    InvalidParameters,
    Parameter,
    ParameterSet,
    Problem,
    choice,
    conninfo_options,
    flag,
    names,
    number,
    optional_number,
    path,
    text,
    word,
)
from expgsql_ra.parameters import Parameters
from expgsql_ra.values import RepMode

OLDEST_VERSION = 10
DEBIAN_PROGRAMS = "/usr/lib/postgresql/{}/bin"
DEBIAN_DATA = "/var/lib/postgresql/{}/main"
DEBIAN_CONFIG = "/etc/postgresql/{}/main/postgresql.conf"


class Timing(StrEnum):
    """How soon Corosync gives a silent node up."""

    DEFAULT = "default"
    FAST = "fast"


class Fencing(StrEnum):
    """Whether the cluster can switch a node off that it cannot reach."""

    REQUIRED = "required"
    NONE = "none"


def places(short: str, long: str) -> Parameter[tuple[str, ...]]:
    """Addresses or networks, separated by blanks or commas; by default none."""
    return Parameter(_read_places, "", Doc(short, long))


def _read_places(given: str) -> tuple[str, ...]:
    found = tuple(given.replace(",", " ").split())
    strange = [one for one in found if not all(char.isalnum() or char in ".:/-_" for char in one)]
    if strange:
        raise Problem(f"{strange[0]} is no address")
    return found


class ClusterTable(ParameterSet):
    """The nodes, and what the cluster promises of them."""

    name = word("pgcluster", "Name of the cluster", "Corosync's name of the cluster.")
    nodes = names(
        "All nodes",
        "The names of all nodes that hold the database, as the cluster spells them. The first is the one whose data "
        "is kept: the others are made from it.",
    )
    addresses = places(
        "Their addresses",
        "The nodes' addresses for Corosync, in the order of the nodes. Empty: what their names resolve to.",
    )
    never_primary = names("Nodes that only read", "Those of the nodes that never become primary.")
    timing = choice(
        Timing.DEFAULT,
        "How soon a silent node is given up",
        "Corosync's timing: default, or fast, which notices the loss of a node sooner and takes a pause of a "
        "virtual machine or of the network for such a loss sooner, too.",
    )
    fencing = choice(
        Fencing.REQUIRED,
        "Fencing",
        "required: apply refuses a cluster without a fence device. none: you accept a cluster that has to take the "
        "word of a node that it cannot reach (stonith-enabled=false).",
    )
    stickiness = number(
        10000, range(1_000_000), "Stickiness", "How much the primary and its address prefer to stay where they are."
    )
    migration_threshold = number(
        3, range(1, 1_000_001), "Failures before a node is given up", "After this many failures a node is left alone."
    )


class AddressTable(ParameterSet):
    """The virtual addresses of the clients."""

    writer = word("", "Address of the primary", "The virtual IP address that moves with the primary.")
    reader = word(
        "",
        "Address for readers",
        "A virtual IP address on a synchronous standby, else an asynchronous one, else the primary. Empty: none.",
    )
    nic = word(
        "",
        "Network interface",
        "The interface of both, on all nodes. Empty: the one whose network has the address; an address is then not "
        "taken away while the link is down, and there twice for a while when it is up again.",
    )
    netmask = number(24, range(1, 129), "Network mask", "The length of the network's prefix, in bits.")


class NameTable(ParameterSet):
    """What things are called in the cluster."""

    resource = word("pgsql", "Resource", "The database: node attributes begin with this name.")
    clone = word("msPostgresql", "Promotable clone", "The promotable clone around it.")
    group = word("master-group", "Group of the primary", "What runs beside the primary, the writers' address first.")
    writer = word("vip-master", "Resource of the primary's address", "The address of the primary.")
    reader = word("vip-slave", "Resource of the readers' address", "The address for readers.")


class PostgresqlTable(ParameterSet):
    """The servers, which are the same on all nodes."""

    version = optional_number(
        range(OLDEST_VERSION, 1000),
        "Major version",
        "The server's major version, on Debian: the paths below then follow from it.",
    )
    pgctl = path("", "Program pg_ctl", "The program pg_ctl. Empty: Debian's of that version.")
    psql = path("", "Program psql", "The program psql. Empty: the one beside pg_ctl.")
    pgdata = path("", "Data directory", "The data directory. Empty: Debian's of that version.")
    config = path(
        "",
        "Configuration file",
        "postgresql.conf. Empty: Debian's where pgdata is Debian's, else the one in the data directory.",
    )
    user = word("postgres", "System user", "The system user that runs the server, who is also its superuser.")
    port = number(5432, range(1, 65_536), "Port", "The TCP port.")
    logfile = path(
        "/var/log/postgresql/expgsql.log",
        "Log file of the server's start",
        "A file that takes what the server prints before its own logging begins.",
    )
    socketdir = path("", "Directory of the Unix socket", "Only where it is not the programs' built-in one.")


class ReplicationTable(ParameterSet):
    """How standbys follow, and as whom."""

    mode = choice(RepMode.SYNC, "Mode", "sync: no acknowledged commit is lost. async: the newest ones may be.")
    user = word("replication", "Role of the standbys", "Made by setup postgres, with no more rights than it needs.")
    password = text(
        "",
        "Its password",
        "Goes into the password file alone, never into the cluster's configuration; this file must then be readable "
        "by its owner only. Empty: the one in the password file, or a new random one.",
    ).secret()
    rewind_user = word(
        "",
        "Role of pg_rewind",
        "Empty: the role of the standbys gets the four rights that pg_rewind needs, which is what repair uses.",
    )
    passfile = path(
        "/var/lib/postgresql/.pgpass",
        "Password file",
        "In the format of .pgpass, on every node; setup postgres and setup standby write it with mode 0600.",
    )
    networks = places(
        "Networks of the nodes",
        "From where standbys may connect (pg_hba.conf). Empty: the network of the primary's address.",
    )
    conninfo = conninfo_options(
        "Further connection settings",
        "Added to primary_conninfo of the standbys.",
        reserved=("host", "hostaddr", "port", "user", "application_name", "password"),
    )
    restore_command = text("", "Command that fetches archived WAL", "PostgreSQL's restore_command for the standbys.")


class ArbiterTable(ParameterSet):
    """Who decides between two nodes that do not hear each other."""

    conninfo = text(
        "",
        "Where the arbiter is",
        "As the nodes reach it: host=... dbname=... user=..., or etcd://HOST:PORT,.../PREFIX. Needed for two nodes.",
    ).secret()
    lockname = word("", "Name of the record", "Another one for each cluster that shares an arbiter.")
    ttl = number(
        12,
        range(1, 86_401),
        "Seconds of the lease",
        "After the loss of the primary's node its standby waits for the rest of it. At least 10 with the operations "
        "as they are configured here.",
    )
    password = text("", "Password of the nodes", "For the password file, as replication.password.").secret()
    owner_conninfo = text(
        "",
        "As whom its tables are made",
        "A connection string of a role that may create the tables. Empty: the nodes' own.",
    ).secret()
    owner_passfile = path("", "Password file of that role", "On the node where apply runs. Empty: ~/.pgpass.")
    none = flag("false", "Do without", "Whether you accept two nodes without an arbiter: a failover may lose data.")


class LvsTable(ParameterSet):
    """Spreading readers over all standbys with the kernel's load balancer (ocf:heartbeat:lvsdr)."""

    enabled = flag("false", "Balance readers", "Whether the readers' address spreads its clients over the standbys.")
    options = text("-s rr", "Options", "Of the virtual service, as ipvsadm takes them.")


class OperationTable(ParameterSet):
    """Pacemaker's operations, in seconds."""

    timeout = number(60, range(10, 3601), "Time limit", "What each operation of the database may take.")
    monitor_primary = number(3, range(1, 3601), "Monitor of the primary", "The interval.")
    monitor_standby = number(4, range(1, 3601), "Monitor of a standby", "The interval; not the primary's.")


class Setup(NamedTuple):
    """One set-up, as a file has it."""

    cluster: ClusterTable
    addresses: AddressTable
    names: NameTable
    postgresql: PostgresqlTable
    replication: ReplicationTable
    arbiter: ArbiterTable
    lvs: LvsTable
    operations: OperationTable
    parameters: tuple[tuple[str, str], ...] = ()
    """More parameters of the agent, by its own names."""
    properties: tuple[tuple[str, str], ...] = ()
    """Properties of the cluster to set besides."""
    remarks: tuple[str, ...] = ()
    """What the reader understood in another way than the file of old said it."""

    @property
    def nodes(self) -> tuple[str, ...]:
        """All of them."""
        return self.cluster.nodes

    @property
    def has_arbiter(self) -> bool:
        """Whether the record is kept outside of the cluster, by an arbiter or by commands of the agent's."""
        return bool(self.arbiter.conninfo) or dict(self.parameters).get("enable_distlock") == "true"

    @property
    def programs(self) -> str:
        """The directory of the server's programs."""
        given = self.postgresql.pgctl
        return given.rpartition("/")[0] if given else DEBIAN_PROGRAMS.format(self.postgresql.version)

    @property
    def psql(self) -> str:
        """The program psql."""
        return self.postgresql.psql or f"{self.programs}/psql"

    @property
    def pgdata(self) -> str:
        """The data directory."""
        return self.postgresql.pgdata or DEBIAN_DATA.format(self.postgresql.version)

    @property
    def config(self) -> str:
        """The configuration file."""
        given = self.postgresql
        if given.config:
            return given.config
        return f"{given.pgdata}/postgresql.conf" if given.pgdata else DEBIAN_CONFIG.format(given.version)

    def agent_parameters(self) -> dict[str, str]:
        """The parameters of the resource, those at the agent's own default left out."""
        everything = {**_derived(self), **dict(self.parameters)}
        default = {one.name: one.default for one in Parameters.declared}
        return {name: value for name, value in everything.items() if value and default.get(name) != value}


TABLES: dict[str, type[ParameterSet]] = {
    "cluster": ClusterTable,
    "addresses": AddressTable,
    "names": NameTable,
    "postgresql": PostgresqlTable,
    "replication": ReplicationTable,
    "arbiter": ArbiterTable,
    "lvs": LvsTable,
    "operations": OperationTable,
}
FREE_TABLES = {
    "parameters": "More parameters of the agent ocf:heartbeat:expgsql, by their names (see the README's table).",
    "properties": "Properties of the whole cluster to set besides.",
}
SECRETS = (("replication", "password"), ("arbiter", "password"))


class InvalidSetup(ValueError):
    """Everything that is wrong with a set-up; one line each."""

    def __init__(self, errors: tuple[str, ...]) -> None:
        super().__init__("\n".join(errors))
        self.errors = errors


def setup_of(given: Mapping[str, Mapping[str, str]], remarks: tuple[str, ...] = ()) -> Setup:
    """Understand tables of texts; `InvalidSetup` with all that is wrong, not just the first."""
    errors = [*_unknown(given)]
    tables: dict[str, Any] = {}
    for name, table in TABLES.items():
        environ = {PREFIX + key: value for key, value in given.get(name, {}).items()}
        try:
            tables[name] = table.from_environ(environ)
        except InvalidParameters as problem:
            errors += [f"[{name}] {one}" for one in problem.errors]
    tables |= {name: tuple(given.get(name, {}).items()) for name in FREE_TABLES}
    if not errors:
        setup = Setup(**tables, remarks=remarks)
        errors += conflicts(setup)
        if not errors:
            return setup
    raise InvalidSetup(tuple(errors))


def _unknown(given: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    for table, keys in given.items():
        if table in FREE_TABLES:
            known = [one.name for one in Parameters.declared] if table == "parameters" else list(keys)
        elif table in TABLES:
            known = [one.name for one in TABLES[table].declared]
        else:
            yield f"[{table}]: no such table{_nearest(table, [*TABLES, *FREE_TABLES])}"
            continue
        for key in keys:
            if key not in known:
                yield f"[{table}] {key}: no such key{_nearest(key, known)}"


def _nearest(given: str, known: list[str]) -> str:
    found = difflib.get_close_matches(given, known, 1)
    return f"; did you mean {found[0]}?" if found else f"; there are: {', '.join(known)}"


def conflicts(setup: Setup) -> Iterator[str]:
    """Values that are good each by itself but not together, or of which too many are missing."""
    yield from _of_nodes(setup.cluster)
    yield from _of_addresses(setup)
    yield from _missing_paths(setup.postgresql)
    if setup.operations.monitor_primary == setup.operations.monitor_standby:
        yield "[operations] monitor_primary and monitor_standby must differ: Pacemaker tells the two apart by them"
    if bool(setup.arbiter.conninfo) != bool(setup.arbiter.lockname):
        yield "[arbiter] conninfo and lockname belong together: give both, or none"
    if re.search(r"(^|\s)password\s*=|//[^/@]*:[^/@]*@", setup.arbiter.conninfo):
        yield "[arbiter] conninfo: has a password, which everybody could read in the cluster: write it as password"
    if len(set(_names(setup))) < len(_names(setup)):
        yield "[names]: two things have the same name; rename one"
    yield from _of_the_agent(setup)


def _of_nodes(given: ClusterTable) -> Iterator[str]:
    if not given.nodes:
        yield "[cluster] nodes is empty: name all nodes of the database, the one with the data first"
        return
    if given.addresses and len(given.addresses) != len(given.nodes):
        yield f"[cluster] addresses: {len(given.addresses)} for {len(given.nodes)} nodes; give one for each, or none"
    for name in given.never_primary:
        if name not in given.nodes:
            yield f"[cluster] never_primary: {name} is none of the nodes"
    if set(given.never_primary) >= set(given.nodes):
        yield "[cluster] never_primary: nobody is left to be the primary"


def _of_addresses(setup: Setup) -> Iterator[str]:
    given = setup.addresses
    if not given.writer:
        yield "[addresses] writer is empty: the address that clients write to and standbys connect to"
    elif given.reader == given.writer:
        yield "[addresses] reader: must not be the writer's address"
    if setup.lvs.enabled and not given.reader:
        yield "[lvs] enabled=true needs an address for readers: [addresses] reader"


def _names(setup: Setup) -> list[str]:
    given = setup.names
    return [given.resource, given.clone, given.group, given.writer, given.reader]


def _missing_paths(given: PostgresqlTable) -> Iterator[str]:
    missing = [name for name, value in (("pgctl", given.pgctl), ("pgdata", given.pgdata)) if not value]
    if given.version is None and missing:
        yield f"[postgresql] {' and '.join(missing)}: give the path, or on Debian the version alone"


def _of_the_agent(setup: Setup) -> Iterator[str]:
    """What the agent itself would say of its parameters."""
    if not (setup.cluster.nodes and setup.addresses.writer) or [*_missing_paths(setup.postgresql)]:
        return
    try:
        Parameters.from_environ({PREFIX + name: value for name, value in setup.agent_parameters().items()})
    except InvalidParameters as problem:
        yield from (f"parameter of the agent: {one}" for one in problem.errors)


def _derived(setup: Setup) -> dict[str, str]:
    server, replication, arbiter = setup.postgresql, setup.replication, setup.arbiter
    with_arbiter = {
        "enable_distlock": "true",
        "distlock_conninfo": arbiter.conninfo,
        "distlock_lockname": arbiter.lockname,
        "distlock_ttl": str(arbiter.ttl),
    }
    return {
        "pgctl": f"{setup.programs}/pg_ctl",
        "psql": setup.psql,
        "pgdata": setup.pgdata,
        "config": "" if setup.config == f"{setup.pgdata}/postgresql.conf" else setup.config,
        "pgdba": server.user,
        "pgport": str(server.port),
        "logfile": server.logfile,
        "socketdir": server.socketdir,
        "rep_mode": replication.mode.value,
        "node_list": " ".join(setup.nodes),
        "master_ip": setup.addresses.writer,
        "repuser": replication.user,
        "passfile": replication.passfile,
        "primary_conninfo_opt": replication.conninfo,
        "restore_command": replication.restore_command,
        **(with_arbiter if arbiter.conninfo else {}),
    }
