# SPDX-License-Identifier: GPL-2.0-or-later
"""What the server's answers mean: JSON, so that no name can pretend to be more than a name."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.builders import a_sender

from expgsql_ra.effects import sql
from expgsql_ra.snapshot import Primary, Sender, Standby
from expgsql_ra.values import Lsn

PRIMARY: dict[str, Any] = {
    "recovery": False,
    "version": 150009,
    "names": 'FIRST 1 ("node2")',
    "lsn": "16/B374D848",
    "timeline": "0000000A",
    "received": None,
    "replayed": None,
    "receiver": None,
    "senders": [["node2", "streaming", "sync", 1, "16/B374D848"]],
    "slots": ["s_node2"],
}
STANDBY: dict[str, Any] = {
    **PRIMARY,
    "recovery": True,
    "lsn": None,
    "timeline": None,
    "received": "16/0",
    "replayed": "16/28",
    "receiver": ["streaming", 3],
    "senders": None,
    "slots": None,
}


def test_a_primary() -> None:
    assert sql.facts(PRIMARY, 7) == Primary(
        pid=7,
        version=150009,
        timeline=10,
        flushed=Lsn.parse("16/B374D848"),
        names='FIRST 1 ("node2")',
        senders=(a_sender("node2", sync_state="sync", flushed="16/B374D848"),),
        slots=("s_node2",),
    )


def test_a_primary_alone() -> None:
    found = sql.facts({**PRIMARY, "senders": None, "slots": None}, 7)
    assert isinstance(found, Primary)
    assert (found.senders, found.slots) == ((), ())


def test_a_standby() -> None:
    found = sql.facts(STANDBY, 7)
    end = Lsn.parse("16/28")
    assert found == Standby(7, 150009, "streaming", Lsn.parse("16/0"), end, 'FIRST 1 ("node2")', receives=3)
    nothing = sql.facts({**STANDBY, "received": None, "replayed": None, "receiver": None}, 7)
    assert isinstance(nothing, Standby)
    assert (nothing.end, nothing.streams, nothing.receives) == (None, False, None)


def test_a_walsender_of_which_nothing_is_known_yet() -> None:
    found = sql.facts({**PRIMARY, "senders": [[None, None, None, None, None]]}, 7)
    assert isinstance(found, Primary)
    assert found.senders == (Sender("", "", "", 0, None),)


@pytest.mark.parametrize("name", ["node2|STREAMING|SYNC x", "a\nb", 'quo"te', "it's", "%s", "节点", ""])
def test_a_name_is_a_name_and_nothing_else(name: str) -> None:
    # C4 of the old agent: text was cut at blanks and bars, so a client could pass for a synchronous standby
    row = json.loads(json.dumps({**PRIMARY, "senders": [[name, "streaming", "async", 0, None]]}))
    found = sql.facts(row, 7)
    assert isinstance(found, Primary)
    assert [one.name for one in found.senders] == [name]


@given(st.dictionaries(st.text(max_size=3), st.integers()))
def test_one_row_is_read_whatever_blanks_are_around_it(row: dict[str, int]) -> None:
    assert sql._row(f"\n {json.dumps(row, indent=1)}\n\n") == row


def test_no_row_and_an_answer_of_another_kind_are_empty() -> None:
    assert (sql._row(""), sql._row("\n"), sql._row("17\n")) == ({}, {}, {})


def test_a_standby_cannot_seem_to_have_more_than_the_primary_by_being_asked_later() -> None:
    assert sql.FACTS.index("'senders'") < sql.FACTS.index("'lsn'")
