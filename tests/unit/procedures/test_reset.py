# SPDX-License-Identifier: GPL-2.0-or-later
"""Naming a primary by hand: what is written in which order, and what is never written."""

from __future__ import annotations

import pytest
from tests.builders import some_parameters
from tests.fake_operator import FakeCluster, a_deployment, a_node, facts_of_standby, facts_of_stopped
from tests.fakes import Killed

from expgsql_ra.errors import DeadlineExceeded, Refused
from expgsql_ra.events import Kind
from expgsql_ra.procedures.reset import name_primary

WRITES = [
    "attribute node1 pgsql-data-status=DISCONNECT lasting",
    "attribute node3 pgsql-data-status=DISCONNECT lasting",
    "attribute node2 pgsql-data-status=LATEST lasting",
    "property pgsql_REPL_INFO=node2|2|0000000000006000",
    "property pgsql_RECORD=",
    "cleanup msPostgresql",
]


def nobody() -> FakeCluster:
    """Two nodes of three, neither of which may be promoted until one is named."""
    seen = a_deployment("node1", "node2", a_node("node3", online=False), primary="", synchronous="")
    cluster = FakeCluster(
        seen, facts_of_stopped("node1", lsn="0/5000"), facts_of_standby("node2", receiver="", lsn="0/6000")
    )

    def passing() -> None:
        said = dict(cluster.now.properties)
        if "pgsql_REPL_INFO" in said and "pgsql_RECORD" not in said:
            cluster.promote(said["pgsql_REPL_INFO"].split("|")[0])

    cluster.passing = passing
    return cluster


def test_whoever_has_most_is_named_and_serves() -> None:
    cluster = nobody()
    assert name_primary(cluster.site(), "", ("node3",), 60) == "node2"
    assert cluster.done == WRITES
    assert cluster.now.promoted == "node2"
    assert cluster.events == [(Kind.RESET, "node2", "named by hand")]
    assert any("whatever only node3 has" in line for line in cluster.console.warned)
    assert "node2  timeline 2, WAL up to 0/6000 (standby)" in cluster.console.said


def test_what_the_named_one_lacks_is_said_and_asked() -> None:
    cluster = nobody()
    cluster.console.agrees = False
    with pytest.raises(Refused, match="nothing was changed"):
        name_primary(cluster.site(), "node1", ("node3",), 60)
    assert any("4,096 bytes of WAL that node2 has" in line for line in cluster.console.warned)
    assert cluster.done == []


def test_a_silent_node_is_not_passed_over() -> None:
    cluster = nobody()
    with pytest.raises(Refused, match="--without node3"):
        name_primary(cluster.site(), "", (), 60)
    assert cluster.done == []


def test_a_healthy_cluster_is_left_alone() -> None:
    cluster = FakeCluster()
    with pytest.raises(Refused, match="there is a primary: node1"):
        name_primary(cluster.site(), "", (), 60)
    assert cluster.done == []


def test_a_node_that_is_said_to_be_off_and_answers_is_not_left_out() -> None:
    cluster = nobody()
    cluster.turning_away = ("node3",)
    with pytest.raises(Refused, match="a server answers at node3"):
        name_primary(cluster.site(), "node2", ("node3",), 60)
    assert cluster.done == []


def test_the_arbiters_record_is_never_written() -> None:
    cluster = nobody()
    parameters = some_parameters(enable_distlock=True, distlock_conninfo="host=a", distlock_lockname="x")
    cluster.now = cluster.now._replace(parameters=parameters)
    with pytest.raises(Refused, match="arbiter override, on node2"):
        name_primary(cluster.site(), "", ("node3",), 60)
    assert cluster.done == []


def test_a_dry_run_shows_what_would_be_written() -> None:
    cluster = nobody()
    name_primary(cluster.site(dry_run=True), "", ("node3",), 60)
    assert cluster.done == []
    assert "would run: set_property pgsql_REPL_INFO node2|2|0000000000006000" in cluster.console.said


def test_a_node_that_is_not_promoted_in_time_is_told() -> None:
    cluster = nobody()
    cluster.passing = lambda: None
    with pytest.raises(DeadlineExceeded, match="expgsql why node2"):
        name_primary(cluster.site(), "", ("node3",), 60)


@pytest.mark.parametrize("after", range(1, len(WRITES) + 1))
def test_killed_after_any_write_the_next_call_goes_on(after: int) -> None:
    cluster = nobody()
    cluster.now = cluster.now._replace(properties=(("pgsql_RECORD", "old"),))
    cluster.kill_after = after
    with pytest.raises(Killed):
        name_primary(cluster.site(), "", ("node3",), 60)
    cluster.kill_after = None
    cluster.passing()
    is_done = after >= WRITES.index("property pgsql_RECORD=") + 1  # the last write that matters
    assert bool(cluster.now.promoted) is is_done
    assert name_primary(cluster.site(), "node2", ("node3",), 60) == "node2"
    assert ("node2 is the primary already" in cluster.console.said) is is_done
