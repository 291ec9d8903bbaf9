# SPDX-License-Identifier: GPL-2.0-or-later
"""The record as one line: nothing is lost that decides, and nothing is read that we did not write."""

from __future__ import annotations

import string
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expgsql_ra.record import NO_LEASE, Lease, Record, Successor, ordered
from expgsql_ra.record_line import LONGEST_TEXT, as_line, from_line, kept_as_line

LINE = "7710|3|17|node1|node1=d1,node2=d2|node1|2025-06-01T10:00:00Z|caught up"
RECORD = Record(
    system="7710",
    epoch=3,
    revision=17,
    primary="node1",
    successors=(Successor("node1", "d1"), Successor("node2", "d2")),
    lease=NO_LEASE,
    writer="node1",
    time="2025-06-01T10:00:00Z",
    reason="caught up",
)
WORD = string.ascii_letters + string.digits + "-_.:@+"
names = st.text(WORD, min_size=1, max_size=30)
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)


@st.composite
def records(draw: st.DrawFn) -> Record:
    """Any record of names that fit."""
    successors = draw(st.dictionaries(names, st.text(WORD, max_size=32), min_size=1, max_size=9))
    return Record(
        system=draw(st.text(string.digits, max_size=20)),
        epoch=draw(st.integers(1, 2**63)),
        revision=draw(st.integers(1, 2**63)),
        primary=draw(st.sampled_from(sorted(successors))),
        successors=ordered(tuple(Successor(*pair) for pair in successors.items())),
        lease=Lease.of(draw(names), draw(st.floats(0, 30))),
        writer=draw(words),
        time=draw(words),
        reason=draw(words),
    )


def test_it_is_what_the_documentation_says() -> None:
    assert as_line(RECORD) == LINE
    assert from_line(LINE) == RECORD


@given(record=records())
def test_a_record_comes_back_as_it_was_but_for_what_people_read(record: Record) -> None:
    kept = kept_as_line(record)
    assert kept[:5] == record[:5]
    assert kept.lease == NO_LEASE
    assert kept_as_line(kept) == kept


@given(record=records())
def test_a_line_can_stand_in_xml_and_in_xpath(record: Record) -> None:
    line = as_line(record)
    assert not set(line) & set("'\"<>&\n")
    assert ElementTree.fromstring(f'<nvpair value="{line}"/>').get("value") == line


@given(one=records(), other=records())
def test_different_records_are_different_lines(one: Record, other: Record) -> None:
    assert (as_line(one) == as_line(other)) == (kept_as_line(one) == kept_as_line(other))


@given(text=st.text(st.sampled_from("|=,0123abc \n'"), max_size=40) | words)
def test_whatever_is_read_is_what_we_would_write(text: str) -> None:
    try:
        record = from_line(text)
    except ValueError:
        return
    assert as_line(record) == text


def test_what_people_wrote_is_made_to_fit() -> None:
    noisy = RECORD._replace(writer="root|'x'", reason='S2\'s "disk" <is>\n full\té ' + "x" * 500)
    kept = kept_as_line(noisy)
    assert kept.writer == "root x"
    assert kept.reason.startswith("S2 s disk is full xxx")
    assert len(kept.reason) <= LONGEST_TEXT


@pytest.mark.parametrize(
    "record",
    [
        RECORD._replace(primary="no de"),
        RECORD._replace(primary=""),
        RECORD._replace(system="7|7"),
        RECORD._replace(successors=(Successor("node1", "d1"), Successor("node,2", "d2"))),
        RECORD._replace(successors=(Successor("node1", "d=1"),)),
        RECORD._replace(successors=(Successor("node1", "d'1"),)),
        RECORD._replace(successors=(Successor("nöde1", "d1"),)),
    ],
)
def test_names_that_do_not_fit_are_refused(record: Record) -> None:
    with pytest.raises(ValueError, match="no record of ours"):
        as_line(record)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "node1|2|0/3000000",
        LINE + "|more",
        LINE.replace("|3|", "|03|"),
        LINE.replace("|3|", "|three|"),
        LINE.replace("|3|", "|0|"),
        LINE.replace("|17|", "|0|"),
        LINE.replace("|17|", "|-17|"),
        LINE.replace("|17|", "| 17|"),
        LINE.replace("|node1|node1=d1,", "|node3|node1=d1,"),
        LINE.replace("node1=d1,node2=d2", "node2=d2,node1=d1"),
        LINE.replace("node1=d1,node2=d2", "node1=d1,node1=d2"),
        LINE.replace("node1=d1,node2=d2", "node1=d1,"),
        LINE.replace("node1=d1,node2=d2", "node1"),
        LINE.replace("caught up", "caught  up"),
        LINE.replace("caught up", "caught\nup"),
        LINE + " ",
    ],
)
def test_what_we_cannot_have_written_is_no_record(line: str) -> None:
    with pytest.raises(ValueError, match=r"no record of ours|invalid literal"):
        from_line(line)
