# SPDX-License-Identifier: GPL-2.0-or-later
"""What a fault costs a client: one measurement, from a healthy cluster to its writes' return."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable
from itertools import pairwise

from tests.bench import switchover
from tests.bench.calls import Watch
from tests.bench.costs import primary_of
from tests.bench.figures import NODE_LOSSES, Figure
from tests.bench.pauses import has_paused
from tests.bench.results import Outage
from tests.lab import faults
from tests.lab.cluster import Cluster, SplitBrain
from tests.lab.node import Node
from tests.lab.waiting import now
from tests.lab.writer import Writer

# Interval of the promoted monitor in the lab's configuration.
INTERVAL = 3.0
# Writes have to come back within this time, or the cluster is broken.
PATIENCE = 120.0
# Watched after the return of writes: the primary is monitored once more, which may cost a second
# interruption, for instance when a standby becomes synchronous.
TAIL = 4.0
WARM_UP_COMMITS = 50
# A shorter time without a commit is the work of a busy machine.
INTERRUPTION = 0.2


def measure(cluster: Cluster, figure: Figure, phase: float) -> Outage:
    """Do it to the primary at that share of the interval between two monitors; return what it cost."""
    primary = primary_of(cluster)
    with Writer.running(cluster) as writer:
        writer.wait_for_acks(count=WARM_UP_COMMITS)
        Watch(primary, cluster.config.agent).end_of_monitor()
        time.sleep(phase * INTERVAL)
        since, began = now(), datetime.datetime.now().astimezone()
        ACTS[figure](primary, cluster)
        back = writer.wait_for_acks(since=now(), within=PATIENCE)
        time.sleep(max(back + TAIL - now(), 0.0))
        until = writer.wait_for_acks(since=now(), count=1, within=PATIENCE)
        gap = writer.longest_gap(since, until)
        paused = figure in NODE_LOSSES and has_paused(cluster.others(primary), began)
        return Outage(began, gap, *_count(writer), paused=paused, total=_interrupted(writer, since, until))


def _interrupted(writer: Writer, since: float, until: float) -> float:
    """Return the seconds of all interruptions together: there may be more than the longest."""
    times = [since, *(ack.answered for ack in writer.acks() if since < ack.answered <= until)]
    gaps = (later - earlier for earlier, later in pairwise(times))
    return sum(gap for gap in gaps if gap >= INTERRUPTION)


def _count(writer: Writer) -> tuple[int, int]:
    """Return the acknowledged commits and how many of them are lost."""
    if writer.cluster.config.agent == "null":
        # Its servers do not replicate: there is nothing that could be kept.
        return len(writer.acks()), 0
    writer.cluster.wait_for(lambda: _has_one_writer(writer.cluster), within=PATIENCE, what="one server to take writes")
    audit = writer.look_up()
    return audit.acknowledged, audit.lost


def _has_one_writer(cluster: Cluster) -> bool:
    """Whether the old primary has noticed by now that it is not one any more."""
    try:
        return cluster.primary is not None
    except SplitBrain:
        return False


def _switch_over(primary: Node, cluster: Cluster) -> None:
    """Return when writes go elsewhere: until then there is no end of the interruption to be seen."""
    target = switchover.readiest(primary, cluster)
    switchover.ask(target)
    switchover.wait_until_moved(target, cluster, PATIENCE)


def _power_off(primary: Node, _cluster: Cluster) -> None:
    primary.power_off()


def _unplug(primary: Node, _cluster: Cluster) -> None:
    primary.unplug()


ACTS: dict[Figure, Callable[[Node, Cluster], None]] = {
    Figure.KILL: faults.kill_server,
    Figure.SWITCHOVER: _switch_over,
    Figure.POWER: _power_off,
    Figure.CABLE: _unplug,
}
