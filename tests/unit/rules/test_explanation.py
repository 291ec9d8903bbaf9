"""Why a node is or is not primary, promotable, streaming: the agent's own rules, asked with what the nodes told."""

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
from expgsql_ra.record import Found, Kept, Missing, Unreachable
from expgsql_ra.rules.explanation import (
    Answer,
    arrives,
    does_stream,
    explain,
    hindrance,
    is_primary,
    is_promotable,
    local_wal,
    server_trouble,
)
from expgsql_ra.snapshot import Member
from expgsql_ra.values import Lsn, RepMode, Score, Status

SEEN = a_healthy_deployment()
NOBODY = nobody_promoted(SEEN)
STARTS_AGAIN = "start node1; if it is lost for good: expgsql reset-master --primary NODE names a new one"


def a_failure(node: str = "node3", reason: str = "data has diverged") -> Failure:
    return Failure(node, "pgsql", "start", 1, reason, "2026-11-20 20:59:00Z")


def stopped(seen: Deployment, node: str) -> Deployment:
    return seen._replace(roles=tuple(pair for pair in seen.roles if pair[0] != node))


def without_word(node: str) -> Deployment:
    return with_members(SEEN, next(one for one in SEEN.view.members if one.name == node)._replace(follows=None))


# --- a healthy cluster ------------------------------------------------------------------------


def test_a_healthy_cluster_explains_itself() -> None:
    overview = an_overview()
    assert explain(overview, "node1") == (
        "node1",
        Answer(True, "Pacemaker has promoted it, and the record names it (epoch 2)"),
        Answer(True, "it is the primary"),
        Answer(None, "it is the primary: the others stream from it"),
    )
    assert explain(overview, "node2") == (
        "node2",
        Answer(False, "node1 is the primary", "expgsql switchover node2"),
        Answer(True, "every acknowledged commit is there"),
        Answer(True, "WAL arrives from node1"),
    )
    waits = (
        "it streams, but commits do not wait for it: sync_standby_count=1, and they wait for node2",
        "nothing: it takes the place of one that goes away; or raise sync_standby_count",
    )
    assert explain(overview, "node3") == (
        "node3",
        Answer(False, "node1 is the primary", "it has to be promotable first: see the next line"),
        Answer(False, *waits),
        Answer(True, "WAL arrives from node1"),
    )


# --- primary ----------------------------------------------------------------------------------


def test_a_promoted_node_whose_server_is_gone() -> None:
    answer = is_primary(an_overview(facts_of_stopped(state="in production")), "node1")
    assert answer[:2] == (False, "Pacemaker has promoted it, but its server is stopped (in production)")


def test_a_promoted_node_that_the_record_does_not_name() -> None:
    answer = is_primary(an_overview(reading=Found(a_record("node2", "node3"))), "node1")
    assert answer[:2] == (True, "Pacemaker has promoted it, but the record names node2 (epoch 2)")


def test_a_promoted_node_without_a_record() -> None:
    seen = with_parameters(SEEN, rep_mode=RepMode.ASYNC)
    answer = is_primary(an_overview(seen=seen, reading=Missing("none")), "node1")
    assert answer == Answer(True, "Pacemaker has promoted it")


def test_without_a_primary_the_record_says_who_may() -> None:
    overview = an_overview(seen=NOBODY)
    assert is_primary(overview, "node2").reason == "the record lets it take over"
    refused = is_primary(overview, "node3")
    assert refused.reason.startswith("data here may lack commits of node1: the record (epoch 2, revision 7)")
    assert refused.change.startswith(STARTS_AGAIN)


def test_without_a_primary_the_lease_of_the_old_one_has_to_end() -> None:
    overview = an_overview(seen=NOBODY, reading=Found(a_record("node1", holder="node1", seconds_left=12.4)))
    assert is_primary(overview, "node2").reason == "the lease of node1 lasts another 12 s"


