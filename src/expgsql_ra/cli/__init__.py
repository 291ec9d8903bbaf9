# SPDX-License-Identifier: GPL-2.0-or-later
"""The commands for operators: parse, ask, print. Errors become exit codes here, in one place."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NamedTuple

import click

from expgsql_ra import __version__
from expgsql_ra.cli.outcome import Exit, Failure
from expgsql_ra.effects.deployed import NoClusterHere
from expgsql_ra.errors import AgentError, BadArguments, DeadlineExceeded, Inconsistent, Refused


class Entry(NamedTuple):
    """Where a command is, and what it says of itself in the list: it is imported when it is called."""

    module: str
    name: str
    help: str
    hidden: bool = False


COMMANDS = {
    "status": Entry("status", "status", "How everything is; what is wrong comes first, with its remedy."),
    "why": Entry("status", "why", "Why each node is or is not primary, promotable, streaming."),
    "history": Entry("history", "history", "What happened: promotions, degradations, switchovers, repairs."),
    "master": Entry("status", "master", "The name of the primary's node."),
    "active-standbys": Entry("standbys", "active_standbys", "The standbys that stream, for load balancers."),
    "check-standby": Entry("standbys", "check_standby", "Whether a server is a standby, for load balancers."),
    "switchover": Entry("control", "switchover", "Move the primary to another node."),
    "start": Entry("control", "start", "Start the cluster on all nodes."),
    "stop": Entry("control", "stop", "Stop the cluster on all nodes."),
    "standby": Entry("control", "standby", "Let a node run nothing for a while (on, off)."),
    "maintenance": Entry("control", "maintenance", "Leave the servers alone for a while (on, off)."),
    "cleanup": Entry("control", "cleanup", "Forget failures that were repaired."),
    "reset-master": Entry("control", "reset_master", "Name a primary by hand: the last resort."),
    "doctor": Entry("doctor", "doctor", "Check everything against what the promise needs, with remedies."),
    "completion": Entry("completion", "completion", "Print the completion script of a shell."),
    "setup": Entry("setup", "setup", "Configure a cluster and its servers from one file."),
    "arbiter": Entry("arbiter", "arbiter", "The record of the primary and its successors, outside the cluster."),
    "repair": Entry("repair", "repair", "Make a node whose data has diverged a standby again, by pg_rewind."),
    "rebuild": Entry("repair", "rebuild", "Make a node's data anew, by a base backup of the primary."),
    "local": Entry("local", "local", "For commands on other nodes.", hidden=True),
}


CODES = (
    (NoClusterHere, Exit.NO_CLUSTER),
    (BadArguments, Exit.BAD_ARGUMENTS),
    (DeadlineExceeded, Exit.NOT_IN_TIME),
    (Refused, Exit.NOT_NOW),
    (Inconsistent, Exit.INCONSISTENT),
)
"""What the errors of everything below the command line mean to who called it."""


class Program(click.Group):
    """A group whose commands are imported when they are called: most need a part of the program only."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Their names, in the order of the table."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one."""
        del ctx
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        command: click.Command = getattr(import_module(f"expgsql_ra.cli.{entry.module}"), entry.name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in the help, from the table: nothing is imported for it."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in COMMANDS.items() if not entry.hidden])


@click.group(name="expgsql", cls=Program, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="expgsql")
def expgsql() -> None:
    """PostgreSQL high availability for Pacemaker."""


def run(command: click.Command, arguments: Sequence[str]) -> int:
    """Run a command; its exit code."""
    try:
        code = command.main(args=list(arguments), prog_name=command.name, standalone_mode=False)
    except click.ClickException as problem:
        problem.show()
        return Exit.BAD_ARGUMENTS
    except click.Abort:
        return _failed("interrupted; call the command again to go on, or look with: expgsql status", Exit.ERROR)
    except Failure as problem:
        return _failed(problem, problem.code)
    except AgentError as problem:
        return _failed(problem, next((code for kind, code in CODES if isinstance(problem, kind)), Exit.ERROR))
    return code if isinstance(code, int) else Exit.DONE


def _failed(why: object, code: Exit) -> Exit:
    click.echo(f"Error: {why}", err=True)
    return code


def main() -> None:
    """The program ``expgsql``."""
    sys.exit(run(expgsql, sys.argv[1:]))
