# SPDX-License-Identifier: GPL-2.0-or-later
"""The command names of old as entry points: the same arguments, output for scripts and exit codes.

All are one program that looks at the name it was called by. They never asked, so they do not ask now.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from expgsql_ra.cli import expgsql, run
from expgsql_ra.cli.outcome import Exit

OLD_NAMES = {
    "cls_start": ("start",),
    "cls_stop": ("stop",),
    "cls_online_switch": ("switchover",),
    "cls_master": ("master",),
    "cls_status": ("status",),
    "cls_cleanup": ("cleanup",),
    "cls_reset_master": ("reset-master",),
    "cls_recovery_master": ("reset-master",),
    "cls_repair_by_pg_rewind": ("repair",),
    "cls_repair_slave": ("repair",),
    "cls_rebuild_slave": ("rebuild",),
    "cls_maintenance": ("maintenance", "on"),
    "cls_unmanage": ("maintenance", "on"),
    "cls_unmaintenance": ("maintenance", "off"),
    "cls_manage": ("maintenance", "off"),
    "cls_maintenance_node": ("maintenance", "on"),
    "cls_unmaintenance_node": ("maintenance", "off"),
    "cls_standby_node": ("standby", "on"),
    "cls_unstandby_node": ("standby", "off"),
}
NODE_MISSING = frozenset(name for name in OLD_NAMES if name.endswith("_node"))
"""These need a node: without one their new namesakes would mean the whole cluster."""


def called(name: str, arguments: Sequence[str]) -> int:
    """Run the command that a name of old stands for; its exit code."""
    if name in NODE_MISSING and not arguments:
        click.echo(f"usage: {name} NODE", err=True)
        return Exit.BAD_ARGUMENTS
    words = OLD_NAMES[name]
    agreed = ["--yes"] if _asks(words) else []
    return run(expgsql, [*words, *agreed, *_as_now(words, arguments)])


def _as_now(words: Sequence[str], arguments: Sequence[str]) -> Sequence[str]:
    """``cls_reset_master NODE``: the new primary was an argument."""
    if words == ("reset-master",) and arguments and not arguments[0].startswith("-"):
        return ("--primary", *arguments)
    return arguments


def _asks(words: Sequence[str]) -> bool:
    """Whether the command has the option ``--yes``."""
    context = click.Context(expgsql)
    command = expgsql.get_command(context, words[0])
    if isinstance(command, click.Group):
        command = command.get_command(context, words[1])
    return command is not None and any("--yes" in option.opts for option in command.params)


def main() -> None:
    """Whichever of them was called."""
    sys.exit(called(os.path.basename(sys.argv[0]), sys.argv[1:]))
