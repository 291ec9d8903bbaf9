# SPDX-License-Identifier: GPL-2.0-or-later
"""Every short sequence of the agent's real actions, with every kill and every late write in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from tests.fake_site import ARBITER, Site, running
from tests.simulation.actions import Broken, Exposed, explored, healed
from tests.simulation.controls import relaxes_first

from expgsql_ra.rules import succession
from expgsql_ra.values import RepMode

pytestmark = [pytest.mark.simulation, pytest.mark.timeout(300)]
TWO, THREE = ("node1", "node2"), ("node1", "node2", "node3")
CLUSTER: Mapping[str, Any] = {}
SITES = [
    pytest.param(TWO, ARBITER, 3, id="two nodes and an arbiter"),
    pytest.param(TWO, CLUSTER, 3, id="two nodes, the cluster's own record"),
    pytest.param(THREE, CLUSTER, 2, id="three nodes, the cluster's own record"),
    pytest.param(THREE, {**ARBITER, "sync_standby_count": 2}, 2, id="three nodes and an arbiter, two synchronous"),
]


def a_site(nodes: tuple[str, ...], parameters: Mapping[str, Any]) -> Site:
    """One that runs well."""
    site = running(Exposed(RepMode.SYNC, nodes, **parameters))
    site.effects.done.clear()
    site.log.clear()
    return site


@pytest.mark.parametrize(("nodes", "parameters", "depth"), SITES)
def test_no_sequence_breaks_a_promise(
    nodes: tuple[str, ...], parameters: Mapping[str, Any], depth: int, capsys: pytest.CaptureFixture[str]
) -> None:
    count = sum(1 for _ in explored(a_site(nodes, parameters), depth))
    with capsys.disabled():
        print(f"\n  the actions on {len(nodes)} nodes, {depth} steps: {count:,} different sites", end=" ")


@pytest.mark.parametrize(("nodes", "parameters", "depth"), SITES)
def test_service_returns_after_any_two_steps(nodes: tuple[str, ...], parameters: Mapping[str, Any], depth: int) -> None:
    for reached in explored(a_site(nodes, parameters), min(depth, 2)):
        try:
            healed(reached)
        except AssertionError as problem:
            raise AssertionError("\n".join([*reached.story, str(problem)])) from None


def test_actions_that_relax_before_they_write_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    site = a_site(TWO, ARBITER)
    monkeypatch.setattr(succession, "next_step", relaxes_first)
    with pytest.raises(Broken, match="node2 may succeed and node1 does not wait for it"):
        list(explored(site, 2))
