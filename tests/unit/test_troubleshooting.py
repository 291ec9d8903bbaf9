# SPDX-License-Identifier: GPL-2.0-or-later
"""docs/troubleshooting.md knows every exit reason of the agent: the page cannot rot."""

from __future__ import annotations

from pathlib import Path

from tests.reasons import reasons

PAGE = Path(__file__).parents[2] / "docs/troubleshooting.md"


def plain(text: str) -> str:
    """Words alone: a line break in the page is a blank in the reason."""
    return " ".join(text.replace("`", "").split())


def test_every_exit_reason_is_explained() -> None:
    page = plain(PAGE.read_text(encoding="utf-8"))
    missing = sorted({f"{one.place}: {one.family}" for one in reasons() if plain(one.family) not in page})
    assert missing == [], "explain it in docs/troubleshooting.md: what it means, and the command that repairs it"


def test_the_reasons_are_found() -> None:
    """The test above would be content with none."""
    families = {one.family for one in reasons()}
    assert len(families) > 150
    assert "is still promoted; demote or stop it first" in families
    assert "PostgreSQL answers, but not to the agent" in families
    assert "two nodes and no arbiter that keeps the record" in " ".join(families)


def test_every_row_of_the_page_has_a_repair() -> None:
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    assert len(rows) > 100
    assert [row for row in rows if not row.rstrip("| ").rpartition("|")[2].strip()] == []
