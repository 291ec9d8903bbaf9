# SPDX-License-Identifier: GPL-2.0-or-later
"""The arbiter's tables in PostgreSQL: the lock table of old, extended by the record, and its history.

A row with revision 0 is a plain lock, as `distlock` takes and frees it; a record's row has 1 or more.
The upgrade keeps every row. docs/arbiter.md describes the tables for those who look after that server.
"""

from __future__ import annotations

LOCK = "select pg_advisory_xact_lock(hashtextextended('expgsql arbiter', 0))"
"""Two upgrades at the same time: the second waits for the first (CREATE ... IF NOT EXISTS alone may collide)."""

GRANTS = """
select json_build_object('record', format('grant select, update on distlock to %I', $1::text),
 'history', format('grant select on distlock_history to %I', $1::text))
"""
"""The statements that let the agent's role work."""

COLUMNS = """
 add column if not exists system text not null default '',
 add column if not exists epoch bigint not null default 0,
 add column if not exists revision bigint not null default 0,
 add column if not exists primary_node text not null default '',
 add column if not exists successors jsonb not null default '{}',
 add column if not exists writer text not null default '',
 add column if not exists written timestamptz,
 add column if not exists reason text not null default ''
"""

TABLES = f"""
create table if not exists distlock (
 lockname text primary key, owner text not null, ts timestamptz not null, expired_time interval not null);
alter table distlock {COLUMNS};
create table if not exists distlock_history (
 id serial primary key, lockname text not null, owner text not null, ts timestamptz not null,
 expired_time interval not null);
alter table distlock_history {COLUMNS};
create index if not exists distlock_history_lockname on distlock_history (lockname, id);
"""

# The function runs with the rights of the tables' owner, so that the agent's role needs none on the history.
# The guard is against other hands (the old shell tool, a statement typed in): whoever changes what is recorded
# raises the revision, and the lease of a record is the primary's or nobody's.
TRIGGER = """
create or replace function distlock_record() returns trigger language plpgsql security definer
set search_path = pg_catalog, pg_temp as $$
declare
 changed boolean := tg_op = 'INSERT';
begin
 if tg_op = 'UPDATE' then
  changed := (new.system, new.epoch, new.revision, new.primary_node, new.successors, new.writer, new.written,
    new.reason)
   is distinct from
   (old.system, old.epoch, old.revision, old.primary_node, old.successors, old.writer, old.written,
    old.reason);
  if changed and old.revision > 0 and not (new.revision = old.revision + 1
    and (new.epoch = old.epoch + 1 or (new.epoch = old.epoch and new.primary_node = old.primary_node))
    and old.system in ('', new.system)) then
   raise exception 'the record of % is changed by its revision alone', old.lockname
    using errcode = 'integrity_constraint_violation';
  end if;
 end if;
 if new.revision > 0 and not (new.owner in ('', new.primary_node) and new.successors ? new.primary_node) then
  raise exception 'the record of % names % as primary: no lock for %', new.lockname, new.primary_node, new.owner
   using errcode = 'integrity_constraint_violation', hint = 'expgsql arbiter show';
 end if;
 if not changed and new.owner = old.owner then
  return null;
 end if;
 execute format('insert into %I.distlock_history (lockname, owner, ts, expired_time, system, epoch, revision,'
  ' primary_node, successors, writer, written, reason)'
  ' values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)', tg_table_schema)
  using new.lockname, new.owner, new.ts, new.expired_time, new.system, new.epoch, new.revision,
   new.primary_node, new.successors, new.writer, new.written, new.reason;
 return null;
end
$$;
revoke all on function distlock_record() from public;
drop trigger if exists distlock_log_update on distlock;
do $$
begin
 drop function if exists distlock_log_update();
exception when dependent_objects_still_exist then
 null;
end
$$;
drop trigger if exists distlock_record on distlock;
create trigger distlock_record after insert or update on distlock
 for each row execute procedure distlock_record();
"""

STATE = """
select json_build_object('fsync', current_setting('fsync'), 'full_page_writes', current_setting('full_page_writes'),
 'version', current_setting('server_version_num')::int,
 'asynchronous', current_setting('synchronous_standby_names') = '')
"""
