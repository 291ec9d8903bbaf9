"""What the commands that look print, compared with files of text: what a person sees must not change by accident.

To take over a change that is meant: EXPGSQL_WRITE_GOLDEN=1 pytest tests/golden/test_screens.py
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import click
import pytest
from tests.fake_operator import a_node, a_peer, facts_of_primary, facts_of_stopped
from tests.overviews import (
    a_healthy_deployment,
    a_record,
    an_overview,
    nobody_promoted,
    offline,
    with_node,
    with_parameters,
)

from expgsql_ra.cli.documents import document, down, metrics
from expgsql_ra.cli.history import table
from expgsql_ra.cli.screen import screen, size
from expgsql_ra.deployment import Failure, unreachable
from expgsql_ra.events import Event, Kind
from expgsql_ra.overview import Overview
from expgsql_ra.record import Found, Unreachable

FOLDER = Path(__file__).parent / "screens"
SEEN = a_healthy_deployment()
WITH_ARBITER = with_parameters(SEEN, enable_distlock=True, distlock_conninfo="host=arbiter password=secret")


def _power_loss() -> Overview:
    primary = facts_of_primary("node1", a_peer("node2", flushed="0/4F00"))
    silent = unreachable("node3", "ssh does not get there: connection timed out")
    return an_overview(primary, silent, seen=offline(SEEN, "node3"))


def _diverged() -> Overview:
    primary = facts_of_primary("node1", a_peer("node2"))
    failed = Failure("node3", "pgsql", "start", 1, "data has diverged: run pg_rewind", "2026-11-20 20:59:00Z")
    roles = tuple(pair for pair in SEEN.roles if pair[0] != "node3")
    seen = SEEN._replace(roles=roles, failures=(failed,), fail_counts=(("node3", "1"),))
    return an_overview(primary, facts_of_stopped("node3", lsn="0/4100", timeline=1), seen=seen)


def _arbiter_down() -> Overview:
    return an_overview(seen=WITH_ARBITER, reading=Unreachable("the arbiter does not answer: no route to host"))


def _standby_node() -> Overview:
    roles = tuple(pair for pair in SEEN.roles if pair[0] != "node3")
    seen = with_node(SEEN, a_node("node3", standby=True))._replace(roles=roles)
    primary = facts_of_primary("node1", a_peer("node2"))
    return an_overview(primary, facts_of_stopped("node3", state="shut down in recovery"), seen=seen)


SITUATIONS = {
    "healthy": an_overview(),
    "healthy-with-arbiter": an_overview(seen=WITH_ARBITER, reading=Found(a_record(holder="node1", seconds_left=21.4))),
    "arbiter-down": _arbiter_down(),
    "power-loss": _power_loss(),
    "diverged": _diverged(),
    "no-primary": an_overview(seen=nobody_promoted(SEEN)),
    "standby-node": _standby_node(),
}


def compare(name: str, text: str) -> None:
    """With what was kept."""
    path = FOLDER / name
    if os.environ.get("EXPGSQL_WRITE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("situation", SITUATIONS)
def test_the_screen(situation: str) -> None:
    compare(f"{situation}.txt", click.unstyle(screen(SITUATIONS[situation])) + "\n")


def test_colours_show_how_bad_it_is() -> None:
    assert click.style("HEALTHY", fg="green", bold=True) in screen(SITUATIONS["healthy"])
    assert click.style("DEGRADED", fg="yellow", bold=True) in screen(SITUATIONS["power-loss"])
    assert click.style("CRITICAL", fg="red", bold=True) in screen(SITUATIONS["no-primary"])


@pytest.mark.parametrize("situation", ["healthy-with-arbiter", "power-loss"])
def test_the_document(situation: str) -> None:
    compare(f"{situation}.json", json.dumps(document(SITUATIONS[situation]), indent=1) + "\n")


@pytest.mark.parametrize("situation", ["healthy-with-arbiter", "power-loss"])
def test_the_metrics(situation: str) -> None:
    compare(f"{situation}.prom", metrics(SITUATIONS[situation]))


def test_the_metrics_where_no_cluster_answers() -> None:
    assert down().splitlines()[-1] == "expgsql_up 0"


def test_labels_are_escaped() -> None:
    odd = SEEN._replace(resource='a"b\\c\nd')
    assert 'resource="a\\"b\\\\c\\nd"' in metrics(an_overview(seen=odd))


@pytest.mark.parametrize("situation", SITUATIONS)
def test_no_password_is_printed(situation: str) -> None:
    overview = SITUATIONS[situation]
    assert "secret" not in screen(overview) + json.dumps(document(overview)) + metrics(overview)


def test_the_history() -> None:
    events = (
        Event("2026-11-20T20:00:00.123Z", "node1", Kind.PROMOTED, "node1 takes over from node2", 2, "node1"),
        Event("2026-11-20T20:59:00Z", "node3", Kind.REPAIR, "by pg_rewind from node1", 0, "node3"),
    )
    compare("history.txt", "\n".join(table(events)) + "\n")
    assert table(()) == ["nothing has been kept yet"]


def test_sizes_are_written_as_postgresql_writes_them() -> None:
    assert [size(count) for count in (None, 0, 10239, 10240, 3 << 30, 5 << 60)] == [
        "?",
        "0 B",
        "10239 B",
        "10 kB",
        "3072 MB",
        "5242880 TB",
    ]
