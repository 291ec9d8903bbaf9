# SPDX-License-Identifier: GPL-2.0-or-later
"""SQL through the server's own ``psql``: every statement of the agent, and how its answers are read.

``psql`` starts in 6 ms where importing a driver takes 150 (docs/decisions/003-probe-by-psql.md). Answers
are JSON made by the server, never text that was laid out for people.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from expgsql_ra.effects.process import Account, Result, run
from expgsql_ra.errors import CannotTell, CommandFailed, DeadlineExceeded
from expgsql_ra.snapshot import Primary, Sender, Standby
from expgsql_ra.values import Lsn

SHORTEST_CONNECT = 2
"""libpq takes a connect_timeout of one second for two (PostgreSQL documentation, "Parameter Key Words")."""

FACTS = """
select json_build_object(
 'recovery', r,
 'version', current_setting('server_version_num')::int,
 'names', current_setting('synchronous_standby_names'),
 'timeline', case when not r then substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8) end,
 'received', pg_last_wal_receive_lsn(),
 'replayed', pg_last_wal_replay_lsn(),
 'receiver', (select json_build_array(status, received_tli) from pg_stat_wal_receiver limit 1),
 'senders', case when not r then (
   select json_agg(json_build_array(application_name, case when exists (
     select from pg_replication_slots l where l.active_pid = s.pid and l.slot_type = 'logical')
     then 'logical' else state end, sync_state, sync_priority, flush_lsn))
   from pg_stat_replication s) end,
 'lsn', case when not r then pg_current_wal_flush_lsn() end,
 'slots', (select json_agg(slot_name) from pg_replication_slots where slot_type = 'physical'))
from pg_is_in_recovery() r
"""
"""The primary's own position is read after its standbys': read before, it may be older than what a standby has got
since, and a standby that reports more than there is counts as diverged. (Arguments are evaluated in their order, and
a sub-select when it is reached.)"""

WAITS_FOR_WAL = """
select json_build_object('idle', exists(select from pg_stat_activity where backend_type = 'startup'
 and wait_event in ('RecoveryWalStream', 'RecoveryWalAll', 'RecoveryRetrieveRetryInterval',
                    'RecoveryWalStreamInterval')),
 'replayed', pg_last_wal_replay_lsn())
"""

BEHIND = """
select json_build_object('seconds', case when pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() then 0
 else extract(epoch from clock_timestamp() - pg_last_xact_replay_timestamp()) end)
"""

SYSTEM = "select json_build_object('system', system_identifier::text) from pg_control_system()"

WRITE_WAL = "select json_build_object('at', pg_logical_emit_message(true, 'expgsql', ''))"

CREATE_SLOT = """
select json_build_object('slot', (select pg_create_physical_replication_slot(:'slot')))
where not exists (select from pg_replication_slots where slot_name = :'slot')
"""

DROP_SLOT = """
select json_build_object('slot', pg_drop_replication_slot(slot_name)::text) from pg_replication_slots
where slot_name = :'slot' and not active
"""


class Target(NamedTuple):
    """Where a session goes and as whom."""

    psql: str
    account: Account
    host: str
    port: str
    database: str
    role: str
    environ: Mapping[str, str]


class NoSession(NamedTuple):
    """``psql`` could not connect (its exit code 2)."""

    why: str


class TookTooLong(NamedTuple):
    """No answer within the bound."""

    why: str


Answer = dict[str, Any] | NoSession | TookTooLong


def ask(target: Target, statement: str, within: float, variables: Mapping[str, str] | None = None) -> Answer:
    """One row of JSON from one statement, over a connection made for it.

    Raises `CommandFailed` if the server reports an error. ``variables`` are quoted by psql itself.
    """
    try:
        result = _psql(target, statement, within, variables or {})
    except TimeoutError as problem:
        return TookTooLong(str(problem))
    if result.code == 2:
        return NoSession(result.tail)
    if result.code:
        raise CommandFailed(f"SQL failed: {result.tail}")
    return _row(result.out)


def execute(target: Target, statement: str, within: float) -> None:
    """Run an administrator's statement, whatever it answers; `CannotTell` if it fails."""
    try:
        result = _psql(target, statement, within, {})
    except TimeoutError as problem:
        raise CannotTell(f"monitor_sql: {problem}") from None
    if result.code:
        raise CannotTell(f"monitor_sql failed: {result.tail}")


def _row(out: str) -> dict[str, Any]:
    text = out.strip()
    found = json.loads(text) if text else {}
    return found if isinstance(found, dict) else {}


def _psql(target: Target, statement: str, within: float, variables: Mapping[str, str]) -> Result:
    connect = max(SHORTEST_CONNECT, int(within))
    argv = [target.psql, "-X", "-q", "-A", "-t", "-w", "-v", "ON_ERROR_STOP=1", "-d", target.database]
    argv += ["-h", target.host] if target.host else []
    argv += ["-p", target.port, "-U", target.role]
    for name, value in variables.items():
        argv += ["-v", f"{name}={value}"]
    environ = {
        "PGCONNECT_TIMEOUT": str(connect),
        "PGOPTIONS": f"-c statement_timeout={max(1, int(within * 1000))} -c synchronous_commit=local",
        "PGAPPNAME": "expgsql agent",
        **target.environ,
    }
    try:
        return run(argv, timeout=within, user=target.account, environ=environ, stdin=statement)
    except DeadlineExceeded:
        raise TimeoutError(f"PostgreSQL did not answer within {within:.1f} s") from None


def facts(row: dict[str, Any], pid: int) -> Primary | Standby:
    """Make a server out of the answer to `FACTS`."""
    if row["recovery"]:
        receiver, receives = row["receiver"] or (None, None)
        return Standby(
            pid=pid,
            version=row["version"],
            receiver=receiver,
            received=_lsn(row["received"]),
            replayed=_lsn(row["replayed"]),
            names=row["names"],
            slots=tuple(row["slots"] or ()),
            receives=receives,
        )
    return Primary(
        pid=pid,
        version=row["version"],
        timeline=int(row["timeline"], 16),
        flushed=Lsn.parse(row["lsn"]),
        names=row["names"],
        senders=tuple(_sender(columns) for columns in row["senders"] or ()),
        slots=tuple(row["slots"] or ()),
    )


def _sender(columns: list[Any]) -> Sender:
    name, state, sync_state, sync_priority, flushed = columns
    return Sender(name or "", state or "", sync_state or "", sync_priority or 0, _lsn(flushed))


def _lsn(text: str | None) -> Lsn | None:
    return Lsn.parse(text) if text else None
