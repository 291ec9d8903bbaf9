"""What is not as it should be, in a whole deployment, and the row of each node."""

from __future__ import annotations

import pytest
from tests.builders import a_member, a_view
from tests.fake_operator import a_node, a_peer, facts_of_primary, facts_of_standby, facts_of_stopped
from tests.overviews import (
    a_healthy_deployment,
    a_record,
    an_overview,
    nobody_promoted,
    offline,
    with_members,
    with_node,
    with_parameters,
)

from expgsql_ra.deployment import Constraint, Deployment, Failure, NodeFacts, unreachable
from expgsql_ra.overview import Overview
from expgsql_ra.record import Found, Missing, Unreachable
from expgsql_ra.rules.condition import Level, findings, is_healthy, replicates, rows
from expgsql_ra.rules.replication import CLOSED
from expgsql_ra.values import DataStatus, Lsn, RepMode, Status

SEEN = a_healthy_deployment()


def said(overview: Overview) -> list[tuple[str, str]]:
    return [(one.level.value, one.what) for one in findings(overview)]


def member_of(seen: Deployment, name: str, **changes: object) -> Deployment:
    found = next(one for one in seen.view.members if one.name == name)
    return with_members(seen, found._replace(**changes))  # type: ignore[arg-type]


def test_a_healthy_deployment_has_no_findings() -> None:
    assert findings(an_overview()) == ()
    assert is_healthy(findings(an_overview()))


# --- rows -------------------------------------------------------------------------------------


def test_the_rows_of_a_healthy_deployment() -> None:
    first, second, third = rows(an_overview())
    assert first == ("node1", "primary", "running", 2, Lsn(0x5000), None, None, "-", True, 0)
    assert second == ("node2", "standby", "streaming", 2, Lsn(0x5000), 0, 0.0, "sync", True, 0)
    assert third == ("node3", "standby", "streaming", 2, Lsn(0x5000), 0, 0.0, "async", False, 0)


def test_what_is_shown_of_nodes_that_cannot_be_asked_comes_from_the_cluster() -> None:
    silent = [unreachable(name, "ssh") for name in ("node1", "node2", "node3")]
    first, second, third = rows(an_overview(*silent))
    assert (first.role, first.state, first.timeline, first.lsn, first.lag) == ("primary", "running", 2, None, None)
    assert (second.role, second.state, second.timeline, second.sync) == ("standby", "streaming", 2, "sync")
    assert (third.role, third.state, third.sync) == ("standby", "streaming", "async")


@pytest.mark.parametrize(
    ("status", "role", "state"),
    [
        (Status.STOPPED, "-", "stopped"),
        (Status.UNKNOWN, "unknown", "not streaming"),
        (Status.ALONE, "standby", "not streaming"),
    ],
)
def test_the_cluster_knows_the_state_of_a_silent_node(status: Status, role: str, state: str) -> None:
    seen = member_of(SEEN, "node3", status=status, data_status=DataStatus.DISCONNECT, follows=None)
    primary = facts_of_primary("node1", a_peer("node2"))
    row = rows(an_overview(primary, unreachable("node3", "ssh"), seen=seen))[2]
    assert (row.role, row.state, row.timeline, row.sync) == (role, state, None, "-")
    lonely = rows(an_overview(unreachable("node1", "ssh"), unreachable("node3", "ssh"), seen=seen))[2]
    assert lonely.sync == "-"


@pytest.mark.parametrize(
    ("facts", "role", "state"),
    [
        (facts_of_stopped("node3"), "-", "stopped"),
        (NodeFacts("node3", "orphans"), "-", "orphans"),
        (NodeFacts("node3", "stalled"), "standby", "stalled"),
        (facts_of_standby("node3", receiver=""), "standby", "not streaming"),
        (facts_of_primary("node3"), "primary", "running"),
        (facts_of_primary("node3")._replace(names=CLOSED), "primary", "holds commits"),
    ],
)
def test_the_state_of_a_node_that_told_of_itself(facts: NodeFacts, role: str, state: str) -> None:
    row = rows(an_overview(facts_of_primary("node1", a_peer("node2")), facts))[2]
    assert (row.role, row.state) == (role, state)


