# SPDX-License-Identifier: GPL-2.0-or-later
"""Checks of the PostgreSQL servers: each may be the primary tomorrow, so all are held to the same.

Sources: PostgreSQL documentation, "Replication", "Hot Standby: Administrator's Overview", "pg_rewind".
"""

from __future__ import annotations

from collections.abc import Iterator

from expgsql_ra.checkup import Facts, NodeCheckup
from expgsql_ra.rules.findings import Severity, Trouble, error, warning
from expgsql_ra.rules.succession import waits_from_the_start
from expgsql_ra.values import RepMode, same_node

FOR_A_BACKUP = 2
"""Walsenders that pg_basebackup takes."""
AS_LARGE_AS_THE_PRIMARYS = (
    *("max_connections", "max_worker_processes", "max_wal_senders", "max_prepared_transactions"),
    "max_locks_per_transaction",
)
DURABLE = (
    ("fsync", "a power loss may destroy the database"),
    ("full_page_writes", "a power loss may damage pages"),
)


def start(facts: Facts) -> Iterator[Trouble]:
    """The checks of validate-all on each node; their texts name the remedy."""
    for one in facts.asked:
        for problem in one.problems:
            what, _, remedy = problem.rpartition("; ")
            yield error(what or problem, remedy if what else "see docs/troubleshooting.md", one.node)


def passfile(facts: Facts) -> Iterator[Trouble]:
    """libpq ignores a file that others may read."""
    given = facts.deployment.parameters
    for one in facts.asked:
        if one.passfile:
            fix = f"chown {given.pgdba}: {given.passfile} && chmod 0600 {given.passfile}"
            yield error(one.passfile, f"on {one.node}: {fix}", one.node)


def replication(facts: Facts) -> Iterator[Trouble]:
    """Tried, not read: a connection from each node to each server, as a standby would make it."""
    repuser = facts.deployment.parameters.repuser
    for one in facts.asked:
        for host, why in one.replication.items():
            if why and _serves(facts, host):
                yield error(
                    f"{repuser} cannot replicate from {host}: {why}",
                    f"pg_hba.conf on {host}: host replication {repuser} ADDRESS-OF-{one.node}/32 scram-sha-256; then "
                    "SELECT pg_reload_conf()",
                    one.node,
                )


def _serves(facts: Facts, host: str) -> bool:
    """An address of the cluster, or a node whose server runs; that others do not answer is no finding of its own."""
    known = next((one for one in facts.nodes if same_node(one.node, host)), None)
    if known is None:
        return bool(facts.serving)
    return known.answers


def durability(facts: Facts) -> Iterator[Trouble]:
    """What PostgreSQL itself promises of a commit."""
    for one in facts.serving:
        for name, consequence in DURABLE:
            if _setting(one, name, "on") == "off":
                yield error(f"{name} is off: {consequence}", _alter(name, "on"), one.node)
        if facts.deployment.parameters.rep_mode is RepMode.SYNC:
            yield from _weak_commits(one)


def _weak_commits(one: NodeCheckup) -> Iterator[Trouble]:
    level = _setting(one, "synchronous_commit", "on")
    if level in {"off", "local"}:
        what = f"synchronous_commit={level}: commits do not wait for the standby, and a failover loses them"
        yield error(what, _alter("synchronous_commit", "on"), one.node)
    elif level == "remote_write":
        what = "synchronous_commit=remote_write: a power loss of the standby loses commits that were acknowledged"
        yield warning(what, _alter("synchronous_commit", "on"), one.node)


def standby(facts: Facts) -> Iterator[Trouble]:
    """What a standby must have to be asked, and a primary to have one."""
    if facts.deployment.parameters.rep_mode is RepMode.NONE:
        return
    for one in facts.serving:
        if _setting(one, "hot_standby", "on") == "off":
            what = "hot_standby is off: as a standby it could not be asked, and every probe would fail"
            yield error(what, _alter_and_restart("hot_standby", "on", one), one.node)
        if _setting(one, "wal_level", "replica") == "minimal":
            what = "wal_level=minimal: nobody can replicate from it"
            yield error(what, _alter_and_restart("wal_level", "replica", one), one.node)
        if _setting(one, "listen_addresses", "*") in {"", "localhost", "127.0.0.1", "::1"}:
            what = "listen_addresses has no address of the network: nobody else can connect"
            yield error(what, _alter_and_restart("listen_addresses", "*", one), one.node)


