"""The journal of what happened on a node: it grows, is bounded, survives a torn line, and never fails its caller."""

from __future__ import annotations

from pathlib import Path

import pytest

from expgsql_ra.effects import journal
from expgsql_ra.effects.journal import JournalFile, record_event
from expgsql_ra.events import Event, Kind, event_as_mapping, event_from_mapping

PROMOTION = Event("2026-01-02T03:04:05Z", "node2", Kind.PROMOTED, "node2 takes over from node1", 3, "node2")


@pytest.fixture
def folder(tmp_path: Path) -> str:
    return str(tmp_path / "expgsql")


def test_what_was_kept_is_read_in_order(folder: str) -> None:
    repair = PROMOTION._replace(kind=Kind.REPAIR, node="node1", timeline=0)
    assert record_event("pgsql", PROMOTION, folder=folder)
    assert record_event("pgsql", repair, folder=folder)
    assert JournalFile("pgsql", folder).events() == (PROMOTION, repair)
    assert JournalFile("other", folder).events() == ()
    assert Path(folder, "pgsql.history.jsonl").stat().st_mode & 0o777 == 0o600


def test_a_mapping_and_back() -> None:
    assert event_from_mapping(event_as_mapping(PROMOTION)) == PROMOTION


def test_a_torn_line_spoils_no_other(folder: str) -> None:
    kept = JournalFile("pgsql", folder)
    assert kept.add(PROMOTION, sync=False)
    with Path(folder, "pgsql.history.jsonl").open("a") as stream:
        stream.write('{"time": "2026-01')
    assert kept.add(PROMOTION._replace(timeline=4), sync=False)
    assert [one.timeline for one in kept.events()] == [3, 4]


def test_it_does_not_grow_for_ever(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "LARGEST", 1000)
    kept = JournalFile("pgsql", folder)
    for number in range(50):
        assert kept.add(PROMOTION._replace(timeline=number), sync=False)
    assert sum(path.stat().st_size for path in Path(folder).iterdir()) < 2500
    timelines = [one.timeline for one in kept.events()]
    assert timelines == sorted(timelines)
    assert timelines[-1] == 49
    assert len(timelines) >= 5


def test_a_reason_is_one_short_line(folder: str) -> None:
    assert record_event("pgsql", PROMOTION._replace(reason="a\nb " + "x" * 2000), folder=folder)
    (event,) = JournalFile("pgsql", folder).events()
    assert event.reason.startswith("a b x")
    assert len(event.reason) == journal.LONGEST_REASON


def test_nobody_fails_where_it_cannot_be_kept(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert not record_event("pgsql", PROMOTION, folder=str(blocked / "below"))
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    assert not record_event("pgsql", PROMOTION, folder=str(shared))


def test_a_planted_link_is_not_followed(folder: str, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("")
    Path(folder).mkdir(mode=0o700)
    Path(folder, "pgsql.history.jsonl").symlink_to(target)
    assert not record_event("pgsql", PROMOTION, folder=folder)
    assert target.read_text() == ""
    assert JournalFile("pgsql", folder).events() == ()
