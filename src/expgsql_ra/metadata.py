# SPDX-License-Identifier: GPL-2.0-or-later
"""What the agent says about itself: the metadata that cluster tools read, and the README's table.

The XML keeps to what every checker in use accepts: the DTD that ocf-tester applies, the schema of
resource-agents and those of pcs; OCF 1.1's additions fail the first two.
"""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET  # writing alone: nothing foreign is parsed

from expgsql_ra.operations import OPERATIONS, Operation
from expgsql_ra.parameter_kinds import Parameter
from expgsql_ra.parameters import Parameters

PROLOGUE = '<?xml version="1.0"?>\n<!DOCTYPE resource-agent SYSTEM "ra-api-1.dtd">\n'
TABLE_BEGIN = "<!-- parameters: written by 'make metadata' -->"
TABLE_END = "<!-- end of parameters -->"
WIDTH = 100

SHORT = "PostgreSQL with streaming replication and failover without loss"
LONG = (
    "Runs a PostgreSQL server (10 and newer), alone or, as a promotable clone with notify=true, as a primary "
    "with its standbys on the other nodes. In rep_mode=sync a standby is promoted only if it holds every "
    "commit that was acknowledged. Parameters and node attributes are those of the agent pgsql, and more."
)
# Pacemaker 2.0, which says so by the OCF version 1.0 it offers, knows the roles by their old names alone.
OLD_ROLES = {"Promoted": "Master", "Unpromoted": "Slave"}


def render(environ: Mapping[str, str]) -> str:
    """The metadata as XML, in the words of the Pacemaker that asks."""
    agent = ET.Element("resource-agent", name="expgsql", version="1.0")
    ET.SubElement(agent, "version").text = "1.0"
    _describe(agent, SHORT, LONG)
    parameters = ET.SubElement(agent, "parameters")
    for parameter in Parameters.declared:
        _add_parameter(parameters, parameter)
    actions = ET.SubElement(agent, "actions")
    for operation in OPERATIONS:
        _add_action(actions, operation, old_roles=environ.get("OCF_RA_VERSION_MINOR") == "0")
    ET.indent(agent)
    return f"{PROLOGUE}{ET.tostring(agent, encoding='unicode')}\n"


def _describe(parent: ET.Element, short: str, long: str) -> None:
    wrapped = "\n".join(textwrap.wrap(long, WIDTH, break_on_hyphens=False, break_long_words=False))
    ET.SubElement(parent, "longdesc", lang="en").text = f"\n{wrapped}\n"
    ET.SubElement(parent, "shortdesc", lang="en").text = short


def _add_parameter(parent: ET.Element, parameter: Parameter[Any]) -> None:
    element = ET.SubElement(parent, "parameter", name=parameter.name, unique="0", required="0")
    _describe(element, parameter.doc.short, parameter.doc.long)
    content = ET.SubElement(element, "content", type=parameter.content)
    # An empty default is no integer: pcs and crmsh show what is absent as "none".
    if parameter.default or parameter.content == "string":
        content.set("default", parameter.default)


def _add_action(parent: ET.Element, operation: Operation, *, old_roles: bool) -> None:
    element = ET.SubElement(parent, "action", name=operation.name)
    if operation.role:
        element.set("role", OLD_ROLES[operation.role] if old_roles else operation.role)
    if operation.recurs:
        element.set("depth", "0")
        element.set("interval", f"{operation.interval}s")
    element.set("timeout", f"{operation.timeout}s")


def table() -> str:
    """The parameters as a table in Markdown."""
    rows = [
        f"| `{parameter.name}` | {_code(parameter.default)} | {parameter.doc.long.replace('|', '&#124;')} |"
        for parameter in Parameters.declared
    ]
    return "\n".join(["| parameter | default | meaning |", "|---|---|---|", *rows])


def _code(default: str) -> str:
    return f"`{default}`" if default else ""


def with_table(readme: str) -> str:
    """The README with the table of today between its two marks; ValueError if it lacks them."""
    head, begin, rest = readme.partition(TABLE_BEGIN)
    _, end, tail = rest.partition(TABLE_END)
    if not begin or not end:
        raise ValueError(f"no lines {TABLE_BEGIN} and {TABLE_END} to write the table between")
    return f"{head}{begin}\n{table()}\n{end}{tail}"


def main(arguments: Sequence[str]) -> None:
    """Print the metadata, or renew the table in a README."""
    options = argparse.ArgumentParser(prog="python -m expgsql_ra.metadata", description=main.__doc__)
    options.add_argument("--readme", type=Path, help="the file whose table to renew, in place of printing")
    readme: Path | None = options.parse_args(arguments).readme
    if readme:
        readme.write_text(with_table(readme.read_text(encoding="utf-8")), encoding="utf-8")
    else:
        sys.stdout.write(render({}))


if __name__ == "__main__":
    main(sys.argv[1:])
