# SPDX-License-Identifier: GPL-2.0-or-later
"""``expgsql.toml`` to begin with, and the table of its keys for the docs: both from the declared model."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any

from expgsql_ra.parameter_kinds import Parameter
from expgsql_ra.setup_model import FREE_TABLES, TABLES

WIDTH = 110
FIRST = """\
# A PostgreSQL cluster for expgsql setup. Lines that begin with "#" show defaults: uncomment what you change.
# The same file is used on every node. With a password in it: chmod 600.
"""
EXAMPLES = {
    ("cluster", "nodes"): '["node1", "node2", "node3"]',
    ("addresses", "writer"): '"192.0.2.10"',
    ("addresses", "reader"): '"192.0.2.11"',
    ("addresses", "nic"): '"eth0"',
    ("postgresql", "version"): "15",
}
"""What a first file has to say; 192.0.2.0/24 is kept for documentation (RFC 5737)."""


def example() -> str:
    """The whole file, with a comment for each key."""
    return "\n".join([FIRST, *_lines()]) + "\n"


def _lines() -> Iterator[str]:
    for name, table in TABLES.items():
        yield f"[{name}]"
        yield f"# {table.__doc__}"
        for one in table.declared:
            yield from textwrap.wrap(
                f"{one.name}: {one.doc.long}", WIDTH, initial_indent="# ", subsequent_indent="#   "
            )
            chosen = EXAMPLES.get((name, one.name))
            yield f"{one.name} = {chosen}" if chosen else f"#{one.name} = {_toml(one)}"
        yield ""
    for name, text in FREE_TABLES.items():
        yield f"[{name}]"
        yield f"# {text}"
        yield ""


def _toml(one: Parameter[Any]) -> str:
    """A key's default, as TOML has it."""
    value = one.parse("")
    if isinstance(value, tuple):
        return "[]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else f'"{one.default}"'


def key_table() -> str:
    """All keys as a table in Markdown."""
    rows = [
        f"| `[{name}]` | `{one.name}` | {f'`{one.default}`' if one.default else ''} | {_cell(one.doc.long)} |"
        for name, table in TABLES.items()
        for one in table.declared
    ]
    free = [f"| `[{name}]` | any | | {text} |" for name, text in FREE_TABLES.items()]
    return "\n".join(["| table | key | default | meaning |", "|---|---|---|---|", *rows, *free])


def _cell(text: str) -> str:
    return text.replace("|", "&#124;")
