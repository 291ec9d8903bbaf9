# SPDX-License-Identifier: GPL-2.0-or-later
"""``expgsql doctor``: the whole configuration against what the promise needs, each finding with its remedy."""

from __future__ import annotations

from collections.abc import Iterable

import click

from expgsql_ra.checkup import Facts
from expgsql_ra.cli.common import as_json, resource_option, timeout_option
from expgsql_ra.cli.outcome import Inconsistent
from expgsql_ra.effects.checkup import checkups_of
from expgsql_ra.effects.checkup_cib import read_configuration
from expgsql_ra.effects.deployed import NoClusterHere
from expgsql_ra.effects.reader import LiveReader
from expgsql_ra.errors import AgentError, BadArguments
from expgsql_ra.rules.checkup import CHECKS, findings, worst
from expgsql_ra.rules.findings import Finding, Severity

CODES = {Severity.OK: 0, Severity.WARNING: 1, Severity.ERROR: 2}
COLOURS = {Severity.OK: "green", Severity.WARNING: "yellow", Severity.ERROR: "red"}


@click.command()
@click.option("--all", "show_all", is_flag=True, help="Show what is fine, too.")
@click.option(
    "--ignore",
    type=click.Choice([check.name for check in CHECKS]),
    multiple=True,
    metavar="CHECK",
    help="Leave a check out; may be repeated. --all shows their names.",
)
@click.option("--json", "as_document", is_flag=True, help="For programs.")
@resource_option
@timeout_option
def doctor(*, show_all: bool, ignore: tuple[str, ...], as_document: bool, resource: str, timeout: float) -> int:
    """Check configuration and nodes against what the promise needs; nothing is changed.

    Exit code, as for a monitoring plugin: 0 all is fine, 1 warnings, 2 errors; 100 wrong arguments, 101 no cluster
    here, 102 the cluster could not be looked at.
    """
    facts = look(resource, timeout)
    found = findings(facts, ignore)
    if as_document:
        as_json({"worst": worst(found), "findings": [one._asdict() for one in found if show_all or _is_trouble(one)]})
    else:
        for line in shown(found, show_all):
            click.echo(line)
    return CODES[worst(found)]


def look(resource: str, timeout: float) -> Facts:
    """Everything, read once."""
    try:
        seen = LiveReader(resource, timeout).deployment()
        configuration = read_configuration(seen.resource, seen.clone, timeout)
        return Facts(
            seen, configuration, checkups_of([one.name for one in seen.nodes], seen.resource, seen.me, timeout)
        )
    except (NoClusterHere, BadArguments):
        raise
    except AgentError as problem:
        raise Inconsistent(f"the cluster could not be looked at: {problem}") from None


def shown(found: Iterable[Finding], show_all: bool) -> list[str]:
    """For people: what is wrong, each with its remedy below it, and the sum."""
    told = list(found)
    lines = [line for one in told if show_all or _is_trouble(one) for line in _lines(one)]
    counts = {severity: sum(one.severity is severity for one in told) for severity in Severity}
    verdict = click.style(
        {0: "fine", 1: "warnings", 2: "errors"}[CODES[worst(told)]], fg=COLOURS[worst(told)], bold=True
    )
    checked = f"{counts[Severity.ERROR]} errors, {counts[Severity.WARNING]} warnings, {counts[Severity.OK]} checks fine"
    return [*lines, f"{verdict}: {checked}"]


def _is_trouble(one: Finding) -> bool:
    return one.severity is not Severity.OK


def _lines(one: Finding) -> list[str]:
    severity = click.style(f"{one.severity:<8}", fg=COLOURS[one.severity])
    where = f"{one.node}: " if one.node else ""
    return [f"{severity}{one.check:<17}{where}{one.what}", *([f"{'':25}-> {one.remedy}"] if one.remedy else [])]
