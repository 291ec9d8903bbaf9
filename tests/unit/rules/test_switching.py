# SPDX-License-Identifier: GPL-2.0-or-later
"""Who may take over on purpose, what has become of a move, and what it costs to leave a node alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.builders import some_parameters
from tests.fake_operator import a_deployment, a_node, a_peer, facts_of_primary, facts_of_standby, facts_of_stopped

from expgsql_ra.deployment import Companion, Constraint, Deployment, Failure, NodeFacts, unreachable
from expgsql_ra.rules.switching import (
    Already,
    Ended,
    Handover,
    Leave,
    Objection,
    Refusal,
    knows,
    leave,
    outcome,
    plan,
    serving,
    unscored,
)
from expgsql_ra.values import DataStatus, Lsn, RepMode

HEALTHY = a_deployment()
PRIMARY = facts_of_primary("node1", a_peer("node2"), a_peer("node3", "async"))
FACTS = (PRIMARY, facts_of_standby("node2"), facts_of_standby("node3"))


def refused(verdict: object) -> Refusal:
    assert isinstance(verdict, Refusal), verdict
    return verdict


def member(seen: Deployment, node: str, **changes: Any) -> Deployment:
    """The same cluster with something else of one node's attributes."""
    members = tuple(one._replace(**changes) if one.name == node else one for one in seen.view.members)
    return seen._replace(view=seen.view._replace(members=members))


def test_without_a_target_the_synchronous_standby_takes_over() -> None:
    assert plan(HEALTHY, FACTS) == Handover("node1", "node2")


def test_a_target_may_be_spelled_in_any_case() -> None:
    assert plan(HEALTHY, FACTS, "NODE2") == Handover("node1", "node2")


def test_nothing_is_to_be_done_where_the_target_is_the_primary() -> None:
    assert plan(HEALTHY, FACTS, "node1") == Already("node1")


def test_of_two_synchronous_standbys_the_one_with_more_takes_over() -> None:
    seen = member(HEALTHY, "node3", data_status=DataStatus.SYNC, score="100")
    ahead = facts_of_primary("node1", a_peer("node2", flushed="0/4F00"), a_peer("node3"))
    assert plan(seen, (ahead, *FACTS[1:])) == Handover("node1", "node3")


def test_in_asynchronous_mode_an_asynchronous_standby_may_take_over() -> None:
    seen = member(HEALTHY, "node3", score="100")._replace(parameters=some_parameters(RepMode.ASYNC))
    assert plan(seen, FACTS, "node3") == Handover("node1", "node3")


def test_a_standby_that_no_commit_waits_for_cannot_take_over() -> None:
    why = refused(plan(HEALTHY, FACTS, "node3")).reason
    assert why == "node3 cannot take over: its data status is STREAMING|ASYNC: it may lack commits"


def test_where_nobody_can_take_over_each_node_says_why() -> None:
    seen = member(HEALTHY, "node2", data_status=DataStatus.DISCONNECT)
    why = refused(plan(seen, FACTS)).reason
    assert "node2: its data status is DISCONNECT" in why
    assert "node3: its data status is STREAMING|ASYNC" in why


def test_a_primary_alone_has_nobody() -> None:
    alone = a_deployment("node1", synchronous="")
    assert "there is none" in refused(plan(alone, (facts_of_primary("node1"),))).reason


GENERAL: list[tuple[Callable[[Deployment], Deployment], str, Objection]] = [
    (lambda seen: seen._replace(view=seen.view._replace(quorate=False)), "no quorum", Objection.INCONSISTENT),
    (
        lambda seen: seen._replace(roles=(*seen.roles[:1], ("node2", "Promoted"))),
        "more than one primary",
        Objection.INCONSISTENT,
    ),
    (lambda seen: seen._replace(parameters=some_parameters(RepMode.NONE)), "rep_mode=none", Objection.PRECONDITION),
    (lambda seen: seen._replace(properties=(("maintenance-mode", "true"),)), "maintenance off", Objection.PRECONDITION),
    (lambda seen: seen._replace(managed=False), "maintenance", Objection.PRECONDITION),
    (lambda seen: seen._replace(disabled=True), "expgsql start", Objection.PRECONDITION),
    (lambda seen: seen._replace(roles=()), "no primary to move", Objection.PRECONDITION),
    (
        lambda seen: seen._replace(constraints=(Constraint("cli-prefer-x", "NODE1", "INFINITY"),)),
        "cli-prefer-x binds the resource to node1",
        Objection.PRECONDITION,
    ),
]