def test_a_standby_that_catches_up_shows_its_walsenders_word() -> None:
    primary = facts_of_primary("node1", a_peer("node2"), a_peer("node3", "async", state="catchup", flushed="0/4000"))
    row = rows(an_overview(primary))[2]
    assert (row.state, row.lag) == ("catchup", 0x1000)


def test_the_lag_of_a_stopped_server_is_known_on_the_same_timeline_only() -> None:
    primary = facts_of_primary("node1", a_peer("node2"))
    assert rows(an_overview(primary, facts_of_stopped("node3", lsn="0/4800")))[2].lag == 0x800
    assert rows(an_overview(primary, facts_of_stopped("node3", lsn="0/3000", timeline=1)))[2].lag is None
    assert rows(an_overview(primary._replace(lsn=None)))[1].lag is None


def test_a_node_that_is_not_there() -> None:
    seen = offline(SEEN, "node3")
    away = rows(an_overview(unreachable("node3", "ssh"), seen=seen))[2]
    assert (away.role, away.state, away.takes_over) == ("unknown", "offline", False)
    joins = with_node(seen, a_node("node3", online=False)._replace(pending=True))
    assert rows(an_overview(unreachable("node3", "ssh"), seen=joins))[2].state == "joining"
    assert rows(an_overview(NodeFacts("node3", "starting"), seen=seen))[2].role == "-"
    assert (
        rows(an_overview(unreachable("node3", "ssh"), seen=SEEN._replace(nodes=SEEN.nodes[:2])))[2].state == "offline"
    )


def test_a_position_that_only_the_cluster_knows() -> None:
    seen = SEEN._replace(view=a_view("node1", a_member("node2", wal="0/4000", timeline=3)))
    row = rows(an_overview(unreachable("node2", "ssh"), seen=seen))[1]
    assert (row.timeline, row.lsn) == (3, Lsn(0x4000))


def test_fail_counts_are_shown() -> None:
    seen = SEEN._replace(fail_counts=(("node2", "2"), ("node3", "INFINITY")))
    assert [row.failures for row in rows(an_overview(seen=seen))] == [0, 2, 0]


# --- findings ---------------------------------------------------------------------------------


def test_without_quorum_nothing_is_sure() -> None:
    (level, what), *_ = said(an_overview(seen=SEEN._replace(view=SEEN.view._replace(quorate=False))))
    assert level == "critical"
    assert what.startswith("this partition has no quorum")


def test_without_a_primary_that_alone_is_said_of_the_standbys() -> None:
    assert said(an_overview(seen=nobody_promoted(SEEN), primary="")) == [
        ("critical", "there is no primary: nobody can write"),
    ]


def test_a_second_server_that_accepts_writes() -> None:
    overview = an_overview(facts_of_primary("node3"))
    assert said(overview)[0] == (
        "critical",
        "the server on node3 accepts writes and is not the primary that Pacemaker knows",
    )
    assert findings(overview)[0].remedy == "expgsql standby on node3"


@pytest.mark.parametrize(
    ("facts", "what"),
    [
        (facts_of_stopped("node1"), "node1 is promoted, but its server is stopped (shut down)"),
        (facts_of_standby("node1"), "node1 is promoted, but its server is a standby"),
        (facts_of_primary("node1")._replace(names=CLOSED), "the primary node1 holds every commit back"),
    ],
)
def test_a_primary_that_does_not_serve(facts: NodeFacts, what: str) -> None:
    level, found = said(an_overview(facts))[0]
    assert level == "critical"
    assert found.startswith(what)


