"""The faults to choose from; each is chosen by the parts that nodes play, so that a seed tells the same story."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from tests.lab import faults
from tests.lab.agent_kill import Killer, Moment
from tests.lab.cluster import Cluster
from tests.lab.configuration import CLONE
from tests.lab.faults import Outage
from tests.lab.links import Direction
from tests.lab.machine import Machine
from tests.lab.node import ATTRD, CIB_MANAGER, PACEMAKER, POSTGRES, Node

ACTIONS = ("monitor", "promote", "demote", "start", "stop", "notify")
LONGEST_OFFSET = 0.4


@dataclass(frozen=True)
class Stage:
    """Who plays what when a step begins."""

    cluster: Cluster
    primary: Node
    standbys: tuple[Node, ...]

    @property
    def machines(self) -> tuple[Machine, ...]:
        """Everybody, in the order of their parts."""
        arbiter = self.cluster.arbiter
        return (self.primary, *self.standbys, *(() if arbiter is None else (arbiter.machine,)))


@dataclass(frozen=True)
class Fault:
    """One fault, ready to begin."""

    # Of faults that concern the same thing there is one at a time.
    what: str
    text: str
    begin: Callable[[], AbstractContextManager[object]]
    # What to add to the history once it is healed.
    outcome: Callable[[], str] = str


def choose(stage: Stage, dice: random.Random, count: int) -> list[Fault]:
    """Choose faults that do not stand in each other's way."""
    kinds = [power, server, hung, pacemaker, cut, cut, partition, agent, agent, handover]
    if stage.cluster.arbiter is not None:
        kinds += [arbiter, arbiter]
    chosen: dict[str, Fault] = {}
    while len(chosen) < count:
        fault = dice.choice(kinds)(stage, dice)
        chosen.setdefault(fault.what, fault)
    return list(chosen.values())


def power(stage: Stage, dice: random.Random) -> Fault:
    """Somebody's node loses its power; the primary's more often than not."""
    node = dice.choice((stage.primary, stage.primary, *stage.standbys))
    return Fault(f"power {node}", f"power of {node}", lambda: faults.powered_off(node, stage.cluster))


def server(stage: Stage, dice: random.Random) -> Fault:
    """Somebody's server is killed."""
    node = dice.choice((stage.primary, stage.primary, *stage.standbys))

    @contextmanager
    def killed() -> Iterator[None]:
        node.kill_postgres()
        yield

    return Fault(f"server {node}", f"kill of {node}'s server", killed)


def hung(stage: Stage, dice: random.Random) -> Fault:
    """A server, or a daemon of the cluster, hangs."""
    node = dice.choice((stage.primary, *stage.standbys))
    what = dice.choice(("server", "pacemaker", "attrd", "cib"))
    pattern = {"server": POSTGRES, "pacemaker": PACEMAKER, "attrd": ATTRD, "cib": CIB_MANAGER}[what]
    return Fault(f"hang {node} {what}", f"hang of {node}'s {what}", lambda: faults.frozen(node, pattern))


def pacemaker(stage: Stage, dice: random.Random) -> Fault:
    """Pacemaker dies, alone or with Corosync."""
    node = dice.choice((stage.primary, *stage.standbys))
    how = dice.choice((faults.pacemaker_killed, faults.cluster_crashed))
    text = f"{how.__name__.replace('_', ' ')} on {node}"
    return Fault(f"pacemaker {node}", text, lambda: how(node))


def cut(stage: Stage, dice: random.Random) -> Fault:
    """A link between two breaks, perhaps one way only."""
    one, other = dice.sample(stage.machines, 2)
    direction = dice.choice(list(Direction))
    sign = {Direction.BOTH: "-x-", Direction.OUT: "-x>", Direction.IN: "<x-"}[direction]
    what = " ".join(sorted((one.name, other.name)))
    return Fault(what, f"link {one} {sign} {other}", lambda: faults.cut_link(one, other, direction))


def partition(stage: Stage, dice: random.Random) -> Fault:
    """One is cut from all others."""
    one = dice.choice(stage.machines)
    others = [machine for machine in stage.machines if machine is not one]
    direction = dice.choice(list(Direction))
    text = f"partition of {one} ({direction.value})"
    return Fault("partition", text, lambda: faults.partitioned([one], others, direction))


def agent(stage: Stage, dice: random.Random) -> Fault:
    """An action is killed, or sleeps until the fault is over, wherever it is after some milliseconds."""
    node = dice.choice((stage.primary, *stage.standbys))
    moment = Moment(dice.choice(ACTIONS), after=round(dice.uniform(0, LONGEST_OFFSET), 3))
    number = dice.choice((signal.SIGKILL, signal.SIGSTOP))
    killer = Killer(node, moment, number=number, whole=dice.random() < 0.5)
    return Fault(f"agent {node}", f"{number.name} at {moment} on {node}", lambda: _asleep(killer), killer.told)


@contextmanager
def _asleep(killer: Killer) -> Iterator[None]:
    """Strike once, and wake whom it put to sleep."""
    with killer.waiting():
        yield
    killer.wake()


def arbiter(stage: Stage, dice: random.Random) -> Fault:
    """The arbiter is missing, in one of its ways."""
    outage = dice.choice(list(Outage))
    return Fault("arbiter", f"arbiter {outage.value}", lambda: faults.arbiter_gone(stage.cluster, outage))


def handover(stage: Stage, dice: random.Random) -> Fault:
    """Somebody asks for a switchover."""
    target = dice.choice(stage.standbys)

    @contextmanager
    def asked() -> Iterator[None]:
        if target.is_on:
            target.run(f"crm_resource --resource {CLONE} --move --promoted --node {target}", timeout=10)
        yield
        clear(stage.cluster.nodes)

    return Fault("handover", f"switchover to {target}", asked)


def clear(nodes: Sequence[Node]) -> None:
    """Take a switchover's constraint back, on whatever node can."""
    for node in nodes:
        if node.is_on and node.run(f"crm_resource --resource {CLONE} --clear", timeout=10).succeeded:
            return
