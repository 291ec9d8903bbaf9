"""A primary that has lost its right stops in time, even where Pacemaker is dead or hangs (rule R5).

The writer still reaches it: what stops it is neither the network nor the cluster.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack

import pytest
from tests.lab import faults
from tests.lab.cluster import Cluster
from tests.lab.configuration import Config
from tests.lab.node import PACEMAKER, POSTGRES, Node
from tests.lab.waiting import now, wait_until
from tests.lab.watch import Watch
from tests.lab.writer import Writer
from tests.system import safety, story
from tests.system.safety import LEASE, arbiter_of

pytestmark = [pytest.mark.lab, pytest.mark.story, pytest.mark.timeout(400)]

# A fast stop, and an immediate one after it.
STOP_SECONDS = 5.0


def frozen_pacemaker(node: Node) -> AbstractContextManager[None]:
    """Let Pacemaker hang on a node."""
    return faults.frozen(node, PACEMAKER)


@pytest.fixture(scope="module")
def config() -> Config:
    """Build two nodes and an arbiter."""
    return safety.with_arbiter()


@pytest.mark.parametrize("without", [faults.pacemaker_killed, frozen_pacemaker], ids=["killed", "frozen"])
def test_primary_without_pacemaker_is_stopped_before_another_serves(
    audited: Cluster, writer: Writer, watch: Watch, without: Callable[[Node], AbstractContextManager[None]]
) -> None:
    old, standby = safety.pair(audited)
    arbiter = arbiter_of(audited).machine
    with ExitStack() as broken:
        broken.enter_context(without(old))
        broken.enter_context(faults.partitioned([old], [standby, arbiter]))
        began = now()
        wait_until(
            lambda: not old.processes(POSTGRES),
            within=LEASE + STOP_SECONDS,
            what=f"the guard to stop the server on {old}",
            every=0.05,
            seen=audited.describe,
        )
        stopped = now()
        safety.wait_service(writer, began)
        assert audited.primary == standby
        first = watch.told(standby)[0]
        assert first.answered > stopped, f"{standby} served {stopped - first.answered:.2f} s before {old} had stopped"
    story.wait_whole(audited)


def test_primary_alone_without_pacemaker_may_stay(audited: Cluster, writer: Writer, watch: Watch) -> None:
    """Nobody else can be promoted: stopping would only cost service."""
    old, standby = safety.pair(audited)
    arbiter = arbiter_of(audited).machine
    with ExitStack() as broken:
        broken.enter_context(faults.cut_link(old, standby))
        writer.wait_for_acks(since=now())
        broken.enter_context(faults.pacemaker_killed(old))
        broken.enter_context(faults.cut_link(old, arbiter))
        told = len(watch.told(standby))
        story.stays(lambda: len(watch.told(standby)) == told, LEASE + STOP_SECONDS, f"{standby}'s silence")
    safety.wait_service(writer, now())
    story.wait_whole(audited)