def senders(facts: Facts) -> Iterator[Trouble]:
    """Each server has to be able to serve all others, and a base backup beside."""
    given, standbys = facts.deployment.parameters, len(facts.deployment.nodes) - 1
    if given.rep_mode is RepMode.NONE:
        return
    for one in facts.serving:
        wanted = standbys + FOR_A_BACKUP
        yield from _too_few(one, "max_wal_senders", standbys, wanted)
        if given.replication_slot_name:
            yield from _too_few(one, "max_replication_slots", standbys, standbys)


def _too_few(one: NodeCheckup, name: str, least: int, wanted: int) -> Iterator[Trouble]:
    value = _number(one, name, wanted)
    if value < wanted:
        severity = Severity.ERROR if value < least else Severity.WARNING
        what = f"{name}={value}: {least} for the standbys" + (", 2 more for a base backup" if wanted > least else "")
        yield Trouble(severity, what, _alter_and_restart(name, str(wanted), one), one.node)


def rewind(facts: Facts) -> Iterator[Trouble]:
    """pg_rewind needs one of the two; checksums are better (PostgreSQL documentation, "pg_rewind")."""
    if facts.deployment.parameters.rep_mode is RepMode.NONE:
        return
    for one in facts.serving:
        if _setting(one, "wal_log_hints", "on") == "off" and _setting(one, "data_checksums", "on") == "off":
            yield warning(
                "neither wal_log_hints nor data checksums: a diverged node cannot be rewound, but has to be rebuilt",
                _alter_and_restart("wal_log_hints", "on", one),
                one.node,
            )


def waits(facts: Facts) -> Iterator[Trouble]:
    """Minor releases before May 2025 acknowledge commits alone for a moment after a start (docs/safety.md, R4)."""
    if facts.deployment.parameters.rep_mode is not RepMode.SYNC:
        return
    for one in facts.asked:
        version = one.versions.get("postgresql", "")
        if version and not waits_from_the_start(version):
            yield warning(
                f"PostgreSQL {version} does not wait for standbys in its first moments: a restart takes a round more",
                "apt install --only-upgrade postgresql   # then: expgsql switchover",
                one.node,
            )


def sizes(facts: Facts) -> Iterator[Trouble]:
    """A standby with less than its primary pauses its replay, or does not start."""
    primary = next((one for one in facts.serving if one.server == "primary"), None)
    if primary is None:
        return
    for one in facts.serving:
        for name in AS_LARGE_AS_THE_PRIMARYS:
            value, needed = _number(one, name, 0), _number(primary, name, 0)
            if value < needed:
                yield error(
                    f"{name}={value}, but {needed} on the primary {primary.node}: its replay stops",
                    _alter_and_restart(name, str(needed), one),
                    one.node,
                )


def pending(facts: Facts) -> Iterator[Trouble]:
    """What the next failover changes by surprise."""
    for one in facts.serving:
        if one.pending:
            what = f"changed, but not in force before a restart: {', '.join(one.pending)}"
            yield warning(what, _restart(one), one.node)


def slots(facts: Facts) -> Iterator[Trouble]:
    """A slot of a standby that is away keeps WAL until the disk is full."""
    if not facts.deployment.parameters.replication_slot_name:
        return
    for one in facts.serving:
        if _setting(one, "max_slot_wal_keep_size", "0") == "-1":
            yield warning(
                "max_slot_wal_keep_size=-1: a standby that stays away fills the primary's disk",
                _alter("max_slot_wal_keep_size", "'64GB'"),
                one.node,
            )


def repairs(facts: Facts) -> Iterator[Trouble]:
    """A data directory that is marked: no server is started there. One that pg_rewind was writing is not whole."""
    for one in facts.asked:
        for mark in one.marks:
            remedy = "rebuild" if "rewind" in mark else "repair"
            yield error(
                f"{mark}: a repair of the data runs, or has not ended", f"expgsql {remedy} {one.node}", one.node
            )


def _setting(one: NodeCheckup, name: str, unknown: str) -> str:
    return one.settings.get(name, unknown)


def _number(one: NodeCheckup, name: str, unknown: int) -> int:
    text = _setting(one, name, "")
    return int(text) if text.lstrip("-").isdigit() else unknown


def _alter(name: str, value: str) -> str:
    return f'psql -c "ALTER SYSTEM SET {name} = {value}" -c "SELECT pg_reload_conf()"'


def _alter_and_restart(name: str, value: str, one: NodeCheckup) -> str:
    quoted = f"'{value}'" if not value.isalnum() else value
    return f'on {one.node}: psql -c "ALTER SYSTEM SET {name} = {quoted}"; then {_restart(one)}'


def _restart(one: NodeCheckup) -> str:
    """A primary is restarted by becoming a standby, which commits wait for least."""
    if one.server == "primary":
        return "expgsql switchover"
    return f"expgsql standby on {one.node} && expgsql standby off {one.node}"
