# SPDX-License-Identifier: GPL-2.0-or-later
"""What one monitor costs: CPU of the whole process tree, as Pacemaker would call it."""

from __future__ import annotations

import json
from pathlib import Path

from tests.bench.calls import Watch
from tests.lab.cluster import Cluster
from tests.lab.node import Node
from tests.lab.quirks import AGENT_DIR

PROBE = Path(__file__).with_name("probe.py")
PYTHON = "/usr/bin/python3"
# As many as fit between two of Pacemaker's own monitors, so that they do not meet.
RUNS_PER_GAP = 3
# What Pacemaker takes for success, "degraded" included.
PROMOTED_CODES = (8, 191)
UNPROMOTED_CODES = (0, 190)


class WrongAnswer(Exception):
    """A monitor did not say what the server is."""


def of_promoted(cluster: Cluster, runs: int) -> list[float]:
    """Return the cost of each of several monitors of the primary, in seconds."""
    return _costs(cluster, primary_of(cluster), PROMOTED_CODES, runs)


def of_unpromoted(cluster: Cluster, runs: int) -> list[float]:
    """Return the cost of each of several monitors of a standby, in seconds."""
    return _costs(cluster, cluster.others(primary_of(cluster))[0], UNPROMOTED_CODES, runs)


def primary_of(cluster: Cluster) -> Node:
    """Return the node that is promoted."""
    return cluster.wait_for(cluster.promoted, within=30, what="a promoted node")


def _costs(cluster: Cluster, node: Node, codes: tuple[int, ...], runs: int) -> list[float]:
    found: list[float] = []
    while len(found) < runs:
        found += _in_one_gap(node, cluster.config.agent, codes, min(RUNS_PER_GAP, runs - len(found)))
    return found


def _in_one_gap(node: Node, agent: str, codes: tuple[int, ...], runs: int) -> list[float]:
    call = Watch(node, agent).end_of_monitor()
    order = {"argv": [f"{AGENT_DIR}/{agent}", "monitor"], "environ": call.environ, "runs": runs}
    answer = node.run((PYTHON, "-I", "-c", PROBE.read_text()), stdin=json.dumps(order)).check()
    pairs = json.loads(answer.stdout)
    wrong = sorted({code for _, code in pairs if code not in codes})
    if wrong:
        raise WrongAnswer(f"a monitor of {agent} on {node} exited with {wrong[0]}, not with one of {codes}")
    return [float(seconds) for seconds, _ in pairs]
