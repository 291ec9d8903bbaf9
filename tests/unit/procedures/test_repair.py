# SPDX-License-Identifier: GPL-2.0-or-later
"""Repairing the data of a node: what is done in which order, and what is left when it is killed after any step."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.builders import a_history
from tests.fake_operator import facts_of_primary, facts_of_standby
from tests.fake_workshop import DIVERGED, HALF, NODE, PRIMARY, WHOLE, FakeShop
from tests.fakes import Killed

from expgsql_ra.deployment import Constraint, Failure
from expgsql_ra.errors import AgentError, CannotTell, CommandFailed, DeadlineExceeded, Inconsistent, Refused
from expgsql_ra.events import Kind
from expgsql_ra.record import Successor, Unreachable
from expgsql_ra.repairs import Mark, Source
from expgsql_ra.rules.repairing import Way
from expgsql_ra.values import Lsn

STEPS = 40


def a_crashed_one() -> FakeShop:
    """Its server did not end in order."""
    shop = FakeShop()
    shop.state = "in production"
    return shop


def assert_repaired(shop: FakeShop) -> None:
    """All is as it was meant to be, and nothing is left lying about."""
    assert shop.content == WHOLE
    assert shop.configuration == "own"
    assert shop.kept is None
    assert not shop.standing
    assert shop.olds == []
    assert shop.cluster.now.failures == ()
    assert shop.stored
    assert NODE not in shop.stored.nodes


def test_a_diverged_node_is_rewound_and_streams() -> None:
    shop = FakeShop()
    assert shop.order()
    assert_repaired(shop)
    assert shop.cluster.done == [
        "mark expgsql.repairing",
        "record: repair of node1",
        "keep configuration",
        "mark expgsql.rewinding",
        "rewind: half",
        "rewind: done",
        "restore configuration",
        "unmark expgsql.rewinding",
        "forget configuration",
        "unmark expgsql.repairing",
        "cleanup pgsql node1",
    ]
    said = "\n".join(shop.cluster.console.said)
    assert "the WAL from 0/4000 on timeline 1 on" in said
    assert "up to 0/4800 at least (2,048 bytes or more)" in said
    assert shop.cluster.console.asked == ["Repair the data of node1?"]
    assert [(kind, node) for kind, node, _ in shop.cluster.events] == [(Kind.REPAIR, NODE)]


def test_the_record_is_written_although_it_does_not_list_the_node() -> None:
    shop = FakeShop()
    assert shop.stored
    shop.stored = shop.stored._replace(successors=(Successor(PRIMARY, "d2"),))
    shop.order()
    assert "record: repair of node1" in shop.cluster.done


def test_a_running_standby_that_does_not_stream_is_stopped_first() -> None:
    shop = FakeShop(running=True)
    shop.order()
    assert shop.cluster.done[:3] == ["mark expgsql.repairing", "stop fast", "record: repair of node1"]
    assert_repaired(shop)


def test_a_crashed_one_is_recovered_before_it_is_rewound() -> None:
    shop = a_crashed_one()
    shop.order()
    assert shop.cluster.done.index("recover") < shop.cluster.done.index("mark expgsql.rewinding")
    assert any(said.startswith("thrown away: the WAL from 0/4000") for said in shop.cluster.console.said)
    assert_repaired(shop)


def test_data_that_may_follow_is_only_started() -> None:
    shop = FakeShop(WHOLE)
    shop.released = True
    shop.standing = {Mark.REPAIRING}
    assert shop.order()
    assert shop.cluster.done == ["unmark expgsql.repairing", "cleanup pgsql node1"]


def test_a_crashed_one_that_turns_out_to_follow_is_not_rewound() -> None:
    shop = FakeShop(WHOLE)
    shop.state = "in production"
    shop.content = DIVERGED
    shop.cluster.reaction = lambda effect: setattr(shop, "content", WHOLE) if effect == "recover" else None
    assert shop.order()
    assert "rewind: half" not in shop.cluster.done


def test_the_primary_is_asked_for_its_first_checkpoint() -> None:
    shop = FakeShop()
    shop.primary = shop.primary._replace(checkpointed=1)
    shop.order()
    assert shop.cluster.done.index("checkpoint") < shop.cluster.done.index("mark expgsql.rewinding")


def test_a_checkpoint_that_is_refused_changes_nothing() -> None:
    shop = FakeShop()
    shop.primary = shop.primary._replace(checkpointed=1)

    def refuse(within: float) -> None:
        del within
        raise CommandFailed("SQL failed: must be superuser")

    shop.checkpoint_source = refuse  # type: ignore[method-assign]
    with pytest.raises(CommandFailed, match="run CHECKPOINT there"):
        shop.order()
    assert shop.content == DIVERGED


def test_a_rebuild_puts_the_new_copy_in_place_and_removes_the_old_one_when_it_streams() -> None:
    shop = FakeShop()
    assert shop.order(Way.REBUILD)
    assert_repaired(shop)
    assert shop.cluster.done == [
        "mark expgsql.repairing",
        "record: rebuild of node1",
        "make room",
        "base backup: half",
        "base backup: done",
        "complete",
        "record: rebuild of node1",
        "old aside",
        "new in place",
        "cleanup pgsql node1",
        "discard old",
    ]
    assert [kind for kind, *_ in shop.cluster.events] == [Kind.REBUILD]


def test_the_old_directory_is_kept_where_that_was_asked_for_or_the_new_one_does_not_stream() -> None:
    shop = FakeShop()
    shop.order(Way.REBUILD, keep_old=True)
    assert shop.olds == [DIVERGED]
    other = FakeShop()
    other.never_streams = True
    with pytest.raises(DeadlineExceeded, match="does not stream yet"):
        other.order(Way.REBUILD, wait=5.0)
    assert other.olds == [DIVERGED]


def test_what_the_fault_did_to_an_address_on_that_node_is_forgotten_too() -> None:
    shop = FakeShop()
    seen = shop.cluster.now
    address = seen.companions[0].name
    failed = seen.failures[0]._replace(resource=address, operation="monitor")
    shop.cluster.now = seen._replace(failures=(*seen.failures, failed))
    shop.order()
    assert [one for one in shop.cluster.done if "cleanup" in one] == [
        f"cleanup pgsql {NODE}",
        f"cleanup {address} {NODE}",
    ]


def test_a_ban_that_somebody_forgot_is_named() -> None:
    shop = FakeShop()
    shop.never_streams = True
    ban = Constraint("cli-ban-msPostgresql-on-node1", NODE, "-INFINITY")
    shop.cluster.now = shop.cluster.now._replace(constraints=(ban,))
    with pytest.raises(DeadlineExceeded, match=r"cli-ban-msPostgresql-on-node1 keeps it off.*--clear"):
        shop.order(wait=5.0)


def test_a_lost_directory_is_made_anew() -> None:
    shop = FakeShop(WHOLE)
    shop.content = None
    shop.cluster.reaction = lambda _effect: None
    shop.order(Way.REBUILD)
    assert_repaired(shop)


# --- killed -----------------------------------------------------------------------------------


def killed_after(build: Callable[[], FakeShop], way: Way, step: int) -> FakeShop | None:
    """A repair that was killed after a step; None if it has not so many."""
    shop = build()
    shop.cluster.kill_after = step
    try:
        shop.order(way)
    except Killed:
        shop.cluster.kill_after = None
        return shop
    return None


@pytest.mark.parametrize("build", [FakeShop, a_crashed_one])
@pytest.mark.parametrize("way", [Way.REWIND_OR_REBUILD, Way.REBUILD])
def test_killed_after_any_step_the_same_command_again_repairs(build: Callable[[], FakeShop], way: Way) -> None:
    for step in range(1, STEPS):
        shop = killed_after(build, way, step)
        if shop is None:
            assert step > 10
            return
        if shop.content == WHOLE and shop.is_startable() and not shop.cluster.now.failures:
            shop.cluster.servers[NODE] = facts_of_standby(NODE)
            continue  # it streams: there is nothing left to repair
        shop.order(way)
        shop.olds.clear()  # of the call that was killed when all but this was done
        assert_repaired(shop)


def test_killed_after_any_step_of_a_rewind_the_next_one_repairs_or_names_what_does() -> None:
    outcomes = set()
    for step in range(1, STEPS):
        shop = killed_after(FakeShop, Way.REWIND, step)
        if shop is None:
            break
        if shop.content == WHOLE and not shop.standing:
            continue
        if Mark.REWINDING in shop.standing:
            outcomes.add("named")
            with pytest.raises(Refused, match="run expgsql rebuild"):
                shop.order(Way.REWIND)
            shop.order(Way.REBUILD)
        else:
            outcomes.add("repaired")
            shop.order(Way.REWIND)
        assert_repaired(shop)
    assert outcomes == {"repaired", "named"}


# --- failures ---------------------------------------------------------------------------------


def test_a_rewind_that_cannot_begin_has_changed_nothing() -> None:
    shop = FakeShop()
    shop.rewinds_fail = "trial"
    with pytest.raises(CommandFailed, match="nothing was thrown away"):
        shop.order()
    assert (shop.content, shop.standing) == (DIVERGED, {Mark.REPAIRING})


def test_a_rewind_that_fails_while_it_writes_leaves_data_that_nobody_starts() -> None:
    shop = FakeShop()
    shop.rewinds_fail = "work"
    with pytest.raises(CommandFailed, match=r"half rewound.*run expgsql rebuild"):
        shop.order()
    assert shop.content == HALF
    assert Mark.REWINDING in shop.standing


@pytest.mark.parametrize("when", ["trial", "work"])
def test_a_rewind_that_fails_is_followed_by_a_base_backup_where_that_is_allowed(when: str) -> None:
    shop = FakeShop()
    shop.rewinds_fail = when
    assert shop.order(Way.REWIND_OR_REBUILD)
    assert_repaired(shop)
    assert "a base backup takes its place" in shop.cluster.console.warned[0]


def test_a_mark_that_did_not_outlast_pg_rewind_is_noticed() -> None:
    shop = FakeShop()
    shop.cluster.reaction = lambda effect: shop.standing.clear() if effect == "rewind: done" else None
    with pytest.raises(CannotTell, match="removed the mark"):
        shop.order()


def test_what_the_restarted_server_says_is_passed_on() -> None:
    shop = FakeShop()

    def fail() -> None:
        failure = Failure(NODE, "pgsql", "start", 1, "PostgreSQL did not start", "now")
        shop.cluster.now = shop.cluster.now._replace(failures=(failure,))

    shop.never_streams = True
    shop.cluster.passing = fail
    with pytest.raises(DeadlineExceeded, match="does not stream: PostgreSQL did not start"):
        shop.order()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"disabled": True}, "expgsql start"),
        ({"managed": False}, "maintenance off"),
    ],
)
def test_where_the_cluster_does_not_start_it_nobody_waits(change: dict[str, bool], words: str) -> None:
    shop = FakeShop()
    shop.cluster.now = shop.cluster.now._replace(**change)  # type: ignore[arg-type]
    assert not shop.order(Way.REBUILD)
    assert shop.olds == [DIVERGED]
    assert words in shop.cluster.console.said[-2]
    assert shop.cluster.console.said[-1].startswith("its old directory is")
    standby = FakeShop()
    standby.cluster.standby(NODE, on=True)
    assert not standby.order()


def test_a_repair_in_the_background_forgets_the_start_that_could_not_wait() -> None:
    shop = FakeShop()
    assert shop.order(background=True)
    assert_repaired(shop)


@pytest.mark.parametrize(
    "away",
    [
        CannotTell("the primary does not let repl in at its address: No route to host"),
        CommandFailed("the database system is starting up"),
        DeadlineExceeded("no answer of the cluster"),
        "a standby has the address",
    ],
    ids=str,
)
def test_a_repair_in_the_background_waits_for_the_primary(away: AgentError | str) -> None:
    """After a change of members its address is moved, and may wait for the very start that began the repair."""
    shop = FakeShop()
    looks = iter(range(100))
    source = shop.source

    def seldom(within: float) -> Source:
        if next(looks) >= 3:
            return source(within)
        if isinstance(away, AgentError):
            raise away
        return source(within)._replace(in_recovery=True)

    shop.source = seldom  # type: ignore[method-assign]
    assert shop.order(background=True)
    assert_repaired(shop)
    assert next(looks) == 4
    assert sum(said.startswith("waiting: ") for said in shop.cluster.console.said) == 1


def test_a_repair_that_waited_goes_by_the_primary_of_then() -> None:
    shop = FakeShop()
    source, looks = shop.source, iter(range(100))

    def promoted_anew(within: float) -> Source:
        if next(looks) == 1:
            shop.primary = shop.primary._replace(timeline=3, checkpointed=3)
            view = shop.cluster.now.view
            info = view.repl_info and view.repl_info._replace(timeline=2, end=Lsn(0x5000))
            view = view._replace(ancestry=a_history("1@0/4000", "2@0/5000"), repl_info=info)
            shop.cluster.now = shop.cluster.now._replace(view=view)
        return source(within)._replace(in_recovery=shop.primary.timeline == 2)

    shop.source = promoted_anew  # type: ignore[method-assign]
    assert shop.order(background=True)
    assert_repaired(shop)


def test_an_answer_that_nobody_waits_for_is_the_reason_as_it_is() -> None:
    shop = FakeShop()

    def fail(within: float) -> Source:
        raise CannotTell(f"the primary does not let repl in within {within:.0f} s: see pg_hba.conf there")

    shop.source = fail  # type: ignore[method-assign]
    begun = shop.cluster.clock.now()
    with pytest.raises(CannotTell, match=r"see pg_hba\.conf"):
        shop.order()
    assert shop.cluster.clock.now() == begun


def test_a_repair_in_the_background_waits_for_the_record_but_not_for_ever() -> None:
    shop = FakeShop()
    begun = shop.cluster.clock.now()
    shop.read = lambda within: Unreachable(f"no answer within {within:.0f} s")  # type: ignore[method-assign]
    with pytest.raises(Refused, match="is not to be had"):
        shop.order(background=True)
    assert shop.cluster.clock.now() - begun >= 120
    assert shop.cluster.done == []


def test_nobody_who_asks_for_a_repair_waits_for_the_primary() -> None:
    shop = FakeShop()
    shop.cluster.now = shop.cluster.now._replace(roles=())
    begun = shop.cluster.clock.now()
    with pytest.raises(Refused, match="no primary to copy from"):
        shop.order()
    assert shop.cluster.clock.now() == begun


def test_a_start_that_fails_again_and_again_is_not_forgotten_for_ever() -> None:
    shop = FakeShop()
    shop.never_streams = True
    failures = shop.cluster.now.failures

    def fail() -> None:
        shop.cluster.now = shop.cluster.now._replace(failures=failures)

    shop.cluster.passing = fail
    with pytest.raises(DeadlineExceeded, match="data has diverged"):
        shop.order(background=True)


# --- the record and the server ----------------------------------------------------------------


def test_a_write_that_came_first_is_followed_by_another_try() -> None:
    shop = FakeShop()

    def interfere() -> None:
        assert shop.stored
        shop.stored = shop.stored._replace(revision=shop.stored.revision + 1, writer=PRIMARY)

    shop.interfering = [interfere, interfere]
    shop.order()
    assert_repaired(shop)


def test_without_the_record_nothing_is_touched() -> None:
    shop = FakeShop()

    def interfere() -> None:
        assert shop.stored
        shop.stored = shop.stored._replace(revision=shop.stored.revision + 1, writer=PRIMARY)

    shop.interfering = [interfere] * 20
    with pytest.raises(CannotTell, match="the record did not let go"):
        shop.order()
    assert shop.content == DIVERGED


def test_another_primary_in_the_record_ends_it() -> None:
    shop = FakeShop()

    def interfere() -> None:
        assert shop.stored
        after = shop.stored._replace(epoch=3, revision=9, primary="node3", successors=(Successor("node3", "d3"),))
        shop.stored = after

    shop.interfering = [interfere]
    with pytest.raises(Inconsistent, match="names node3"):
        shop.order()
    assert shop.content == DIVERGED


def test_a_server_that_does_not_end_is_not_repaired() -> None:
    shop = FakeShop(running=True)
    shop.shut_down = str  # type: ignore[assignment,method-assign]
    with pytest.raises(CannotTell, match="does not end"):
        shop.order()
    assert shop.content == DIVERGED


def test_a_server_that_was_started_meanwhile_is_stopped_again_or_left_alone() -> None:
    shop = FakeShop()
    shop.cluster.reaction = lambda effect: setattr(shop, "running", effect == "complete" or shop.running)
    shop.order(Way.REBUILD)
    assert "stop fast" in shop.cluster.done


# --- refused ----------------------------------------------------------------------------------


def test_a_dry_run_tells_and_does_nothing() -> None:
    shop = FakeShop()
    assert not shop.order(dry_run=True)
    assert shop.cluster.done == []
    assert "nothing was done: --dry-run" in shop.cluster.console.said
    assert not FakeShop().order(Way.REBUILD, dry_run=True)


def test_who_does_not_agree_changes_nothing() -> None:
    shop = FakeShop()
    shop.cluster.console.agrees = False
    with pytest.raises(Refused):
        shop.order()
    assert shop.cluster.done == []


def refused(shop: FakeShop, way: Way = Way.REWIND) -> str:
    """Why."""
    with pytest.raises((Refused, Inconsistent)) as caught:
        shop.order(way)
    assert shop.cluster.done == []
    return str(caught.value)


def test_the_primary_is_refused() -> None:
    shop = FakeShop()
    shop.cluster.promote(NODE)
    assert "node1 is the primary" in refused(shop)


def test_the_records_primary_is_refused_whoever_is_promoted() -> None:
    shop = FakeShop()
    assert shop.stored
    shop.stored = shop.stored._replace(primary=NODE)
    assert "the record names node1 as the primary" in refused(shop)


def test_lost_data_and_other_peoples_data_are_not_rewound() -> None:
    shop = FakeShop(WHOLE)
    shop.content = None
    assert "there is no database in /data: run expgsql rebuild" in refused(shop)


def test_a_primary_that_cannot_be_asked_is_no_source() -> None:
    shop = FakeShop()

    def fail(within: float) -> None:
        del within
        raise CommandFailed("permission denied for function pg_control_system")

    shop.source = fail  # type: ignore[assignment,method-assign]
    assert "does not tell what it is" in refused(shop)
    standby = FakeShop()
    standby.primary = standby.primary._replace(in_recovery=True)
    assert "is a standby" in refused(standby)


def test_a_full_disk_is_no_place_for_a_copy() -> None:
    shop = FakeShop()
    shop.folder = shop.folder._replace(free=1 << 20)
    assert "make room" in refused(shop, Way.REBUILD)
    other = FakeShop()
    other.folder, other.rewinds_fail = shop.folder, "trial"
    with pytest.raises(Refused, match="make room"):
        other.order(Way.REWIND_OR_REBUILD)
    assert other.content == DIVERGED


def test_a_primary_without_a_server_is_no_source() -> None:
    shop = FakeShop()
    shop.cluster.servers[PRIMARY] = facts_of_primary(PRIMARY)._replace(server="stopped")
    with pytest.raises(AgentError, match="no primary that answers"):
        shop.order()
