"""Broken links among primary, standby and arbiter, then the primary's power; `make matrix` has all of them."""

from __future__ import annotations

import pytest
from tests.lab.cluster import Cluster
from tests.lab.configuration import Config
from tests.matrix.cells import CHOSEN, Cell
from tests.matrix.run import HEADER, run_cell
from tests.system import safety

pytestmark = [pytest.mark.lab, pytest.mark.story, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def config() -> Config:
    """Build two nodes and an arbiter."""
    return safety.with_arbiter()


@pytest.mark.parametrize("cell", CHOSEN, ids=str)
def test_nothing_is_lost_and_service_returns(cluster: Cluster, cell: Cell) -> None:
    outcome = run_cell(cluster, cell)
    print(f"{HEADER}\n{outcome}")
    assert outcome.lost == 0
    assert outcome.complaints == ()
