"""A cluster node: a machine that runs Corosync, Pacemaker and PostgreSQL."""

from __future__ import annotations

import signal
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import psycopg
from tests.lab import processes
from tests.lab.machine import Machine
from tests.lab.waiting import wait_until

# The command line, where `make install` puts it.
EXPGSQL = "/opt/expgsql/bin/expgsql"
PGDATA = "/var/lib/pgsql/data"
SOCKETS = "/run/postgresql"
SERVER_LOG = "/var/log/postgresql/pgsql.log"

COROSYNC = r"^corosync -f"
PACEMAKERD = r"(^|/)pacemakerd( |$)"
# crm_mon and other tools of people also begin with "crm"; these are the daemons alone.
PACEMAKER = r"(^|/)pacemaker(d|-\w+)( |$)"
# What keeps the nodes' attributes, and the CIB.
ATTRD = r"(^|/)pacemaker-attrd( |$)"
CIB_MANAGER = r"(^|/)pacemaker-based( |$)"
# The server and its children, however it was started; children show as "postgres: ...".
POSTGRES = r"(^|/)postgres(:| )"

STOP_SECONDS = 180.0


@dataclass
class Node(Machine):
    """One member of the cluster."""

    number: int = 1
    pg: str = ""

    @property
    def bindir(self) -> str:
        """Directory of the server's programs."""
        return f"/usr/lib/postgresql/{self.pg}/bin"

    # Cluster software

    def start_cluster(self) -> None:
        """Start Corosync, then Pacemaker, as an init system would; joining is not waited for."""
        if not self.processes(COROSYNC):
            self.start("corosync -f", log="/var/log/corosync/stdout.log")
        wait_until(lambda: self.run("corosync-cfgtool -s").succeeded, within=30, what=f"Corosync on {self.name}")
        self.start(PACEMAKER_COMMAND, log="/var/log/pacemaker/stdout.log")
        wait_until(lambda: self.runs_cluster, within=30, what=f"Pacemaker on {self.name}")

    def stop_cluster(self, within: float = STOP_SECONDS) -> None:
        """Stop in order: Pacemaker stops the resources, then Corosync leaves."""
        for pattern in (PACEMAKERD, COROSYNC):
            self.signal(pattern, signal.SIGTERM)
            wait_until(
                lambda pattern=pattern: not self.processes(pattern),  # type: ignore[misc]
                within=within,
                what=f"the end of {pattern!r} on {self.name}",
            )

    def crash_cluster(self) -> None:
        """Kill the cluster software and nothing else: the server stays as it is."""
        processes.kill(self.processes(PACEMAKER) + self.processes(COROSYNC))

    def kill_pacemaker(self) -> None:
        """Kill every daemon of Pacemaker; Corosync, the resources and a running agent stay as they are."""
        processes.kill(self.processes(PACEMAKER))

    @property
    def runs_cluster(self) -> bool:
        """Whether Pacemaker's daemon runs."""
        return bool(self.processes(PACEMAKERD))

    # PostgreSQL

    def postmaster(self) -> int | None:
        """Return the server's first process, numbered as from outside."""
        servers = self.processes(POSTGRES)
        return next((pid for pid in servers if processes.parent(pid) not in servers), None)

    def kill_postgres(self, number: signal.Signals = signal.SIGKILL, *, whole: bool = True) -> None:
        """Signal the server, by default every process of it at once, as `killall -9` would."""
        first = self.postmaster()
        victims = self.processes(POSTGRES) if whole else [] if first is None else [first]
        processes.send(victims, number)

    def sql(self, query: str, *, dbname: str = "postgres", timeout: float = 5.0) -> list[tuple[Any, ...]]:
        """Ask the node's own server through its socket, which no network fault can cut."""
        opened = psycopg.connect(
            host=str(self.path(SOCKETS)),
            user="postgres",
            dbname=dbname,
            connect_timeout=max(2, int(timeout)),
            options=f"-c statement_timeout={int(timeout * 1000)}",
            autocommit=True,
        )
        with closing(opened) as connection:
            cursor = connection.execute(query.encode())
            return cursor.fetchall() if cursor.description else []

    def in_recovery(self) -> bool | None:
        """Whether the server is a standby; None if there is no answer."""
        if not self.is_on:
            return None
        with suppress(psycopg.OperationalError):
            return bool(self.sql("select pg_is_in_recovery()", timeout=2)[0][0])
        return None

    def accepts_writes(self) -> bool:
        """Whether the server would take a write: it is a primary and not told to be read-only."""
        if not self.is_on:
            return False
        with suppress(psycopg.OperationalError):
            question = "select not pg_is_in_recovery() and not current_setting('transaction_read_only')::bool"
            return bool(self.sql(question, timeout=2)[0][0])
        return False

    def addresses(self) -> list[str]:
        """IPv4 addresses on the node's network interface, virtual ones included."""
        words = self.run("ip -4 -oneline address show dev eth0").stdout.split() if self.is_on else []
        pairs = pairwise(words)
        return [value.partition("/")[0] for word, value in pairs if word == "inet"]


SYSTEMCTL = "/usr/local/bin/systemctl"
PACEMAKER_COMMAND = (
    "env",
    # A service has no home. With one, a server that an agent starts would look for .pgpass there.
    "--unset=HOME",
    "PCMK_logfile=/var/log/pacemaker/pacemaker.log",
    # The default: agents then write to syslog, which the node keeps in /var/log/syslog.
    "PCMK_logfacility=daemon",
    "pacemakerd",
    "-f",
)
