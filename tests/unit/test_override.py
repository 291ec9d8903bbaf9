# SPDX-License-Identifier: GPL-2.0-or-later
"""The operator's override: for one directory, one epoch, and only while the arbiter does not answer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from expgsql_ra.effects.override_file import OverrideFile
from expgsql_ra.errors import CannotTell
from expgsql_ra.override import Allowed, NotAllowed, Override, Situation, overridden
from expgsql_ra.record import Doubtful, Found, HighWater, Missing, Successor, Unreachable, first_record, trust

TWO = Successor("node2", "d2")
GIVEN = Override("7", 3, 17, "node2", "d2", "dba@node2", "2025-06-01T10:00:00Z", "the data centre burnt down")
USED = GIVEN._replace(used=True)
NOW = Situation(Unreachable("no answer"), HighWater(3, 17), "7", TWO)
CLAIMED = HighWater(4, 18)


def test_what_has_come_of_it_is_told() -> None:
    given = "(dba@node2, 2025-06-01T10:00:00Z: the data centre burnt down)"
    assert GIVEN.standing == f"node2 may be promoted once, by an operator's override of the arbiter {given}"
    served = "node2 serves by an operator's override of the arbiter: alone, and nobody may succeed it"
    assert USED.standing == f"{served} {given}"


# --- the rule ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "now"),
    [
        (GIVEN, NOW),
        (GIVEN, NOW._replace(me=Successor("NODE2", "d2"))),
        # killed between the two files that a claim writes
        (USED, NOW),
        # killed before the promotion, or restarted in place after it
        (USED, NOW._replace(seen=CLAIMED)),
    ],
)
def test_it_allows_one_epoch(override: Override, now: Situation) -> None:
    found = overridden(override, now)
    assert isinstance(found, Allowed)
    assert (found.record.epoch, found.record.revision, found.record.primary) == (4, 18, "node2")
    assert found.record.successors == (TWO,)
    assert "override" in found.record.reason


@pytest.mark.parametrize(
    ("override", "now", "why"),
    [
        (None, NOW, "no override"),
        (GIVEN, NOW._replace(answer=Found(first_record("7", TWO, (3, 17), "", ""))), "the arbiter answers"),
        (GIVEN, NOW._replace(answer=Missing("no row")), "the arbiter answers"),
        (GIVEN, NOW._replace(me=Successor("node1", "d2")), "for node2"),
        (GIVEN, NOW._replace(me=Successor("node2", "d9")), "another data directory"),
        (GIVEN, NOW._replace(system="8"), "database system"),
        (GIVEN, NOW._replace(system=""), "not none"),
        (GIVEN, NOW._replace(seen=HighWater(3, 18)), "over"),
        (GIVEN, NOW._replace(seen=HighWater(4, 17)), "over"),
        (GIVEN, NOW._replace(seen=HighWater(0, 0)), "over"),
        (GIVEN, NOW._replace(seen=CLAIMED), "another promotion"),
        (USED, NOW._replace(seen=HighWater(4, 19)), "over"),
        (USED, NOW._replace(seen=HighWater(5, 18)), "over"),
    ],
)
def test_it_allows_nothing_else(override: Override | None, now: Situation, why: str) -> None:
    found = overridden(override, now)
    assert isinstance(found, NotAllowed)
    assert why in found.why


# --- the file ---------------------------------------------------------------------------------


@pytest.fixture
def kept(tmp_path: Path) -> OverrideFile:
    """Where this node keeps them."""
    return OverrideFile("pgsql", str(tmp_path / "expgsql"))


def test_without_a_command_there_is_none(kept: OverrideFile) -> None:
    assert kept.load() is None
    assert kept.history() == ()
    assert kept.withdraw() is None
    with pytest.raises(CannotTell, match="no override"):
        kept.consume()


def test_it_is_used_once_and_remembered(kept: OverrideFile) -> None:
    kept.give(USED)
    assert kept.load() == GIVEN
    assert kept.consume() == kept.consume() == GIVEN.record
    assert kept.load() == USED
    assert overridden(kept.load(), NOW) == overridden(kept.load(), NOW._replace(seen=CLAIMED)) == Allowed(GIVEN.record)
    assert kept.withdraw() is None


def test_the_arbiter_s_old_record_is_not_believed_after_it() -> None:
    seen = NOW.seen.raised_by(GIVEN.record)
    assert seen == CLAIMED
    old = first_record("7", Successor("node1", "d1"), (3, 17), "", "")
    assert isinstance(trust(old, seen, "7"), Doubtful)


def test_it_can_be_withdrawn_until_it_is_used(kept: OverrideFile) -> None:
    kept.give(GIVEN)
    assert kept.withdraw() == GIVEN
    assert kept.load() is None
    assert kept.history() == (GIVEN,)


def test_a_new_one_takes_the_place_of_the_old_one(kept: OverrideFile) -> None:
    kept.give(GIVEN)
    kept.consume()
    again = GIVEN._replace(epoch=4, revision=20)
    kept.give(again)
    assert kept.load() == again
    assert kept.history() == (USED, again)


def test_it_is_for_root_alone(kept: OverrideFile, tmp_path: Path) -> None:
    kept.give(GIVEN)
    assert (tmp_path / "expgsql/pgsql.override.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "null",
        '{"given": [], "withdrawn": 0}',
        '{"given": [{}], "withdrawn": false}',
        json.dumps({"given": [{**GIVEN._asdict(), "epoch": "3"}], "withdrawn": False}),
        json.dumps({"given": [{**GIVEN._asdict(), "used": 1}], "withdrawn": False}),
        json.dumps({"given": [{**GIVEN._asdict(), "more": 1}], "withdrawn": False}),
    ],
)
def test_a_damaged_file_allows_nothing(kept: OverrideFile, tmp_path: Path, content: str) -> None:
    kept.give(GIVEN)
    (tmp_path / "expgsql/pgsql.override.json").write_text(content, encoding="utf-8")
    for act in (kept.load, kept.consume, kept.history, kept.withdraw):
        with pytest.raises(CannotTell, match="damaged"):
            act()
    with pytest.raises(CannotTell, match="damaged"):
        kept.give(GIVEN)
