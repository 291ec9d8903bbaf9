# SPDX-License-Identifier: GPL-2.0-or-later
"""Every parameter of the agent, declared once: this feeds parsing, the metadata and the README's table.

No look at the host here: whether a path exists is for the action ``validate-all`` to say. Names and
defaults are those of the agent ``pgsql``, so that existing configurations keep working; hence the old words
in some names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum

from expgsql_ra.defaults import PGDATA, TMPDIR
from expgsql_ra.parameter_kinds import (
    PREFIX,
    Conflict,
    ParameterSet,
    choice,
    conninfo_keywords,
    conninfo_options,
    flag,
    names,
    number,
    optional_number,
    path,
    slot_name,
    text,
    word,
)
from expgsql_ra.values import RepMode

# Of Pacemaker's own making, or read by the shell library of other agents.
FOREIGN = ("CRM_meta_", "crm_feature_set", "trace_ra", "trace_dir", "trace_file")
# PostgreSQL's NAMEDATALEN leaves this much for a slot's name.
LONGEST_SLOT_NAME = 63

SECONDS = range(1, 86_401)
SECONDS_OR_NONE = range(86_401)


class Rejoin(StrEnum):
    """What becomes of a node whose data has diverged from the primary's."""

    MANUAL = "manual"
    REWIND = "rewind"
    REBUILD = "rebuild"


class SyncMethod(StrEnum):
    """How the primary counts synchronous standbys (``synchronous_standby_names``)."""

    FIRST = "first"
    ANY = "any"


