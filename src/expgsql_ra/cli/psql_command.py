# SPDX-License-Identifier: GPL-2.0-or-later
"""A command of psql, as the tools of old are given one: how it is read and run. No shell is involved."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping, Sequence

import click

from expgsql_ra.effects.process import Result, run

SHELL = frozenset("|&;<>()`$\n")
ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=.*", re.DOTALL)
PSQL_OPTIONS = ("-X", "-q", "-A", "-t", "-w", "-v", "ON_ERROR_STOP=1")


def psql_command_of(text: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """The words of a command, and the variables set in front of it, as a shell would read them."""
    if SHELL & set(text):
        raise click.UsageError("PSQL_COMMAND runs without a shell: it may have arguments, not shell syntax")
    try:
        words = shlex.split(text)
    except ValueError as problem:
        raise click.UsageError(f"PSQL_COMMAND: {problem}") from None
    environ: dict[str, str] = {}
    while words and ASSIGNMENT.fullmatch(words[0]):
        name, _, environ[name] = words.pop(0).partition("=")  # PGPASSWORD=... psql, as a shell reads it
    if not words:
        raise click.UsageError("PSQL_COMMAND is empty")
    return tuple(words), environ


def ask_psql(
    command: Sequence[str], environ: Mapping[str, str], statement: str, within: float, more: Sequence[str] = ()
) -> Result:
    """Run one statement; how it ended is the caller's to judge."""
    inherited = {name: value for name, value in os.environ.items() if name.startswith("PG") or name in {"HOME", "PATH"}}
    options = f"{inherited.get('PGOPTIONS', '')} -c statement_timeout={int(within * 500)} -c synchronous_commit=on"
    variables = {"PGCONNECT_TIMEOUT": "5", **inherited, "PGOPTIONS": options.strip(), **environ}
    return run([*command, *PSQL_OPTIONS, *more], timeout=within, environ=variables, stdin=statement)
