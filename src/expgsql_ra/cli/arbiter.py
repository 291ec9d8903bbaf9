# SPDX-License-Identifier: GPL-2.0-or-later
"""``expgsql arbiter``: prepare an authority, create its record, look at it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from expgsql_ra.cli.outcome import Failure, NotNow
from expgsql_ra.effects.authority import authority_of
from expgsql_ra.record import (
    Accepted,
    Found,
    LeaseHeld,
    Missing,
    Outdated,
    Record,
    Successor,
    Unreachable,
    Writing,
    as_mapping,
    first_record,
)
from expgsql_ra.world import Archive

Command = TypeVar("Command", bound=Callable[..., None])
NO_TERM = 1  # these commands take no lease
ENTRIES = 10

OPTIONS = (
    click.option(
        "--timeout", type=click.FloatRange(0.1), default=10.0, show_default=True, help="Seconds that all may take."
    ),
    click.option("--passfile", default="", metavar="FILE", help="A .pgpass with the password."),
    click.option("--lockname", required=True, metavar="NAME", help="The record's name, as in distlock_lockname."),
    click.option(
        "--conninfo",
        required=True,
        metavar="CONNINFO",
        help="The arbiter, as in distlock_conninfo: a connection string of PostgreSQL, or etcd://HOST:PORT,.../PREFIX.",
    ),
)


def common(command: Command) -> Command:
    """The options that all of these commands have."""
    for option in OPTIONS:
        command = option(command)
    return command


@click.group()
def arbiter() -> None:
    """The record of the primary and its successors, outside the cluster."""


@arbiter.command()
@common
@click.option("--primary", default="", metavar="NODE", help="Create the record, if there is none, with this primary.")
@click.option("--system", default="", metavar="ID", help="Its database system identifier (pg_controldata).")
@click.option("--directory", default="", metavar="ID", help="The id of its data directory.")
@click.option("--epoch", type=click.IntRange(1), default=1, help="For a new arbiter: above all that was seen before.")
@click.option("--revision", type=click.IntRange(1), default=1, help="Likewise.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def init(  # noqa: PLR0913 - an option each
    *,
    conninfo: str,
    lockname: str,
    passfile: str,
    timeout: float,
    primary: str,
    system: str,
    directory: str,
    epoch: int,
    revision: int,
    as_json: bool,
) -> None:
    """Prepare an arbiter and upgrade what an earlier version left there; again and again without harm.

    A record that is there already is never changed. Without --primary none is created: who is the primary
    is for you to say.
    """
    authority = authority_of(conninfo, lockname, NO_TERM, passfile)
    remarks = _prepared(authority, timeout)
    record: Record | None
    if primary:
        new = first_record(system, Successor(primary, directory), (epoch, revision), _writer(), "created by a command")
        record, was_there = _created(authority.create(new, timeout))
        if was_there and record.primary != primary:
            remarks += (f"the record names {record.primary} as primary; it was left as it is",)
    else:
        record, why = _read(authority, timeout)
        remarks += (f"{why} to create the record",) if record is None else ()
    if as_json:
        found = as_mapping(record) if record else None
        click.echo(json.dumps({"lockname": lockname, "record": found, "remarks": remarks}))
        return
    click.echo(f"{lockname}: the arbiter is ready")
    for remark in remarks:
        click.echo(f"  note: {remark}")
    if record:
        _print(lockname, record, ())


@arbiter.command()
@common
@click.option("--history", type=click.IntRange(0), default=ENTRIES, show_default=True, help="Entries of the history.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def show(*, conninfo: str, lockname: str, passfile: str, timeout: float, history: int, as_json: bool) -> None:
    """Print the record and the newest entries of its history."""
    authority = authority_of(conninfo, lockname, NO_TERM, passfile)
    record, why = _read(authority, timeout)
    if record is None:
        raise NotNow(why)
    past = authority.history(history, timeout)
    if isinstance(past, Unreachable):
        raise Failure(past.why)
    if as_json:
        click.echo(json.dumps({"lockname": lockname, "record": as_mapping(record), "history": past.entries}))
    else:
        _print(lockname, record, past.entries)


def _prepared(authority: Archive, timeout: float) -> tuple[str, ...]:
    answer = authority.prepare(timeout)
    if isinstance(answer, Unreachable):
        raise Failure(answer.why)
    return answer.remarks


def _read(authority: Archive, timeout: float) -> tuple[Record | None, str]:
    match authority.read(timeout):
        case Found(record):
            return record, ""
        case Missing(why):
            return None, why
        case Unreachable(why):
            raise Failure(why)


def _created(answer: Writing) -> tuple[Record, bool]:
    """The record, and whether it was there already."""
    match answer:
        case Accepted(record):
            return record, False
        case Outdated(record):
            return record, True
        case LeaseHeld(by, seconds_left):
            raise NotNow(f"{by} holds the lock for another {seconds_left:.0f} s: name it as primary, or wait")
        case Missing(why):
            raise NotNow(why)
        case Unreachable(why):
            raise Failure(f"{why}; whether the record was created is not known: repeat the command")


def _writer() -> str:
    """Who gives this command, for the history."""
    return f"{os.environ.get('SUDO_USER') or os.environ.get('USER') or 'root'}@{os.uname().nodename}"


def _print(lockname: str, record: Record, entries: tuple[Mapping[str, Any], ...]) -> None:
    lease = record.lease
    lines = {
        "primary": record.primary,
        "successors": ", ".join(node for node in record.nodes if node != record.primary) or "none: it serves alone",
        "lease": f"{lease.holder}, {lease.seconds_left:.1f} s left" if lease.holder else "nobody's",
        "epoch": record.epoch,
        "revision": record.revision,
        "system": record.system or "not bound yet",
        "written": f"{record.time} by {record.writer}: {record.reason}",
    }
    click.echo(lockname)
    for name, value in lines.items():
        click.echo(f"  {name:<11}{value}")
    for entry in entries:
        click.echo(f"  {_entry(entry)}")


def _entry(entry: Mapping[str, Any]) -> str:
    """One line of the history; a row without a revision is from the lock of old."""
    if not entry.get("revision"):
        return f"{entry['time']}  lock: {entry['owner'] or 'released'}"
    others = ", ".join(node for node in entry["successors"] if node != entry["primary"]) or "none"
    return (
        f"{entry['time']}  epoch {entry['epoch']} revision {entry['revision']}: {entry['primary']}, successors "
        f"{others} ({entry['writer']}: {entry['reason']})"
    )
