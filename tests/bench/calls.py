# SPDX-License-Identifier: GPL-2.0-or-later
"""Watching Pacemaker call an agent's monitor: when a call ends, and what environment it had.

Pacemaker's executor starts a recurring monitor its interval after the end of the one before. So the
end of a call fixes the moment of the next one, and a fault can be given a known distance to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.lab import processes
from tests.lab.node import Node
from tests.lab.waiting import Timeout, ticks

EXECUTOR = r"(^|/)pacemaker-execd( |$)"
# The executor's child list is one short file: looking this often costs nearly nothing.
LOOK_EVERY = 0.004
# Longer than any interval and any monitor of a busy machine.
PATIENCE = 30.0


@dataclass(frozen=True)
class Call:
    """One run of the agent that Pacemaker started."""

    pid: int
    environ: dict[str, str]


@dataclass(frozen=True)
class Watch:
    """Eyes on one node's executor."""

    node: Node
    agent: str

    def end_of_monitor(self) -> Call:
        """Wait until a monitor that has begun since is over, and return what was seen of it."""
        executor = self._executor()
        call = self._next(executor)
        for _ in ticks(LOOK_EVERY, PATIENCE):
            if call.pid not in _children(executor) or not processes.arguments(call.pid):
                return call
        raise Timeout(f"the end of a monitor of {self.agent} on {self.node}", PATIENCE)

    def _executor(self) -> int:
        found = self.node.processes(EXECUTOR)
        if not found:
            raise Timeout(f"Pacemaker's executor on {self.node}", 0)
        return found[0]

    def _next(self, executor: int) -> Call:
        # One that runs already may be as good as over.
        old = set(_children(executor))
        for _ in ticks(LOOK_EVERY, PATIENCE):
            for pid in self._monitors(executor):
                environ = _environ(pid)
                if pid not in old and environ:
                    return Call(pid, environ)
        raise Timeout(f"a monitor of {self.agent} on {self.node}", PATIENCE)

    def _monitors(self, executor: int) -> Iterator[int]:
        """Yield the executor's children that have become the agent (until then they look like it)."""
        for pid in _children(executor):
            words = processes.arguments(pid)
            if words[-1:] == ("monitor",) and words[-2].endswith(f"/heartbeat/{self.agent}"):
                yield pid


def _children(pid: int) -> list[int]:
    with suppress(*processes.Gone):
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def _environ(pid: int) -> dict[str, str]:
    with suppress(*processes.Gone):
        pairs = Path(f"/proc/{pid}/environ").read_text(errors="surrogateescape").split("\0")
        return {name: value for name, found, value in (pair.partition("=") for pair in pairs) if found}
    return {}
