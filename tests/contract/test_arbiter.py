# SPDX-License-Identifier: GPL-2.0-or-later
"""What only an arbiter in PostgreSQL has: tables of old, other hands, and a server with troubles of its own."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from tests.contract.authorities import IMPATIENT, LOCKNAME, TTL, WITHIN, OnPostgres
from tests.contract.authority_servers import ROLE_WITH_PASSWORD, free_ports
from tests.contract.test_authority import ONE, SYSTEM, TWO, accepted, created, narrowed, read, timeless
from tests.contract.witness import timed

from expgsql_ra.effects.arbiter import PostgresArbiter
from expgsql_ra.effects.clock import MonotonicClock
from expgsql_ra.record import (
    Accepted,
    Found,
    LeaseHeld,
    Missing,
    Outdated,
    Prepared,
    Unreachable,
    first_record,
    promoted,
)

pytestmark = [pytest.mark.lab, pytest.mark.timeout(120)]

# As users of the shell agent made it, word for word where it matters.
OLD_LAYOUT = """
create table distlock(lockname text primary key,owner text not null,ts timestamptz not null,
 expired_time interval not null);
create table distlock_history(id serial primary key,lockname text not null,owner text not null,
 ts timestamptz not null,expired_time interval not null);
CREATE OR REPLACE FUNCTION distlock_log_update() RETURNS trigger AS $$
    BEGIN
        IF TG_OP = 'INSERT' or NEW.owner <> OLD.owner THEN
            INSERT INTO distlock_history(lockname, owner, ts, expired_time)
             values(NEW.lockname, NEW.owner, NEW.ts, NEW.expired_time);
        END IF;
        RETURN NEW;
    END;
$$ LANGUAGE plpgsql;
CREATE TRIGGER distlock_log_update AFTER INSERT OR UPDATE ON distlock
    FOR EACH ROW EXECUTE PROCEDURE distlock_log_update();
