"""Looking at everything, gathering what happened; how the answers of nodes are read."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pytest
from tests.fake_operator import FakeCluster, facts_of_primary
from tests.overviews import a_record, an_overview, nobody_promoted, with_parameters

from expgsql_ra.cli.outcome import Exit
from expgsql_ra.cli.status import _code
from expgsql_ra.deployment import Deployment, facts_as_mapping, facts_from_mapping, unreachable
from expgsql_ra.effects.inquiry import NO_ANSWER, _history, _understood
from expgsql_ra.effects.process import Result
from expgsql_ra.effects.records import LiveRecords
from expgsql_ra.events import Event, Kind, NodeHistory, event_as_mapping
from expgsql_ra.procedures.look import look
from expgsql_ra.procedures.recall import recall
from expgsql_ra.record import Found, Kept, Past, Reading, Unreachable
from expgsql_ra.site import NoJournal, NoRecords, Site

PROMOTION = Event("2026-01-01T00:00:00Z", "node2", Kind.PROMOTED, "node2 takes over from node1", 3, "node2")
REPAIR = PROMOTION._replace(time="2026-01-01T00:01:00Z", node="node1", kind=Kind.REPAIR, timeline=0)


class Journals(NoJournal):
    """What the nodes have kept."""

    def __init__(self, *histories: NodeHistory) -> None:
        self._histories = histories

    def gather(self, resource: str, nodes: Iterable[str]) -> tuple[NodeHistory, ...]:
        """All of it."""
        del resource, nodes
        return self._histories


class Records(NoRecords):
    """What the authority answers."""

    def __init__(self, reading: Reading, past: Past | Unreachable) -> None:
        self._reading, self._past = reading, past

    def read(self, seen: Deployment) -> Reading:
        """The record."""
        del seen
        return self._reading

    def history(self, seen: Deployment, newest: int) -> Past | Unreachable:
        """The past."""
        del seen, newest
        return self._past


def a_site(cluster: FakeCluster, journals: Journals, records: Records) -> Site:
    return cluster.site()._replace(journal=journals, records=records)


def test_one_look_brings_everything_together() -> None:
    cluster = FakeCluster()
    site = a_site(cluster, Journals(), Records(Found(a_record()), Past(())))
    overview = look(site)
    assert overview.seen == cluster.now
    assert [one.node for one in overview.facts] == ["node1", "node2", "node3"]
    assert overview.record == a_record()
    assert overview.primary == cluster.servers["node1"]
    assert overview.of("node9").why == "it was not asked"
    assert cluster.done == []


def test_what_happened_is_gathered_from_all() -> None:
    cluster = FakeCluster()
    journals = Journals(
        NodeHistory("node1", (REPAIR,)), NodeHistory("node2", (PROMOTION,)), NodeHistory("node3", (), "x")
    )
    found = recall(a_site(cluster, journals, Records(Found(a_record()), Unreachable("not asked"))), 10)
    assert found.events == (PROMOTION, REPAIR)
    assert found.missing == ("node3 could not be asked: x",)
    cluster.now = with_parameters(cluster.now, enable_distlock=True)
    found = recall(a_site(cluster, journals, Records(Found(a_record()), Unreachable("no route"))), 1)
    assert found.events == (REPAIR,)
    assert found.missing == ("node3 could not be asked: x", "the record's history: no route")


def test_without_a_journal_or_a_record_nothing_is_known() -> None:
    site = FakeCluster().site(dry_run=True)._replace(journal=NoJournal())
    site.journal.record("pgsql", Kind.REPAIR, "node1", "")
    assert recall(site, 10).events == ()
    assert look(site).record is None
    assert site.records.history(site.read.deployment(), 1) == Past(())


@pytest.mark.parametrize(
    ("done", "why"),
    [
        (Result(0, json.dumps([event_as_mapping(PROMOTION)]), ""), ""),
        (
            Result(255, "", "ssh: connect to host node2: timed out"),
            "ssh does not get there: ssh: connect to host node2: timed out",
        ),
        (Result(101, "", "Error: no cluster"), "the cluster does not run there"),
        (Result(127, "", ""), "exit code 127"),
        (Result(0, "{}x", ""), NO_ANSWER),
        (Result(0, "[{}]", ""), NO_ANSWER),
    ],
)
def test_how_a_nodes_answer_is_read(done: Result, why: str) -> None:
    found = _history("node2", done)
    assert found == NodeHistory("node2", () if why else (PROMOTION,), why)
    if why:
        assert _understood("node2", done) == unreachable("node2", why)


def test_facts_go_there_and_back() -> None:
    facts = facts_of_primary()._replace(kept=Kept("id", 2, 3, True), marks=("a mark",))
    assert facts_from_mapping(json.loads(json.dumps(facts_as_mapping(facts)))) == facts


def test_the_clusters_own_record_has_been_read_already() -> None:
    seen = an_overview().seen
    assert LiveRecords(1.0).read(seen) == seen.view.recorded


def test_a_record_that_cannot_be_addressed_is_unreachable() -> None:
    seen = with_parameters(an_overview().seen, enable_distlock=True, distlock_conninfo="etcd://")
    assert isinstance(LiveRecords(1.0).read(seen), Unreachable)
    assert isinstance(LiveRecords(1.0).history(seen, 5), Unreachable)


def test_the_exit_code_says_how_it_is() -> None:
    well = an_overview()
    assert _code(well) == Exit.DONE
    assert _code(an_overview(unreachable("node3", "ssh"))) == Exit.DONE
    assert _code(an_overview(seen=nobody_promoted(well.seen))) == Exit.ERROR
    no_quorum = well.seen._replace(view=well.seen.view._replace(quorate=False))
    assert _code(an_overview(seen=no_quorum)) == Exit.INCONSISTENT
