# SPDX-License-Identifier: GPL-2.0-or-later
"""A repair beside the agent: begun once, and what became of it is known however it ended."""

from __future__ import annotations

from pathlib import Path

import pytest

from expgsql_ra.effects import lock, rejoining
from expgsql_ra.effects.clock import MonotonicClock
from expgsql_ra.effects.rejoining import BackgroundRepair
from expgsql_ra.world import Deadline


class Begun:
    """Stands in for what starts programs."""

    def __init__(self) -> None:
        self.words: list[list[str]] = []

    def detach(self, words: list[str], **_: object) -> None:
        """Note it."""
        self.words.append(words)


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> Begun:
    """A node without systemd."""
    found = Begun()
    monkeypatch.setattr(rejoining, "SYSTEMD", "/nowhere")
    monkeypatch.setattr(rejoining, "detach", found.detach)
    return found


def test_it_is_begun_once(begun: Begun, tmp_path: Path) -> None:
    repair = BackgroundRepair("pgsql", str(tmp_path))
    repair.begin("repair")
    assert begun.words[0][1:] == ["repair", "--background", "--resource", "pgsql"]
    with lock.held("pgsql.repair", Deadline(MonotonicClock(), 1), str(tmp_path)):
        repair.begin("repair")
    assert len(begun.words) == 1


@pytest.mark.parametrize("outcome", ["", "no room"])
def test_what_it_leaves_is_its_outcome_until_another_begins(begun: Begun, tmp_path: Path, outcome: str) -> None:
    repair = BackgroundRepair("pgsql", str(tmp_path))
    repair.begin("rebuild")
    assert repair.ended() is None
    repair.end(outcome)
    assert repair.ended() == outcome
    repair.begin("rebuild")
    assert repair.ended() is None
    assert len(begun.words) == 2


@pytest.mark.usefixtures("begun")
def test_one_that_died_without_a_word_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(rejoining, "START_SECONDS", 0.0)
    repair = BackgroundRepair("pgsql", str(tmp_path))
    repair.begin("repair")
    with lock.held("pgsql.repair", Deadline(MonotonicClock(), 1), str(tmp_path)):
        assert repair.ended() is None
    assert repair.ended() == "it was ended, or could not begin"
