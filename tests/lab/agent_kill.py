"""Killing the agent in the middle of an action, from outside: the product knows nothing of it.

The action is found by its command line; how far it has come is told from the programs that it started. A
moment is a number of seconds after the action began, or after it began a certain program.
"""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from tests.lab import processes
from tests.lab.node import Node
from tests.lab.waiting import now, wait_until

AGENT = "/usr/lib/ocf/resource.d/heartbeat/expgsql"
# Short enough to see a program that lives for a few milliseconds.
EVERY = 0.001


@dataclass(frozen=True)
class Moment:
    """When to strike."""

    action: str
    # Seconds after the action, or that program, was first seen.
    after: float = 0.0
    # A program that the action must have started, and the how manieth such one.
    program: str = ""
    nth: int = 1

    def __str__(self) -> str:
        """Name a test."""
        begin = f"{self.program}-{self.nth}" if self.program else "begin"
        return f"{self.action}-{begin}+{self.after:g}"


@dataclass(frozen=True)
class Strike:
    """What was hit."""

    at: float
    age: float
    pid: int
    programs: tuple[str, ...]


@dataclass
class _Action:
    """One run of the agent, as far as it was watched."""

    pid: int
    since: float
    # By process, with the time when each was first seen.
    programs: dict[int, tuple[float, str]] = field(default_factory=dict)

    def look(self, inhabitants: Iterable[int]) -> None:
        """Note what it has started meanwhile."""
        for child in descendants(self.pid, inhabitants):
            words = processes.arguments(child)
            # Between fork and exec a child still looks like its parent.
            if words and AGENT not in words and child not in self.programs:
                self.programs[child] = (now(), " ".join(words))

    def is_due(self, moment: Moment) -> bool:
        """Whether the moment has come."""
        if not moment.program:
            return now() - self.since >= moment.after
        hits = sorted(at for at, words in self.programs.values() if re.search(moment.program, words))
        return len(hits) >= moment.nth and now() - hits[moment.nth - 1] >= moment.after


@dataclass
class Killer:
    """Waits for the moment on one node and strikes as often as asked."""

    node: Node
    moment: Moment
    times: int = 1
    number: signal.Signals = signal.SIGKILL
    # Whether what the agent started is hit too. If not, it goes on without its agent: a late effect.
    whole: bool = True
    strikes: list[Strike] = field(default_factory=list)
    _end: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def waiting(self) -> Iterator[Killer]:
        """Lie in wait for as long as the block lasts."""
        thread = threading.Thread(target=self._run, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._end.set()
            thread.join(timeout=10)

    def wait(self, within: float, count: int = 1) -> Strike:
        """Wait until it has struck that often and return the last strike."""
        what = f"strike {count} at {self.moment} on {self.node}"
        wait_until(lambda: len(self.strikes) >= count, within=within, what=what, every=0.02)
        return self.strikes[count - 1]

    def told(self) -> str:
        """Say what was hit."""
        hits = [f"hit after {strike.age:.3f} s, programs: {len(strike.programs)}" for strike in self.strikes]
        return "; ".join(hits) or "nothing to hit"

    def wake(self) -> None:
        """Let go on whom it put to sleep."""
        for strike in self.strikes:
            with suppress(ProcessLookupError):
                os.kill(strike.pid, signal.SIGCONT)
                os.killpg(os.getpgid(strike.pid), signal.SIGCONT)

    def _run(self) -> None:
        inside = _Inhabitants(self.node)
        actions: dict[int, _Action] = {}
        while not self._end.wait(EVERY) and len(self.strikes) < self.times:
            found = inside.running(self.moment.action)
            actions = {pid: actions.get(pid) or _Action(pid, now()) for pid in found}
            for action in actions.values():
                if any(strike.pid == action.pid for strike in self.strikes):
                    continue
                action.look(inside.pids)
                if action.is_due(self.moment):
                    self._strike(action, inside.pids)

    def _strike(self, action: _Action, inhabitants: Iterable[int]) -> None:
        with suppress(ProcessLookupError):
            # Pacemaker's executor gives each action a process group of its own.
            if self.whole and os.getpgid(action.pid) == action.pid:
                os.killpg(action.pid, self.number)
            else:
                victims = [action.pid, *(descendants(action.pid, inhabitants) if self.whole else ())]
                processes.send(victims, self.number)
            programs = tuple(words for _, words in action.programs.values())
            self.strikes.append(Strike(now(), now() - action.since, action.pid, programs))


class _Inhabitants:
    """Processes of a node, with what does not change about them remembered: looking must be quick."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._namespaces: dict[int, str | None] = {}
        self._own: str | None = None
        self.pids: list[int] = []

    def running(self, action: str) -> list[int]:
        """Return the agents that are at that action."""
        present = set(processes.pids())
        for pid in self._namespaces.keys() - present:
            del self._namespaces[pid]
        for pid in present - self._namespaces.keys():
            self._namespaces[pid] = processes.namespace(pid, "pid")
        own = self._identity()
        self.pids = [pid for pid, namespace in self._namespaces.items() if namespace == own]
        return [pid for pid in self.pids if processes.arguments(pid)[-2:] == (AGENT, action)]

    def _identity(self) -> str | None:
        """Return the node's namespace; looked up again only when nobody is left in it."""
        if self._own is None or self._own not in self._namespaces.values():
            pid = self._node.init_pid
            self._own = None if pid is None else processes.namespace(pid, "pid")
        return self._own


def descendants(pid: int, among: Iterable[int]) -> list[int]:
    """Return what a process started, and what that did."""
    parents = {each: parent(each) for each in among}
    found: list[int] = []
    youngest = {pid}
    while youngest:
        youngest = {child for child, above in parents.items() if above in youngest}
        found += youngest
    return found


def parent(pid: int) -> int | None:
    """Return a process's parent, read in the cheapest way there is (proc(5): stat)."""
    with suppress(*processes.Gone):
        return int((processes.PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])
    return None