"""
OLD_ROW = "insert into distlock values ('{}', '{}', now(), interval '{} second')"
OLD_LOCK = "update distlock set owner='{0}',ts=now(),expired_time=interval '9 second' where owner in ('', '{0}', '{1}')"
FIRST = first_record(SYSTEM, ONE, (1, 1), "operator", "taken over")


def old(on: OnPostgres, owner: str, seconds: int) -> None:
    """A database as the shell agent knew it, with one row."""
    on.server.do(OLD_LAYOUT, on.database)
    on.server.do(OLD_ROW.format(LOCKNAME.replace("'", "''"), owner, seconds), on.database)


# --- the tables of old ------------------------------------------------------------------------


def test_without_tables_the_answer_says_what_to_run(on_postgres: OnPostgres) -> None:
    answer = on_postgres.client().read(WITHIN)
    assert isinstance(answer, Missing)
    assert "no table distlock: run expgsql arbiter init" in answer.why


def test_a_table_of_old_is_not_mistaken_for_a_record(on_postgres: OnPostgres) -> None:
    old(on_postgres, "node1", 9)
    client = on_postgres.client()
    answer = client.read(WITHIN)
    assert isinstance(answer, Missing)
    assert "old layout" in answer.why
    assert isinstance(client.prepare(WITHIN), Prepared)
    answer = client.read(WITHIN)
    assert isinstance(answer, Missing)
    assert "last taken by node1" in answer.why


def test_a_row_of_old_becomes_the_record_with_its_lease(on_postgres: OnPostgres) -> None:
    old(on_postgres, "node1", 100)
    client = on_postgres.client()
    client.prepare(WITHIN)
    answer = client.create(FIRST, WITHIN)
    assert isinstance(answer, Accepted)
    assert timeless(answer.record)._replace(time="") == FIRST
    assert answer.record.lease.holder == "node1"
    assert 90 < answer.record.lease.seconds_left <= 100
    past = on_postgres.server.do("select owner, revision from distlock_history order by id", on_postgres.database)
    assert past == [("node1", 0), ("node1", 1)]


def test_a_row_that_another_node_holds_is_not_taken_over(on_postgres: OnPostgres) -> None:
    old(on_postgres, "node2", 100)
    client = on_postgres.client()
    client.prepare(WITHIN)
    answer = client.create(FIRST, WITHIN)
    assert isinstance(answer, LeaseHeld)
    assert answer.by == "node2"
    on_postgres.server.do("update distlock set ts = now() - interval '1 hour'", on_postgres.database)
    answer = client.create(FIRST, WITHIN)
    assert isinstance(answer, Accepted)
    assert answer.record.lease.holder == ""


def test_init_again_and_at_the_same_time_does_no_harm(on_postgres: OnPostgres) -> None:
    old(on_postgres, "", -1)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: on_postgres.client().prepare(WITHIN), range(4)))
    assert [type(answer) for answer in answers] == [Prepared] * 4
    created(on_postgres.client(), TWO)
    before = read(on_postgres.client())
    for _ in range(2):
        assert isinstance(on_postgres.client().prepare(WITHIN), Prepared)
        assert isinstance(on_postgres.client().create(FIRST, WITHIN), Outdated)
    assert timeless(read(on_postgres.client())) == timeless(before)
    triggers = on_postgres.server.do(
        "select tgname from pg_trigger where tgrelid = 'distlock'::regclass", on_postgres.database
    )
    assert triggers == [("distlock_record",)]


def test_an_init_that_fails_leaves_nothing_behind(on_postgres: OnPostgres) -> None:
    on_postgres.server.do("create view distlock_history as select 1 as id", on_postgres.database)
    assert isinstance(on_postgres.client().prepare(WITHIN), Unreachable)
    assert on_postgres.server.do("select to_regclass('distlock')", on_postgres.database) == [(None,)]


def test_a_server_that_may_forget_is_remarked(on_postgres: OnPostgres) -> None:
    answer = on_postgres.client().prepare(WITHIN)
    assert answer == Prepared(("fsync is off on the arbiter: after a crash it may forget what it promised",))


# --- other hands ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        OLD_LOCK.format("node2", "node1"),
        'update distlock set successors = \'{"node1": "", "node2": ""}\'',
        "update distlock set primary_node = 'node2', owner = ''",
        "update distlock set epoch = epoch + 1",
        "update distlock set revision = revision + 2",
        "update distlock set revision = revision - 1",
        "update distlock set revision = revision + 1, epoch = epoch - 1",
        "update distlock set revision = revision + 1, primary_node = 'node2', owner = ''",
        "update distlock set revision = revision + 1, system = '1'",
        'update distlock set revision = revision + 1, successors = \'{"node2": ""}\'',
    ],
)
def test_a_record_is_guarded_against_other_hands(on_postgres: OnPostgres, statement: str) -> None:
    before = created(on_postgres.client(), TWO)
    with pytest.raises(psycopg.errors.IntegrityConstraintViolation):
        on_postgres.server.do(statement, on_postgres.database)
    assert timeless(read(on_postgres.client())) == timeless(before)


def test_plain_locks_work_beside_a_record_as_they_did(on_postgres: OnPostgres) -> None:
    created(on_postgres.client())
    on_postgres.server.do(OLD_ROW.format("other", "", -1), on_postgres.database)
    on_postgres.server.do(OLD_LOCK.format("node2", "x") + " and lockname = 'other'", on_postgres.database)
    past = on_postgres.server.do("select owner from distlock_history where lockname = 'other'", on_postgres.database)
    assert past == [("",), ("node2",)]
    answer = on_postgres.client(lockname="other").read(WITHIN)
    assert isinstance(answer, Missing)


def test_a_damaged_row_is_no_record(on_postgres: OnPostgres) -> None:
    client = on_postgres.client()
    created(client)
    damage = "alter table distlock disable trigger all; update distlock set successors = '[1]'"
    on_postgres.server.do(damage, on_postgres.database)
    answer = client.read(WITHIN)
    assert isinstance(answer, Unreachable)
    assert "damaged" in answer.why


def test_the_agents_role_needs_no_more_than_the_table(on_postgres: OnPostgres) -> None:
    wide = created(on_postgres.client(), TWO)
    role = f"agent_of_{on_postgres.database}"
    on_postgres.server.do(
        f"create role {role} login; grant select, update on distlock to {role};", on_postgres.database
    )
    conninfo = on_postgres.where().replace("user=postgres", f"user={role}")
    client = PostgresArbiter(conninfo, LOCKNAME, TTL)
    assert isinstance(client.renew(wide, WITHIN), Accepted)
    narrow = accepted(client, narrowed(wide))
    assert isinstance(client.release(narrow, WITHIN), Accepted)
    (count,) = on_postgres.server.do(
        "select count(*) from distlock_history where reason = 'degraded' and owner <> ''", on_postgres.database
    )
    assert count == (1,)
    for statement in ("delete from distlock_history", "insert into distlock select * from distlock", INSERTED):
        with pytest.raises(psycopg.errors.InsufficientPrivilege), psycopg.connect(conninfo) as session:
            session.execute(statement.encode())


INSERTED = "insert into distlock_history(lockname, owner, ts, expired_time) values ('', '', now(), '1')"


# --- a server with troubles -------------------------------------------------------------------


def test_a_row_that_somebody_has_locked_ends_the_wait(on_postgres: OnPostgres) -> None:
    client = on_postgres.client()
    record = created(client)
    with psycopg.connect(on_postgres.where()) as session:
        session.execute("select from distlock for update")
        with timed() as took:
            answer = client.write(narrowed(record), IMPATIENT)
        assert took.seconds < IMPATIENT
    assert isinstance(answer, Unreachable)
    assert "timeout" in answer.why
    assert read(client) == record


def test_an_older_renewal_that_waited_does_not_shorten_a_newer_one(on_postgres: OnPostgres) -> None:
    client = on_postgres.client()
    record = created(client)
    with ThreadPoolExecutor(1) as pool, psycopg.connect(on_postgres.where()) as session:
        session.execute("select from distlock for update")
        waiting = pool.submit(client.renew, record, WITHIN)
        lock = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'"
        while on_postgres.server.do(lock) == [(0,)]:
            MonotonicClock().pause(0.02)
        session.execute("update distlock set owner = 'node1', ts = clock_timestamp() + '20 ms', expired_time = '30 s'")
        (newer,) = session.execute("select ts from distlock").fetchone() or ()
        MonotonicClock().pause(0.05)
        session.commit()
        assert isinstance(waiting.result(), Accepted)
    assert on_postgres.server.do(f"select ts > '{newer}' from distlock", on_postgres.database) == [(True,)]


def test_a_server_that_takes_no_writes_is_no_arbiter(on_postgres: OnPostgres) -> None:
    """As a standby of it is: what it says may be old."""
    created(on_postgres.client())
    on_postgres.server.do(f"alter database {on_postgres.database} set default_transaction_read_only = on")
    answer = on_postgres.client().read(WITHIN)
    assert isinstance(answer, Unreachable)
    assert "read-only" in answer.why


def test_a_commit_with_a_warning_is_no_success(on_postgres: OnPostgres) -> None:
    """PostgreSQL warns so when an administrator cancels the wait for the arbiter's own synchronous standby."""
    client = on_postgres.client()
    record = created(client)
    on_postgres.server.do(
        "create function warn() returns trigger language plpgsql as $$ begin raise warning 'not copied'; "
        "return null; end $$; create trigger warn after update on distlock execute function warn()",
        on_postgres.database,
    )
    answer = client.write(narrowed(record), WITHIN)
    assert isinstance(answer, Unreachable)
    assert "not copied" in answer.why


