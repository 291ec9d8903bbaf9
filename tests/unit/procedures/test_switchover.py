# SPDX-License-Identifier: GPL-2.0-or-later
"""A switchover, step by step: what it does in which order, what it leaves behind when it fails or is killed."""

from __future__ import annotations

import pytest
from tests.fake_operator import Answer, FakeCluster, a_deployment
from tests.fakes import Killed

from expgsql_ra.deployment import Constraint, Failure
from expgsql_ra.errors import CannotTell, CommandFailed, DeadlineExceeded, Inconsistent, Refused
from expgsql_ra.events import Kind
from expgsql_ra.procedures.switchover import switch_over

MOVE = "move msPostgresql node2"
LIFT = "lift expgsql-switchover-msPostgresql"
CHECKPOINTS = [f"{node}$ expgsql local checkpoint --timeout 300" for node in ("node1", "node2")]
WITHIN = 60.0


def obeying(cluster: FakeCluster) -> FakeCluster:
    """Pacemaker promotes whom our constraint prefers, while it is there."""

    def passing() -> None:
        wanted = [one.node for one in cluster.now.constraints if one.ours]
        if wanted and cluster.now.promoted != wanted[0]:
            cluster.promote(wanted[0])

    cluster.passing = passing
    return cluster


def refusing(cluster: FakeCluster, reason: str = "no right") -> FakeCluster:
    """The agent on the target refuses: nobody is promoted until the constraint is gone."""

    def passing() -> None:
        failed = (Failure("node2", "pgsql", "promote", 1, reason, "now"),)
        if any(one.ours for one in cluster.now.constraints):
            cluster.now = cluster.now._replace(roles=(), failures=failed)
        elif not cluster.now.promoted:
            cluster.promote("node1")

    cluster.passing = passing
    return cluster


def test_the_primary_moves_and_nothing_is_left_behind() -> None:
    cluster = obeying(FakeCluster())
    assert switch_over(cluster.site(), "", WITHIN) == "node2"
    assert cluster.done == [*CHECKPOINTS, MOVE, LIFT]
    assert cluster.now.promoted == "node2"
    assert cluster.now.constraints == ()
    assert cluster.events == [(Kind.SWITCHOVER, "node2", "switchover from node1")]
    assert cluster.console.said[-1] == "node1 is a standby and streams"


def test_it_is_over_where_the_target_is_the_primary() -> None:
    cluster = FakeCluster()
    assert switch_over(cluster.site(), "node1", WITHIN) == "node1"
    assert cluster.done == []


def test_where_resources_stick_for_ever_the_old_primary_is_kept_away() -> None:
    cluster = obeying(FakeCluster(a_deployment()._replace(stuck=True)))
    switch_over(cluster.site(), "node2", WITHIN)
    assert f"{MOVE} away from node1" in cluster.done


def test_a_dry_run_changes_nothing() -> None:
    cluster = FakeCluster()
    switch_over(cluster.site(dry_run=True), "", WITHIN)
    assert cluster.done == []
    assert "would checkpoint node1 and node2" in cluster.console.said
    assert any(line.startswith(f"would run: {MOVE}") for line in cluster.console.said)


def test_a_refusal_changes_nothing() -> None:
    cluster = FakeCluster()
    with pytest.raises(Refused, match="node3 cannot take over"):
        switch_over(cluster.site(), "node3", WITHIN)
    cluster.now = cluster.now._replace(view=cluster.now.view._replace(quorate=False))
    with pytest.raises(Inconsistent, match="no quorum"):
        switch_over(cluster.site(), "", WITHIN)
    assert cluster.done == []


def test_without_a_checkpoint_nothing_is_moved() -> None:
    cluster = FakeCluster()
    cluster.answers["node2$"] = Answer(1, err="disk full")
    with pytest.raises(Refused, match=r"nothing was changed \(node2: failed: disk full"):
        switch_over(cluster.site(), "", WITHIN)
    assert cluster.done == CHECKPOINTS


def test_what_changed_during_the_checkpoint_is_seen() -> None:
    cluster = FakeCluster()
    cluster.reaction = lambda _effect: cluster.promote("node3")
    with pytest.raises(Refused, match="node2 cannot take over"):
        switch_over(cluster.site(), "node2", WITHIN)
    assert cluster.done == CHECKPOINTS


def test_a_primary_that_has_moved_during_the_checkpoint_is_not_moved_again() -> None:
    cluster = FakeCluster()
    cluster.reaction = lambda _effect: cluster.promote("node2")
    assert switch_over(cluster.site(), "node2", WITHIN) == "node2"
    assert cluster.done == CHECKPOINTS