@pytest.mark.parametrize(("change", "why", "kind"), GENERAL)
def test_a_move_is_refused(change: Callable[[Deployment], Deployment], why: str, kind: Objection) -> None:
    verdict = refused(plan(change(HEALTHY), FACTS, "node2"))
    assert (why in verdict.reason, verdict.kind) == (True, kind)


def test_an_unknown_node_is_a_wrong_argument() -> None:
    verdict = refused(plan(HEALTHY, FACTS, "node9"))
    assert ("node1, node2, node3" in verdict.reason, verdict.kind) == (True, Objection.ARGUMENTS)


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ((facts_of_standby("node1"), *FACTS[1:]), "whose server is standby"),
        (FACTS[1:], "whose server says nothing"),
        ((PRIMARY, facts_of_primary("node2"), FACTS[2]), "node2 accepts writes too"),
    ],
)
def test_servers_that_contradict_pacemaker_are_not_moved(facts: tuple[NodeFacts, ...], why: str) -> None:
    verdict = refused(plan(HEALTHY, facts, "node2"))
    assert (why in verdict.reason, verdict.kind) == (True, Objection.INCONSISTENT)


def with_node(**changes: Any) -> Deployment:
    node = a_node("node2")._replace(**changes)
    return HEALTHY._replace(nodes=(HEALTHY.nodes[0], node, HEALTHY.nodes[2]))


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        (with_node(online=False), "not online"),
        (with_node(pending=True), "not online"),
        (with_node(unclean=True), "not online"),
        (with_node(standby=True), "standby off node2"),
        (with_node(maintenance=True), "maintenance off node2"),
        (HEALTHY._replace(roles=HEALTHY.roles[:1]), "no standby runs there"),
        (
            HEALTHY._replace(constraints=(Constraint("cli-ban-y", "node2", "-INFINITY"),)),
            "cli-ban-y keeps the resource away",
        ),
        (HEALTHY._replace(fail_counts=(("node2", "2"),)), "2 failures on record"),
        (member(HEALTHY, "node2", score=None), "promotion score"),
        (member(HEALTHY, "node2", name="other"), "node_list does not name it"),
        (member(HEALTHY, "node2", data_status=None), "not set"),
    ],
)
def test_a_target_that_pacemaker_would_not_promote_is_refused(seen: Deployment, why: str) -> None:
    assert why in refused(plan(seen, FACTS, "node2")).reason


def test_our_own_constraint_and_a_soft_preference_keep_nobody() -> None:
    bound = (Constraint("expgsql-switchover-x", "node2", "-INFINITY"), Constraint("likes", "node1", "50"))
    assert plan(HEALTHY._replace(constraints=bound), FACTS, "node2") == Handover("node1", "node2")


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ((facts_of_primary("node1"), *FACTS[1:]), "does not stream from node1"),
        ((facts_of_primary("node1", a_peer(state="catchup")), *FACTS[1:]), "does not stream"),
        ((facts_of_primary("node1", a_peer(sync_state="potential")), *FACTS[1:]), "no commit waits for it"),
        ((PRIMARY, unreachable("node2", "no route"), FACTS[2]), "does not answer: no route"),
        ((PRIMARY, FACTS[2]), "it was not asked"),
        ((PRIMARY._replace(lsn=Lsn.parse("0/2000000")), *FACTS[1:]), "bytes of WAL behind"),
        ((PRIMARY, FACTS[1]._replace(lsn=Lsn.parse("0/2000000"))), "bytes of WAL to replay"),
    ],
)
def test_a_target_that_is_not_in_step_is_refused(facts: tuple[NodeFacts, ...], why: str) -> None:
    assert why in refused(plan(HEALTHY, facts, "node2")).reason


def test_positions_that_are_not_told_are_no_distance() -> None:
    silent = PRIMARY._replace(lsn=None, peers=(a_peer()._replace(flushed=None),))
    standby = FACTS[1]._replace(lsn=None, replayed=None)
    assert plan(HEALTHY, (silent, standby)) == Handover("node1", "node2")


# --- how far it has come ----------------------------------------------------------------------


def test_a_move_is_over_when_the_address_has_followed() -> None:
    after = a_deployment(primary="node2", synchronous="node1")
    on_the_way = after._replace(companions=HEALTHY.companions)
    assert outcome(HEALTHY, HEALTHY, "node2") is None
    assert outcome(HEALTHY, on_the_way, "node2") is None
    assert outcome(HEALTHY, after, "node2") == Ended()