def test_the_next_host_is_asked_when_one_is_gone(on_postgres: OnPostgres) -> None:
    created(on_postgres.client())
    (nobody,) = free_ports(1)
    port = on_postgres.server.port
    conninfo = on_postgres.where().replace("host=127.0.0.1", "host=127.0.0.1,localhost")
    client = PostgresArbiter(conninfo.replace(f"port={port}", f"port={nobody},{port}"), LOCKNAME, TTL)
    assert isinstance(client.read(WITHIN), Found)


def test_a_wrong_password_is_no_answer(on_postgres: OnPostgres, tmp_path: Path) -> None:
    server = on_postgres.server
    role = ROLE_WITH_PASSWORD
    created(on_postgres.client())
    server.do(f"create role {role} login password 'right'; grant select on distlock to {role}", on_postgres.database)
    passfile = tmp_path / "pgpass"
    conninfo = on_postgres.where().replace("user=postgres", f"user={role}")
    for password, answer in (("right", Found), ("wrong", Unreachable)):
        passfile.write_text(f"*:*:*:{role}:{password}\n", encoding="utf-8")
        passfile.chmod(0o600)
        assert isinstance(PostgresArbiter(conninfo, LOCKNAME, TTL, str(passfile)).read(WITHIN), answer)


def test_it_says_who_it_is(on_postgres: OnPostgres) -> None:
    created(on_postgres.client())
    on_postgres.server.do(
        "create table seen(name text); create function see() returns trigger language plpgsql as $$ begin "
        "insert into seen values (current_setting('application_name')); return null; end $$; "
        "create trigger see after update on distlock execute function see()",
        on_postgres.database,
    )
    on_postgres.client().renew(read(on_postgres.client()), WITHIN)
    assert on_postgres.server.do("select name from seen", on_postgres.database) == [("expgsql arbiter",)]


def test_the_clients_idea_of_time_does_not_matter(on_postgres: OnPostgres) -> None:
    wide = created(on_postgres.client(), TWO)
    for zone in ("Pacific/Kiritimati", "Etc/GMT+12"):
        client = PostgresArbiter(f"{on_postgres.where()} options=-ctimezone={zone}", LOCKNAME, TTL)
        lease = read(client).lease
        assert 20 < lease.seconds_left <= 30
        assert isinstance(client.write(promoted(wide, TWO, reason="too early"), WITHIN), LeaseHeld)