class Parameters(ParameterSet):
    """The parameters of one resource: immutable, every value of the type that its declaration says."""

    # --- the server ---------------------------------------------------------------------------

    pgctl = path(
        "/usr/bin/pg_ctl",
        "Program pg_ctl",
        "The program pg_ctl of the server's major version. The other programs of the server "
        "(pg_controldata, pg_rewind and so on) are looked for beside it. On Debian: "
        "/usr/lib/postgresql/VERSION/bin/pg_ctl.",
    )
    psql = path(
        "/usr/bin/psql",
        "Program psql",
        "The program psql. On Debian name /usr/lib/postgresql/VERSION/bin/psql: /usr/bin/psql is a "
        "wrapper there that takes several times as long to start.",
    )
    pgdata = path(PGDATA, "Data directory", "The data directory of the server, the same on all nodes.")
    pgdba = word(
        "postgres",
        "System user of the server",
        "The system user that owns the data directory and runs the server.",
    )
    pghost = word(
        "",
        "Address the server listens on",
        "The host name or address that the server listens on. Empty: as postgresql.conf says.",
    )
    pgport = number(5432, range(1, 65_536), "Port", "The TCP port of the server, the same on all nodes.")
    pglibs = path(
        "/usr/lib",
        "Directory of libraries",
        "A directory that the server's programs search for shared libraries before the system's own.",
    )
    config = path(
        "",
        "Configuration file",
        "The server's main configuration file. Empty: postgresql.conf in the data directory.",
    )
    pgdb = text(
        "template1",
        "Database to probe",
        "The database that the agent connects to when it examines the server.",
    )
    logfile = path(
        "/dev/null",
        "Log file of the server's start",
        "A file that takes what the server prints before its own logging begins.",
    )
    socketdir = path(
        "",
        "Directory of the Unix socket",
        "The directory of the server's Unix socket. Set it where unix_socket_directories in "
        "postgresql.conf names another than the programs' built-in one.",
    )
    start_opt = text("", "Options for the server", "Options for the server's command line (pg_ctl -o), such as -i.")
    ctl_opt = text("", "Options for pg_ctl", "More options for pg_ctl when it starts the server.")
    stop_escalate = number(
        90,
        SECONDS_OR_NONE,
        "Patience with a stopping primary",
        "Seconds that a fast shutdown of a primary may take before an immediate one follows. 0: immediate"
        " at once, which leaves WAL to recover at the next start.",
    )
    stop_escalate_in_slave = number(
        90,
        SECONDS_OR_NONE,
        "Patience with a stopping standby",
        "Seconds that a fast shutdown of a standby may take before an immediate one follows. 0: immediate at once.",
    )

    # --- monitoring ---------------------------------------------------------------------------

    monitor_user = word(
        "", "Database user to probe as", "The database user of the agent's probes. Empty: the user in pgdba."
    )
    monitor_password = text(
        "", "Password to probe with", "The password of monitor_user, where pg_hba.conf asks for one."
    ).secret()
    monitor_sql = text(
        "select now();",
        "Statement to probe with",
        "An SQL statement that has to succeed for the server to count as healthy, besides the agent's own questions.",
    ).many_lines()
    check_wal_receiver = flag(
        "false",
        "Publish the state of the WAL receiver",
        "Whether to keep the node attribute RESOURCE-receiver-status: normal on a standby that receives "
        "WAL, normal (master) on the primary, ERROR otherwise.",
    )

    # --- replication --------------------------------------------------------------------------

    rep_mode = choice(
        RepMode.NONE,
        "Replication mode",
        "none: a single server. sync and async: one primary and its standbys, as a promotable clone; with"
        " sync, a commit is acknowledged only once a standby holds it. slave: a standby, not promotable, "
        "of a primary that is run elsewhere. All but none need master_ip.",
    )
    node_list = names(
        "Nodes of the database",
        "The names of all nodes that may hold the database, separated by blanks. Empty: all nodes of the "
        "cluster. The first start waits for a majority of them before it chooses a primary.",
    )
    master_ip = word(
        "",
        "Address of the primary",
        "The virtual IP address (or a name of it) that moves with the primary; standbys connect to it.",
    )
    repuser = word("postgres", "Database user of replication", "The database user that standbys connect as.")
    primary_conninfo_opt = conninfo_options(
        "More connection settings of standbys",
        "Settings to add to primary_conninfo of the standbys, such as keepalives_idle=60 sslmode=require."
        " host, port, user and application_name are set by the agent. A password here can be read by "
        "everyone who may see the cluster's configuration: use passfile for it.",
        reserved=("host", "hostaddr", "port", "user", "application_name"),
    ).secret()
    passfile = path(
        "",
        "Password file",
        "A password file in the format of .pgpass, owned by the user in pgdba and readable by nobody "
        "else. Standbys use it to connect to the primary, and the agent to reach the arbiter. Empty: "
        "libpq's own default.",
    )
    restore_command = text(
        "",
        "Command that fetches archived WAL",
        "PostgreSQL's restore_command for the standbys. Empty: standbys follow by streaming alone.",
    )
    archive_cleanup_command = text(
        "", "Command that prunes the archive", "PostgreSQL's archive_cleanup_command for the standbys."
    )
    recovery_end_command = text(
        "", "Command at the end of recovery", "PostgreSQL's recovery_end_command, run once after a promotion."
    )
    replication_slot_name = slot_name(
        "Beginning of replication slot names",
        "If set, each standby streams from a replication slot of its own on the primary: this name, an "
        "underscore and the node's name, in lower case and with an underscore for each other character. A"
        " slot keeps WAL for a standby that is away: limit it by max_slot_wal_keep_size.",
    )
    sync_standby_count = number(
        1,
        range(1, 100),
        "Number of synchronous standbys",
        "rep_mode=sync: how many standbys have to hold a commit before it is acknowledged. Where fewer "
        "are connected, the primary makes do with those that are. Must be less than the number of nodes.",
    )
    sync_method = choice(
        SyncMethod.FIRST,
        "How synchronous standbys are counted",
        "first: every standby that is named in synchronous_standby_names has to answer; the agent names "
        "another where one is lost. any, where any of them would do, is refused in this version.",
    ).refusing(SyncMethod.ANY)
    strict_sync = flag(
        "false",
        "Block rather than degrade",
        "Whether a primary of rep_mode=sync with fewer synchronous standbys than sync_standby_count "
        "keeps its commits waiting instead of making do with those that are there.",
    )
    maximum_lag = optional_number(
        range(2**63),
        "Largest lag to promote with",
        "rep_mode=async: a standby that is known to lack more than this many bytes of the primary's WAL "
        "is not promoted. Empty: no limit.",
    )
    tmpdir = path(
        TMPDIR,
        "Directory of generated files",
        "The directory of the configuration file that the agent writes and postgresql.conf includes. It "
        "is made, with the user in pgdba as its owner, where it does not exist.",
    )
    xlog_check_count = number(
        3,
        range(1, 1000),
        "Equal WAL readings before an election",
        "How many times in a row each node has to report the same end of WAL before the first start of a "
        "cluster chooses its primary.",
    )
    crm_attr_timeout = number(
        5,
        SECONDS,
        "Patience with the cluster's tools",
        "Seconds that one reading or writing of the cluster's attributes may take.",
    )
    rejoin = choice(
        Rejoin.MANUAL,
        "What to do with diverged data",
        "manual: a node whose data has diverged from the primary's is not started, and the reason says "
        "how to repair it (expgsql repair). rewind: it is repaired by pg_rewind, rebuild: by a new base backup, "
        "unattended, within the time of the start or in the background. What only that node has is gone then.",
    )
    restart_on_promote = flag(
        "false", "Ignored", "Deprecated and ignored: how to promote follows from the cluster's state."
    )

    # --- distributed lock ---------------------------------------------------------------------

    enable_distlock = flag(
        "false",
        "Use a distributed lock",
        "Whether the record of the primary and its successors, and the lease, are kept by an arbiter outside "
        "the cluster (distlock_conninfo, or distlock_lock_cmd). With two nodes this is what makes a failover safe.",
    )
    distlock_conninfo = text(
        "",
        "Where the arbiter is",
        "The arbiter that keeps the lock: a libpq connection string or URI, or etcd://HOST:PORT,.../PREFIX.",
    ).secret()
    distlock_lockname = word(
        "",
        "Name of the lock",
        "The name of the lock, different for each cluster that shares an arbiter.",
    )
    distlock_ttl = number(
        30,
        SECONDS,
        "Life of the lock",
        "Seconds after which a lock that was not renewed is free. A primary that cannot renew it, and whose recorded "
        "successors do not all follow it any more, stops itself before. Longer than the monitor interval of the "
        "promoted role, 3 seconds for a renewal and 3 seconds for the stop together.",
    )
    distlock_lock_cmd = text(
        "",
        "Command that takes the lock",
        "An external command that takes the lock for the node whose name replaces @owner. It exits with 0"
        " and prints 1 if the lock is granted, 0 if somebody else has it.",
    ).secret()
    distlock_unlock_cmd = text(
        "",
        "Command that releases the lock",
        "The counterpart of distlock_lock_cmd.",
    ).secret()
    distlock_lockservice_deadcheck_nodelist = names(
        "Nodes to ask the arbiter through",
        "Nodes through which the arbiter is asked, by ssh, where this node does not reach it itself.",
    )

    # --- behaviour ----------------------------------------------------------------------------

    @property
    def config_file(self) -> str:
        """The main configuration file, also where `config` is left to its default."""
        return self.config or f"{self.pgdata}/postgresql.conf"

    def conflicts(self) -> Iterator[Conflict]:
        """Values that are good each by itself but not together."""
        yield from _missing_address(self)
        yield from _too_many_synchronous(self)
        yield from _bad_slots(self)
        yield from _no_arbiter(self)

    def slot_of(self, node: str) -> str:
        """The replication slot of a node's standby; empty without slots."""
        if not self.replication_slot_name:
            return ""
        # The rule of the agent `pgsql`, whose slots may exist already: Node-1.example -> node_1_example.
        plain = "".join(char if char.isascii() and char.isalnum() else "_" for char in node.lower())
        return f"{self.replication_slot_name}_{plain}"


