# SPDX-License-Identifier: GPL-2.0-or-later
"""The commands for operators: parse, ask, print. Errors become exit codes here, in one place."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from enum import IntEnum

import click

from expgsql_ra import __version__
from expgsql_ra.cli.arbiter import arbiter
from expgsql_ra.cli.outcome import Failure
from expgsql_ra.errors import AgentError, BadArguments


class Exit(IntEnum):
    """How a command ended, as the commands of old said it."""

    DONE = 0
    ERROR = 1
    BAD_ARGUMENTS = 100


@click.group(name="expgsql", context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="expgsql")
def expgsql() -> None:
    """PostgreSQL high availability for Pacemaker."""


expgsql.add_command(arbiter)


def run(command: click.Command, arguments: Sequence[str]) -> int:
    """Run a command; its exit code."""
    try:
        code = command.main(args=list(arguments), prog_name=command.name, standalone_mode=False)
    except click.ClickException as problem:
        problem.show()
        return Exit.BAD_ARGUMENTS
    except BadArguments as problem:
        click.echo(f"Error: {problem}", err=True)
        return Exit.BAD_ARGUMENTS
    except Failure as problem:
        click.echo(f"Error: {problem}", err=True)
        return problem.code
    except AgentError as problem:
        click.echo(f"Error: {problem}", err=True)
        return Exit.ERROR
    except click.Abort:
        return Exit.ERROR
    return code if isinstance(code, int) else Exit.DONE


def main() -> None:
    """The program ``expgsql``."""
    sys.exit(run(expgsql, sys.argv[1:]))
