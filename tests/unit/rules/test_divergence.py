# SPDX-License-Identifier: GPL-2.0-or-later
"""May this data follow? By the histories of both and the end of the last record (R7)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.builders import SYSTEM, a_history, local_wal

from expgsql_ra.rules.divergence import AskServer, Diverged, Follows, may_follow
from expgsql_ra.snapshot import LocalWal
from expgsql_ra.values import Ancestry, Fork, Lsn

FORKED_ONCE = a_history("1@0/5000")
FORKED_TWICE = a_history("1@0/5000", "2@0/7000")


@pytest.mark.parametrize(
    ("checkpoint", "verdict"),
    [("0/4FF0", Follows), ("0/5000", Diverged), ("0/5001", Diverged), ("0/9000", Diverged)],
)
def test_a_clean_old_primary_follows_if_its_checkpoint_came_before_the_fork(
    checkpoint: str, verdict: type[object]
) -> None:
    assert isinstance(may_follow(local_wal(1, last_record=checkpoint), FORKED_ONCE), verdict)


def test_a_crashed_primary_is_asked_where_its_wal_ends() -> None:
    # its checkpoint lies before the fork, as nearly always, and says nothing of what came after
    assert may_follow(local_wal(1), FORKED_ONCE) == AskServer()


@pytest.mark.parametrize(
    ("end", "verdict"), [("0/4000", Follows), ("0/5000", Follows), ("0/5001", Diverged), ("1/0", Diverged)]
)
def test_the_end_of_all_wal_decides_once_it_is_known(end: str, verdict: type[object]) -> None:
    assert isinstance(may_follow(local_wal(1, end=end), FORKED_ONCE), verdict)


@pytest.mark.parametrize(("reached", "verdict"), [("0/4000", AskServer), ("0/5000", AskServer), ("0/5001", Diverged)])
def test_a_standby_that_has_replayed_beyond_the_fork_need_not_be_asked(reached: str, verdict: type[object]) -> None:
    # PostgreSQL would not even start with the primary's history beside it, so there would be nobody to ask
    assert isinstance(may_follow(local_wal(1, reached=reached), FORKED_ONCE), verdict)


def test_a_clean_standby_that_missed_several_promotions_follows() -> None:
    history = a_history("1@0/5000", "2@0/7000", "3@0/9000")
    assert may_follow(local_wal(1, end="0/5000"), history) == Follows()
    assert may_follow(local_wal(2, "1@0/5000", end="0/6500"), history) == Follows()


def test_a_primary_that_skipped_a_timeline_number_is_followed() -> None:
    assert may_follow(local_wal(1, end="0/4000"), a_history("1@0/5000", current=4)) == Follows()


@pytest.mark.parametrize("end", [None, "0/8000"])
def test_data_of_the_primarys_own_timeline_follows_wherever_it_ends(end: str | None) -> None:
    assert may_follow(local_wal(2, "1@0/5000", end=end), FORKED_ONCE) == Follows()


def test_the_same_timeline_number_from_another_fork_is_another_history() -> None:
    rival = local_wal(2, "1@0/4800", end="0/4900")
    assert isinstance(may_follow(rival, FORKED_ONCE), Diverged)
    assert isinstance(may_follow(rival, FORKED_TWICE), Diverged)


def test_a_timeline_that_the_primary_never_had_is_refused() -> None:
    assert isinstance(may_follow(local_wal(3, "1@0/5000"), FORKED_ONCE), Diverged)
    assert isinstance(may_follow(local_wal(3, "1@0/5000"), a_history("1@0/5000", current=4)), Diverged)


def test_a_pruned_history_is_compared_as_far_as_it_goes() -> None:
    assert may_follow(local_wal(3, "2@0/7000", end="0/8000"), FORKED_TWICE) == Follows()
    assert isinstance(may_follow(local_wal(3, "2@0/6000", end="0/8000"), FORKED_TWICE), Diverged)


def test_another_database_system_is_refused() -> None:
    verdict = may_follow(local_wal(2, "1@0/5000", system="1"), FORKED_ONCE)
    assert isinstance(verdict, Diverged)
    assert verdict.reason == ("data of another database system: run expgsql rebuild here")


@pytest.mark.parametrize(
    "local", [local_wal(1, end="0/6000"), local_wal(1, last_record="0/6000"), local_wal(2, "1@0/1")], ids=str
)
def test_a_refusal_names_the_remedy_first_and_then_the_facts(local: LocalWal) -> None:
    verdict = may_follow(local, FORKED_TWICE)
    assert isinstance(verdict, Diverged)
    assert verdict.reason.startswith("data has diverged: run expgsql repair here, or expgsql rebuild (")
    assert f"timeline {local.timeline}" in verdict.reason


# --- properties: the verdict against the definition of "lies on the primary's history" --------

ENDS = st.integers(min_value=1, max_value=40).map(lambda step: Lsn(0x100 * step))


@st.composite
def histories(draw: st.DrawFn) -> Ancestry:
    """Several promotions, one after the other."""
    ends = sorted(draw(st.sets(ENDS, max_size=4)))
    return Ancestry(SYSTEM, tuple(Fork(number, end) for number, end in enumerate(ends, 1)), len(ends) + 1)


@given(histories(), st.integers(min_value=1, max_value=5), ENDS)
def test_data_cut_from_the_primarys_own_past_follows_and_anything_beyond_does_not(
    primary: Ancestry, timeline: int, end: Lsn
) -> None:
    past = tuple(fork for fork in primary.forks if fork.timeline < timeline)
    local = LocalWal(SYSTEM, timeline, past, None, end)
    left_at = primary.end_of(timeline)
    on_history = timeline == primary.current or (left_at is not None and end <= left_at)
    assert isinstance(may_follow(local, primary), Follows) is on_history


@given(histories(), histories(), ENDS)
def test_two_histories_that_parted_never_follow_each_other(mine: Ancestry, theirs: Ancestry, end: Lsn) -> None:
    local = LocalWal(SYSTEM, mine.current, mine.forks, None, end)
    shared = [one for one, other in zip(mine.forks, theirs.forks, strict=False) if one == other]
    if len(shared) < min(len(mine.forks), len(theirs.forks)):
        assert isinstance(may_follow(local, theirs), Diverged)


@given(histories(), st.integers(min_value=1, max_value=5))
def test_without_an_end_nothing_of_an_older_timeline_follows_unasked(primary: Ancestry, timeline: int) -> None:
    past = tuple(fork for fork in primary.forks if fork.timeline < timeline)
    verdict = may_follow(LocalWal(SYSTEM, timeline, past, None, None), primary)
    assert isinstance(verdict, Follows) is (timeline == primary.current)