def _missing_address(given: Parameters) -> Iterator[Conflict]:
    if given.rep_mode is not RepMode.NONE and not given.master_ip:
        yield Conflict(
            {"rep_mode", "master_ip"},
            f"master_ip is empty: rep_mode={given.rep_mode} needs the address that standbys connect to",
        )


def _too_many_synchronous(given: Parameters) -> Iterator[Conflict]:
    nodes = len(given.node_list)
    if given.rep_mode is RepMode.SYNC and 0 < nodes <= given.sync_standby_count:
        yield Conflict(
            {"rep_mode", "node_list", "sync_standby_count"},
            f"sync_standby_count={given.sync_standby_count}: must be less than {nodes}, the number of nodes "
            "in node_list",
        )


def _bad_slots(given: Parameters) -> Iterator[Conflict]:
    slots = [given.slot_of(node) for node in given.node_list] if given.replication_slot_name else []
    involved = {"node_list", "replication_slot_name"}
    if len(set(slots)) < len(slots):
        yield Conflict(involved, "node_list: two of its nodes would share a replication slot; rename one")
    longest = max(slots, key=len, default="")
    if len(longest) > LONGEST_SLOT_NAME:
        yield Conflict(
            involved,
            f"replication_slot_name={given.replication_slot_name}: the slot {longest} would have more than "
            f"{LONGEST_SLOT_NAME} characters; choose a shorter name",
        )


def _no_arbiter(given: Parameters) -> Iterator[Conflict]:
    if not given.enable_distlock:
        return
    ways = [name for name in ("distlock_conninfo", "distlock_lock_cmd") if getattr(given, name)]
    if len(ways) != 1:
        yield Conflict(
            {"enable_distlock", "distlock_conninfo", "distlock_lock_cmd"},
            f"enable_distlock=true needs exactly one of distlock_conninfo and distlock_lock_cmd: {len(ways)} are set",
        )
    if given.distlock_conninfo and not given.distlock_lockname:
        yield Conflict(
            {"enable_distlock", "distlock_conninfo", "distlock_lockname"},
            "distlock_lockname is empty: distlock_conninfo needs the name of the lock, another for each cluster",
        )


def warnings(given: Parameters) -> Iterator[str]:
    """What works, and should nevertheless be changed."""
    if given.restart_on_promote:
        yield "restart_on_promote is deprecated and ignored: remove it"
    shown = set(conninfo_keywords(given.primary_conninfo_opt))
    if "password" in shown:
        yield "primary_conninfo_opt shows a password to all who may read the configuration: use passfile"
    if "sslpassword" in shown:
        yield "primary_conninfo_opt shows sslpassword to all: use a key file without one that only pgdba may read"


def unknown_parameters(environ: Mapping[str, str]) -> Iterator[str]:
    """Names that were given and mean nothing to this agent: spelling mistakes, usually."""
    known = {parameter.name for parameter in Parameters.declared}
    for name in sorted(environ):
        given = name.removeprefix(PREFIX)
        if given != name and given not in known and not given.startswith(FOREIGN):
            yield given
