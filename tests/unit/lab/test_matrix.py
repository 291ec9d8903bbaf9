"""The matrix has every combination of links, and every order of healing that makes a difference."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.matrix.cells import CHOSEN, POWER, Link, cell, every_cell, orders
from tests.matrix.page import Page
from tests.matrix.run import Outcome


def test_each_cell_is_there_once() -> None:
    cells = list(every_cell())
    assert len(cells) == len(set(map(str, cells))) == 586
    assert {cell.states for cell in cells} == {(a, b, c) for a in Link for b in Link for c in Link}
    assert len(list(every_cell(one_way=False))) == 38


def test_orders_before_the_power_comes_back_are_one() -> None:
    assert sorted(orders(["PS", "PA"])) == sorted(
        [
            (POWER, "PS", "PA"),
            (POWER, "PA", "PS"),
            ("PS", POWER, "PA"),
            ("PA", POWER, "PS"),
            ("PS", "PA", POWER),
        ]
    )


def test_cell_is_found_by_its_name() -> None:
    assert [cell(str(each)) for each in CHOSEN] == list(CHOSEN)
    with pytest.raises(ValueError, match="no cell"):
        cell("PxS / never")


def test_the_page_keeps_the_newest_outcome_of_each_cell(tmp_path: Path) -> None:
    page = Page(tmp_path / "matrix.md")
    assert page.ended() == set()
    first, second, third = CHOSEN[:3]
    page.keep(second, Outcome(second, 100, 7, 2.5, succeeded=True, comparisons=9, complaints=("two primaries",)))
    page.keep(first, Outcome(first, 1000, 0, 3.25, succeeded=False, comparisons=9))
    page.keep(third, "waited 120 s for a whole cluster")
    assert page.ended() == {str(first), str(second)}
    text = (tmp_path / "matrix.md").read_text()
    assert text.index(str(first)) < text.index(str(second)) < text.index(str(third))
    assert "**2 of 586 cells: 7 of 1,100 acknowledged commits lost; service after at most 3.2 s;" in text
    assert "1 cells with complaints, 1 that did not end" in text
    page.keep(second, Outcome(second, 100, 0, 2.5, succeeded=True, comparisons=9))
    assert "0 of 1,100 acknowledged commits lost" in (tmp_path / "matrix.md").read_text()
