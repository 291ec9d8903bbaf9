# SPDX-License-Identifier: GPL-2.0-or-later
"""The cluster as authority: its real tools on a CIB in a file, and on the three nodes of a lab."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.contract.authorities import IMPATIENT, LOCKNAME, TTL, LateWrite
from tests.fakes import FakeClock
from tests.lab.cluster import Cluster
from tests.lab.node import PACEMAKER, Node

from expgsql_ra.effects.clock import MonotonicClock
from expgsql_ra.effects.cluster import CIB
from expgsql_ra.effects.cluster_record import ClusterRecord, Programs
from expgsql_ra.effects.process import Result
from expgsql_ra.errors import DeadlineExceeded
from expgsql_ra.record import Proposal, Unreachable
from expgsql_ra.world import Archive, Clock

KILLED = 137
Words = Sequence[str]


def resource(lockname: str) -> str:
    """A resource's name cannot have all that a lock's can."""
    return re.sub(r"[^a-z0-9]", "-", lockname)


class OnClusterTools:
    """What is common to both: there is no lease, and nothing to lose replies but us."""

    leases = False

    def programs(self) -> Programs:
        """How one of the clients runs its programs."""
        raise NotImplementedError

    def clock(self) -> Clock:
        """What its clients wait by."""
        return MonotonicClock()

    def authority(self, programs: Programs, lockname: str = LOCKNAME) -> ClusterRecord:
        """A client that runs programs like this."""
        return ClusterRecord(resource(lockname), "node1", self.clock(), programs)

    def client(self, ttl: int = TTL, lockname: str = LOCKNAME) -> Archive:  # noqa: ARG002 - there is no lease
        """A client of it."""
        return self.authority(self.programs(), lockname)

    def until_the_lease_is_over(self) -> None:
        """There is none."""
        raise NotImplementedError

    @contextlib.contextmanager
    def write_held_up(self, proposal: Proposal) -> Iterator[LateWrite]:
        """Keep the one command that writes, and its sender's time run out."""
        programs = self.programs()
        held: list[Words] = []

        def holding(commands: Sequence[Words], timeout: float) -> tuple[Result, ...]:
            if not writes(commands):
                return programs(commands, timeout)
            held.extend(commands)
            raise DeadlineExceeded("held up")

        answer = self.authority(holding).write(proposal, IMPATIENT * 5)
        assert isinstance(answer, Unreachable), answer

        def deliver() -> None:
            programs(held, IMPATIENT)

        yield deliver

    def write_whose_reply_is_lost(self, proposal: Proposal) -> object:
        """Run it, and do not tell."""
        programs = self.programs()

        def losing(commands: Sequence[Words], timeout: float) -> tuple[Result, ...]:
            done = programs(commands, timeout)
            if writes(commands):
                raise DeadlineExceeded("lost")
            return done

        return self.authority(losing).write(proposal, IMPATIENT * 5)


def writes(commands: Sequence[Words]) -> bool:
    """Whether they change the CIB."""
    return any("--modify" in command for command in commands)


class InCibFile(OnClusterTools):
    """The tools on a file, one after the other: Corosync puts what the nodes of a real cluster want in an order."""

    TIMES = "runtime.config.totem.token (u32) = 1650\nruntime.config.totem.consensus (u32) = 1980\n"

    def __init__(self, cib: Path) -> None:
        self._cib = cib
        self._turn = threading.Lock()
        self._environ = {"PATH": os.environ["PATH"], "CIB_file": str(cib), "CIB_user": "root"}
        self.down = False
        self.times = self.TIMES
        self.quorum = "1"
        self.cib_quorum = "1"
        self.doubts = 3

    def clock(self) -> Clock:
        """Waits are over at once."""
        return FakeClock()

    def programs(self) -> Programs:
        """Run cibadmin, and answer for the programs that ask daemons."""
        return self._run

    def _run(self, commands: Sequence[Words], timeout: float) -> tuple[Result, ...]:
        if self.down:
            raise DeadlineExceeded("nobody answers")
        with self._turn:
            return tuple(self._answer(command, timeout) for command in commands)

    def _answer(self, command: Words, timeout: float) -> Result:
        if command[0] == "crm_node":
            return Result(0, f"{self.quorum}\n", "")
        if command[0] == "corosync-cmapctl":
            doubts = f"stats.srp.gather_entered (u64) = {self.doubts}\n"
            return Result(0, doubts if "stats" in command else self.times, "")
        done = subprocess.run(
            command, env=self._environ, capture_output=True, text=True, check=False, timeout=max(5, timeout)
        )
        if command == CIB:
            return Result(
                done.returncode, done.stdout.replace("<cib ", f'<cib have-quorum="{self.cib_quorum}" ', 1), done.stderr
            )
        return Result(done.returncode, done.stdout, done.stderr)

    @contextlib.contextmanager
    def out_of_reach(self) -> Iterator[None]:
        """No program ends."""
        self.down = True
        yield
        self.down = False


class OnCluster(OnClusterTools):
    """Three nodes; each client is on the next of them."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self._next = itertools.cycle(cluster.nodes)

    def programs(self) -> Programs:
        """Those of the next node."""
        return on(next(self._next))

    @contextlib.contextmanager
    def out_of_reach(self) -> Iterator[None]:
        """Pacemaker stands still on all nodes."""
        for node in self.cluster.nodes:
            node.signal(PACEMAKER, signal.SIGSTOP)
        try:
            yield
        finally:
            for node in self.cluster.nodes:
                node.signal(PACEMAKER, signal.SIGCONT)
            self.cluster.wait_for(self.cluster.is_complete, within=60, what="all nodes to be members again")


def on(node: Node) -> Callable[[Sequence[Words], float], tuple[Result, ...]]:
    """Programs run on a node of the lab."""

    def run(commands: Sequence[Words], timeout: float) -> tuple[Result, ...]:
        with ThreadPoolExecutor(len(commands)) as pool:
            return tuple(pool.map(lambda command: _on(node, command, timeout), commands))

    return run


def _on(node: Node, command: Words, timeout: float) -> Result:
    done = node.run(command, timeout=max(timeout, 0.1))
    if done.rc == KILLED:
        raise DeadlineExceeded(f"{command[0]} did not end in time")
    return Result(done.rc, done.stdout, done.stderr)
