"""Making the nodes' databases: one initdb, and a stopped copy of it for each other node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.lab.command import run
from tests.lab.node import PGDATA, SERVER_LOG, Node
from tests.lab.places import Places

REPLICATION_USER = "replication"
REPLICATION_PASSWORD = "replication-of-the-lab"
PASSFILE = "/var/lib/postgresql/.pgpass"

SETTINGS: Mapping[str, str] = {
    "listen_addresses": "*",
    "wal_level": "replica",
    "max_wal_senders": "10",
    "max_replication_slots": "10",
    "wal_keep_size": "256MB",
    # The data disks are small; the default would let WAL alone fill half of one.
    "max_wal_size": "256MB",
    "hot_standby": "on",
    "wal_log_hints": "on",
    "wal_sender_timeout": "5s",
    "wal_receiver_status_interval": "2",
    # After a failover a standby asks the new primary again this often; the default of 5 s would
    # hide how quick the agent itself is.
    "wal_retrieve_retry_interval": "1s",
    "max_standby_streaming_delay": "-1",
    "max_standby_archive_delay": "-1",
    "restart_after_crash": "off",
    "hot_standby_feedback": "on",
    "synchronous_commit": "on",
    "shared_buffers": "32MB",
    "log_line_prefix": "%m [%p] ",
}


def hba(places: Places, first: Sequence[str] = ()) -> str:
    """Render pg_hba.conf: clients are trusted, the replication user shows its password."""
    rules = [
        *first,
        "local all all trust",
        f"host replication {REPLICATION_USER} {places.subnet} scram-sha-256",
        f"host all {REPLICATION_USER} {places.subnet} scram-sha-256",
        f"host all all {places.subnet} trust",
        "host all all 127.0.0.1/32 trust",
    ]
    return "\n".join(rules) + "\n"


def create(nodes: Sequence[Node], settings: Mapping[str, str]) -> None:
    """Make the first node's data directory and copy it to the others; no server runs afterwards."""
    first, *others = nodes
    _initdb(first)
    text = "".join(f"{key} = '{value}'\n" for key, value in {**SETTINGS, **settings}.items())
    conf = f"{PGDATA}/postgresql.conf"
    first.write(conf, first.read(conf) + text, mode=0o600, owner="postgres")
    first.write(f"{PGDATA}/pg_hba.conf", hba(first.places), mode=0o600, owner="postgres")
    for other in others:
        # cp keeps owners as numbers, and all nodes have the same users.
        run("cp", "--archive", f"{first.disks.data}/.", str(other.disks.data))
    for node in nodes:
        line = f"*:*:*:{REPLICATION_USER}:{REPLICATION_PASSWORD}\n"
        node.write(PASSFILE, line, mode=0o600, owner="postgres")


def _initdb(node: Node) -> None:
    initdb = (f"{node.bindir}/initdb", "--pgdata", PGDATA, "--data-checksums", "--no-sync")
    node.run((*initdb, "--auth=trust", "--locale=C.UTF-8", "--username=postgres"), user="postgres").check()
    # A superuser: pg_rewind and pg_basebackup run as this role too.
    role = f"CREATE ROLE {REPLICATION_USER} SUPERUSER REPLICATION LOGIN PASSWORD '{REPLICATION_PASSWORD}'\n"
    single = (f"{node.bindir}/postgres", "--single", "-D", PGDATA, "postgres")
    node.run(single, user="postgres", stdin=role).check()


def rebuild(node: Node) -> None:
    """Replace a node's data by a base backup of the primary, as its administrator would.

    The node's server must be down. Settings and everything else are the primary's afterwards.
    """
    node.run(("find", PGDATA, "-mindepth", "1", "-delete")).check()
    source = ("--host", node.places.writer_ip, "--username", REPLICATION_USER, "--no-password")
    backup = (f"{node.bindir}/pg_basebackup", *source, "--pgdata", PGDATA, "--checkpoint=fast", "--no-sync")
    node.run(backup, user="postgres", timeout=300).check()


def start_server(node: Node) -> None:
    """Start a server outside Pacemaker's knowledge and wait until it answers."""
    control = (f"{node.bindir}/pg_ctl", "start", "--pgdata", PGDATA, "--log", SERVER_LOG, "--wait")
    node.run((*control, "--silent"), user="postgres").check()


def stop_server(node: Node) -> None:
    """Stop such a server."""
    control = (f"{node.bindir}/pg_ctl", "stop", "--pgdata", PGDATA, "--mode=fast", "--wait", "--silent")
    node.run(control, user="postgres").check()


def append_conf(node: Node, text: str) -> None:
    """Add settings of one node."""
    path = f"{PGDATA}/postgresql.conf"
    node.write(path, node.read(path) + text, mode=0o600, owner="postgres")
