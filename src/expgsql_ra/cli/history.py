# SPDX-License-Identifier: GPL-2.0-or-later
"""``expgsql history``: what happened, from the journals of all nodes and the history of the record."""

from __future__ import annotations

import click

from expgsql_ra.cli.common import as_json as print_json
from expgsql_ra.cli.common import json_option, resource_option, site, timeout_option
from expgsql_ra.events import Event, event_as_mapping
from expgsql_ra.procedures.recall import recall

HEADINGS = ("TIME (UTC)", "NODE", "EVENT", "TIMELINE", "REASON")


@click.command()
@resource_option
@timeout_option
@json_option
@click.option("-n", "--limit", type=click.IntRange(1), default=20, show_default=True, help="The newest so many.")
def history(*, resource: str, timeout: float, as_json: bool, limit: int) -> None:
    """What happened: promotions, degradations, switchovers, repairs, with time, node, timeline and reason.

    Exit code 0 also where a node could not be asked, which is said then.
    """
    found = recall(site(resource, timeout, quiet=True), limit)
    if as_json:
        print_json({"events": [event_as_mapping(one) for one in found.events], "missing": list(found.missing)})
        return
    for line in table(found.events):
        click.echo(line)
    for why in found.missing:
        click.secho(f"Warning: {why}", err=True, fg="yellow")


def table(events: tuple[Event, ...]) -> list[str]:
    """The events, the oldest first."""
    if not events:
        return ["nothing has been kept yet"]
    cells = [HEADINGS, *(_cells(one) for one in events)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(HEADINGS) - 1)]
    return ["  ".join([*map(str.ljust, row[:-1], widths), row[-1]]).rstrip() for row in cells]


def _cells(one: Event) -> tuple[str, ...]:
    return (one.time[:19].replace("T", " "), one.node, one.kind, str(one.timeline or "-"), one.reason)