def test_a_directory_that_was_made_anew_may_not_take_over() -> None:
    remade = facts_of_standby("node2", receiver="")._replace(kept=Kept("another", 0, 0))
    answer = is_primary(an_overview(remade, seen=NOBODY), "node2")
    assert "another data directory of node2" in answer.reason


def test_a_node_that_cannot_be_asked_is_known_by_its_last_word() -> None:
    overview = an_overview(unreachable("node2", "ssh"), seen=NOBODY)
    assert is_primary(overview, "node2").reason == "the record lets it take over"
    silent = an_overview(unreachable("node2", "ssh"), seen=nobody_promoted(without_word("node2")))
    assert "another data directory" in is_primary(silent, "node2").reason


def test_without_an_arbiter_that_answers_nobody_takes_over() -> None:
    overview = an_overview(
        seen=with_parameters(offline(NOBODY, "node1"), enable_distlock=True), reading=Unreachable("no route")
    )
    answer = is_primary(overview, "node2")
    assert answer.reason == "the record cannot be read, so nobody can take over: no route"
    assert answer.change.startswith("bring the arbiter back; if it is gone for good")
    assert is_promotable(overview, "node2") == answer
    serves = an_overview(seen=with_parameters(SEEN, enable_distlock=True), reading=Unreachable("no route"))
    assert is_promotable(serves, "node2") == answer


def test_an_arbiter_that_knows_no_record_lets_nobody_take_over() -> None:
    overview = an_overview(
        seen=with_parameters(offline(NOBODY, "node1"), enable_distlock=True), reading=Missing("no row")
    )
    assert is_promotable(overview, "node2")[:2] == (False, "no row")


def test_without_a_record_the_marks_say_who_may() -> None:
    seen = with_parameters(NOBODY, rep_mode=RepMode.ASYNC)
    may = is_primary(an_overview(seen=seen, reading=Missing("none")), "node2")
    assert may.reason.startswith("it may be promoted: the primary is gone and no other standby has more than 0/5000")
    behind = an_overview(seen=with_parameters(NOBODY), reading=Missing("none"))
    assert is_primary(behind, "node3").reason.startswith("data here may lack commits of node1 (data status")
    recorded = is_primary(behind, "node1")
    assert recorded.reason.startswith("it may be promoted: this node is the recorded primary")


def test_where_nothing_is_recorded_a_hand_has_to_name_one() -> None:
    view = a_view(a_member("node1"), a_member("node2"), a_member("node3"))
    seen = NOBODY._replace(view=view)
    answer = is_primary(an_overview(seen=seen, reading=Missing("none")), "node1")
    assert answer.reason.startswith("0 of 3 nodes have reported")
    assert answer.change == "expgsql reset-master --primary NODE names a new one, which may lose commits"


# --- promotable -------------------------------------------------------------------------------


def test_promotable_in_sync_mode_needs_proof() -> None:
    reading = Found(a_record("node1", "node3"))
    overview = an_overview(facts_of_primary("node1", a_peer("node2"), a_peer("node3", "async")), reading=reading)
    answer = is_promotable(overview, "node2")
    assert answer.reason.startswith("commits wait for it, but it is not proven yet")
    assert answer.change == "nothing: the primary's next monitor goes on with it"


def test_promotable_needs_the_standbys_word() -> None:
    overview = an_overview(seen=without_word("node3"))
    assert "its own word is missing" in is_promotable(overview, "node3").reason


def test_promotable_needs_the_primarys_history() -> None:
    seen = SEEN._replace(view=SEEN.view._replace(ancestry=None))
    assert "does not know the history" in is_promotable(an_overview(seen=seen), "node3").reason


def test_an_asynchronous_standby_without_a_limit() -> None:
    seen = with_parameters(SEEN, rep_mode=RepMode.ASYNC)
    assert is_promotable(an_overview(seen=seen), "node2").reason.startswith("it streams; nothing is promised")


