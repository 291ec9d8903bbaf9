# SPDX-License-Identifier: GPL-2.0-or-later
"""Naming a primary by hand: when it is refused, who is chosen, and what is said to be lost."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.builders import some_parameters
from tests.fake_operator import a_deployment, a_node, facts_of_primary, facts_of_standby, facts_of_stopped

from expgsql_ra.deployment import Deployment, NodeFacts, unreachable
from expgsql_ra.parameters import Parameters
from expgsql_ra.rules.resetting import Naming, Outside, compared, named, with_arbiter
from expgsql_ra.rules.switching import Already, Objection, Refusal
from expgsql_ra.values import Fork, Lsn, ReplInfo, RepMode

NOBODY = a_deployment("node1", "node2", a_node("node3", online=False), primary="", synchronous="")
TWO = (facts_of_standby("node1", receiver="", lsn="0/5000"), facts_of_stopped("node2", lsn="0/6000"))
GONE = unreachable("node3", "no route to host")
FACTS = (*TWO, GONE)
OFF = ("node3",)
NOWHERE = Outside()


def naming(verdict: object) -> Naming:
    assert isinstance(verdict, Naming), verdict
    return verdict


def refused(verdict: object) -> Refusal:
    assert isinstance(verdict, Refusal), verdict
    return verdict


def test_whoever_has_most_is_named() -> None:
    assert named(NOBODY, FACTS, "", OFF, NOWHERE) == Naming("node2", ReplInfo("node2", 2, Lsn.parse("0/6000")), ())


def test_what_another_node_has_more_is_lost() -> None:
    found = naming(named(NOBODY, FACTS, "NODE1", ("NODE3",), NOWHERE))
    assert (found.node, found.info.end) == ("node1", Lsn.parse("0/5000"))
    assert found.lost == ("4,096 bytes of WAL that node2 has on timeline 2 beyond 0/5000",)


def test_a_newer_timeline_outranks_a_position() -> None:
    newer = facts_of_standby("node1", receiver="", lsn="0/5000")._replace(timeline=3)
    facts = (newer, FACTS[1], GONE)
    assert naming(named(NOBODY, facts, "", OFF, NOWHERE)).node == "node1"
    assert "everything that node1 has of timeline 3" in naming(named(NOBODY, facts, "node2", OFF, NOWHERE)).lost[0]


def test_what_an_older_timeline_has_beyond_the_fork_is_lost() -> None:
    newer = FACTS[0]._replace(timeline=3, forks=(Fork(2, Lsn.parse("0/5800")),))
    found = naming(named(NOBODY, (newer, FACTS[1], GONE), "", OFF, NOWHERE))
    assert found.lost == ("2,048 bytes of WAL that node2 has on timeline 2 beyond 0/5800",)


def test_a_timeline_that_the_chosen_one_never_had_is_lost() -> None:
    newer = FACTS[0]._replace(timeline=4, forks=())
    assert "where the histories parted" in naming(named(NOBODY, (newer, FACTS[1], GONE), "", OFF, NOWHERE)).lost[0]


def test_the_end_of_a_dead_primary_is_not_known() -> None:
    dead = facts_of_stopped("node2", lsn="0/4000", state="in production")
    assert "its end is not known" in naming(named(NOBODY, (TWO[0], dead, GONE), "", OFF, NOWHERE)).lost[0]


CLUSTER: list[tuple[Callable[[Deployment], Deployment], str, Objection]] = [
    (lambda seen: seen._replace(view=seen.view._replace(quorate=False)), "no quorum", Objection.INCONSISTENT),
    (lambda seen: seen._replace(parameters=some_parameters(RepMode.SLAVE)), "rep_mode=slave", Objection.PRECONDITION),
    (lambda seen: seen._replace(properties=(("maintenance-mode", "true"),)), "maintenance off", Objection.PRECONDITION),
    (lambda seen: seen._replace(managed=False), "maintenance", Objection.PRECONDITION),
    (lambda seen: seen._replace(disabled=True), "expgsql start", Objection.PRECONDITION),
    (lambda seen: seen._replace(roles=(("node1", "Promoted"),)), "there is a primary: node1", Objection.PRECONDITION),
    (
        lambda seen: seen._replace(nodes=(*seen.nodes[:2], a_node("node3"))),
        "node3 is a member of the cluster just now",
        Objection.PRECONDITION,
    ),
]


@pytest.mark.parametrize(("change", "why", "kind"), CLUSTER)
def test_it_is_refused_by_the_clusters_state(
    change: Callable[[Deployment], Deployment], why: str, kind: Objection
) -> None:
    verdict = refused(named(change(NOBODY), FACTS, "", OFF, NOWHERE))
    assert (why in verdict.reason, verdict.kind) == (True, kind)


@pytest.mark.parametrize(
    ("facts", "writable", "why"),
    [
        ((facts_of_primary("node1"), TWO[1], GONE), (), "there is a primary: node1"),
        (FACTS, ("192.0.2.100",), "there is a primary: 192.0.2.100"),
        ((facts_of_standby("node1"), TWO[1], GONE), (), "node1 receives WAL"),
        ((TWO[0], unreachable("node2", ""), GONE), (), "node2 is unknown. Bring"),
        ((TWO[0], facts_of_stopped("node2")._replace(system="8"), GONE), (), "different database systems"),
        ((TWO[0], facts_of_stopped("node2")._replace(lsn=None), GONE), (), "node2 does not tell how far"),
    ],
)
def test_it_is_refused_by_what_the_nodes_say(facts: tuple[NodeFacts, ...], writable: tuple[str, ...], why: str) -> None:
    assert why in refused(named(NOBODY, facts, "", OFF, Outside(writable))).reason


def test_a_silent_node_is_left_out_by_name_only() -> None:
    assert "--without node3" in refused(named(NOBODY, FACTS, "", (), NOWHERE)).reason


def test_somebody_must_be_left() -> None:
    alone = a_deployment(a_node("node3", online=False), primary="", synchronous="", me="node3")
    assert refused(named(alone, (GONE,), "", OFF, NOWHERE)).reason == "no node is left to be named"


@pytest.mark.parametrize(("primary", "without"), [("node9", ()), ("", ("node9",)), ("node3", ("node3",))])
def test_wrong_names_are_wrong_arguments(primary: str, without: tuple[str, ...]) -> None:
    assert refused(named(NOBODY, FACTS, primary, without, NOWHERE)).kind is Objection.ARGUMENTS


def test_a_node_that_is_no_member_of_the_replication_cannot_be_named() -> None:
    assert "cannot be named" in refused(named(NOBODY, TWO, "node3", (), NOWHERE)).reason


def test_everybody_is_compared_whoever_has_most_first() -> None:
    assert compared(FACTS) == (
        "node2  timeline 2, WAL up to 0/6000 (stopped, shut down)",
        "node1  timeline 2, WAL up to 0/5000 (standby)",
        "node3  unknown: no route to host",
    )
    assert compared((unreachable("node3", ""),)) == ("node3  unknown: nothing is known",)
    assert compared(()) == ()


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        (some_parameters(), ""),
        (
            some_parameters(enable_distlock=True, distlock_conninfo="host=a", distlock_lockname="x"),
            "NEW --primary node2",
        ),
        (
            some_parameters(enable_distlock=True, distlock_lock_cmd="l", distlock_unlock_cmd="u"),
            "--conninfo cluster: --lockname pgsql --primary node2",
        ),
    ],
)
def test_an_arbiters_record_is_not_ours_to_write(parameters: Parameters, told: str) -> None:
    seen = NOBODY._replace(parameters=parameters)
    assert told in with_arbiter(seen, "node2")
    assert bool(with_arbiter(seen, "node2")) == bool(told)


SERVING = a_deployment("node1", "node2", a_node("node3", online=False), primary="node1", synchronous="")
SERVED = (facts_of_primary("node1"), facts_of_standby("node2"), GONE)


def test_who_is_named_again_and_serves_is_the_primary_already() -> None:
    address = SERVING.parameters.master_ip
    assert named(SERVING, SERVED, "NODE1", OFF, Outside(("node1", address))) == Already("NODE1")


def test_who_is_named_again_while_pacemaker_still_promotes_it_is_the_primary_already() -> None:
    promoting = a_deployment("node1", "node2", a_node("node3", online=False), primary="", synchronous="")
    assert named(promoting, SERVED, "node1", OFF, Outside(("node1",))) == Already("node1")


@pytest.mark.parametrize(
    ("facts", "primary", "writable"),
    [
        (SERVED, "", ("node1",)),
        (SERVED, "node2", ("node1",)),
        (SERVED, "node1", ("node1", "node2")),
        ((SERVED[0], facts_of_primary("node2"), GONE), "node1", ("node1",)),
        ((facts_of_standby("node1"), *SERVED[1:]), "node1", ()),
    ],
    ids=["nobody named", "another", "another takes writes", "another is primary", "promoted by name only"],
)
def test_beside_any_primary_nobody_is_named(
    facts: tuple[NodeFacts, ...], primary: str, writable: tuple[str, ...]
) -> None:
    assert "there is a primary" in refused(named(SERVING, facts, primary, OFF, Outside(writable))).reason


def test_a_server_that_turns_us_away_where_none_should_be_may_be_the_primary() -> None:
    found = refused(named(NOBODY, FACTS, "node1", OFF, Outside(answering=("node3",))))
    assert found.reason == "a server answers at node3, and may be a primary: stop it there first"
