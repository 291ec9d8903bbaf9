# SPDX-License-Identifier: GPL-2.0-or-later
"""What load balancers ask: which standbys stream, and whether a server is one.

Asked of PostgreSQL with a command of psql, as the tools ``get_active_slaves`` and ``check_active_slave`` of old do;
or, without one, of the cluster itself, which needs no password.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import NamedTuple

import click

from expgsql_ra.cli.common import json_option, resource_option, site
from expgsql_ra.cli.outcome import Failure
from expgsql_ra.cli.psql_command import ask_psql, psql_command_of
from expgsql_ra.errors import AgentError, BadArguments
from expgsql_ra.overview import Overview
from expgsql_ra.procedures.look import look
from expgsql_ra.rules import explanation
from expgsql_ra.values import same_node

# A name with a blank in it would be read as two.
STREAMING = r"""
select distinct application_name from pg_stat_replication where state = 'streaming' and application_name !~ '\s'
 and application_name <> '' order by application_name
"""
IN_RECOVERY = "select pg_is_in_recovery()"
RAW = {"ignore_unknown_options": True, "allow_interspersed_args": False, "help_option_names": ["--help"]}
timeout_option = click.option(
    "--timeout", type=click.FloatRange(1.0), default=10.0, show_default=True, help="Seconds that the answer may take."
)
command_argument = click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[PSQL_COMMAND]")


class Psql(NamedTuple):
    """How to reach a server."""

    words: tuple[str, ...]
    environ: dict[str, str]


@click.command(context_settings=RAW)
@resource_option
@timeout_option
@json_option
@command_argument
def active_standbys(*, resource: str, timeout: float, as_json: bool, command: tuple[str, ...]) -> None:
    """Print the names of the standbys that stream, in one line.

    PSQL_COMMAND reaches the primary: one word ('psql "host=..."'), or psql and its arguments. Without it the
    cluster is asked. Exit code 1: nobody answered.
    """
    if command:
        names = _asked(_psql(command), STREAMING, timeout).split()
    else:
        names = _streaming(look(site(resource, timeout, quiet=True)))
    click.echo(json.dumps({"standbys": names}) if as_json else " ".join(names))


@click.command(context_settings=RAW)
@resource_option
@timeout_option
@json_option
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[PSQL_COMMAND] HOST")
def check_standby(*, resource: str, timeout: float, as_json: bool, command: tuple[str, ...]) -> None:
    """Print t if a server is a standby, f if it is a primary.

    PSQL_COMMAND and HOST reach it (a -h before HOST is allowed); HOST alone is a node of the cluster, which is asked
    then. Exit code 1: it did not answer.
    """
    if not command:
        raise click.UsageError("HOST is missing")
    *words, host = command
    if words:
        psql = _psql(words)
        before = psql.words[:-1] if psql.words[-1] == "-h" else psql.words
        answer = _asked(psql._replace(words=(*before, "-h", host)), IN_RECOVERY, timeout).strip()
    else:
        answer = _role(look(site(resource, timeout, quiet=True)), host)
    click.echo(json.dumps({"server": host, "standby": answer == "t"}) if as_json else answer)


def _psql(words: Sequence[str]) -> Psql:
    """One word is a whole command; of several the first is the program."""
    return Psql(*psql_command_of(words[0])) if len(words) == 1 else Psql(tuple(words), {})


def _asked(psql: Psql, statement: str, within: float) -> str:
    done = ask_psql(psql.words, psql.environ, statement, within)
    if done.code:
        raise Failure(f"PostgreSQL did not answer: {done.tail}")
    return done.out


def _streaming(overview: Overview) -> list[str]:
    if not overview.seen.view.may_decide:
        raise Failure("this partition has no quorum: ask on another node")
    names = [member.name for member in overview.seen.view.members]
    return [name for name in names if explanation.arrives(overview, name)]


def _role(overview: Overview, node: str) -> str:
    found = next((one for one in overview.facts if same_node(one.node, node)), None)
    if found is None:
        raise BadArguments(f"{node} is no node of {overview.seen.resource}; to ask another server give a PSQL_COMMAND")
    if not found.answers:
        raise Failure(f"{found.node} does not answer: {found.why or found.server}")
    return "t" if found.server == "standby" else "f"


# --- the names of old -------------------------------------------------------------------------


def _run(command: click.Command, name: str, arguments: Sequence[str], least: int) -> int:
    """As before: anything but an answer is exit code 1, also wrong arguments."""
    if len(arguments) < least:
        click.echo(f"usage: {name} {command.params[-1].make_metavar(click.Context(command))}", err=True)
        return 1
    try:
        command.main(args=list(arguments), prog_name=name, standalone_mode=False)
    except click.ClickException as problem:
        problem.show()
        return 1
    except click.Abort:
        return 1
    except (Failure, AgentError) as problem:
        click.echo(f"{name}: {problem}", err=True)
        return 1
    return 0


def get_active_slaves() -> None:
    """The program of that name."""
    sys.exit(_run(active_standbys, "get_active_slaves", sys.argv[1:], 1))


def check_active_slave() -> None:
    """The program of that name."""
    sys.exit(_run(check_standby, "check_active_slave", sys.argv[1:], 2))