@pytest.mark.parametrize(
    ("seen", "level", "what"),
    [
        (SEEN._replace(disabled=True), "critical", "the resource is disabled"),
        (SEEN._replace(managed=False), "warning", "maintenance"),
        (SEEN._replace(properties=(("maintenance-mode", "true"),)), "warning", "maintenance"),
        (SEEN._replace(constraints=(Constraint("cli-prefer-x", "node1", "INFINITY"),)), "warning", "the constraint"),
        (with_node(SEEN, a_node("node3", maintenance=True)), "warning", "node3 is in maintenance"),
        (with_node(SEEN, a_node("node3")._replace(unclean=True)), "warning", "node3 is lost"),
        (SEEN._replace(companions=(SEEN.companions[0]._replace(nodes=()),)), "warning", "the address vip-master"),
        (SEEN._replace(companions=(SEEN.companions[0]._replace(nodes=("node2",)),)), "critical", "the address vip"),
        (SEEN._replace(companions=(SEEN.companions[0]._replace(nodes=(), address=""),)), "warning", "vip-master runs"),
        (SEEN._replace(fail_counts=(("node3", "3"),)), "warning", "node3 has failed before (fail count 3)"),
    ],
)
def test_each_thing_that_is_not_as_it_should_be(seen: Deployment, level: str, what: str) -> None:
    ((found, text),) = said(an_overview(seen=seen))
    assert found == level
    assert text.startswith(what)
    assert not is_healthy(findings(an_overview(seen=seen)))


def test_constraints_of_ours_or_of_the_administrator_are_no_findings() -> None:
    constraints = (Constraint("expgsql-switchover-x", "node1", "INFINITY"), Constraint("mine", "node3", "-INFINITY"))
    assert said(an_overview(seen=SEEN._replace(constraints=constraints))) == []


def test_failures_come_with_the_agents_reason() -> None:
    failed = Failure("node3", "pgsql", "start", 1, "data has diverged", "now")
    reported = Failure("node2", "pgsql", "asyncmon", 1, "Simulated failure", "now")
    mute = Failure("node2", "vip-master", "start", 1, "", "now")
    seen = SEEN._replace(failures=(failed, reported, mute), fail_counts=(("node2", "1"), ("node3", "1")))
    assert said(an_overview(seen=seen)) == [
        ("warning", "pgsql: start failed on node3 (now): data has diverged"),
        ("warning", "pgsql: the server on node2 ended unexpectedly (now); PostgreSQL's log says why"),
        ("warning", "vip-master: start failed on node2 (now): exit code 1"),
    ]
    assert findings(an_overview(seen=seen))[0].remedy == "mend it if it lasts; then: expgsql cleanup node3"


def test_a_failure_that_keeps_a_server_from_running_is_said_once() -> None:
    failed = Failure("node3", "pgsql", "start", 1, "no space left on device", "now")
    roles = tuple(pair for pair in SEEN.roles if pair[0] != "node3")
    overview = an_overview(
        facts_of_primary("node1", a_peer("node2")),
        facts_of_stopped("node3"),
        seen=SEEN._replace(failures=(failed,), fail_counts=(("node3", "INFINITY"),), roles=roles),
    )
    assert said(overview) == [("warning", "node3: start failed there: no space left on device")]


def test_a_standby_that_does_not_stream() -> None:
    overview = an_overview(facts_of_primary("node1", a_peer("node2")), facts_of_standby("node3", receiver=""))
    ((level, what),) = said(overview)
    assert (level, what) == (
        "warning",
        "node3 does not stream: its data lies on the primary's history, but it is not connected to node1",
    )


def test_the_last_synchronous_standby_is_gone() -> None:
    seen = member_of(offline(SEEN, "node2"), "node2", data_status=DataStatus.DISCONNECT)
    found = said(an_overview(facts_of_primary("node1", a_peer("node3", "async")), seen=seen))
    assert ("warning", "no synchronous standby: commits are on this node only; start a standby") in found
    assert ("warning", "node2: it is offline: the cluster does not run there") in found


def test_a_node_that_cannot_be_asked_is_no_reason_for_an_alarm() -> None:
    overview = an_overview(unreachable("node3", "ssh does not get there: refused"))
    ((level, what),) = said(overview)
    assert level == Level.NOTE
    assert what.startswith("node3 could not be asked (ssh does not get there: refused)")
    assert is_healthy(findings(overview))


