# SPDX-License-Identifier: GPL-2.0-or-later
"""The small values: order, spellings on the wire, and what is not understood."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.builders import a_history

from expgsql_ra.values import (
    Ancestry,
    Attestation,
    DataStatus,
    Fork,
    Lsn,
    ReplInfo,
    RepMode,
    Score,
    Status,
    parse_history_file,
    same_node,
    without,
)

positions = st.integers(min_value=0, max_value=2**64 - 1).map(Lsn)
timelines = st.integers(min_value=1, max_value=2**32 - 1)
node_names = st.text(st.characters(exclude_characters="|", exclude_categories=["Cs"]), min_size=1, max_size=20)
histories = st.builds(
    Ancestry,
    st.integers(min_value=1, max_value=2**64 - 1).map(str),
    st.lists(st.builds(Fork, timelines, positions), max_size=5).map(tuple),
    timelines,
)


def test_a_position_is_a_number_and_not_a_text() -> None:
    assert Lsn.parse("F/FFFFFFFF") < Lsn.parse("10/0")
    assert sorted(["F/FFFFFFFF", "10/0"]) == ["10/0", "F/FFFFFFFF"]
    assert max(Lsn.parse("16/B374D848"), Lsn.parse("9/FFFFFFFF")) == Lsn.parse("16/B374D848")


@given(positions, positions)
def test_sixteen_digits_sort_as_positions_do(one: Lsn, other: Lsn) -> None:
    assert len(one.digits) == 16
    assert (one < other) is (one.digits < other.digits)


@given(positions)
def test_a_position_is_read_as_it_was_written(position: Lsn) -> None:
    assert Lsn.parse(str(position)) == Lsn.parse(f"{position}") == Lsn.parse(repr(position)) == position
    assert Lsn.from_digits(position.digits) == position


@pytest.mark.parametrize("text", ["", "16", "16/", "/1", "x/y", "1/2/3", "1,2"])
def test_what_is_no_position(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        Lsn.parse(text)


def test_positions_are_shown_as_postgresql_shows_them() -> None:
    assert str(Lsn.from_digits("00000016B374D848")) == "16/B374D848"
    assert str(Lsn(0)) == "0/0"


# --- records ----------------------------------------------------------------------------------


@given(st.builds(ReplInfo, node_names, timelines, positions))
def test_a_record_is_read_as_it_was_written(info: ReplInfo) -> None:
    assert ReplInfo.parse(str(info)) == info


def test_the_record_is_spelled_as_the_old_agent_spelled_it() -> None:
    assert ReplInfo.parse("Node-1.example|3|0000000001753608") == ReplInfo("Node-1.example", 3, Lsn(0x1753608))


@pytest.mark.parametrize("text", ["", "node1", "node1|2", "node1|two|0", "node1|2|", "node1|2|xyz", "a|1|0|0"])
def test_what_is_no_record(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        ReplInfo.parse(text)


@given(histories)
def test_a_history_is_read_as_it_was_written(history: Ancestry) -> None:
    assert Ancestry.parse(str(history)) == history


@pytest.mark.parametrize("text", ["", "77", "77 ", "77 x", "77 1 2", "77 1@ 2", "77 a@0 2", "77 1@0@0 2"])
def test_what_is_no_history(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        Ancestry.parse(text)


def test_the_spelling_of_an_attestation() -> None:
    word = Attestation("0123456789abcdef", 3, (Fork(2, Lsn.parse("0/1753608")),))
    assert str(word) == "0123456789abcdef 2@0000000001753608 3"
    assert Attestation.parse(str(word)) == word


@given(st.uuids().map(lambda found: found.hex), timelines, st.lists(st.builds(Fork, timelines, positions)).map(tuple))
def test_an_attestation_is_read_as_it_was_written(directory: str, timeline: int, forks: tuple[Fork, ...]) -> None:
    word = Attestation(directory, timeline, forks)
    assert Attestation.parse(str(word)) == word


@pytest.mark.parametrize("text", ["", "id", "id 1@0", "id 2@x 3", "id two", "id one@0 2", "id 1@0 x"])
def test_what_is_no_attestation(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        Attestation.parse(text)


@pytest.mark.parametrize("parse", [Lsn.parse, Lsn.from_digits, ReplInfo.parse, Ancestry.parse, Attestation.parse])
@given(text=st.text(max_size=40))
def test_any_text_is_read_or_a_value_error(parse: Callable[[str], object], text: str) -> None:
    with contextlib.suppress(ValueError):
        parse(text)


def test_a_history_knows_where_it_left_each_timeline() -> None:
    history = a_history("1@0/5000", "2@0/6000", current=4)
    assert history.parent == (2, 0x6000)
    assert (history.end_of(1), history.end_of(2), history.end_of(3), history.end_of(4)) == (0x5000, 0x6000, None, None)


def test_the_first_timeline_has_no_parent() -> None:
    assert a_history().parent is None


# --- history files ----------------------------------------------------------------------------


def test_a_history_file_of_postgresql() -> None:
    content = "1\t0/5000000\tno recovery target specified\n\n# a comment\n3\tA/6000138\tbefore 2000-01-01 00:00:00+00\n"
    assert parse_history_file(content) == (Fork(1, Lsn(0x5000000)), Fork(3, Lsn.parse("A/6000138")))


@given(
    st.lists(st.builds(Fork, timelines, positions), max_size=5).map(tuple),
    st.text(st.characters(categories=["L", "N", "Zs"]), max_size=20),
)
def test_a_history_file_is_read_as_postgresql_writes_it(forks: tuple[Fork, ...], reason: str) -> None:
    content = "".join(f"{fork.timeline}\t{fork.end}\t{reason}\n" for fork in forks)
    assert parse_history_file(content) == forks


# --- spellings that users' configurations depend on -------------------------------------------


def test_spellings_on_the_wire() -> None:
    assert [*Status] == [
        "PRI",
        "HS:sync",
        "HS:async",
        "HS:potential",
        "HS:quorum",
        "HS:connected",
        "HS:alone",
        "STOP",
        "UNKNOWN",
    ]
    assert [*Score] == ["-INFINITY", "100", "110", "1000"]
    assert [*RepMode] == ["none", "async", "sync", "slave"]
    assert DataStatus.LATEST == "LATEST"
    assert DataStatus.DISCONNECT == "DISCONNECT"


@pytest.mark.parametrize("sync_state", ["sync", "async", "potential", "quorum"])
def test_streaming_states_are_spelled_like_all_others(sync_state: str) -> None:
    assert DataStatus.of("streaming", sync_state) == getattr(DataStatus, sync_state.upper())
    assert DataStatus.of("catchup", "async") == "CATCHUP|ASYNC"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [("Node1", "nODE1", True), ("node1", "node10", False), ("node.1", "nodeX1", False), ("", "node1", False)],
)
def test_names_ignore_case_and_nothing_else(one: str, other: str, same: bool) -> None:
    assert same_node(one, other) is same


def test_a_node_is_left_out_however_it_is_spelled() -> None:
    assert without(("Node1", "node2", "node3"), "node1") == ("node2", "node3")
    assert without(("node2",), "node1") == ("node2",)
