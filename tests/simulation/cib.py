# SPDX-License-Identifier: GPL-2.0-or-later
"""The cluster as authority (rule R9): a copy of the record on every node, and memberships that are learnt late.

Three nodes. The first is the primary and waits for the second; one node at a time may be cut off. What is promised
here is less than elsewhere, and the model says where it ends: a merge in which the copy of a minority wins, and a loss
of power of all nodes before their disks have the record, are worlds of their own, in which commits are lost.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from tests.simulation.state import SYSTEM, plain

from expgsql_ra.record import (
    NO_LEASE,
    Doubtful,
    HighWater,
    Proposal,
    Record,
    Successor,
    objection,
    trust,
)
from expgsql_ra.rules.succession import (
    Claim,
    Completed,
    Duty,
    Narrow,
    Rename,
    claim,
    confirm,
    is_its_primary,
    next_step,
)

PRIMARY, HEIR, THIRD = 0, 1, 2
ALL = frozenset({PRIMARY, HEIR, THIRD})
SEATS = tuple(Successor(f"node{number}", f"node{number}.0") for number in (1, 2, 3))


class Node(NamedTuple):
    """A node: its copy in memory and on disk, whom it takes for members, and the highest record it has seen."""

    copy: Record
    disk: Record
    view: frozenset[int]
    highest: HighWater

    @property
    def quorate(self) -> bool:
        """Whether it believes to be with the majority."""
        return len(self.view) > 1


class Run(NamedTuple):
    """An agent's run: what comes next, and the record that it has written."""

    step: str
    record: Record | None = None
    cut_since: bool = False
    """Whether the network was cut after the write: before, a timeout is enough to know of it."""


class State(NamedTuple):
    """All of it."""

    cut: int | None
    """The node that is cut off."""
    nodes: tuple[Node, ...]
    keep: Run
    promote: Run
    alone: bool = False
    """Whether the first node acknowledges alone."""
    serves: bool = False
    """Whether the second node was promoted and acknowledges."""


