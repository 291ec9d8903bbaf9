# SPDX-License-Identifier: GPL-2.0-or-later
"""Who may succeed the primary: each single step, and what holds for every step (R1 to R5, R10)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expgsql_ra.record import NO_LEASE, Lease, Record, Successor
from expgsql_ra.rules import succession
from expgsql_ra.rules.succession import (
    Await,
    AwaitLease,
    Blocked,
    Choice,
    Claim,
    Completed,
    Duty,
    Narrow,
    NoClaim,
    Note,
    Prove,
    Rename,
    Settled,
    Widen,
    Word,
    all_took,
    candidates,
    choose,
    next_step,
)
from expgsql_ra.snapshot import Sender
from expgsql_ra.values import Ancestry, Fork, Lsn

ONE, TWO, THREE = (Successor(f"node{number}", f"d{number}") for number in (1, 2, 3))
END = Lsn(0x5000)


def a_record(*successors: Successor, primary: str = "node1", epoch: int = 3, lease: Lease = NO_LEASE) -> Record:
    return Record("7", epoch, 17, primary, successors, lease, "node1", "", "")


def a_duty(
    record: Record,
    names: tuple[str, ...] | None,
    *target: Successor,
    written: tuple[str, ...] | str | None = "the same",
    **more: object,
) -> Duty:
    """``names`` in the sessions and, unless told otherwise, in the file."""
    at_rest = names if isinstance(written, str) else written
    return Duty(record, ONE, names, at_rest, target)._replace(**more)  # type: ignore[arg-type]


ALONE, BOTH = a_record(ONE), a_record(ONE, TWO)


def proven(duty: Duty) -> Duty:
    """Every process of the server waits for the names."""
    return duty._replace(effective=True, taken=True)


def nodes(step: object) -> tuple[str, ...]:
    """The successors of a write."""
    assert isinstance(step, Narrow | Widen)
    return tuple(one.node for one in step.proposal.successors)


# --- fewer are waited for: R1 -----------------------------------------------------------------


def test_a_lost_standby_leaves_the_record_before_it_leaves_the_names() -> None:
    step = next_step(a_duty(BOTH, ("node2",)))
    assert nodes(step) == ("node1",)
    assert isinstance(step, Narrow)
    assert step.proposal.reason == "node2 may not succeed node1 any more"
    assert next_step(a_duty(ALONE, ("node2",), fresh=True)) == Rename(())


def test_a_record_that_was_only_read_lets_nothing_go() -> None:
    # a write of ours may still be on its way; only another accepted write ends that
    assert nodes(next_step(a_duty(ALONE, ("node2",)))) == ("node1",)


def test_closed_names_are_opened_after_a_write_of_this_epoch() -> None:
    step = next_step(a_duty(ALONE, None))
    assert isinstance(step, Narrow)
    assert step.proposal.reason == "node1 opens its names"
    assert next_step(a_duty(ALONE, None, fresh=True)) == Rename(())


def test_another_directory_of_the_same_node_is_no_successor() -> None:
    assert nodes(next_step(a_duty(BOTH, ("node2",), Successor("node2", "made anew")))) == ("node1",)


def test_a_file_that_names_others_than_the_sessions_is_what_the_next_reload_brings() -> None:
    # an agent died between the file and its reload
    assert nodes(next_step(a_duty(BOTH, ("node2",), TWO, written=()))) == ("node1",)
    assert next_step(a_duty(ALONE, ("node2",), TWO, written=())) == Rename(("node2",))
    assert nodes(next_step(a_duty(ALONE, (), written=("node2",)))) == ("node1",)


# --- more are waited for: R2 ------------------------------------------------------------------


def test_a_newcomer_is_named_proven_awaited_and_only_then_recorded() -> None:
    duty = a_duty(ALONE, (), TWO)
    assert next_step(duty) == Rename(("node2",))
    duty = a_duty(ALONE, ("node2",), TWO)
    assert isinstance(next_step(duty), Prove)
    assert isinstance(next_step(duty._replace(effective=True)), Prove)
    assert isinstance(next_step(duty._replace(taken=True)), Prove)
    duty = proven(duty)
    assert isinstance(next_step(duty), Note)
    step = next_step(duty._replace(noted=END))
    assert isinstance(step, Await)
    assert step.nodes == ("node2",)
    step = next_step(duty._replace(noted=END, passed=frozenset({"node2"})))
    assert isinstance(step, Widen)
    assert nodes(step) == ("node1", "node2")
    assert isinstance(next_step(a_duty(BOTH, ("node2",), TWO)), Settled)


def test_those_that_have_passed_need_not_wait_for_the_others() -> None:
    duty = a_duty(ALONE, ("node2", "node3"), TWO, THREE, noted=END, passed=frozenset({"node3"}))
    assert nodes(next_step(proven(duty))) == ("node1", "node3")


def test_one_standby_takes_the_place_of_another_at_once() -> None:
    assert next_step(a_duty(ALONE, ("node2",), THREE, fresh=True)) == Rename(("node3",))


@pytest.mark.parametrize(
    ("names", "target"),
    [(("node2",), (THREE, TWO)), (("node2", "node3"), (THREE, TWO)), ((), (TWO, THREE))],
)
def test_between_longer_lists_the_names_are_closed(names: tuple[str, ...], target: tuple[Successor, ...]) -> None:
    duty = a_duty(a_record(ONE), names, *target, fresh=True)
    assert next_step(duty) == Rename(None)
    closed = duty._replace(names=None, written=None, fresh=False)
    assert isinstance(next_step(closed), Prove)
    assert nodes(next_step(closed._replace(taken=True))) == ("node1",)
    after = next_step(closed._replace(taken=True, fresh=True))
    assert after == Rename(tuple(one.node for one in target))


def test_one_name_alone_may_follow_closed_names_at_once() -> None:
    # only its own walsender releases commits by it, and those of a longer list wait for more
    assert next_step(a_duty(ALONE, ("node3", "node2"), TWO, fresh=True)) == Rename(None)
    assert next_step(a_duty(ALONE, None, TWO, fresh=True)) == Rename(("node2",))


def test_a_successor_stays_one_while_the_names_are_closed() -> None:
    duty = a_duty(BOTH, None, THREE, TWO, taken=True)
    assert nodes(next_step(duty)) == ("node1", "node2")


# --- of every step ----------------------------------------------------------------------------

some_names = st.none() | st.lists(st.sampled_from(["node2", "node3"]), unique=True).map(tuple)
others = st.lists(st.sampled_from([TWO, THREE, Successor("node2", "made anew")]), unique_by=lambda one: one.node)
duties = st.builds(
    lambda recorded, target, **more: Duty(a_record(*sorted((ONE, *recorded))), ONE, target=tuple(target), **more),
    others,
    others,
    names=some_names,
    written=some_names,
    fresh=st.booleans(),
    effective=st.booleans(),
    taken=st.booleans(),
    noted=st.none() | st.just(END),
    passed=st.frozensets(st.sampled_from(["node2", "node3"])),
)


@given(duties)
def test_nobody_is_recorded_whom_commits_may_pass(duty: Duty) -> None:
    step = next_step(duty)
    if not isinstance(step, Widen):
        return
    added = set(step.proposal.successors) - set(duty.record.successors)
    assert added <= set(duty.target)
    assert duty.effective
    assert duty.taken
    assert duty.noted is not None
    assert {one.node for one in added} <= duty.passed & set(duty.names or ()) & set(duty.written or ())


@given(duties)
def test_names_never_lose_a_recorded_successor(duty: Duty) -> None:
    step = next_step(duty)
    if isinstance(step, Rename) and step.nodes is not None:
        assert {one.node for one in duty.record.successors} - {"node1"} <= set(step.nodes)


@given(duties)
def test_nothing_is_relaxed_without_a_fresh_write(duty: Duty) -> None:
    step = next_step(duty)
    if isinstance(step, Rename) and step.nodes is not None and not duty.fresh:
        assert duty.names is not None
        assert duty.written is not None
        assert {*duty.names, *duty.written} <= set(step.nodes)


@given(duties)
def test_no_write_of_a_fresh_record_is_repeated(duty: Duty) -> None:
    step = next_step(duty)
    if isinstance(step, Narrow) and duty.fresh:
        assert step.proposal.successors != duty.record.successors


@given(duties)
def test_the_steps_come_to_an_end(duty: Duty) -> None:
    for _ in range(12):
        duty = taken(duty, next_step(duty))
    assert isinstance(next_step(duty), Settled)
    assert set(duty.record.successors) == {ONE, *duty.target}


def taken(duty: Duty, step: succession.Step) -> Duty:
    """What is known once a step has been taken, where all goes well."""
    match step:
        case Narrow(proposal) | Widen(proposal):
            return duty._replace(record=proposal.accepted("", NO_LEASE), fresh=isinstance(step, Narrow))
        case Rename(names):
            return Duty(duty.record, ONE, names, names, duty.target)
        case Prove():
            return proven(duty)
        case Note():
            return duty._replace(noted=END)
        case Await(awaited):
            return duty._replace(passed=frozenset(awaited))
    return duty


# --- whom to wait for -------------------------------------------------------------------------

HISTORY = Ancestry("7", (Fork(1, Lsn(0x1000)),), 2)
WORD = Word("node2", "d2", 2, HISTORY.forks)


def a_sender(name: str = "node2", state: str = "streaming", priority: int = 1, flushed: Lsn | None = END) -> Sender:
    return Sender(name, state, "sync" if priority else "async", priority, flushed)


def test_a_standby_that_streams_and_gave_its_word_is_a_candidate() -> None:
    assert candidates((a_sender("NODE2"), a_sender("node3")), (WORD,), HISTORY, END) == (TWO,)


@pytest.mark.parametrize(
    "senders",
    [
        (),
        (a_sender(), a_sender("NODE2")),
        (a_sender(state="catchup"),),
        (a_sender(flushed=None),),
        (a_sender(flushed=Lsn(END + 1)),),
    ],
    ids=["none", "two of one name", "not streaming", "says nothing", "reports more than there is"],
)
def test_a_word_needs_one_sound_walsender(senders: tuple[Sender, ...]) -> None:
    assert candidates(senders, (WORD,), HISTORY, END) == ()


@pytest.mark.parametrize(
    "word", [WORD._replace(timeline=1), WORD._replace(forks=()), WORD._replace(forks=(Fork(1, END),))]
)
def test_a_word_about_another_history_is_none(word: Word) -> None:
    assert candidates((a_sender(),), (word,), HISTORY, END) == ()


@pytest.mark.parametrize(
    ("offered", "named", "count", "target"),
    [
        ((TWO, THREE), (), 1, (TWO,)),
        ((TWO, THREE), ("node3",), 1, (THREE,)),
        ((TWO, THREE), ("node3",), 2, (TWO, THREE)),
        ((TWO, THREE), ("node3", "node2"), 2, (THREE, TWO)),
        ((TWO, THREE), None, 2, (TWO, THREE)),
        ((THREE,), ("node2",), 1, (THREE,)),
        ((), ("node2",), 1, ()),
    ],
)
def test_those_that_are_waited_for_stay_and_newcomers_stand_in_front(
    offered: tuple[Successor, ...], named: tuple[str, ...] | None, count: int, target: tuple[Successor, ...]
) -> None:
    assert choose(offered, named, count, strict=False) == Choice(target)


def test_strict_blocks_instead_of_waiting_for_fewer() -> None:
    verdict = choose((TWO,), ("node2",), 2, strict=True)
    assert isinstance(verdict, Blocked)
    assert verdict.reason == "strict_sync: 1 of 2 synchronous standbys are there; start the others"
    assert choose((TWO, THREE), ("node2",), 2, strict=True) == Choice((THREE, TWO))


@pytest.mark.parametrize(
    ("priority", "names", "took"),
    [
        (1, ("node2",), True),
        (1, ("NODE2",), True),
        (2, ("node3", "node2"), True),
        (1, (), False),
        (0, ("node2",), False),
    ],
)
def test_a_walsender_shows_the_place_that_it_has_by_the_names_it_took(
    priority: int, names: tuple[str, ...], took: bool
) -> None:
    assert all_took((a_sender(priority=priority),), names) is took


# --- a candidate: R3 --------------------------------------------------------------------------


def test_a_successor_claims_the_next_epoch_and_leaves_the_others_their_right() -> None:
    verdict = succession.claim(BOTH, TWO)
    assert isinstance(verdict, Claim)
    assert (verdict.proposal.epoch, verdict.proposal.primary, verdict.proposal.successors) == (4, "node2", (ONE, TWO))


def test_the_spelling_of_the_record_is_kept() -> None:
    verdict = succession.claim(BOTH, Successor("NODE2", "d2"))
    assert isinstance(verdict, Claim)
    assert verdict.proposal.primary == "node2"


def test_a_live_lease_of_another_is_waited_for_and_the_own_is_not() -> None:
    held = BOTH._replace(lease=Lease("node1", 4.0))
    assert succession.claim(held, TWO) == AwaitLease("node1", 4.0)
    assert isinstance(succession.claim(held, ONE), Claim)


@pytest.mark.parametrize(
    ("me", "words"),
    [
        (THREE, "does not name node3 as a successor, but node1, node2"),
        (Successor("node2", "made anew"), "another data directory of node2"),
    ],
)
def test_whoever_is_no_successor_claims_nothing(me: Successor, words: str) -> None:
    verdict = succession.claim(BOTH, me)
    assert isinstance(verdict, NoClaim)
    assert words in verdict.reason
    assert not succession.is_successor(BOTH, me)


def test_the_confirmation_leaves_the_new_primary_alone() -> None:
    claimed = a_record(ONE, TWO, primary="node2", epoch=4)
    proposal = succession.confirm(claimed, Successor("NODE2", "d2"))
    assert (proposal.epoch, proposal.successors, proposal.confirms) == (4, (TWO,), True)


# --- the same primary again: R4 ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("me", "completed", "timeline", "own"),
    [
        (ONE, Completed(3, 5), 5, True),
        (Successor("NODE1", "d1"), Completed(3, 5), 5, True),
        (ONE, Completed(2, 5), 5, False),
        (ONE, Completed(3, 4), 5, False),
        (Successor("node1", "made anew"), Completed(3, 5), 5, False),
        (TWO, Completed(3, 5), 5, False),
    ],
)
def test_only_the_directory_that_completed_the_epoch_is_its_primary(
    me: Successor, completed: Completed, timeline: int, own: bool
) -> None:
    assert succession.is_its_primary(BOTH, me, completed, timeline) is own


def test_a_restart_in_place_is_written_before() -> None:
    assert succession.alone(BOTH, ONE).successors == (ONE,)


@pytest.mark.parametrize(
    ("names", "may"), [(("node2",), True), (("node3", "node2"), True), (("node3",), False), ((), False), (None, False)]
)
def test_the_names_of_the_file_stay_if_they_hold_back_enough(names: tuple[str, ...] | None, may: bool) -> None:
    assert succession.may_keep_names(BOTH, ONE, names) is may


@pytest.mark.parametrize(
    ("was_primary", "completed", "timeline", "strayed"),
    [(True, 1, 2, True), (True, 2, 2, False), (True, 3, 2, False), (False, 1, 2, False)],
)
def test_a_timeline_that_nobody_completed_is_a_stray_one(
    was_primary: bool, completed: int, timeline: int, strayed: bool
) -> None:
    assert succession.strayed(was_primary, Completed(3, completed), timeline) is strayed


@pytest.mark.parametrize(
    ("version", "waits"),
    [
        ("postgres (PostgreSQL) 17.5 (Debian 17.5-1)", True),
        ("postgres (PostgreSQL) 17.4", False),
        ("postgres (PostgreSQL) 15.13", True),
        ("postgres (PostgreSQL) 12.22", False),
        ("postgres (PostgreSQL) 18", True),
        ("postgres (PostgreSQL) 17beta1", False),
        ("postgres", False),
    ],
)
def test_which_versions_wait_from_their_first_moment(version: str, waits: bool) -> None:
    assert succession.waits_from_the_start(version) is waits


# --- leaving: R10 -----------------------------------------------------------------------------

LIVE = BOTH._replace(lease=Lease("node1", 9.0))


def test_a_standby_leaves_while_its_primary_lives() -> None:
    for record, lives in ((LIVE, False), (BOTH, True)):
        proposal = succession.leave(record, TWO, lives)
        assert proposal is not None
        assert (proposal.successors, proposal.writer) == ((ONE,), "node2")


@pytest.mark.parametrize(
    ("record", "me"),
    [(BOTH, TWO), (BOTH._replace(lease=Lease("node2", 9.0)), TWO), (LIVE, ONE), (LIVE, THREE)],
    ids=["nobody's lease", "its own lease", "the primary", "no successor"],
)
def test_who_has_nothing_to_leave(record: Record, me: Successor) -> None:
    assert succession.leave(record, me, False) is None


# --- the lease: R5 ----------------------------------------------------------------------------


def test_a_lease_lasts_longer_than_it_takes_to_lose_it_and_to_stop() -> None:
    assert succession.lease_too_short(14.1, 5, 3, 6) is None
    assert "it must be more than 14 s" in (succession.lease_too_short(14, 5, 3, 6) or "")