def test_a_node_that_replication_is_not_for_is_not_looked_at() -> None:
    stranger = a_node("node4", online=False)
    assert said(an_overview(seen=SEEN._replace(nodes=(*SEEN.nodes, stranger)))) == []


@pytest.mark.parametrize(
    ("arbiter", "reading", "level", "what", "remedy"),
    [
        (True, Unreachable("no route"), "warning", "the record cannot be read", "bring the arbiter back"),
        (False, Unreachable("damaged"), "warning", "the record cannot be read", "see why the cluster"),
        (False, Missing("none yet"), "warning", "there is no record: none yet", "expgsql arbiter init --help"),
        (False, Found(a_record("node2", "node1")), "critical", "the record names node2", "expgsql why node1"),
        (False, Found(a_record()._replace(system="1")), "critical", "the record is of the database", "expgsql arbiter"),
        (True, Found(a_record()), "warning", "nobody holds the lease", "expgsql why node1"),
    ],
)
def test_the_record(arbiter: bool, reading: Found | Missing | Unreachable, level: str, what: str, remedy: str) -> None:
    seen = with_parameters(SEEN, enable_distlock=arbiter, distlock_conninfo="host=arbiter")
    (found,) = findings(an_overview(seen=seen, reading=reading))
    assert found.level == level
    assert found.what.startswith(what)
    assert found.remedy.startswith(remedy)


@pytest.mark.parametrize(
    ("arbiter", "reading", "told"),
    [
        (True, Unreachable("no route"), ["node2 serves by an override"]),
        # the arbiter is back, or there is none: then the override is of no account
        (True, Missing("no row"), []),
        (True, Found(a_record(holder="node1", seconds_left=20)), []),
        (False, Unreachable("no route"), []),
    ],
)
def test_an_override_is_told_loudly(arbiter: bool, reading: Found | Missing | Unreachable, told: list[str]) -> None:
    seen = with_parameters(SEEN, enable_distlock=arbiter, distlock_conninfo="host=arbiter")
    overridden = facts_of_standby("node2")._replace(override="node2 serves by an override")
    found = findings(an_overview(overridden, seen=seen, reading=reading))
    assert [(one.what, one.node) for one in found if one.level is Level.CRITICAL] == [(one, "node2") for one in told]
    assert not told or is_healthy(found) is False


def test_nobody_takes_over_without_the_record() -> None:
    overview = an_overview(seen=with_parameters(SEEN, enable_distlock=True), reading=Unreachable("no route"))
    assert [row.takes_over for row in rows(overview)] == [False, False, False]


def test_an_address_that_waits_for_a_primary_is_not_missed() -> None:
    seen = nobody_promoted(SEEN)
    waiting = seen._replace(companions=(seen.companions[0]._replace(nodes=()), seen.companions[1]))
    assert said(an_overview(seen=waiting)) == [("critical", "there is no primary: nobody can write")]


def test_a_lease_that_is_held_is_as_it_should_be() -> None:
    seen = with_parameters(SEEN, enable_distlock=True, distlock_conninfo="host=arbiter")
    assert said(an_overview(seen=seen, reading=Found(a_record(holder="node1", seconds_left=20)))) == []


def test_asynchronous_replication_needs_no_record() -> None:
    seen = with_parameters(SEEN, rep_mode=RepMode.ASYNC)
    assert said(an_overview(seen=seen, reading=Missing("none"))) == []


def test_a_resource_without_replication_has_no_primary_to_miss() -> None:
    seen = with_parameters(nobody_promoted(SEEN), rep_mode=RepMode.NONE)
    assert not replicates(seen)
    assert said(an_overview(seen=seen, reading=Missing("none"))) == []
    nowhere = an_overview(seen=seen._replace(roles=()), reading=Missing("none"))
    assert said(nowhere) == [("critical", "pgsql runs nowhere")]
