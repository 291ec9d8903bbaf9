# SPDX-License-Identifier: GPL-2.0-or-later
"""``expgsql arbiter``: prepare an authority, create its record, look at it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from expgsql_ra.cli.common import dry_run_option, operator
from expgsql_ra.cli.outcome import Failure, NotNow
from expgsql_ra.cli.override import override
from expgsql_ra.effects.authority import CLUSTER, authority_of
from expgsql_ra.effects.deployed import NoClusterHere, deployed
from expgsql_ra.errors import BadArguments
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
    click.option("--lockname", default="", metavar="NAME", help="The record's name, as in distlock_lockname."),
    click.option(
        "--conninfo",
        default="",
        metavar="CONNINFO",
        help="The arbiter, as in distlock_conninfo: a connection string of PostgreSQL, or etcd://HOST:PORT,.../PREFIX. "
        "On a node of the cluster all three may be left out: its resource knows them.",
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
@dry_run_option
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
    dry_run: bool,
    as_json: bool,
) -> None:
    """Prepare an arbiter and upgrade what an earlier version left there; again and again without harm.

    A record that is there already is never changed. Without --primary none is created: who is the primary
    is for you to say.
    """
    if bool(system) != bool(directory):
        raise click.UsageError(
            "--system and --directory belong together; without both the primary fills them in itself"
        )
    authority, lockname = _named(conninfo, lockname, passfile, timeout)
    new = first_record(
        system, Successor(primary, directory), (epoch, revision), operator(os.uname().nodename), "created by a command"
    )
    if dry_run:
        _foretell(authority, lockname, new if primary else None, timeout)
        return
    remarks = _prepared(authority, timeout)
    record: Record | None
    if primary:
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
    authority, lockname = _named(conninfo, lockname, passfile, timeout)
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


@arbiter.command("relay", hidden=True)
def relay() -> None:
    """Ask an arbiter on behalf of another node, which cannot reach it: JSON in, JSON out."""
    from expgsql_ra.effects.relay import relayed  # noqa: PLC0415 - for this command alone

    try:
        click.echo(relayed(sys.stdin.read(), authority_of))
    except ValueError as problem:
        raise BadArguments(str(problem)) from None


arbiter.add_command(override)


def _named(conninfo: str, lockname: str, passfile: str, timeout: float) -> tuple[Archive, str]:
    """The authority that is meant, and the record's name: those given, or what the cluster's resource has."""
    if bool(conninfo) != bool(lockname):
        raise click.UsageError("--conninfo and --lockname belong together; on a node of the cluster leave out both")
    if not conninfo:
        conninfo, lockname, passfile = _configured(passfile, timeout)
    return authority_of(conninfo, lockname, NO_TERM, passfile), lockname


def _configured(passfile: str, timeout: float) -> tuple[str, str, str]:
    try:
        seen = deployed("", os.uname().nodename, timeout)
    except NoClusterHere:
        raise BadArguments("no cluster answers here: name the arbiter by --conninfo and --lockname") from None
    given = seen.parameters
    if given.enable_distlock and given.distlock_conninfo:
        return given.distlock_conninfo, given.distlock_lockname, passfile or given.passfile
    return CLUSTER, seen.resource, ""


def _foretell(authority: Archive, lockname: str, new: Record | None, timeout: float) -> None:
    """What would be done, for all that can be seen without doing it."""
    match authority.read(timeout):
        case Found(record):
            click.echo(f"{lockname}: the record is there and would be left as it is")
            _print(lockname, record, ())
            return
        case Missing(why):
            click.echo(f"{lockname}: {why}")
        case Unreachable(why):
            raise Failure(why)
    click.echo("would prepare the arbiter, and upgrade what an earlier version left there")
    if new:
        click.echo(f"would create the record: {new.primary} as primary, epoch {new.epoch}, revision {new.revision}")


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
