# SPDX-License-Identifier: GPL-2.0-or-later
"""What the contract is about: a server to look at and to change, with a clock that fits it."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

from tests.fake_postgresql import FakeServer
from tests.fakes import Effects, FakeClock, FakeWatch

from expgsql_ra.effects import proc
from expgsql_ra.effects.clock import MonotonicClock
from expgsql_ra.effects.control import LiveControl
from expgsql_ra.effects.inspection import LiveInspection
from expgsql_ra.effects.installation import Installation
from expgsql_ra.parameters import Parameters
from expgsql_ra.snapshot import Primary, Server, Standby, Stopped
from expgsql_ra.world import Clock, Control, Deadline, Inspection, Shutdown

T = TypeVar("T", bound=Server)
WITHIN = 20.0


class Subject(Protocol):
    """A server, real or not."""

    look: Inspection
    control: Control
    clock: Clock

    def freeze(self) -> None:
        """Stop the server's first process without ending it."""

    def kill_postmaster(self) -> None:
        """Kill the server's first process alone."""


class Waiting:
    """What both subjects share: waiting for a state."""

    look: Inspection
    control: Control
    clock: Clock

    def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for a condition."""
        for _ in Deadline(self.clock, WITHIN).every(0.03, what):
            if condition():
                return

    def becomes(self, kind: type[T]) -> T:
        """Wait until the server is of that kind, and return it."""
        for _ in Deadline(self.clock, WITHIN).every(0.03, f"the server to be {kind.__name__}"):
            server = self.look.server(5)
            if isinstance(server, kind):
                return server
        raise AssertionError

    def standby(self, names: str = "", *, connected: bool = False) -> Standby:
        """Start it as a standby."""
        self.control.start_as_standby(names, connected)
        return self.becomes(Standby)

    def primary(self, names: str = "") -> Primary:
        """Start it as a primary on its own timeline."""
        self.control.start_as_primary(names)
        return self.becomes(Primary)

    def promoted(self, names: str = "") -> Primary:
        """Start it as a standby and promote it."""
        self.standby(names)
        self.control.promote()
        return self.becomes(Primary)

    def stop(self, how: Shutdown = Shutdown.FAST) -> Server:
        """End it."""
        self.control.shut_down(how)
        return self.becomes(Stopped)


class FakeSubject(Waiting):
    """The server in memory."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        server = FakeServer("node1", self.clock, Effects(_nothing), _nothing)
        self.look, self.control, self.server = server, server, server

    def freeze(self) -> None:
        """Stop it."""
        self.server.frozen = True

    def kill_postmaster(self) -> None:
        """Kill it; its children notice and go."""
        self.server.crash()


class RealSubject(Waiting):
    """PostgreSQL itself."""

    def __init__(self, parameters: Parameters) -> None:
        self.parameters = parameters
        self.clock = MonotonicClock()
        self.at = Installation(parameters, "node-1")
        self.watch = FakeWatch()
        self.look, self.control = LiveInspection(self.at), LiveControl(self.at, self.watch)

    def use(self, **parameters: object) -> None:
        """Other parameters, from now on."""
        self.parameters = self.at.parameters = self.parameters.replace(**parameters)

    @property
    def pid(self) -> int:
        """The postmaster."""
        found = proc.postmaster(self.parameters.pgdata)
        assert isinstance(found, proc.Alive)
        return found.pid

    def signal(self, number: signal.Signals) -> None:
        """Signal the postmaster."""
        proc.send(self.pid, self.at.folder, number)

    def freeze(self) -> None:
        """SIGSTOP."""
        self.signal(signal.SIGSTOP)

    def kill_postmaster(self) -> None:
        """SIGKILL."""
        self.signal(signal.SIGKILL)

    def stop(self, how: Shutdown = Shutdown.FAST) -> Server:
        """End it, and wait until its parent has noticed too: PostgreSQL takes a zombie for a server that runs."""
        pid = self.pid
        ended = super().stop(how)
        self.wait_until(lambda: not Path(f"/proc/{pid}").exists(), "the last of the process")
        return ended

    def clear_away(self) -> None:
        """Leave no process behind."""
        self.control.shut_down(Shutdown.KILL)
        self.wait_until(self.look.is_gone, "the end of the server")


def _nothing() -> None:
    """No promises to keep for one server alone."""
