# SPDX-License-Identifier: GPL-2.0-or-later
"""The state of a deployment for programs: one JSON document, or metrics for node_exporter's textfile collector.

Source: Prometheus documentation, "Exposition formats", "Metric and label naming".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from expgsql_ra.overview import Overview
from expgsql_ra.record import as_mapping
from expgsql_ra.rules import condition
from expgsql_ra.rules.condition import Level, Row
from expgsql_ra.values import same_node

# --- JSON -------------------------------------------------------------------------------------


def document(overview: Overview) -> dict[str, Any]:
    """Everything that the screen shows, and the failures in full."""
    seen, found = overview.seen, condition.findings(overview)
    return {
        "resource": seen.resource,
        "time": overview.time,
        "healthy": condition.is_healthy(found),
        "findings": [one._asdict() for one in found],
        "primary": seen.promoted or None,
        "nodes": [_node(overview, row) for row in condition.rows(overview)],
        "record": as_mapping(overview.record) if overview.record else None,
        "companions": [one._asdict() for one in seen.companions],
        "failures": [one._asdict() for one in seen.failures],
        "quorum": seen.view.quorate,
        "managed": seen.managed,
        "disabled": seen.disabled,
        "rep_mode": str(seen.parameters.rep_mode),
    }


def _node(overview: Overview, row: Row) -> dict[str, Any]:
    node, facts = overview.seen.node(row.node), overview.of(row.node)
    return {
        **row._asdict(),
        "lsn": None if row.lsn is None else str(row.lsn),
        "online": node is not None and node.online,
        "standby": node is not None and node.standby,
        "maintenance": node is not None and node.maintenance,
        "pacemaker_role": overview.seen.role(row.node),
        "version": facts.version or None,
        "asked": facts.server != "unknown",
        "why": facts.why,
    }


# --- metrics ----------------------------------------------------------------------------------


class Sample(NamedTuple):
    """One value, with its labels."""

    metric: str
    value: float
    labels: Mapping[str, str]


HELP = {
    "expgsql_up": "Whether the cluster answered",
    "expgsql_healthy": "Whether everything is as it should be (exit code 0 of expgsql status)",
    "expgsql_findings": "Things that are not as they should be",
    "expgsql_quorum": "Whether this partition has quorum",
    "expgsql_primary": "The promoted node",
    "expgsql_node_online": "Whether the node is a member of the cluster",
    "expgsql_node_running": "Whether the node's server serves: a primary that accepts commits, a standby that streams",
    "expgsql_node_sync": "Whether commits wait for the node",
    "expgsql_node_takes_over": "Whether the node may be promoted",
    "expgsql_node_timeline": "The timeline of the node's server",
    "expgsql_node_lsn_bytes": "The end of the WAL on the node",
    "expgsql_node_lag_bytes": "WAL that the primary has and the node has not",
    "expgsql_node_lag_seconds": "The age of the last commit replayed, 0 if all that was received is replayed",
    "expgsql_node_failures": "Pacemaker's fail count of the node",
    "expgsql_record_readable": "Whether the record could be read",
    "expgsql_record_epoch": "Grows with each promotion",
    "expgsql_record_revision": "Grows with each change of who may succeed",
    "expgsql_lease_seconds_left": "How long the primary's lease lasts",
    "expgsql_address_up": "Whether an address is on a node",
}


def down() -> str:
    """The metrics where no cluster answers."""
    return _exposed([Sample("expgsql_up", 0, {})])


def metrics(overview: Overview) -> str:
    """The metrics in the text format."""
    return _exposed([*_of_all(overview), *_of_nodes(overview), *_of_record(overview), *_of_addresses(overview)])


def _of_all(overview: Overview) -> Iterator[Sample]:
    seen, found = overview.seen, condition.findings(overview)
    whole = {"resource": seen.resource}
    yield Sample("expgsql_up", 1, {})
    yield Sample("expgsql_healthy", condition.is_healthy(found), whole)
    for level in Level:
        count = sum(one.level is level for one in found)
        yield Sample("expgsql_findings", count, {**whole, "level": level})
    yield Sample("expgsql_quorum", seen.view.quorate, whole)


def _of_nodes(overview: Overview) -> Iterator[Sample]:
    seen = overview.seen
    for row in condition.rows(overview):
        node, labels = seen.node(row.node), {"resource": seen.resource, "node": row.node}
        yield Sample("expgsql_primary", same_node(seen.promoted, row.node), labels)
        yield Sample("expgsql_node_online", node is not None and node.online, labels)
        yield Sample("expgsql_node_running", row.state in {"running", "streaming"}, labels)
        yield Sample("expgsql_node_sync", row.sync == "sync", labels)
        yield Sample("expgsql_node_takes_over", row.takes_over, labels)
        yield Sample("expgsql_node_failures", row.failures, labels)
        known = {
            "expgsql_node_timeline": row.timeline,
            "expgsql_node_lsn_bytes": row.lsn,
            "expgsql_node_lag_bytes": row.lag,
            "expgsql_node_lag_seconds": row.seconds,
        }
        yield from (Sample(name, value, labels) for name, value in known.items() if value is not None)


def _of_record(overview: Overview) -> Iterator[Sample]:
    record, labels = overview.record, {"resource": overview.seen.resource}
    yield Sample("expgsql_record_readable", record is not None, labels)
    if record is not None:
        yield Sample("expgsql_record_epoch", record.epoch, labels)
        yield Sample("expgsql_record_revision", record.revision, labels)
        yield Sample("expgsql_lease_seconds_left", record.lease.seconds_left, labels)


def _of_addresses(overview: Overview) -> Iterator[Sample]:
    for one in overview.seen.companions:
        if one.address:
            labels = {"resource": overview.seen.resource, "name": one.name, "address": one.address}
            yield Sample("expgsql_address_up", bool(one.nodes), labels)


def _exposed(samples: list[Sample]) -> str:
    """All samples of a metric together, as the format wants it."""
    lines = []
    for name, meaning in HELP.items():
        mine = [one for one in samples if one.metric == name]
        if mine:
            lines += [f"# HELP {name} {meaning}", f"# TYPE {name} gauge", *map(_sample, mine)]
    return "\n".join(lines) + "\n"


def _sample(one: Sample) -> str:
    labels = ",".join(f'{name}="{_escaped(value)}"' for name, value in one.labels.items())
    value = float(one.value)
    shown = str(int(value)) if value.is_integer() else f"{value:.3f}"
    return f"{one.metric}{f'{{{labels}}}' if labels else ''} {shown}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
