# SPDX-License-Identifier: GPL-2.0-or-later
"""What every version was seen to do. docs/postgresql.md says what is asked, and what follows from the answers."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from tests.postgresql.commits import ACKNOWLEDGED, WAITS
from tests.postgresql.programs import Programs

MAJORS = (15, 16, 17, 18)

# The first minor releases that let a commit wait before the checkpointer has looked at the names for the first time.
START_FIXED: Mapping[int, int] = {15: 13, 16: 9, 17: 5, 18: 0}


def the_same(outcome: object) -> Mapping[int, object]:
    """One outcome for all versions."""
    return dict.fromkeys(MAJORS, outcome)


OUTCOMES: Mapping[str, Mapping[int, object]] = {
    # (i) a diverged standby whose fork lies in the same WAL segment
    "diverged, named: the commit that waits": the_same(ACKNOWLEDGED),
    "diverged, named: a later commit with nobody connected": the_same(ACKNOWLEDGED),
    "diverged, in no list: the commit that waits": the_same(WAITS),
    # (ii) names and the checkpointer
    "open to named, checkpointer stopped": the_same(ACKNOWLEDGED),
    "named to open, checkpointer stopped": the_same(WAITS),
    "open to named, after one CHECKPOINT": the_same(ACKNOWLEDGED),
    "open to named, after two CHECKPOINTs": the_same(WAITS),
    "open to named, checkpointer seen asleep": the_same(WAITS),
    "probe under names that an older change is about to open": the_same((WAITS, ACKNOWLEDGED)),
    # (iii) names and walsenders: (priority shown by S1 while it goes by the old names, the commit before the change,
    # the commit after it)
    "walsender stopped, s1 to s2": the_same((1, WAITS, WAITS)),
    "walsender held, s1 to s2": the_same((1, ACKNOWLEDGED, WAITS)),
    "walsender held, s1 to s1 and s2": the_same((1, ACKNOWLEDGED, WAITS)),
    "walsender held, s1 to s2 and s1": the_same((1, ACKNOWLEDGED, WAITS)),
    # (v) a left-over promote: whether the standby is promoted
    "promote left over: start": the_same(False),
    "promote left over: nothing": the_same(False),
    "promote left over: SIGUSR1": the_same(True),
    "promote left over: log rotated": the_same(True),
    "promote left over: parallel query": the_same(True),
    "promote left over: walreceiver ended": the_same(True),
    "promote left over: primary restarted": the_same(True),
    # (vi) names kept over a crash
    "crash in place: first commit": the_same(WAITS),
    # (vii) a diverged standby's words: (received timeline, the commit that waits, timeline of the end of its replay)
    "diverged, knows the history: old primary": the_same((2, ACKNOWLEDGED, 1)),
    "diverged, knows the history: standby that was ahead": the_same((2, ACKNOWLEDGED, 1)),
    "not diverged": the_same((2, ACKNOWLEDGED, 2)),
}


def check(programs: Programs, question: str, observed: object) -> None:
    """Compare what a version does with what it was seen to do."""
    known = OUTCOMES[question]
    if programs.major not in known:
        pytest.skip(f"nobody has looked at PostgreSQL {programs.major}: it answers {observed!r} to {question!r}")
    assert observed == known[programs.major], f"PostgreSQL {programs.version}: {question}"


def expected_at_start(programs: Programs) -> str:
    """(iv) What becomes of a commit before the checkpointer's first look at the names."""
    if programs.major not in START_FIXED:
        pytest.skip(f"nobody has looked at PostgreSQL {programs.major}")
    return WAITS if programs.version[1] >= START_FIXED[programs.major] else ACKNOWLEDGED
