# SPDX-License-Identifier: GPL-2.0-or-later
"""The record: what may be proposed, what an authority objects to, and what is believed."""

from __future__ import annotations

import pytest

from expgsql_ra.record import (
    NO_LEASE,
    NOTHING_SEEN,
    Doubtful,
    HighWater,
    Lease,
    LeaseHeld,
    Outdated,
    Proposal,
    Record,
    Successor,
    Trusted,
    Unbound,
    as_mapping,
    concerns,
    first_record,
    from_mapping,
    objection,
    promoted,
    rewritten,
    trust,
)

SYSTEM = "7710259990552944712"
ONE, TWO = Successor("node1", "d1"), Successor("node2", "d2")
RECORD = Record(
    system=SYSTEM,
    epoch=3,
    revision=17,
    primary="node1",
    successors=(ONE, TWO),
    lease=Lease("node1", 12.5),
    writer="node1",
    time="2025-06-01T10:00:00Z",
    reason="caught up",
)
FREE = RECORD._replace(lease=NO_LEASE)


def degraded(record: Record = RECORD) -> Proposal:
    return rewritten(record, (ONE,), writer="node1", reason="degraded")


# --- proposals --------------------------------------------------------------------------------


def test_successors_are_kept_in_one_order() -> None:
    assert rewritten(RECORD, (TWO, ONE), writer="node1", reason="").successors == (ONE, TWO)


@pytest.mark.parametrize(
    ("before", "after", "degrades"),
    [
        ((ONE, TWO), (ONE,), True),
        ((ONE, TWO), (ONE, Successor("node2", "d3")), True),
        ((ONE,), (ONE, TWO), False),
        ((ONE,), (ONE,), True),
        ((ONE, TWO), (ONE, TWO), True),
    ],
)
def test_a_primary_degrades_by_leaving_out_or_by_repeating_itself(
    before: tuple[Successor, ...], after: tuple[Successor, ...], degrades: bool
) -> None:
    record = RECORD._replace(successors=before)
    assert rewritten(record, after, writer="node1", reason="").degrades == degrades
    assert rewritten(record._replace(writer="NODE1"), after, writer="node1", reason="").degrades == degrades


def test_a_primary_that_repeats_a_standbys_leave_does_not_degrade() -> None:
    left = RECORD._replace(successors=(ONE,), writer="node2")
    assert not rewritten(left, (ONE,), writer="node1", reason="").degrades


def test_neither_a_leave_nor_a_promotion_degrades() -> None:
    assert not rewritten(RECORD, (ONE,), writer="node2", reason="stopped").degrades
    assert not promoted(RECORD, TWO, reason="").degrades
    won = promoted(RECORD, TWO, reason="").accepted("", NO_LEASE)
    assert not rewritten(won, (TWO,), writer="node2", reason="", confirms=True).degrades
    assert rewritten(won, (TWO,), writer="node2", reason="").degrades


def test_a_promotion_keeps_the_successors_and_begins_an_epoch() -> None:
    proposal = promoted(RECORD, TWO, reason="node1 is gone")
    assert (proposal.epoch, proposal.primary, proposal.writer) == (4, "node2", "node2")
    assert proposal.successors == RECORD.successors
    assert proposal.promotes
    assert not degraded().promotes


@pytest.mark.parametrize(
    "successors", [(TWO,), (), (ONE, TWO, Successor("node2", "other"))], ids=["no primary", "nobody", "twice"]
)
def test_unsound_successors_are_not_proposed(successors: tuple[Successor, ...]) -> None:
    with pytest.raises(ValueError, match="name each node once, and the primary node1"):
        rewritten(RECORD, successors, writer="node1", reason="")


@pytest.mark.parametrize("who", [Successor("node3", "d3"), Successor("node2", "made anew")])
def test_only_a_listed_directory_is_promoted(who: Successor) -> None:
    with pytest.raises(ValueError, match="none of the successors"):
        promoted(RECORD, who, reason="")


def test_what_the_primary_writes_renews_its_lease() -> None:
    assert degraded().takes_lease
    assert promoted(RECORD, TWO, reason="").takes_lease
    assert not rewritten(RECORD, (ONE,), writer="node2", reason="stopped in order").takes_lease


def test_an_accepted_write_is_the_next_revision() -> None:
    after = degraded().accepted("now", NO_LEASE)
    assert after == RECORD._replace(revision=18, successors=(ONE,), lease=NO_LEASE, time="now", reason="degraded")


def test_a_bound_record_stays_bound() -> None:
    unbound = RECORD._replace(system="")
    assert rewritten(unbound, (ONE,), writer="node1", reason="", system=SYSTEM).system == SYSTEM
    assert rewritten(RECORD, (ONE,), writer="node1", reason="", system="1").system == SYSTEM