def test_an_address_that_was_away_before_is_not_waited_for() -> None:
    away = (Companion("vip-master", "ocf:heartbeat:IPaddr2", "192.0.2.100", (), "primary"),)
    after = a_deployment(primary="node2", synchronous="node1")._replace(companions=away)
    assert outcome(HEALTHY._replace(companions=away), after, "node2") == Ended()


@pytest.mark.parametrize(("reason", "told"), [("no right", "no right"), ("", "its promotion failed")])
def test_a_promotion_that_failed_ends_the_move(reason: str, told: str) -> None:
    old = Failure("node2", "pgsql", "promote", 1, "of yesterday", "yesterday")
    elsewhere = Failure("node3", "pgsql", "promote", 1, "", "now")
    other = Failure("node2", "pgsql", "monitor", 1, "", "now")
    failed = Failure("node2", "pgsql", "promote", 1, reason, "now")
    before = HEALTHY._replace(failures=(old,))
    nobody = before._replace(roles=())
    assert outcome(before, nobody._replace(failures=(old, elsewhere, other)), "node2") is None
    ended = outcome(before, nobody._replace(failures=(old, failed)), "node2")
    assert ended is not None
    assert ended.objection.startswith(told)


# --- a node that is to be left alone ----------------------------------------------------------


def test_a_primary_hands_over_before_its_node_is_left_alone() -> None:
    assert leave(HEALTHY, FACTS, "node1") == Leave(Handover("node1", "node2"))


def test_a_primary_without_successor_stays() -> None:
    seen = member(HEALTHY, "node2", data_status=DataStatus.DISCONNECT)
    assert "nobody would be in its place" in refused(leave(seen, FACTS, "node1")).reason


def test_one_of_two_standbys_may_go() -> None:
    assert leave(HEALTHY, FACTS, "node2") == Leave()


@pytest.mark.parametrize(("strict", "told"), [(False, "on node1 alone"), (True, "no commit will succeed")])
def test_the_last_standby_goes_with_a_warning(strict: bool, told: str) -> None:
    seen = HEALTHY._replace(parameters=some_parameters(strict_sync=strict))
    facts = (facts_of_primary("node1", a_peer("node2")), *FACTS[1:])
    verdict = leave(seen, facts, "node2")
    assert isinstance(verdict, Leave)
    assert told in verdict.warning
    assert leave(seen, facts, "node3") == Leave()


def test_a_node_of_a_cluster_without_primary_may_go() -> None:
    seen = a_deployment(primary="")
    assert leave(seen, (facts_of_stopped("node1"),), "node1") == Leave()


def test_leaving_a_node_alone_is_refused() -> None:
    assert refused(leave(HEALTHY, FACTS, "node9")).kind is Objection.ARGUMENTS
    blind = HEALTHY._replace(view=HEALTHY.view._replace(quorate=False))
    assert refused(leave(blind, FACTS, "node2")).kind is Objection.INCONSISTENT
    assert leave(with_node(standby=True), FACTS, "NODE2") == Already("node2")


# --- after maintenance ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seen", "facts", "expected"),
    [
        (HEALTHY, FACTS, "node1"),
        (HEALTHY, FACTS[1:], ""),
        (HEALTHY, (PRIMARY, facts_of_primary("node2")), ""),
        (HEALTHY, (facts_of_primary("node2"),), ""),
        (HEALTHY._replace(view=HEALTHY.view._replace(repl_info=None)), FACTS, ""),
    ],
)
def test_the_recorded_primary_serves_alone_or_nobody_is_sure(
    seen: Deployment, facts: tuple[NodeFacts, ...], expected: str
) -> None:
    assert serving(seen, facts) == expected


def test_pacemaker_knows_its_primary_once_it_has_looked() -> None:
    assert knows(HEALTHY, "NODE1")
    assert not knows(HEALTHY, "node2")
    assert not knows(HEALTHY._replace(nodes=tuple(one._replace(coordinates=False) for one in HEALTHY.nodes)), "node1")
    assert not knows(HEALTHY._replace(nodes=tuple(one._replace(online=False) for one in HEALTHY.nodes)), "node1")


def test_a_primary_without_score_would_be_demoted() -> None:
    assert not unscored(HEALTHY, "node1")
    assert unscored(member(HEALTHY, "node1", score=None), "node1")
    assert not unscored(HEALTHY, "node9")