def test_strict_mode_waits_for_all() -> None:
    seen = with_parameters(SEEN, strict_sync=True, sync_standby_count=3)
    assert "strict_sync: 2 of 3" in is_promotable(an_overview(seen=seen), "node3").reason


def test_a_standby_that_receives_nothing_is_not_promotable() -> None:
    overview = an_overview(facts_of_primary("node1", a_peer("node2")))
    assert is_promotable(overview, "node3") == Answer(
        False, "the primary sends it no WAL", "expgsql why node3 says why it does not stream"
    )


def test_an_asynchronous_standby_may_be_too_far_behind() -> None:
    seen = with_parameters(SEEN, rep_mode=RepMode.ASYNC, maximum_lag=16)
    peers = (a_peer("node2", "async", flushed="0/4000"), a_peer("node3", "async"))
    overview = an_overview(facts_of_primary("node1", *peers), seen=seen)
    assert is_promotable(overview, "node2") == Answer(
        False, "it is more than maximum_lag=16 bytes behind", "nothing: it catches up, or raise maximum_lag"
    )
    assert is_promotable(overview, "node3").reason == "it streams and is at most maximum_lag=16 bytes behind"


def test_where_the_primary_cannot_be_asked_its_marks_count() -> None:
    overview = an_overview(unreachable("node1", "ssh"))
    assert is_promotable(overview, "node2") == Answer(
        True, "node1 could not be asked; it has last given it the score 100"
    )
    assert is_promotable(overview, "node3").holds is False


def test_without_a_primary_the_standbys_rule_gives_the_score() -> None:
    seen = offline(NOBODY, "node1")
    assert is_promotable(an_overview(seen=seen), "node2") == Answer(
        True, "the primary has been away for 3 readings and its data is here"
    )
    waiting = is_promotable(an_overview(seen=with_members(NOBODY, status(NOBODY, "node1", Status.ALONE))), "node3")
    assert waiting.reason == "the record does not name the data here as a successor of node1"
    assert waiting.change.startswith(STARTS_AGAIN)


def status(seen: Deployment, node: str, value: Status) -> Member:
    return next(one for one in seen.view.members if one.name == node)._replace(status=value)


def test_without_a_record_the_election_gives_the_score() -> None:
    members = tuple(a_member(name, wal="0/5000", timeline=2) for name in ("node1", "node2", "node3"))
    seen = NOBODY._replace(view=a_view(*members))
    overview = an_overview(seen=seen, reading=Missing("none"))
    assert is_promotable(overview, "node1").holds is True
    assert is_promotable(overview, "node2").reason.startswith("node1 has the newest data")


def test_asynchronous_without_a_primary_goes_by_the_marks() -> None:
    seen = with_parameters(offline(NOBODY, "node1"), rep_mode=RepMode.ASYNC)
    assert is_promotable(an_overview(seen=seen, reading=Missing("none")), "node2").holds is True


def test_a_score_that_stays_is_the_one_it_has() -> None:
    seen = with_members(NOBODY, status(NOBODY, "node1", Status.ALONE)._replace(score=Score.WON))
    assert is_promotable(an_overview(seen=seen), "node1") == Answer(True, "the recorded primary keeps its score")


# --- streaming --------------------------------------------------------------------------------


def test_a_standby_that_has_diverged_says_what_repairs_it() -> None:
    ahead = facts_of_stopped("node3", lsn="0/4100", timeline=1)
    peers = facts_of_primary("node1", a_peer("node2"))
    answer = does_stream(an_overview(peers, ahead), "node3")
    assert answer.reason.startswith("data has diverged")
    assert answer.change == "expgsql repair node3"


def test_a_standby_that_cannot_be_asked_and_does_not_stream() -> None:
    peers = facts_of_primary("node1", a_peer("node2"))
    answer = does_stream(an_overview(peers, unreachable("node3", "ssh")), "node3")
    assert answer.reason == "cannot tell whether PostgreSQL runs: ssh"


