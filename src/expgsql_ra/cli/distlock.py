# SPDX-License-Identifier: GPL-2.0-or-later
"""``distlock``: the plain lock of old, with its arguments, output and exit codes.

It prints 1 if the lock was granted or freed and 0 if somebody else has it, with exit code 0. Anything else,
a lock that does not exist included, is an error, exit code 1: nothing is granted without an answer.
A row that carries a record is not touched: its lease belongs to the agent.
"""

from __future__ import annotations

import json
import re
import sys
from typing import NamedTuple

import click

from expgsql_ra.cli.psql_command import ask_psql, psql_command_of
from expgsql_ra.effects.clock import MonotonicClock
from expgsql_ra.errors import AgentError
from expgsql_ra.world import Deadline

USAGE = "distlock PSQL_COMMAND trylock|lock|unlock TABLE:LOCKNAME OWNER [EXPIRED_TIME [TIMEOUT]]"
LONGEST_ANSWER = 10.0
FOREVER = 2**31 - 1
PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*(\.[A-Za-z_][A-Za-z0-9_$]*)?")

# psql quotes what is written :'name' and :"name" here. A row of a table with the record's columns has a revision.
STATEMENT = """
with changed as (update :table d set {change} where lockname = :'lockname' and {condition}
 and coalesce((to_jsonb(d)->>'revision')::bigint, 0) = 0 returning 1)
select json_build_object('changed', exists(select from changed),
 'found', exists(select from :table d where lockname = :'lockname'),
 'record', exists(select from :table d where lockname = :'lockname' and (to_jsonb(d)->>'revision')::bigint > 0));
"""
TAKE = STATEMENT.format(
    change="owner = :'owner', ts = clock_timestamp(), expired_time = make_interval(secs => :'seconds')",
    condition="(owner in ('', :'owner') or clock_timestamp() > ts + expired_time)",
)
FREE = STATEMENT.format(
    change="owner = '', ts = clock_timestamp(), expired_time = interval '-1 second'", condition="owner = :'owner'"
)


class Unusable(Exception):
    """No answer, or none that grants or denies."""


class Lock(NamedTuple):
    """Which lock, and for whom."""

    command: tuple[str, ...]
    environ: dict[str, str]
    table: str
    name: str
    owner: str


@click.command(name="distlock", context_settings={"ignore_unknown_options": True}, epilog=USAGE)
@click.argument("psql_command")
@click.argument("operation", type=click.Choice(["trylock", "lock", "unlock"]))
@click.argument("lockpath")
@click.argument("owner")
@click.argument("expired_time", type=click.FloatRange(0), required=False)
@click.argument("timeout", type=click.FloatRange(0), required=False)
def distlock(
    psql_command: str, operation: str, lockpath: str, owner: str, expired_time: float | None, timeout: float | None
) -> int:
    """Take or free a lock on an arbiter in PostgreSQL; prints 1 if that succeeded, 0 if somebody else has it.

    trylock tries once; lock tries until TIMEOUT seconds are over. The lock is free again EXPIRED_TIME seconds
    after it was taken last.
    """
    if operation != "unlock" and expired_time is None:
        raise click.UsageError("EXPIRED_TIME is missing")
    lock = _lock(psql_command, lockpath, owner)
    if operation == "unlock":
        done = _ask(lock, FREE, 0.0, LONGEST_ANSWER)
    else:
        patience = 0.0 if operation == "trylock" else FOREVER if timeout is None else timeout
        done = _taken(lock, expired_time or 0.0, patience)
    click.echo("1" if done else "0")
    return 0


def _lock(psql_command: str, lockpath: str, owner: str) -> Lock:
    words, environ = psql_command_of(psql_command)
    table, colon, name = lockpath.partition(":")
    if not colon:
        table, name = "distlock", lockpath
    if not name or not owner or not PLAIN.fullmatch(table):
        raise click.UsageError(f"usage: {USAGE}")
    return Lock(words, environ, table, name, owner)


def _taken(lock: Lock, seconds: float, patience: float) -> bool:
    """Whether the lock was granted, now or before the patience is over."""
    clock = MonotonicClock()
    deadline = Deadline(clock, patience)
    while True:
        if _ask(lock, TAKE, seconds, LONGEST_ANSWER):
            return True
        if deadline.left() <= 0:
            return False
        clock.pause(min(1.0, deadline.left()))


def _ask(lock: Lock, statement: str, seconds: float, within: float) -> bool:
    """Whether the row was changed; `Unusable` without an answer."""
    values = {"table": lock.table, "lockname": lock.name, "owner": lock.owner, "seconds": str(seconds)}
    arguments = [word for name, value in values.items() for word in ("-v", f"{name}={value}")]
    done = ask_psql(lock.command, lock.environ, statement, within, arguments)
    if done.code:
        raise Unusable(f"the lock service: {done.tail}")
    return _verdict(lock, done.out)


def _verdict(lock: Lock, out: str) -> bool:
    try:
        answer = json.loads(out)
        changed, found, record = (bool(answer[name]) for name in ("changed", "found", "record"))
    except (ValueError, KeyError, TypeError):
        raise Unusable("the lock service's answer is not what was asked for") from None
    if record:
        raise Unusable(f"{lock.name} carries a record: its lease is the agent's; give this lock another name")
    if not found:
        raise Unusable(f"there is no lock {lock.name} in the table {lock.table}: insert its row first")
    return changed


def main() -> None:
    """The program ``distlock``."""
    try:
        code = distlock.main(prog_name="distlock", standalone_mode=False)
    except click.ClickException as problem:
        problem.show()
        sys.exit(1)
    except click.Abort:
        sys.exit(1)
    except (Unusable, AgentError) as problem:
        click.echo(f"distlock: {problem}", err=True)
        sys.exit(1)
    sys.exit(code if isinstance(code, int) else 0)
