"""Every parameter wrong in each way a user could get it wrong: the table that test_bad_input holds the agent to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.lab.node import PGDATA
from tests.system.agent import ARGS, INSTALLED, PERM

PLACES = "/srv/wrong"

# What the paths below are, made once on the node. Somebody else's things belong to nobody; what
# is closed, only root can read.
PREPARATION = f"""
install -d -m 755 {PLACES}
install -d -o postgres -g postgres -m 700 {PLACES}/empty
cp --archive {PGDATA} {PLACES}/foreign && chown -R nobody: {PLACES}/foreign
cp --archive {PGDATA} {PLACES}/open && chmod 777 {PLACES}/open
cp --archive {PGDATA} {PLACES}/older && echo 9.6 > {PLACES}/older/PG_VERSION
cp --archive {PGDATA} {PLACES}/other && echo 12 > {PLACES}/other/PG_VERSION
cp --archive {PGDATA} {PLACES}/broken && echo many > {PLACES}/broken/PG_VERSION
install -d -o nobody -g nogroup -m 700 {PLACES}/nobodys
install -o root -g root -m 600 /dev/null {PLACES}/closed
install -o postgres -g postgres -m 644 /dev/null {PLACES}/readable
install -o postgres -g postgres -m 644 /dev/null {PLACES}/file
"""


@dataclass(frozen=True)
class Wrong:
    """One mistake, and what the agent has to say of it."""

    parameters: Mapping[str, str]
    code: int
    # Words of the reason: at least the parameter's name, and what to do where that is not plain.
    says: tuple[str, ...]

    def __str__(self) -> str:
        """Name the test."""
        return ",".join(f"{name}={value[:30]}" for name, value in self.parameters.items())


@dataclass(frozen=True)
class Values:
    """Values of one parameter that cannot be right anywhere."""

    name: str
    values: tuple[str, ...]
    says: tuple[str, ...] = ()
    besides: Mapping[str, str] = field(default_factory=dict)

    def cases(self) -> list[Wrong]:
        """One mistake for each value."""
        return [Wrong({self.name: value, **self.besides}, ARGS, (self.name, *self.says)) for value in self.values]


PATHS = ("pgctl", "psql", "pgdata", "pglibs", "config", "logfile", "socketdir", "passfile", "tmpdir")
FLAGS = ("check_wal_receiver", "restart_on_promote", "strict_sync", "enable_distlock")
NUMBERS = ("pgport", "stop_escalate", "stop_escalate_in_slave", "sync_standby_count", "xlog_check_count",
           "crm_attr_timeout", "distlock_ttl")  # fmt: skip
WORDS = ("pgdba", "pghost", "monitor_user", "master_ip", "repuser", "distlock_lockname")
LINES = ("start_opt", "ctl_opt", "monitor_password", "restore_command", "archive_cleanup_command",
         "recovery_end_command", "distlock_conninfo", "distlock_lock_cmd", "distlock_unlock_cmd", "pgdb")  # fmt: skip

ANYWHERE = [
    wrong
    for values in (
        *(Values(name, ("relative/path", "/with'quote"), ("must be",)) for name in PATHS),
        *(Values(name, ("maybe", "2"), ("true or false",)) for name in FLAGS),
        *(Values(name, ("many", "5s", "-1", "1.5", "9" * 30), ("must be",)) for name in NUMBERS),
        *(Values(name, ("two words", "quo'te"), ("one word",)) for name in WORDS),
        *(Values(name, ("two\nlines",), ("single line",)) for name in LINES),
        Values("pgport", ("0", "65536"), ("from 1 to 65535",)),
        Values("sync_standby_count", ("0",), ("from 1",)),
        Values("sync_standby_count", ("3", "7"), ("less than 3",)),
        Values("xlog_check_count", ("0",), ("from 1",)),
        Values("crm_attr_timeout", ("0",), ("from 1",)),
        Values("maximum_lag", ("many", "-1", "1MB"), ("must be",)),
        Values("rep_mode", ("syncc", "master"), ("none, async, sync, slave",)),
        Values("master_ip", ("",), ("rep_mode=sync", "address")),
        Values("node_list", ("node1 no/de", "node1 node|2"), ("no node name",)),
        Values("node_list", ("node1 node2 NODE1",), ("more than once",)),
        Values("primary_conninfo_opt", ("keepalives", "a='b", "=5"), ("must",)),
        Values("primary_conninfo_opt", ("host=elsewhere", "user=me", "application_name=x"), ("the agent does",)),
        Values("replication_slot_name", ("Slot", "a-b", "a b"), ("lower case",)),
        Values("replication_slot_name", ("s" * 60,), ("63", "shorter")),
        Values("rejoin", ("sometimes",), ()),
        Values("sync_method", ("any", "every"), ()),
        Values("enable_distlock", ("true",), ("exactly one of distlock_conninfo and distlock_lock_cmd",)),
    )
    for wrong in values.cases()
]

HERE = [
    # Programs
    Wrong({"pgctl": "/nonexistent/pg_ctl"}, INSTALLED, ("pgctl", "install it or correct")),
    Wrong({"pgctl": ""}, INSTALLED, ("pgctl", "/usr/bin/pg_ctl")),
    Wrong({"pgctl": "/etc/passwd"}, INSTALLED, ("pgctl",)),
    Wrong({"pgctl": "/usr/bin"}, INSTALLED, ("pgctl",)),
    Wrong({"pgctl": "/usr/bin/env"}, INSTALLED, ("pgctl",)),
    Wrong({"psql": "/nonexistent/psql"}, INSTALLED, ("psql", "install it or correct")),
    Wrong({"psql": "/etc/passwd"}, INSTALLED, ("psql",)),
    Wrong({"psql": "/usr/bin"}, INSTALLED, ("psql",)),
    # The data directory
    Wrong({"pgdata": "/nonexistent"}, ARGS, ("/nonexistent", "no data directory", "correct pgdata")),
    Wrong({"pgdata": f"{PLACES}/empty"}, ARGS, ("no data directory", "correct pgdata")),
    Wrong({"pgdata": f"{PLACES}/file"}, ARGS, ("no data directory", "correct pgdata")),
    Wrong({"pgdata": f"{PLACES}/foreign"}, PERM, ("pgdata", "does not belong to postgres", "chown")),
    Wrong({"pgdata": f"{PLACES}/open"}, PERM, ("pgdata", "open to other users", "chmod")),
    Wrong({"pgdata": f"{PLACES}/older"}, ARGS, ("pgdata", "too old")),
    Wrong({"pgdata": f"{PLACES}/other"}, ARGS, ("pgdata", "PostgreSQL 12", "pgctl")),
    Wrong({"pgdata": f"{PLACES}/broken"}, ARGS, ("pgdata",)),
    Wrong({"pgdba": "nonexistent"}, INSTALLED, ("nonexistent", "pgdba")),
    Wrong({"pgdba": "root"}, PERM, ("pgdata", "pgdba")),
    Wrong({"pgdba": "nobody"}, PERM, ("pgdata", "does not belong to nobody", "pgdba")),
    # Files
    Wrong({"config": "/nonexistent/postgresql.conf"}, ARGS, ("config", "does not exist")),
    Wrong({"config": f"{PLACES}/closed"}, PERM, ("config", "closed")),
    Wrong({"config": f"{PLACES}/empty"}, ARGS, ("config",)),
    Wrong({"passfile": "/nonexistent/.pgpass"}, ARGS, ("passfile", "does not exist", "create it")),
    Wrong({"passfile": f"{PLACES}/closed"}, PERM, ("passfile", "closed")),
    # libpq ignores a password file that others may read, and says so in a log that nobody looks at.
    Wrong({"passfile": f"{PLACES}/readable"}, PERM, ("passfile", "0600")),
    Wrong({"logfile": "/nonexistent/pgsql.log"}, ARGS, ("logfile",)),
    Wrong({"logfile": f"{PLACES}/nobodys/pgsql.log"}, PERM, ("logfile",)),
    Wrong({"logfile": f"{PLACES}/closed"}, PERM, ("logfile",)),
    Wrong({"socketdir": "/nonexistent"}, ARGS, ("socketdir",)),
    Wrong({"socketdir": f"{PLACES}/nobodys"}, PERM, ("socketdir",)),
    Wrong({"tmpdir": f"{PLACES}/nobodys"}, PERM, ("tmpdir", "chown")),
    Wrong({"tmpdir": f"{PLACES}/file"}, ARGS, ("tmpdir",)),
    Wrong({"tmpdir": f"{PLACES}/file/below"}, ARGS, ("tmpdir",)),
    # Options
    Wrong({"start_opt": "-c synchronous_standby_names=x"}, ARGS, ("start_opt", "synchronous_standby_names")),
]
