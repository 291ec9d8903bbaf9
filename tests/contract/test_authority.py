# SPDX-License-Identifier: GPL-2.0-or-later
"""`Authority` and `Archive`: memory, PostgreSQL, etcd and the cluster itself answer alike."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.contract.authorities import IMPATIENT, SHORT, WITHIN, Authorities
from tests.contract.witness import timed

from expgsql_ra.record import (
    NO_LEASE,
    Accepted,
    Found,
    LeaseHeld,
    Missing,
    Outdated,
    Past,
    Prepared,
    Proposal,
    Record,
    Successor,
    Unreachable,
    first_record,
    promoted,
    rewritten,
)
from expgsql_ra.world import Archive

pytestmark = pytest.mark.timeout(120)

SYSTEM = "7710259990552944712"
ONE, TWO, THREE = Successor("node1", "d1"), Successor("node2", "d2"), Successor("node3", "d3")


def created(client: Archive, *successors: Successor, system: str = SYSTEM) -> Record:
    """A record with node1 as primary, and these successors."""
    assert isinstance(client.prepare(WITHIN), Prepared)
    answer = client.create(first_record(system, ONE, (1, 1), "operator", "first"), WITHIN)
    assert isinstance(answer, Accepted)
    return widened(client, answer.record, *successors) if successors else answer.record


def widened(client: Archive, record: Record, *successors: Successor) -> Record:
    """The record after node1 has added successors."""
    return accepted(client, rewritten(record, (ONE, *successors), writer="node1", reason="caught up"))


def accepted(client: Archive, proposal: Proposal) -> Record:
    """The record after a write that has to be accepted."""
    answer = client.write(proposal, WITHIN)
    assert isinstance(answer, Accepted), answer
    return answer.record


def read(client: Archive) -> Record:
    """The record as it is."""
    answer = client.read(WITHIN)
    assert isinstance(answer, Found), answer
    return answer.record


def timeless(record: Record) -> Record:
    """A record without what passes by itself."""
    return record._replace(lease=NO_LEASE)


def narrowed(record: Record, reason: str = "degraded") -> Proposal:
    """The primary alone."""
    return rewritten(record, (ONE,), writer="node1", reason=reason)


# --- the first record -------------------------------------------------------------------------


def test_without_a_command_there_is_no_record(authorities: Authorities) -> None:
    client = authorities.client()
    assert isinstance(client.read(WITHIN), Missing)
    assert isinstance(client.prepare(WITHIN), Prepared)
    assert isinstance(client.read(WITHIN), Missing)
    never = first_record(SYSTEM, ONE, (1, 1), "operator", "never written")
    assert isinstance(client.write(narrowed(never), WITHIN), Missing)
    assert isinstance(client.renew(never, WITHIN), Missing)
    assert isinstance(client.release(never, WITHIN), Missing if authorities.leases else Accepted)


def test_a_record_is_created_once(authorities: Authorities) -> None:
    first = created(authorities.client())
    assert (first.epoch, first.revision, first.primary, first.successors) == (1, 1, "node1", (ONE,))
    assert (first.system, first.writer, first.reason, first.lease) == (SYSTEM, "operator", "first", NO_LEASE)
    assert first.time
    again = authorities.client().create(first_record("1", TWO, (5, 5), "operator", "second"), WITHIN)
    assert again == Outdated(first)
    assert read(authorities.client()) == first


def test_many_create_at_the_same_time_and_one_does(authorities: Authorities) -> None:
    def create(number: int) -> object:
        client = authorities.client()
        assert isinstance(client.prepare(WITHIN), Prepared)
        primary = Successor(f"node{number}", "d")
        return client.create(first_record(SYSTEM, primary, (1, 1), "operator", "first"), WITHIN)

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(create, range(4)))
    winners = [answer.record for answer in answers if isinstance(answer, Accepted)]
    assert len(winners) == 1
    assert [answer for answer in answers if not isinstance(answer, Accepted)] == [Outdated(winners[0])] * 3
    assert read(authorities.client()) == winners[0]


def test_a_record_begins_where_the_command_says(authorities: Authorities) -> None:
    client = authorities.client()
    client.prepare(WITHIN)
    client.create(first_record("", ONE, (8, 124), "operator", "a new arbiter"), WITHIN)
    found = read(client)
    assert (found.epoch, found.revision, found.system) == (8, 124, "")


def test_the_first_write_binds_a_record_to_its_database_system(authorities: Authorities) -> None:
    client = authorities.client()
    unbound = created(client, system="")
    bound = accepted(client, rewritten(unbound, (ONE,), writer="node1", reason="bound", system=SYSTEM))
    assert bound.system == SYSTEM
    assert read(client).system == SYSTEM
    assert isinstance(client.renew(bound._replace(system="1"), WITHIN), Outdated)


# --- writes -----------------------------------------------------------------------------------


def test_a_write_replaces_the_revision_that_it_names(authorities: Authorities) -> None:
    client = authorities.client()
    first = created(client)
    second = widened(client, first, TWO)
    assert (second.epoch, second.revision, second.primary, second.successors) == (1, 2, "node1", (ONE, TWO))
    assert (second.writer, second.reason) == ("node1", "caught up")
    assert timeless(read(authorities.client())) == timeless(second)


def test_of_two_writers_one_wins(authorities: Authorities) -> None:
    record = created(authorities.client(), TWO)

    def write(reason: str) -> object:
        return authorities.client().write(narrowed(record, reason), WITHIN)

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(write, ("a", "b", "c", "d")))
    winners = [answer.record for answer in answers if isinstance(answer, Accepted)]
    losers = [answer.record for answer in answers if isinstance(answer, Outdated)]
    assert (len(winners), len(losers)) == (1, 3)
    assert {timeless(record) for record in losers} == {timeless(winners[0])}
    assert read(authorities.client()).revision == record.revision + 1


def test_the_same_contents_again_are_another_revision(authorities: Authorities) -> None:
    client = authorities.client()
    wide = created(client, TWO)
    narrow = accepted(client, narrowed(wide))
    again = widened(client, narrow, TWO)
    assert again.successors == wide.successors
    answer = client.write(narrowed(wide), WITHIN)
    assert isinstance(answer, Outdated)
    assert answer.record.revision == again.revision
    assert read(client).successors == (ONE, TWO)


def test_a_write_that_comes_late_is_refused_after_another(authorities: Authorities) -> None:
    client = authorities.client()
    narrow = created(client)
    late = rewritten(narrow, (ONE, TWO), writer="node1", reason="late")
    with authorities.write_held_up(late) as deliver:
        now = accepted(client, narrowed(narrow, "in time"))
        deliver()
        found = read(client)
    assert (found.revision, found.reason, found.successors) == (now.revision, "in time", (ONE,))


def test_a_write_that_comes_late_counts_where_nothing_was_written_since(authorities: Authorities) -> None:
    client = authorities.client()
    narrow = created(client)
    late = rewritten(narrow, (ONE, TWO), writer="node1", reason="late")
    with authorities.write_held_up(late) as deliver:
        assert read(client) == narrow
        deliver()
        assert read(client).successors == (ONE, TWO)
    assert isinstance(client.write(narrowed(narrow), WITHIN), Outdated)


def test_a_write_whose_reply_is_lost_is_no_success(authorities: Authorities) -> None:
    client = authorities.client()
    wide = created(client, TWO)
    assert isinstance(authorities.write_whose_reply_is_lost(narrowed(wide)), Unreachable)
    assert read(client).revision == wide.revision + 1
    assert isinstance(client.write(narrowed(wide), WITHIN), Outdated)


def test_another_primary_in_the_same_epoch_is_refused(authorities: Authorities) -> None:
    client = authorities.client()
    wide = created(client, TWO)
    forged = narrowed(wide)._replace(primary="node2", successors=(TWO,), writer="node2")
    assert isinstance(client.write(forged, WITHIN), Outdated)
    other_system = narrowed(wide)._replace(system="1")
    assert isinstance(client.write(other_system, WITHIN), Outdated)
    assert timeless(read(client)) == timeless(wide)


def test_records_of_other_names_are_not_touched(authorities: Authorities) -> None:
    wide = created(authorities.client(), TWO)
    other = authorities.client(lockname="pgsql cls'12")
    assert isinstance(other.read(WITHIN), Missing)
    created(other)
    accepted(other, narrowed(read(other)))
    assert timeless(read(authorities.client())) == timeless(wide)


# --- the lease --------------------------------------------------------------------------------


def test_renewals_leave_the_revision(leasing: Authorities) -> None:
    client = leasing.client()
    record = created(client)
    for _ in range(3):
        answer = client.renew(record, WITHIN)
        assert isinstance(answer, Accepted)
        assert timeless(answer.record) == record
        assert answer.record.lease.holder == "node1"
        assert 25 < answer.record.lease.seconds_left <= 30
    assert isinstance(client.write(narrowed(record), WITHIN), Accepted)


def test_a_renewal_is_for_its_epoch_and_primary(leasing: Authorities) -> None:
    client = leasing.client()
    old = created(client, TWO)
    client.release(old, WITHIN)
    new = accepted(client, promoted(old, TWO, reason="node1 is gone"))
    for answer in (client.renew(old, WITHIN), client.release(old, WITHIN)):
        assert isinstance(answer, Outdated)
        assert timeless(answer.record) == timeless(new)
    assert read(client).lease.holder == "node2"


def test_a_write_of_the_primary_renews_its_lease(leasing: Authorities) -> None:
    client = leasing.client()
    wide = created(client, TWO)
    client.release(wide, WITHIN)
    assert read(client).lease == NO_LEASE
    answer = accepted(client, narrowed(wide))
    assert answer.lease.holder == "node1"
    assert 25 < answer.lease.seconds_left <= 30


def test_a_standby_leaves_and_the_lease_stays_the_primarys(leasing: Authorities) -> None:
    client = leasing.client()
    wide = created(client, TWO)
    answer = accepted(client, rewritten(wide, (ONE,), writer="node2", reason="stopped in order"))
    assert answer.lease.holder == read(client).lease.holder == "node1"
    client.release(answer, WITHIN)
    again = accepted(client, rewritten(answer, (ONE,), writer="node2", reason="once more"))
    assert again.lease == read(client).lease == NO_LEASE


def test_nobody_is_promoted_while_the_lease_lasts(leasing: Authorities) -> None:
    client = leasing.client()
    wide = created(client, TWO)
    answer = client.write(promoted(wide, TWO, reason="too early"), WITHIN)
    assert isinstance(answer, LeaseHeld)
    assert answer.by == "node1"
    assert 20 < answer.seconds_left <= 30
    assert timeless(read(client)) == timeless(wide)
    assert isinstance(client.renew(wide, WITHIN), Accepted)


def test_a_successor_is_promoted_when_the_lease_is_over(leasing: Authorities) -> None:
    client = leasing.client(ttl=SHORT)
    wide = created(client, TWO)
    proposal = promoted(wide, TWO, reason="node1 is gone")
    assert isinstance(client.write(proposal, WITHIN), LeaseHeld)
    leasing.until_the_lease_is_over()
    new = accepted(client, proposal)
    assert (new.epoch, new.revision, new.primary, new.successors) == (2, wide.revision + 1, "node2", (ONE, TWO))
    assert new.lease.holder == "node2"
    assert isinstance(client.renew(wide, WITHIN), Outdated)


def test_a_successor_is_promoted_when_the_lease_is_released(leasing: Authorities) -> None:
    client = leasing.client()
    wide = created(client, TWO)
    released = client.release(wide, WITHIN)
    assert isinstance(released, Accepted)
    assert released.record.lease == NO_LEASE
    assert timeless(released.record) == timeless(wide)
    assert accepted(client, promoted(wide, TWO, reason="switchover")).primary == "node2"


def test_the_primary_itself_may_begin_an_epoch(authorities: Authorities) -> None:
    client = authorities.client()
    wide = created(client, TWO)
    assert accepted(client, promoted(wide, ONE, reason="promoted again")).epoch == 2


def test_of_two_successors_one_is_promoted(authorities: Authorities) -> None:
    wide = created(authorities.client(), TWO, THREE)
    authorities.client().release(wide, WITHIN)

    def promote(successor: Successor) -> object:
        return authorities.client().write(promoted(wide, successor, reason="race"), WITHIN)

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(promote, (TWO, THREE)))
    winners = [answer.record for answer in answers if isinstance(answer, Accepted)]
    losers = [answer.record for answer in answers if isinstance(answer, Outdated)]
    assert (len(winners), len(losers)) == (1, 1)
    assert losers[0].primary == winners[0].primary == read(authorities.client()).primary


def test_between_the_two_writes_of_a_promotion_another_may_take_over(authorities: Authorities) -> None:
    client = authorities.client()
    wide = created(client, TWO, THREE)
    client.release(wide, WITHIN)
    second = accepted(client, promoted(wide, TWO, reason="wins and dies"))
    client.release(second, WITHIN)
    third = accepted(client, promoted(second, THREE, reason="node2 is gone too"))
    confirmation = rewritten(second, (TWO,), writer="node2", reason="too late")
    assert isinstance(client.write(confirmation, WITHIN), Outdated)
    confirmed = accepted(client, rewritten(third, (THREE,), writer="node3", reason="confirmed", confirms=True))
    assert (confirmed.epoch, confirmed.successors) == (3, (THREE,))


# --- the history, and being out of reach ------------------------------------------------------


def test_the_history_tells_every_revision(leasing: Authorities) -> None:
    client = leasing.client()
    wide = created(client, TWO)
    client.renew(wide, WITHIN)
    accepted(client, narrowed(wide))
    past = client.history(10, WITHIN)
    assert isinstance(past, Past)
    told = [(entry["revision"], entry["reason"], list(entry["successors"])) for entry in past.entries]
    first_of_each = [entry for number, entry in enumerate(told) if entry[0] not in {e[0] for e in told[:number]}]
    assert first_of_each == [
        (3, "degraded", ["node1"]),
        (2, "caught up", ["node1", "node2"]),
        (1, "first", ["node1"]),
    ]
    newest = client.history(1, WITHIN)
    assert isinstance(newest, Past)
    assert [entry["revision"] for entry in newest.entries] == [3]


def test_out_of_reach_is_an_answer_within_the_time_given(authorities: Authorities) -> None:
    client = authorities.client()
    wide = created(client, TWO)
    calls: dict[str, Callable[[], object]] = {
        "read": lambda: client.read(IMPATIENT),
        "write": lambda: client.write(narrowed(wide), IMPATIENT),
        "renew": lambda: client.renew(wide, IMPATIENT),
        "release": lambda: client.release(wide, IMPATIENT),
        "prepare": lambda: client.prepare(IMPATIENT),
        "create": lambda: client.create(wide, IMPATIENT),
        "history": lambda: client.history(1, IMPATIENT),
    }
    if not authorities.leases:
        del calls["release"]  # asks nobody
    with authorities.out_of_reach():
        for name, call in calls.items():
            with timed() as took:
                assert isinstance(call(), Unreachable), name
            assert took.seconds < IMPATIENT + 0.5, name
    assert timeless(read(client)).revision >= wide.revision


def test_without_time_nothing_is_asked(authorities: Authorities) -> None:
    client = authorities.client()
    record = created(client)
    assert isinstance(client.read(0), Unreachable)
    assert isinstance(client.write(narrowed(record), 0), Unreachable)
    assert read(client) == record