def test_a_server_that_is_stopped_and_could_follow() -> None:
    peers = facts_of_primary("node1", a_peer("node2"))
    answer = does_stream(an_overview(peers, facts_of_stopped("node3", state="shut down in recovery")), "node3")
    assert answer.reason == "its server is stopped (shut down in recovery)"
    assert answer.change.endswith("expgsql cleanup node3")


def test_a_stray_primary_is_to_be_put_aside() -> None:
    stray = facts_of_primary("node3")
    answer = does_stream(an_overview(facts_of_primary("node1", a_peer("node2")), stray), "node3")
    assert answer == Answer(False, "its server accepts writes, and it is not the primary", "expgsql standby on node3")


def test_a_standby_that_catches_up_is_waited_for() -> None:
    peers = facts_of_primary("node1", a_peer("node2"), a_peer("node3", "async", state="catchup"))
    answer = does_stream(an_overview(peers), "node3")
    assert answer.reason == "it is connected and catches up (catchup)"


def test_a_standby_that_is_not_connected() -> None:
    peers = facts_of_primary("node1", a_peer("node2"))
    answer = does_stream(an_overview(peers, facts_of_standby("node3", receiver="")), "node3")
    assert answer.reason == "its data lies on the primary's history, but it is not connected to node1"
    assert "pg_hba.conf" in answer.change


def test_a_primary_that_cannot_be_asked_and_a_standby_that_does_not_stream() -> None:
    overview = an_overview(unreachable("node1", "ssh"), facts_of_standby("node3", receiver=""))
    assert does_stream(overview, "node3").reason.startswith("its data lies on the primary's history")


def test_without_a_primary_there_is_nothing_to_stream() -> None:
    assert does_stream(an_overview(seen=NOBODY), "node2").reason == "there is no primary to stream from"


def test_what_cannot_be_asked_is_known_from_the_cluster() -> None:
    overview = an_overview(unreachable("node1", "ssh"), unreachable("node2", "ssh"))
    assert does_stream(overview, "node2") == Answer(True, "by the cluster's attributes WAL arrives from node1")
    gone = with_members(SEEN, next(one for one in SEEN.view.members if one.name == "node2")._replace(data_status=None))
    assert arrives(an_overview(unreachable("node1", "ssh"), unreachable("node2", "ssh"), seen=gone), "node2") is None
    assert arrives(an_overview(unreachable("node1", "ssh")), "node2") == "WAL arrives"


# --- what stands in the way -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seen", "reason", "change"),
    [
        (SEEN._replace(view=SEEN.view._replace(quorate=False)), "this partition has no quorum", "bring the other"),
        (SEEN._replace(disabled=True), "the resource is disabled", "expgsql start"),
        (SEEN._replace(nodes=SEEN.nodes[:2]), "node_list does not name it", "add it"),
        (with_node(SEEN, a_node("node3", standby=True)), "it is in standby", "expgsql standby off node3"),
        (offline(SEEN, "node3"), "it is offline: the cluster does not run there", "start the machine"),
        (with_node(SEEN, a_node("node3", online=False)._replace(pending=True)), "it joins", "nothing"),
        (stopped(SEEN, "node3")._replace(failures=(a_failure(),)), "start failed there: data has diverged", "mend"),
        (stopped(SEEN, "node3")._replace(failures=(a_failure(reason=""),)), "start failed there: 1", "mend"),
        (stopped(SEEN, "node3")._replace(managed=False), "no server runs there", "expgsql maintenance off"),
    ],
)
def test_what_keeps_pacemaker_from_running_a_server(seen: Deployment, reason: str, change: str) -> None:
    answer = hindrance(an_overview(seen=seen), "node3")
    assert answer is not None
    assert answer.reason.startswith(reason)
    assert answer.change.startswith(change)
    overview = an_overview(facts_of_primary("node1", a_peer("node2")), facts_of_stopped("node3"), seen=seen)
    assert does_stream(overview, "node3") == is_promotable(overview, "node3") == answer


