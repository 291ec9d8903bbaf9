# SPDX-License-Identifier: GPL-2.0-or-later
"""Real documents of ``cibadmin --query``, recorded from three-node clusters, and what is decided from them.

Each situation was recorded from Pacemaker 2.1.5 (Debian 12) and 3.0.0 (Debian 13), whose documents say
differently whether a node is there: the decisions have to be the same.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import pytest
from tests.builders import a_primary, a_sender

from expgsql_ra.changes import ClearWal, differing
from expgsql_ra.effects.cluster import read_cib, read_promoted
from expgsql_ra.record import Successor
from expgsql_ra.record_line import from_line
from expgsql_ra.rules import election, promotion, replication
from expgsql_ra.rules.replication import Settings
from expgsql_ra.snapshot import ClusterView, LocalWal, Unknown
from expgsql_ra.values import Ancestry, Attestation, Fork, Lsn, RepMode

FOLDER = Path(__file__).parent
NODES = ("node1", "node2", "node3")
SYNC = Settings(RepMode.SYNC, 1, None)


class Recording(NamedTuple):
    """One Pacemaker version's recordings, and the database they were made with."""

    pacemaker: str
    system: str
    first_fork: Lsn
    second_fork: Lsn


RECORDINGS = [
    Recording("2.1", "7710261410848821320", Lsn(0x1753608), Lsn(0x1799458)),
    Recording("3.0", "7710262411884408902", Lsn(0x173A6E8), Lsn(0x178AAE0)),
]
every_version = pytest.mark.parametrize("of", RECORDINGS, ids=lambda one: f"pacemaker-{one.pacemaker}")


def text(of: Recording, situation: str) -> str:
    """A recorded document."""
    return (FOLDER / "cib" / f"pacemaker-{of.pacemaker}-{situation}.xml").read_text(encoding="utf-8")


def seen(of: Recording, situation: str, me: str = "node1", nodes: tuple[str, ...] = NODES) -> ClusterView:
    """What a node makes of it."""
    return read_cib(text(of, situation), "pgsql", me, nodes)


def states(view: ClusterView) -> list[tuple[bool, str | None, str | None, str | None]]:
    """Of each node: online, status, data status, score."""
    return [(one.online, one.status, one.data_status, one.score) for one in view.members]


def local(of: Recording, timeline: int = 2) -> LocalWal:
    """The data of a standby, or of the primary, of these recordings."""
    forks = (Fork(1, of.first_fork), Fork(2, of.second_fork))
    return LocalWal(
        of.system, timeline, tuple(fork for fork in forks if fork.timeline < timeline), None, of.second_fork
    )


# --- what is read -----------------------------------------------------------------------------


@every_version
def test_a_healthy_cluster(of: Recording) -> None:
    view = seen(of, "healthy")
    assert states(view) == [
        (True, "PRI", "LATEST", "1000"),
        (True, "HS:sync", "STREAMING|SYNC", "100"),
        (True, "HS:async", "STREAMING|ASYNC", "-INFINITY"),
    ]
    assert (view.quorate, view.ignores_quorum, view.me, view.i_am_recorded) == (True, False, "node1", True)
    assert view.repl_info == ("node1", 1, of.first_fork)
    assert view.history == Ancestry(of.system, (Fork(1, of.first_fork),), 2)


@every_version
def test_a_node_that_lost_its_power(of: Recording) -> None:
    view = seen(of, "node-offline")
    assert states(view)[2] == (False, None, "DISCONNECT", None)
    assert states(view)[:2] == states(seen(of, "healthy"))[:2]


@every_version
@pytest.mark.parametrize("lost", ["in_ccm", "crmd"])
def test_a_node_that_is_half_there_is_not_there(of: Recording, lost: str) -> None:
    root = ElementTree.fromstring(text(of, "healthy"))
    state = next(one for one in root.iterfind("status/node_state") if one.get("uname") == "node2")
    words = {"in_ccm": "false", "crmd": "offline"} if of.pacemaker == "2.1" else {"in_ccm": "0", "crmd": "0"}
    state.set(lost, words[lost])
    view = read_cib(ElementTree.tostring(root, encoding="unicode"), "pgsql", "node1", NODES)
    assert [one.online for one in view.members] == [True, False, True]


@every_version
def test_a_node_in_standby_is_online_with_its_server_stopped(of: Recording) -> None:
    assert states(seen(of, "node-in-standby"))[2] == (True, "STOP", "DISCONNECT", "-INFINITY")