# --- objections -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "stored",
    [
        RECORD._replace(revision=18),
        RECORD._replace(revision=16),
        RECORD._replace(epoch=4),
        RECORD._replace(system="1"),
        RECORD._replace(primary="node2"),
    ],
    ids=["later", "earlier", "another epoch", "another system", "another primary"],
)
def test_a_write_for_another_record_is_outdated(stored: Record) -> None:
    assert objection(stored, degraded()) == Outdated(stored)


def test_the_lease_does_not_keep_the_primary_from_writing() -> None:
    for stored in (RECORD, FREE):
        assert objection(stored, degraded()) is None


@pytest.mark.parametrize(
    ("stored", "answer"),
    [(RECORD, LeaseHeld("node1", 12.5)), (FREE, None), (FREE._replace(lease=Lease("node2", 1.0)), None)],
    ids=["held by another", "free", "its own"],
)
def test_a_promotion_needs_the_lease(stored: Record, answer: LeaseHeld | None) -> None:
    assert objection(stored, promoted(RECORD, TWO, reason="")) == answer


def test_an_unbound_record_is_bound_by_any_system() -> None:
    unbound = RECORD._replace(system="")
    assert objection(unbound, rewritten(unbound, (ONE,), writer="node1", reason="", system=SYSTEM)) is None


def test_a_renewal_concerns_an_epoch_and_its_primary_whatever_the_revision() -> None:
    assert concerns(RECORD._replace(revision=99, successors=(ONE,)), RECORD)
    assert not concerns(RECORD._replace(epoch=4), RECORD)
    assert not concerns(RECORD._replace(primary="node2"), RECORD)
    assert not concerns(RECORD._replace(system="1"), RECORD)


# --- trust ------------------------------------------------------------------------------------


@pytest.mark.parametrize("seen", [NOTHING_SEEN, HighWater(3, 17), HighWater(2, 17), HighWater(3, 1)])
def test_a_record_is_trusted_unless_higher_was_seen(seen: HighWater) -> None:
    assert trust(RECORD, seen, SYSTEM) == Trusted(RECORD)


@pytest.mark.parametrize("seen", [HighWater(4, 17), HighWater(3, 18), HighWater(4, 1), HighWater(1, 18)])
def test_a_record_that_went_back_is_doubtful(seen: HighWater) -> None:
    answer = trust(RECORD, seen, SYSTEM)
    assert isinstance(answer, Doubtful)
    assert f"epoch {seen.epoch}, revision {seen.revision} to epoch 3, revision 17" in answer.why


@pytest.mark.parametrize("system", ["1", ""])
def test_a_record_of_another_system_is_doubtful(system: str) -> None:
    answer = trust(RECORD, NOTHING_SEEN, system)
    assert isinstance(answer, Doubtful)
    assert SYSTEM in answer.why


def test_a_record_without_a_system_is_neither_trusted_nor_doubtful() -> None:
    unbound = RECORD._replace(system="")
    assert isinstance(trust(unbound, HighWater(3, 17), SYSTEM), Unbound)
    assert isinstance(trust(unbound, HighWater(3, 18), SYSTEM), Doubtful)


def test_what_was_seen_only_grows() -> None:
    assert HighWater(3, 20).raised_by(RECORD) == HighWater(3, 20)
    assert HighWater(5, 2).raised_by(RECORD) == HighWater(5, 17)
    assert NOTHING_SEEN.raised_by(RECORD) == HighWater(3, 17)


# --- spelling ---------------------------------------------------------------------------------


def test_a_lease_that_is_over_or_released_is_nobodys() -> None:
    assert Lease.of("node1", 0.0) == Lease.of("node1", -3.0) == Lease.of("", 5.0) == NO_LEASE
    assert Lease.of("node1", 0.1) == Lease("node1", 0.1)


def test_a_record_survives_json() -> None:
    assert from_mapping(as_mapping(RECORD)) == RECORD
    assert RECORD.nodes == ("node1", "node2")


def test_the_first_record_is_nobodys_lease() -> None:
    record = first_record("", ONE, (8, 124), "operator", "a new arbiter")
    assert (record.epoch, record.revision, record.successors, record.lease) == (8, 124, (ONE,), NO_LEASE)


@pytest.mark.parametrize(
    "damage",
    [
        {"successors": {"node2": "d2"}},
        {"successors": ["node1"]},
        {"successors": None},
        {"epoch": 0},
        {"revision": 0},
        {"epoch": None},
        {"epoch": "three"},
        {"seconds_left": None},
    ],
    ids=str,
)
def test_a_damaged_record_is_none(damage: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"."):
        from_mapping({**as_mapping(RECORD), **damage})


def test_a_record_with_a_part_missing_is_none() -> None:
    whole = as_mapping(RECORD)
    for name in whole:
        with pytest.raises(ValueError, match="no record"):
            from_mapping({other: value for other, value in whole.items() if other != name})