def test_a_target_that_refuses_leaves_the_old_primary_in_its_place() -> None:
    cluster = refusing(FakeCluster())
    with pytest.raises(DeadlineExceeded, match="no right; node1 is the primary again"):
        switch_over(cluster.site(), "", WITHIN)
    assert cluster.done == [*CHECKPOINTS, MOVE, LIFT, "cleanup msPostgresql node2"]
    assert cluster.now.promoted == "node1"
    assert cluster.clock.now() < 10  # it does not wait for the end of its time


def test_a_target_that_is_too_slow_is_given_up() -> None:
    cluster = FakeCluster()
    with pytest.raises(DeadlineExceeded, match="not promoted in time; node1 is the primary again"):
        switch_over(cluster.site(), "", WITHIN)
    assert cluster.done[-1] == LIFT
    assert cluster.clock.now() == pytest.approx(WITHIN)


def test_a_target_that_comes_late_is_the_primary_all_the_same() -> None:
    cluster = FakeCluster()

    def passing() -> None:
        if not any(one.ours for one in cluster.now.constraints):
            cluster.promote("node2")
        else:
            cluster.now = cluster.now._replace(roles=())

    cluster.passing = passing
    assert switch_over(cluster.site(), "node2", WITHIN) == "node2"
    assert cluster.done[-1] == LIFT


def test_a_failure_that_cannot_be_forgotten_is_told() -> None:
    cluster = refusing(FakeCluster())

    def fails(effect: str) -> None:
        if effect.startswith("cleanup"):
            raise CommandFailed("no answer")

    cluster.reaction = fails
    with pytest.raises(DeadlineExceeded, match="node1 is the primary again"):
        switch_over(cluster.site(), "", WITHIN)
    assert "expgsql cleanup node2" in cluster.console.warned[0]


def test_nobody_promoted_at_all_is_said_loudly() -> None:
    cluster = FakeCluster()
    cluster.passing = lambda: setattr(cluster, "now", cluster.now._replace(roles=()))
    with pytest.raises(DeadlineExceeded, match="NO PRIMARY"):
        switch_over(cluster.site(), "", WITHIN)
    assert LIFT in cluster.done


def test_a_move_that_pacemaker_did_not_take_is_lifted_all_the_same() -> None:
    cluster = FakeCluster()

    def fails(effect: str) -> None:
        if effect.startswith("move"):
            raise CommandFailed("timed out")

    cluster.reaction = fails
    with pytest.raises(CommandFailed, match="timed out"):
        switch_over(cluster.site(), "", WITHIN)
    assert cluster.done[-1] == LIFT


def test_a_constraint_that_cannot_be_lifted_is_told() -> None:
    cluster = obeying(FakeCluster())

    def fails(effect: str) -> None:
        if effect.startswith("lift"):
            raise CommandFailed("no answer")

    cluster.reaction = fails
    assert switch_over(cluster.site(), "", WITHIN) == "node2"
    assert "ends by itself: no answer" in cluster.console.warned[0]


def test_an_old_primary_that_does_not_come_back_is_told() -> None:
    cluster = obeying(FakeCluster())
    promote = cluster.passing

    def passing() -> None:
        promote()
        cluster.servers.pop("node1", None)

    cluster.passing = passing
    with pytest.raises(DeadlineExceeded, match="node2 is the primary, but node1 does not stream"):
        switch_over(cluster.site(), "", WITHIN)


def test_a_cluster_that_does_not_answer_for_a_moment_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = obeying(FakeCluster())
    answer, asked = cluster.deployment, [0]

    def deployment() -> object:
        asked[0] += 1
        if asked[0] == 3:  # the first look while it waits
            raise CannotTell("no answer")
        return answer()

    monkeypatch.setattr(cluster, "deployment", deployment)
    assert switch_over(cluster.site(), "", WITHIN) == "node2"


@pytest.mark.parametrize("after", [1, 2, 3, 4])
def test_killed_after_any_step_the_next_call_goes_on(after: int) -> None:
    cluster = obeying(FakeCluster())
    cluster.kill_after = after
    with pytest.raises(Killed):
        switch_over(cluster.site(), "node2", WITHIN)
    cluster.kill_after = None
    cluster.passing()  # Pacemaker goes on with what it was told
    assert cluster.now.promoted in {"node1", "node2"}
    assert switch_over(cluster.site(), "node2", WITHIN) == "node2"
    assert cluster.now.constraints == ()


def test_what_a_killed_command_left_is_lifted_and_what_others_laid_down_stays() -> None:
    others = Constraint("cli-ban-z", "node3", "-INFINITY")
    left = (Constraint("expgsql-switchover-msPostgresql", "node1", "INFINITY"), others)
    cluster = obeying(FakeCluster(a_deployment()._replace(constraints=left)))
    assert switch_over(cluster.site(), "", WITHIN) == "node2"
    assert cluster.done[0] == LIFT
    assert cluster.now.constraints == (others,)