@every_version
def test_a_cut_off_primary_has_no_quorum_and_an_old_record(of: Recording) -> None:
    view = seen(of, "no-quorum")
    assert (view.quorate, view.may_decide) == (False, False)
    assert [one.online for one in view.members] == [True, False, False]
    assert view.i_am_recorded


@every_version
def test_the_majority_has_a_new_primary_and_a_new_record(of: Recording) -> None:
    view = seen(of, "majority", me="node2")
    assert states(view) == [
        (False, None, "DISCONNECT", None),
        (True, "PRI", "LATEST", "1000"),
        (True, "HS:sync", "STREAMING|SYNC", "100"),
    ]
    assert view.repl_info == ("node2", 2, of.second_fork)
    assert view.history == Ancestry(of.system, (Fork(1, of.first_fork), Fork(2, of.second_fork)), 3)


@every_version
def test_before_the_first_primary_there_are_reports_alone(of: Recording) -> None:
    view = seen(of, "first-start")
    assert (view.repl_info, view.ancestry, view.history) == (None, None, None)
    assert [(one.timeline, one.wal) for one in view.members] == [(1, of.first_fork)] * 3


@every_version
def test_names_in_another_case_are_the_clusters_names(of: Recording) -> None:
    view = seen(of, "healthy", me="NODE2", nodes=("Node3", "node1", "NODE2"))
    assert view.me == "node2"
    assert [one.name for one in view.members] == ["node3", "node1", "node2"]


@every_version
def test_without_a_node_list_all_nodes_are_meant_and_strangers_are_left_out(of: Recording) -> None:
    assert [one.name for one in seen(of, "healthy", nodes=()).members] == ["node1", "node2", "node3"]
    assert [one.name for one in seen(of, "healthy", nodes=("node1", "node9")).members] == ["node1"]


@every_version
def test_another_resource_of_the_same_cluster_has_no_record(of: Recording) -> None:
    view = read_cib(text(of, "healthy"), "pg", "node1", NODES)
    assert (view.repl_info, view.ancestry) == (None, None)
    assert {one.data_status for one in view.members} == {None}


@every_version
@pytest.mark.parametrize("spoilt", ["node1|1", "node1|one|0", "|"])
def test_a_record_that_makes_no_sense_is_not_the_same_as_none(of: Recording, spoilt: str) -> None:
    document = text(of, "healthy").replace(f"node1|1|{of.first_fork.digits}", spoilt)
    with pytest.raises(ValueError, match=r".*"):
        read_cib(document, "pgsql", "node1", NODES)