def test_a_node_that_does_not_answer_says_so() -> None:
    overview = an_overview(unreachable("node3", "ssh does not get there: timed out"), seen=offline(SEEN, "node3"))
    answer = hindrance(overview, "node3")
    assert answer is not None
    assert answer.reason == "it is offline (ssh does not get there: timed out)"


@pytest.mark.parametrize(
    ("marks", "reason", "change"),
    [
        (("expgsql.repairing",), "a repair of the data here was begun", "expgsql repair node3, unless one runs now"),
        (("expgsql.rewinding",), "the data here is half rewound", "expgsql rebuild node3, unless one runs now"),
        (("expgsql.unheard-of",), "expgsql.unheard-of", "expgsql repair node3, unless one runs now"),
    ],
)
def test_a_half_done_repair_comes_first(marks: tuple[str, ...], reason: str, change: str) -> None:
    answer = hindrance(an_overview(facts_of_stopped("node3")._replace(marks=marks)), "node3")
    assert answer is not None
    assert answer.reason.startswith(reason)
    assert answer.change == change


def test_data_that_has_diverged_is_the_cause_of_a_failed_start() -> None:
    seen = stopped(SEEN, "node3")._replace(failures=(a_failure(),))
    ahead = facts_of_stopped("node3", lsn="0/4100", timeline=1)
    answer = hindrance(an_overview(ahead, seen=seen), "node3")
    assert answer is not None
    assert answer.reason.startswith("data has diverged: run expgsql repair")
    assert answer.change == "expgsql repair node3"
    without_primary = hindrance(an_overview(ahead, seen=nobody_promoted(seen)), "node3")
    assert without_primary is not None
    assert without_primary.reason == "start failed there: data has diverged"


def test_nothing_stands_in_the_way_of_a_server_that_starts_just_now() -> None:
    assert hindrance(an_overview(seen=stopped(SEEN, "node3")), "node3") is None


@pytest.mark.parametrize(
    ("identity", "change"),
    [
        ("cli-ban-msPostgresql-on-node2", "crm_resource --clear --resource msPostgresql"),
        ("never-there", "remove it if it is not wanted"),
    ],
)
def test_a_constraint_keeps_a_node_from_promotion(identity: str, change: str) -> None:
    constraints = (Constraint("near", "node2", "100"), Constraint(identity, "NODE2", "-INFINITY"))
    answer = Answer(False, f"the constraint {identity} keeps it away", change)
    assert is_promotable(an_overview(seen=SEEN._replace(constraints=constraints)), "node2") == answer
    assert is_primary(an_overview(seen=NOBODY._replace(constraints=constraints)), "node2") == answer
    assert does_stream(an_overview(seen=SEEN._replace(constraints=constraints)), "node2").holds is True


# --- facts, as the rules want them ------------------------------------------------------------


@pytest.mark.parametrize(
    ("server", "trouble"),
    [
        ("standby", ""),
        ("stopped", "its server is stopped (why)"),
        ("starting", "PostgreSQL starts, recovers or shuts down; 2 probes in a row"),
        ("stalled", "why; 2 probes in a row"),
        ("refusing", "PostgreSQL answers, but not to the agent: why"),
        ("orphans", "the postmaster died, 1 of its processes still run (pid 0)"),
        ("unknown", "cannot tell whether PostgreSQL runs: why"),
    ],
)
def test_what_monitor_would_say(server: str, trouble: str) -> None:
    assert server_trouble(NodeFacts("node1", server, "why")) == trouble


def test_what_a_directory_holds() -> None:
    clean = local_wal(facts_of_stopped(lsn="0/5000", state="shut down"))
    assert (clean.last_record, clean.end, clean.reached) == (Lsn(0x5000), None, Lsn(0x5000))
    crashed = local_wal(facts_of_stopped(state="in production"))
    assert crashed.last_record is None
    running = local_wal(facts_of_standby(lsn="0/5000"))
    assert (running.last_record, running.end, running.reached) == (None, Lsn(0x5000), None)