@dataclass(frozen=True)
class Cib:
    """The world, and what may happen in it beyond the promise."""

    waits: bool = True
    """R9: one membership timeout passes between a write and its use."""
    wants_quorum: bool = True
    minority_wins: bool = False
    revisions: int = 5
    """How many writes a copy takes."""
    dark: bool = False
    """Whether all nodes may lose power at once before their disks have the record."""

    def initial(self) -> State:
        """All together; commits wait for the second node."""
        copy = Record(SYSTEM, 1, 1, "node1", SEATS[:2], NO_LEASE, "", "", "")
        nodes = tuple(Node(copy, copy, ALL, HighWater(1, 1)) for _ in ALL)
        return State(None, nodes, Run("read"), Run("read"))

    def broken(self, state: State) -> frozenset[str]:
        """Two servers that acknowledge, each by itself."""
        return frozenset({"I2"}) if state.alone and state.serves else frozenset()

    def after(self, state: State) -> Iterator[tuple[str, State]]:
        """Every step."""
        yield from self._network(state)
        yield from self._keep(state)
        yield from self._promote(state)
        if self.dark:
            yield from _power(state)

    # --- the network ---

    def _network(self, state: State) -> Iterator[tuple[str, State]]:
        if state.cut is None:
            for one in sorted(ALL):
                runs = {name: getattr(state, name)._replace(cut_since=True) for name in ("keep", "promote")}
                yield f"node{one + 1} is cut off", state._replace(cut=one, **runs)
        else:
            yield from self._merges(state)
        for at, node in enumerate(state.nodes):
            if node.view != _reached(state, at):
                learnt = _with(state, at, node._replace(view=_reached(state, at)))
                yield f"node{at + 1} learns who is there", self._interrupted(learnt, at)

    def _interrupted(self, state: State, at: int) -> State:
        """A run that waits gives up when quorum is lost."""
        if state.nodes[at].quorate or not self.wants_quorum:
            return state
        if at == PRIMARY and state.keep.step == "wait":
            return state._replace(keep=Run("read"))
        if at == HEIR and state.promote.step == "wait":
            return state._replace(promote=Run("read"))
        return state

    def _merges(self, state: State) -> Iterator[tuple[str, State]]:
        """One copy wins, and not for what it says of the primary: that of the majority, if nobody meddles."""
        cut = state.nodes[state.cut or 0]
        others = next(node for at, node in enumerate(state.nodes) if at != state.cut)
        whole = others.view == ALL - {state.cut}
        winners = {others.copy} if whole and not self.minority_wins else {others.copy, cut.copy}
        for winner in sorted(winners, key=repr):
            nodes = tuple(_learns(node._replace(copy=winner, disk=winner, view=ALL)) for node in state.nodes)
            text = f"all are together again with the record {_words(winner)}"
            yield text, state._replace(cut=None, nodes=nodes)

    # --- the programs ---

    def _write(self, state: State, at: int, proposal: Proposal) -> State | None:
        """A write into the own copy and those that can be reached; None if it does not count."""
        node = state.nodes[at]
        if (
            (self.wants_quorum and not node.quorate)
            or node.copy.revision >= self.revisions
            or objection(node.copy, proposal)
        ):
            return None
        if isinstance(trust(node.copy, node.highest, SYSTEM), Doubtful):
            return None
        copy = proposal.accepted("", NO_LEASE)._replace(writer="")
        for other in _reached(state, at):
            state = _with(state, other, _learns(state.nodes[other]._replace(copy=copy)))
        return state

    def _keep(self, state: State) -> Iterator[tuple[str, State]]:
        """The primary has lost its standby and goes on alone (R1)."""
        run, node = state.keep, state.nodes[PRIMARY]
        own = is_its_primary(node.copy, SEATS[PRIMARY], Completed(1, 1), 1)
        if run.step == "read" and own and not state.alone:
            step = next_step(Duty(node.copy, SEATS[PRIMARY], ("node2",), ("node2",), ()))
            written = self._write(state, PRIMARY, plain(step.proposal)) if isinstance(step, Narrow) else None
            if written:
                record = written.nodes[PRIMARY].copy
                text = f"node1 writes {_words(record)} into the copies that it reaches"
                yield text, written._replace(keep=Run("wait", record))
        elif run.step == "wait" and self._waited(state, PRIMARY, run) and node.copy == run.record:
            duty = Duty(run.record, SEATS[PRIMARY], ("node2",), ("node2",), (), fresh=True)
            if next_step(duty) == Rename(()):
                yield "node1 acknowledges alone", state._replace(alone=True, keep=Run("done"))

    def _promote(self, state: State) -> Iterator[tuple[str, State]]:
        """The second node believes that the first one is gone (R3)."""
        run, node = state.promote, state.nodes[HEIR]
        if run.step == "read" and PRIMARY not in node.view:
            verdict = claim(node.copy, SEATS[HEIR])
            if isinstance(verdict, Claim):
                yield from self._heir_writes(state, verdict.proposal)
        elif run.step == "wait" and self._waited(state, HEIR, run) and node.copy == run.record:
            written = self._write(state, HEIR, plain(confirm(node.copy, SEATS[HEIR])))
            if written:
                yield "node2 confirms and is promoted", written._replace(serves=True, promote=Run("done"))

    def _heir_writes(self, state: State, proposal: Proposal) -> Iterator[tuple[str, State]]:
        written = self._write(state, HEIR, plain(proposal))
        if written:
            record = written.nodes[HEIR].copy
            text = f"node2 writes {_words(record)} into the copies that it reaches"
            yield text, written._replace(promote=Run("wait", record))

    def _waited(self, state: State, at: int, run: Run) -> bool:
        """Whether a membership timeout may be over: then a cut from before the write is known."""
        node = state.nodes[at]
        if not self.waits:
            return True
        return (node.quorate or not self.wants_quorum) and (run.cut_since or node.view == _reached(state, at))


def _power(state: State) -> Iterator[tuple[str, State]]:
    """All lose power; of each, the disk may have kept less than the memory had."""
    if all(node.copy == node.disk for node in state.nodes[1:]):
        return
    nodes = tuple(node._replace(copy=node.disk) if at else node for at, node in enumerate(state.nodes))
    highest = tuple(node._replace(highest=NOTHING.raised_by(node.copy)) for node in nodes)
    text = "all lose power; the disks of node2 and node3 have the record as it was"
    yield text, state._replace(nodes=highest, promote=Run("read"))


NOTHING = HighWater(0, 0)


def _reached(state: State, at: int) -> frozenset[int]:
    if state.cut is None:
        return ALL
    return frozenset({at}) if at == state.cut else ALL - {state.cut}


def _with(state: State, at: int, node: Node) -> State:
    return state._replace(nodes=(*state.nodes[:at], node, *state.nodes[at + 1 :]))


def _learns(node: Node) -> Node:
    return node._replace(highest=node.highest.raised_by(node.copy))


def _words(record: Record) -> str:
    return f"epoch {record.epoch}, {record.primary} of {{{', '.join(record.nodes)}}}"