@every_version
@pytest.mark.parametrize("share", [0, 1, 50, 99])
def test_a_document_that_was_cut_off_is_an_error_and_not_an_empty_cluster(of: Recording, share: int) -> None:
    document = text(of, "healthy").rstrip()
    with pytest.raises(ValueError, match=r".*"):
        read_cib(document[: len(document) * share // 100], "pgsql", "node1", NODES)


@every_version
def test_no_quorum_policy_ignore_is_the_administrators_word(of: Recording) -> None:
    ignoring = '<nvpair id="x" name="no-quorum-policy" value="ignore"/></cluster_property_set>'
    document = text(of, "no-quorum").replace("</cluster_property_set>", ignoring, 1)
    view = read_cib(document, "pgsql", "node1", NODES)
    assert (view.quorate, view.may_decide) == (False, True)


@pytest.mark.parametrize("version", ["2.1", "3.0"])
def test_crm_mon_tells_who_is_promoted(version: str) -> None:
    document = (FOLDER / "crm_mon" / f"pacemaker-{version}.xml").read_text(encoding="utf-8")
    assert read_promoted(document, "pgsql") == ("node2",)
    assert read_promoted(document.replace('role="Promoted"', 'role="Master"'), "pgsql") == ("node2",)
    assert read_promoted(document, "pg") == ()
    with pytest.raises(ValueError, match="no XML document"):
        read_promoted(document[:200], "pgsql")


# --- what is decided --------------------------------------------------------------------------


@every_version
@pytest.mark.parametrize(
    ("situation", "me", "timeline", "verdict"),
    [
        ("healthy", "node1", 2, promotion.InPlace),
        ("healthy", "node2", 2, promotion.Promote),
        ("healthy", "node3", 2, promotion.Refused),
        ("node-offline", "node2", 2, promotion.Promote),
        ("node-offline", "node3", 2, promotion.Refused),
        ("no-quorum", "node1", 2, promotion.Refused),
        ("majority", "node2", 3, promotion.InPlace),
        ("majority", "node3", 3, promotion.Promote),
        ("majority", "node1", 2, promotion.Refused),
        ("first-start", "node1", 1, promotion.Promote),
        ("first-start", "node2", 1, promotion.Refused),
    ],
)
def test_who_may_be_promoted(of: Recording, situation: str, me: str, timeline: int, verdict: type[object]) -> None:
    view = seen(of, situation, me)
    assert isinstance(promotion.may_promote(view, RepMode.SYNC, local(of, timeline)), verdict)


@every_version
def test_the_first_of_equal_nodes_wins_the_first_election(of: Recording) -> None:
    results = [type(election.first_start(seen(of, "first-start", me), 3, 3)) for me in NODES]
    assert results == [election.Won, election.Lost, election.Lost]


@every_version
def test_the_primary_of_a_healthy_cluster_has_nothing_to_change(of: Recording) -> None:
    server = a_primary(a_sender("node2", sync_state="sync"), a_sender("node3"), names='FIRST 1 ("node2")')
    view = seen(of, "healthy")
    assert replication.names_in_force(server.names, view.members) == ("node2",)
    told = replication.marks(server, view, SYNC, frozenset({"node1", "node2"}))
    # the reports of the first election are taken back, all else stands
    assert differing(told, view) == (ClearWal("node2"), ClearWal("node3"))
    assert replication.promise_kept(seen(of, "healthy"), SYNC) is None


@every_version
def test_a_cluster_of_an_older_agent_has_no_candidates_until_its_standbys_have_given_their_word(of: Recording) -> None:
    server = a_primary(a_sender("node2", sync_state="sync"), names='FIRST 1 ("node2")')
    view = seen(of, "healthy")
    assert replication.candidates(server, view) == ()
    word = Attestation("id", 2, (Fork(1, of.first_fork),))
    score = '<nvpair id="status-2-master-pgsql" name="master-pgsql"'
    said = f'<nvpair id="status-2-pgsql-follows" name="pgsql-follows" value="{word}"/>'
    document = text(of, "healthy").replace(score, said + score)
    told = read_cib(document, "pgsql", "node1", NODES)
    assert replication.candidates(server, told) == (Successor("node2", "id"),)


@every_version
@pytest.mark.parametrize("spoilt", ["id|2|1", "id|two|1|0", "|||", "x"])
def test_a_word_that_makes_no_sense_is_none(of: Recording, spoilt: str) -> None:
    score = '<nvpair id="status-2-master-pgsql" name="master-pgsql"'
    said = f'<nvpair id="status-2-pgsql-follows" name="pgsql-follows" value="{spoilt}"/>'
    view = read_cib(text(of, "healthy").replace(score, said + score), "pgsql", "node1", NODES)
    assert [one.follows for one in view.members] == [None, None, None]


@every_version
def test_a_primary_whose_standby_is_cut_off_too_has_no_promise_left(of: Recording) -> None:
    assert replication.promise_kept(seen(of, "no-quorum"), SYNC) is not None


@every_version
def test_the_old_primary_is_a_usurper_in_the_eyes_of_the_majority(of: Recording) -> None:
    assert promotion.usurped(seen(of, "majority", "node1")) is not None
    assert promotion.usurped(seen(of, "majority", "node2")) is None


LINE = "7710|3|17|node1|node1=d1,node2=|root node1|2025-06-01T10:00:00Z|caught up"


def with_record(document: str, name: str, line: str) -> str:
    """The document with one more property."""
    pair = f'<nvpair id="x" name="{name}" value="{line}"/>'
    return document.replace("</cluster_property_set>", f"{pair}</cluster_property_set>", 1)


def test_a_record_in_the_properties_is_read() -> None:
    document = (FOLDER / "cib/pacemaker-2.1-first-start.xml").read_text(encoding="utf-8")
    assert read_cib(document, "pgsql", "node1", NODES).record is None
    found = read_cib(with_record(document, "pgsql_RECORD", LINE), "pgsql", "node1", NODES)
    assert found.record == from_line(LINE)
    assert read_cib(with_record(document, "other_RECORD", LINE), "pgsql", "node1", NODES).record is None


@pytest.mark.parametrize("line", ["", "garbage", LINE + "|", LINE.replace("|17|", "|seventeen|")])
def test_a_damaged_record_is_not_the_same_as_none(line: str) -> None:
    document = (FOLDER / "cib/pacemaker-2.1-first-start.xml").read_text(encoding="utf-8")
    found = read_cib(with_record(document, "pgsql_RECORD", line), "pgsql", "node1", NODES)
    assert isinstance(found.record, Unknown)
    assert len(found.members) == len(NODES)
