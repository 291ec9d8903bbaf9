# SPDX-License-Identifier: GPL-2.0-or-later
"""The record on a PostgreSQL server outside the cluster.

Each call is one connection and one statement that compares and writes; nothing is decided here between two of
them. Time is the arbiter's alone: ``clock_timestamp()``, which a statement that waited for another's row lock
reads after the wait, so that an older renewal never shortens a newer one.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from expgsql_ra.effects import arbiter_schema as schema
from expgsql_ra.effects.clock import MonotonicClock
from expgsql_ra.effects.network import NoAnswer, Rejected
from expgsql_ra.record import (
    Accepted,
    Found,
    LeaseHeld,
    Missing,
    Outdated,
    Past,
    Prepared,
    Proposal,
    Reading,
    Record,
    Renewal,
    Successor,
    Unreachable,
    Writing,
    from_mapping,
    objection,
)
from expgsql_ra.world import Deadline

if TYPE_CHECKING:
    from expgsql_ra.effects.libpq import Session

Outcome = TypeVar("Outcome")
OLDEST = 100000

UNDEFINED_TABLE = "42P01"
UNDEFINED_COLUMN = "42703"
INIT = "run expgsql arbiter init"
NO_TABLE = {
    UNDEFINED_TABLE: f"the arbiter has no table distlock: {INIT}",
    UNDEFINED_COLUMN: f"the arbiter's table distlock is of the old layout: {INIT}",
}

TIME = """to_char({} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')"""
RECORD = f"""
json_build_object('system', d.system, 'epoch', d.epoch, 'revision', d.revision, 'primary', d.primary_node,
 'successors', d.successors, 'holder', d.owner,
 'seconds_left', extract(epoch from d.ts + d.expired_time - clock_timestamp()),
 'writer', d.writer, 'time', {TIME.format("d.written")}, 'reason', d.reason)
"""

READ = f"select {RECORD} from distlock d where d.lockname = $1::text"

# The comparison and the write. A writer who is not the primary (a standby that leaves) does not touch the lease.
WRITE = f"""
update distlock d set system = $2::text, epoch = $3::bigint, revision = d.revision + 1, primary_node = $4::text,
 successors = $5::jsonb, writer = $6::text, written = clock_timestamp(), reason = $7::text,
 owner = case when $6::text = $4::text then $4::text else d.owner end,
 ts = case when $6::text = $4::text then clock_timestamp() else d.ts end,
 expired_time = case when $6::text = $4::text then make_interval(secs => $8::float8) else d.expired_time end
where d.lockname = $1::text and d.revision > 0 and d.revision = $9::bigint
 and d.system in ('', $2::text)
 and (($3::bigint = d.epoch and $4::text = d.primary_node)
  or ($3::bigint = d.epoch + 1
   and (d.owner in ('', $4::text) or clock_timestamp() >= d.ts + d.expired_time)))
returning {RECORD}
"""

RENEW = f"""
update distlock d set owner = d.primary_node, ts = clock_timestamp(), expired_time = make_interval(secs => $5::float8)
where d.lockname = $1::text and d.revision > 0 and d.system = $2::text and d.epoch = $3::bigint
 and d.primary_node = $4::text
returning {RECORD}
"""

RELEASE = f"""
update distlock d set owner = '', ts = clock_timestamp(), expired_time = interval '-1 second'
where d.lockname = $1::text and d.revision > 0 and d.system = $2::text and d.epoch = $3::bigint
 and d.primary_node = $4::text
returning {RECORD}
"""

# A row of the old layout becomes the record's, unless a node other than the primary holds the lock just now.
CREATE = f"""
insert into distlock as d (lockname, owner, ts, expired_time, system, epoch, revision, primary_node, successors,
 writer, written, reason)
values ($1::text, '', clock_timestamp(), interval '-1 second', $2::text, $3::bigint, $4::bigint, $5::text, $6::jsonb,
 $7::text, clock_timestamp(), $8::text)
on conflict (lockname) do update set system = excluded.system, epoch = excluded.epoch, revision = excluded.revision,
 primary_node = excluded.primary_node, successors = excluded.successors, writer = excluded.writer,
 written = excluded.written, reason = excluded.reason,
 owner = case when d.owner = excluded.primary_node then d.owner else '' end
where d.revision = 0 and (d.owner in ('', excluded.primary_node) or clock_timestamp() >= d.ts + d.expired_time)
returning {RECORD}
"""

HISTORY = f"""
select json_build_object('lockname', d.lockname, 'owner', d.owner, 'system', d.system, 'epoch', d.epoch,
 'revision', d.revision, 'primary', d.primary_node, 'successors', d.successors, 'writer', d.writer,
 'time', {TIME.format("coalesce(d.written, d.ts)")}, 'reason', d.reason)
from distlock_history d where d.lockname = $1::text order by d.id desc limit $2::int
"""


class PostgresArbiter:
    """The record named ``lockname``; nothing is connected before it is asked."""

    def __init__(self, conninfo: str, lockname: str, ttl: int, passfile: str = "") -> None:
        self._conninfo = conninfo
        self._lockname = lockname
        self._ttl = ttl
        self._passfile = passfile

    def read(self, within: float) -> Reading:
        """The record as it is now."""

        def act(session: Session) -> Found | Missing:
            row = session.row(READ, self._lockname)
            return Found(from_mapping(row)) if row and row["revision"] else self._absent(row)

        return _answered(self._in_session, act, within)

    def write(self, proposal: Proposal, within: float) -> Writing:
        """Compare and write, in one statement."""
        values = (
            self._lockname,
            proposal.system,
            proposal.epoch,
            proposal.primary,
            _successors(proposal.successors),
            proposal.writer,
            proposal.reason,
            self._ttl,
            proposal.replaces.revision,
        )

        def act(session: Session) -> Accepted | Outdated | LeaseHeld | Missing:
            row = session.row(WRITE, *values)
            return Accepted(from_mapping(row)) if row else self._refusal(session, proposal)

        return _answered(self._in_session, act, within)

    def renew(self, record: Record, within: float) -> Renewal:
        """The lease for another term."""
        return self._for_primary(RENEW, record, (self._ttl,), within)

    def release(self, record: Record, within: float) -> Renewal:
        """The lease for nobody."""
        return self._for_primary(RELEASE, record, (), within)

    def prepare(self, within: float) -> Prepared | Unreachable:
        """Create or upgrade the tables in one transaction."""

        def act(session: Session) -> Prepared | Unreachable:
            state = session.row(schema.STATE) or {}
            if state["version"] < OLDEST:
                return Unreachable("the arbiter's PostgreSQL is older than 10; upgrade it")
            session.script("begin")
            session.script(schema.LOCK)
            session.script(schema.TABLES)
            session.script(schema.TRIGGER)
            session.script("commit")
            return Prepared(tuple(_remarks(state)))

        return self._prepared(act, within)

    def admit(self, role: str, within: float) -> Prepared | Unreachable:
        """Give a role the rights that the agent needs, and no more; it is the tables' owner who can."""

        def act(session: Session) -> Prepared:
            for statement in (session.row(schema.GRANTS, role) or {}).values():
                session.script(str(statement))
            return Prepared(())

        return self._prepared(act, within)

    def remarks(self, within: float) -> Prepared | Unreachable:
        """What `prepare` would remark, without changing anything."""

        def act(session: Session) -> Prepared:
            return Prepared(tuple(_remarks(session.row(schema.STATE) or {})))

        return self._prepared(act, within)

    def _prepared(self, act: Callable[[Session], Prepared | Unreachable], within: float) -> Prepared | Unreachable:
        """Where tables that are not there are a reason like any other."""
        answer = _answered(self._in_session, act, within)
        return Unreachable(answer.why) if isinstance(answer, Missing) else answer

    def create(self, record: Record, within: float) -> Writing:
        """Make the first record, in one statement."""
        values = (
            self._lockname,
            record.system,
            record.epoch,
            record.revision,
            record.primary,
            _successors(record.successors),
            record.writer,
            record.reason,
        )

        def act(session: Session) -> Accepted | Outdated | LeaseHeld | Missing:
            row = session.row(CREATE, *values)
            return Accepted(from_mapping(row)) if row else self._present(session)

        return _answered(self._in_session, act, within)

    def history(self, newest: int, within: float) -> Past | Unreachable:
        """The newest entries."""

        def act(session: Session) -> Past:
            return Past(session.rows(HISTORY, self._lockname, newest))

        answer = _answered(self._in_session, act, within)
        return Past(()) if isinstance(answer, Missing) else answer

    def _for_primary(self, statement: str, record: Record, more: tuple[object, ...], within: float) -> Renewal:
        def act(session: Session) -> Accepted | Outdated | Missing:
            row = session.row(statement, self._lockname, record.system, record.epoch, record.primary, *more)
            if row:
                return Accepted(from_mapping(row))
            row = session.row(READ, self._lockname)
            return Outdated(from_mapping(row)) if row and row["revision"] else self._absent(row)

        return _answered(self._in_session, act, within)

    def _refusal(self, session: Session, proposal: Proposal) -> Outdated | LeaseHeld | Missing:
        """Why no row was written. It was not, whatever is read now: this only explains."""
        row = session.row(READ, self._lockname)
        if not row or not row["revision"]:
            return self._absent(row)
        stored = from_mapping(row)
        # Nothing speaks against it any more: the lease ended just now.
        return objection(stored, proposal) or LeaseHeld(str(row["holder"]), 0.0)

    def _present(self, session: Session) -> Outdated | LeaseHeld | Missing:
        """What stands in the way of a first record."""
        row = session.row(READ, self._lockname)
        if row and row["revision"]:
            return Outdated(from_mapping(row))
        return LeaseHeld(str(row["holder"]), max(0.0, float(row["seconds_left"]))) if row else self._absent(row)

    def _absent(self, row: dict[str, Any] | None) -> Missing:
        if row is None:
            return Missing(f"the arbiter has no row {self._lockname}: {INIT} --primary NODE")
        owner = f" (its lock was last taken by {row['holder']})" if row["holder"] else ""
        return Missing(f"the arbiter's row {self._lockname} is a plain lock{owner}: {INIT} --primary NODE")

    def _in_session(self, act: Callable[[Session], Outcome], within: float) -> Outcome:
        from expgsql_ra.effects import libpq  # noqa: PLC0415 - it imports the driver

        session = libpq.connect(self._conninfo, self._passfile, Deadline(MonotonicClock(), within))
        try:
            return act(session)
        finally:
            session.close()


def _answered(
    in_session: Callable[[Callable[[Session], Outcome], float], Outcome],
    act: Callable[[Session], Outcome],
    within: float,
) -> Outcome | Missing | Unreachable:
    """What ``act`` finds out; every way not to find out is `Unreachable`, but for a table that is not there."""
    try:
        return in_session(act, within)
    except Rejected as problem:
        why = NO_TABLE.get(problem.state)
        return Missing(why) if why else Unreachable(f"the arbiter refused: {problem}")
    except NoAnswer as problem:
        return Unreachable(f"the arbiter cannot be reached: {problem}")
    except (ValueError, KeyError, TypeError) as problem:
        return Unreachable(f"the arbiter's row is damaged: {problem}")


def _successors(successors: tuple[Successor, ...]) -> str:
    return json.dumps(dict(successors))


def _remarks(state: dict[str, Any]) -> list[str]:
    """What a DBA should change about a server that must not forget."""
    off = [name for name in ("fsync", "full_page_writes") if state[name] != "on"]
    return [f"{name} is off on the arbiter: after a crash it may forget what it promised" for name in off]
