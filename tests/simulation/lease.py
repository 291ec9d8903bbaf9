# SPDX-License-Identifier: GPL-2.0-or-later
"""Time (rules R5, R8): a lease that is renewed, lost, or given back, and a server that must have stopped by then.

Nobody's commits hang on it: the invariant is that two servers never serve at once, but for as long as a primary
takes to notice and to stop that may stay because its recorded successors still stream. One step of time is the
monitor's interval; the arithmetic of validate-all (`lease_too_short`) gives the lease.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from tests.simulation.state import SYSTEM

from expgsql_ra.record import Lease, Record, Successor
from expgsql_ra.rules import succession
from expgsql_ra.rules.succession import Claim, Standing

INTERVAL, RENEWAL, STOP = 1, 1, 2
HOUR = 1000
"""More than any lease."""
ENOUGH = INTERVAL + RENEWAL + STOP + 1
FIRST, SECOND = Successor("node1", "node1.0"), Successor("node2", "node2.0")
RECORD = Record(SYSTEM, 1, 1, "node1", (FIRST, SECOND), Lease("", 0.0), "", "", "")
MustStop = Callable[[Standing], str | None]


class State(NamedTuple):
    """A moment."""

    left: int
    """Of the lease, by the authority's clock."""
    own: int
    """Of the lease, by the primary's copy, which began before the request was sent."""
    reached: bool = True
    """Whether the primary reaches the authority."""
    streams: bool = True
    """Whether the standby streams, synchronously."""
    looked: bool = False
    """Whether the primary's guard has looked in this step of time."""
    stopping: int = 0
    """How long the primary's stop has still to last."""
    serving: bool = True
    """Whether the primary's server runs."""
    guarded: bool = True
    """Whether anybody still watches it."""
    promoted: bool = False
    excused: bool = False
    """Whether the primary stayed beyond its lease because its successors streamed."""
    both: int = 0
    """For how long two have served."""
    set_back: int = 0
    """By how much the wall clock of the primary's node was set back since it renewed; negative: set forward."""


@dataclass(frozen=True)
class Time:
    """The world."""

    ttl: int = ENOUGH
    must_stop: MustStop = succession.must_stop
    proves_stops: bool = True
    """R8: a stop that cannot be proven is not reported as done."""
    steadily: bool = True
    """R5: the primary's copy of the lease is kept on a clock that no step of the wall clock moves."""
    authority_steps: bool = False
    """Whether the authority's own clock is set forward, which ends a lease before its time."""

    def initial(self) -> State:
        """The primary has just renewed."""
        return State(self.ttl, self.ttl)

    def broken(self, state: State) -> frozenset[str]:
        """Two serve for longer than it takes to notice and to stop, or at all without an excuse."""
        allowed = INTERVAL + STOP if state.excused else 0
        return frozenset({"I7"}) if state.both > allowed else frozenset()

    def after(self, state: State) -> Iterator[tuple[str, State]]:
        """Every step."""
        yield from self._links(state)
        yield from self._clocks(state)
        yield from self._guard(state)
        yield from self._heir(state)
        if not self.proves_stops and state.serving and state.guarded:
            text = "node1: a stop that could not be proven is reported as done, and the lease is given back"
            yield text, state._replace(guarded=False, left=0, looked=True)
        if state.looked or not (state.guarded and state.serving):
            yield "time passes", _later(state)

    @staticmethod
    def _links(state: State) -> Iterator[tuple[str, State]]:
        yield f"node1 {'loses' if state.reached else 'finds'} the authority", state._replace(reached=not state.reached)
        if state.streams:
            yield "node2 does not stream any more", state._replace(streams=False)

    def _clocks(self, state: State) -> Iterator[tuple[str, State]]:
        if not state.set_back:
            yield "node1's wall clock is set back by an hour", state._replace(set_back=HOUR)
            yield "node1's wall clock is set forward by an hour", state._replace(set_back=-HOUR)
        if self.authority_steps and state.left:
            yield "the authority's clock is set forward by an hour", state._replace(left=0)

    def _guard(self, state: State) -> Iterator[tuple[str, State]]:
        """A renewal is tried; without it the primary asks whether it must stop."""
        if not state.guarded or not state.serving or state.looked or state.stopping:
            return
        if state.reached and not state.promoted:
            yield "node1 renews", state._replace(looked=True, left=self.ttl, own=self.ttl, excused=False, set_back=0)
            return
        reason = self.must_stop(
            Standing(
                seconds_left=float(state.own if self.steadily else state.own + state.set_back),
                stop=float(STOP),
                shared=True,
                successors_stream=state.streams,
                unreachable=not state.reached,
            )
        )
        if reason:
            yield f"node1 begins to stop: {reason}", state._replace(looked=True, stopping=STOP)
        else:
            yield "node1 stays", state._replace(looked=True, excused=state.streams)

    @staticmethod
    def _heir(state: State) -> Iterator[tuple[str, State]]:
        if state.promoted:
            return
        record = RECORD._replace(lease=Lease.of("node1", float(state.left)))
        if isinstance(succession.claim(record, SECOND), Claim):
            yield "node2 claims, confirms and is promoted", state._replace(promoted=True, streams=False)


def _later(state: State) -> State:
    stopping = max(0, state.stopping - 1)
    serving = state.serving and not (state.stopping and not stopping)
    return state._replace(
        left=max(0, state.left - 1),
        own=max(0, state.own - 1),
        looked=bool(stopping),
        stopping=stopping,
        serving=serving,
        both=state.both + 1 if serving and state.promoted else 0,
    )
