# SPDX-License-Identifier: GPL-2.0-or-later
"""The state of a deployment on one screen: what is wrong first, then one line a node, then the rest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click

from expgsql_ra.overview import Overview
from expgsql_ra.record import Record
from expgsql_ra.rules import condition
from expgsql_ra.rules.condition import Finding, Level, Row
from expgsql_ra.rules.promise import goes_by_record
from expgsql_ra.values import same_node

COLOURS = {Level.CRITICAL: "red", Level.WARNING: "yellow", Level.NOTE: "cyan"}
SIGNS = {Level.CRITICAL: "!!", Level.WARNING: "! ", Level.NOTE: "  "}
HEADINGS = ("NODE", "ROLE", "STATE", "TIMELINE", "LSN", "LAG", "SECONDS", "SYNC", "TAKES OVER", "FAILURES")
UNITS = ("B", "kB", "MB", "GB", "TB")
UNIT = 1024
STEP = 10 * UNIT


def screen(overview: Overview) -> str:
    """All of it, coloured; who prints it where there are no colours strips them."""
    found = condition.findings(overview)
    lines = [_headline(overview, found), *(line for one in found for line in _finding(one)), ""]
    lines += [*_table(overview), "", *_rest(overview)]
    return "\n".join(lines)


def word(found: Sequence[Finding]) -> str:
    """The state in one word."""
    worst = {one.level for one in found}
    return "CRITICAL" if Level.CRITICAL in worst else "DEGRADED" if Level.WARNING in worst else "HEALTHY"


def size(count: int | None) -> str:
    """Bytes as ``pg_size_pretty`` writes them."""
    if count is None:
        return "?"
    value, unit = float(count), 0
    while value >= STEP and unit < len(UNITS) - 1:
        value, unit = value / UNIT, unit + 1
    return f"{value:.0f} {UNITS[unit]}"


def _headline(overview: Overview, found: Sequence[Finding]) -> str:
    state = word(found)
    colour = {"CRITICAL": "red", "DEGRADED": "yellow", "HEALTHY": "green"}[state]
    seen = overview.seen
    versions = sorted({one.version for one in overview.facts if one.version})
    about = [f"rep_mode={seen.parameters.rep_mode}", *(f"PostgreSQL {one}" for one in versions), overview.time]
    return f"{seen.resource}: {click.style(state, fg=colour, bold=True)}   {', '.join(filter(None, about))}"


def _finding(one: Finding) -> Iterator[str]:
    yield click.style(f"{SIGNS[one.level]} {one.what}", fg=COLOURS[one.level])
    yield f"     -> {one.remedy}"


# --- the table of nodes -----------------------------------------------------------------------


def _table(overview: Overview) -> list[str]:
    cells = [HEADINGS, *(_cells(one, overview) for one in condition.rows(overview))]
    widths = [max(len(row[column]) for row in cells) for column in range(len(HEADINGS))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def _cells(row: Row, overview: Overview) -> tuple[str, ...]:
    is_primary = same_node(overview.seen.promoted, row.node)
    return (
        row.node,
        row.role,
        row.state,
        "?" if row.timeline is None else str(row.timeline),
        "?" if row.lsn is None else str(row.lsn),
        "-" if is_primary else size(row.lag),
        "-" if is_primary else "?" if row.seconds is None else f"{row.seconds:.1f}",
        row.sync,
        "-" if is_primary else "yes" if row.takes_over else "no",
        str(row.failures),
    )


# --- the record, the addresses, the cluster ---------------------------------------------------


def _rest(overview: Overview) -> Iterator[str]:
    seen = overview.seen
    if condition.replicates(seen) and goes_by_record(seen.parameters):
        yield from _record(
            overview.record, seen.parameters.distlock_conninfo if seen.parameters.enable_distlock else ""
        )
    for one in seen.companions:
        what = f"{one.name} {one.address}".rstrip()
        yield _line("address" if one.address else "resource", f"{what} on {', '.join(one.nodes) or 'no node'}")
    online = [one.name for one in seen.nodes if one.online]
    coordinator = next((one.name for one in seen.nodes if one.coordinates), "none")
    quorum = "quorum" if seen.view.quorate else "NO quorum"
    yield _line("cluster", f"{quorum}, {len(online)} of {len(seen.nodes)} nodes online, coordinator {coordinator}")


def _record(record: Record | None, arbiter: str) -> Iterator[str]:
    if record is None:
        yield _line("record", "not known")
        return
    others = ", ".join(node for node in record.nodes if not same_node(node, record.primary)) or "nobody"
    by = "an arbiter" if arbiter else "the cluster"
    place = f"epoch {record.epoch}, revision {record.revision}, kept by {by}"
    yield _line("record", f"{record.primary} is the primary, {others} may succeed it ({place})")
    if arbiter:
        lease = record.lease
        yield _line("lease", f"{lease.holder}, {lease.seconds_left:.0f} s left" if lease.holder else "nobody's")


def _line(name: str, text: str) -> str:
    return f"{name:<9}{text}"
