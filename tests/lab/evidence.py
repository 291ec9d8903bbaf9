"""What a person needs to understand a failure: logs, CIB, crm_mon and replication, in one directory."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psycopg
from tests.lab.cluster import Cluster
from tests.lab.command import CommandFailed
from tests.lab.machine import Machine
from tests.lab.node import PGDATA, Node

COMMANDS = {
    "crm_mon.txt": "crm_mon -1 -A -r -f -n",
    "cib.xml": "cibadmin --query",
    "processes.txt": "ps -e -o pid,ppid,user,stat,lstart,args",
    "addresses.txt": "ip address; nft list ruleset",
    "corosync.txt": "corosync-cfgtool -s; corosync-quorumtool -s",
}
FILES = ("postgresql.conf", "postgresql.auto.conf", "pg_hba.conf", "postmaster.pid", "standby.signal")
REPLICATION = (
    "select row_to_json(r)::text from pg_stat_replication r",
    "select row_to_json(r)::text from pg_stat_wal_receiver r",
    "select row_to_json(r)::text from pg_replication_slots r",
    "select name || ' = ' || setting from pg_settings where name in "
    "('synchronous_standby_names', 'synchronous_commit', 'primary_conninfo', 'primary_slot_name')",
)


def collect(cluster: Cluster, directory: Path) -> Path:
    """Write down everything there is to see; what cannot be seen is said so and is no error."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    _keep(directory / "cluster.txt", cluster.describe)
    for path in cluster.config.places.base.glob("*"):
        if path.is_file():
            shutil.copy(path, directory)
    for node in cluster.nodes:
        _collect_node(node, directory / node.name)
    arbiter = cluster.arbiter
    if arbiter is not None:
        (directory / arbiter.machine.name).mkdir()
        _copy_logs(arbiter.machine, directory / arbiter.machine.name)
        _keep(directory / "record.txt", lambda: f"{arbiter.record()}\n")
        _keep(directory / "history.txt", lambda: "".join(f"{line}\n" for line in arbiter.history()))
    return directory


def _collect_node(node: Node, directory: Path) -> None:
    directory.mkdir()
    _copy_logs(node, directory)
    if not node.is_on:
        (directory / "off").touch()
        return
    for name, command in COMMANDS.items():
        _keep(directory / name, lambda command=command: _output(node, command))  # type: ignore[misc]
    _keep(directory / "replication.txt", lambda: _replication(node))
    control = f"{node.bindir}/pg_controldata {PGDATA}"
    _keep(directory / "pg_controldata.txt", lambda: _output(node, control))


def _copy_logs(node: Machine, directory: Path) -> None:
    """Copy from the disks, which can be read even while the node is off."""
    logs = node.disks.upper / "var/log"
    for path in logs.rglob("*"):
        # A file that was removed from the layer below appears as a device here.
        if path.is_file():
            shutil.copy(path, directory / "-".join(path.relative_to(logs).parts))
    for name in FILES:
        with suppress(FileNotFoundError):
            shutil.copy(node.disks.data / "data" / name, directory)


def _output(node: Node, command: str) -> str:
    result = node.run(command, timeout=20)
    return f"{result.stdout}{result.stderr}"


def _replication(node: Node) -> str:
    return "\n".join(str(value) for query in REPLICATION for (value,) in node.sql(query)) + "\n"


def _keep(path: Path, look: Callable[[], str]) -> None:
    try:
        path.write_text(look())
    except (OSError, CommandFailed, psycopg.Error, RuntimeError) as problem:
        path.write_text(f"cannot tell: {problem}\n")
