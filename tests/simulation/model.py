# SPDX-License-Identifier: GPL-2.0-or-later
"""The whole: nodes, the authority, clients and the cluster's memory, and every step from a state.

A state is a tuple of small numbers, one for each part; the parts themselves are kept once. What a part may do
depends on few of the others, so it is worked out once for each combination of these: that makes a million states
a matter of a minute.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.simulation import invariants, postgresql, programs
from tests.simulation.postgresql import Limits
from tests.simulation.rules import BY_THE_BOOK, Rules
from tests.simulation.runs import Seen, Setting, accept
from tests.simulation.starting import copied
from tests.simulation.state import (
    Authority,
    Cib,
    Clients,
    Directory,
    Node,
    Process,
    Walsender,
    a_record,
    aged,
)

from expgsql_ra.record import Successor
from expgsql_ra.rules.succession import Completed
from expgsql_ra.values import Attestation

State = tuple[int, ...]
AUTHORITY, CLIENTS, CIB, NODES = 0, 1, 2, 3
ALL_PROGRAMS = frozenset({"keep", "promote", "standby", "restart"})
BITS = 24


class Move(NamedTuple):
    """A step: what is told of it, which parts it changes, and whether the record is another one."""

    story: str
    changes: tuple[tuple[int, int], ...]
    accepted: bool = False


@dataclass(frozen=True)
class Bounds:
    """How much there is to explore."""

    nodes: int = 2
    commits: int = 1
    epochs: int = 2
    timelines: int = 9
    late: int = 1
    directories: int = 0
    programs: frozenset[str] = ALL_PROGRAMS
    count: int = 1
    hand: bool = False
    fixed: bool = True
    older: bool = False
    synchronous: tuple[str, ...] = ("node2",)
    """The successors at the beginning."""
    watched: frozenset[str] = frozenset({"I1", "I1s", "I2", "I3", "I4"})


class Parts:
    """Numbers for values."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._numbers: dict[Hashable, int] = {}

    def number(self, value: Hashable) -> int:
        """The number of a value, always the same one."""
        known = self._numbers.get(value)
        if known is None:
            known = self._numbers[value] = len(self.values)
            self.values.append(value)
        return known


@dataclass
class Model:
    """A bounded world under given rules."""

    bounds: Bounds
    rules: Rules = BY_THE_BOOK
    parts: Parts = field(default_factory=Parts)

    def __post_init__(self) -> None:
        bounds = self.bounds
        self.names = tuple(f"node{number}" for number in range(1, bounds.nodes + 1))
        self.limits = Limits(
            bounds.commits, bounds.timelines, bounds.hand, self.rules.lists_spares, self.rules.syncs_names
        )
        self.setting = Setting(
            self.rules,
            bounds.programs,
            bounds.count,
            bounds.epochs,
            bounds.timelines,
            bounds.late,
            bounds.directories,
            bounds.fixed,
            bounds.hand,
            bounds.older,
        )
        self._servers: dict[int, tuple[Move, ...]] = {}
        self._pairs: dict[int, tuple[Move, ...]] = {}
        self._agents: dict[int, tuple[Move, ...]] = {}
        self._late: dict[int, tuple[Move, ...]] = {}
        self._older: dict[int, int] = {}
        self._broken: dict[int, tuple[str, ...]] = {}
        self._broken_pairs: dict[int, tuple[str, ...]] = {}
        self._broken_histories: dict[tuple[int, ...], tuple[str, ...]] = {}

    # --- states ---

    def initial(self) -> State:
        """The first node is primary, in its first epoch, and those who are synchronous have all it has."""
        synchronous = self.bounds.synchronous
        successors = tuple(Successor(name, f"{name}.0") for name in (self.names[0], *synchronous))
        words = tuple((name, Attestation(f"{name}.0", 1, ())) for name in self.names[1:])
        parts = (
            Authority(a_record(1, self.names[0], successors)),
            Clients(),
            Cib(words),
            *(self._at_first(name) for name in self.names),
        )
        return tuple(self.parts.number(part) for part in parts)

    def _at_first(self, name: str) -> Node:
        names = self.bounds.synchronous
        if name == self.names[0]:
            senders = tuple(Walsender(other, names, 0) for other in self.names[1:])
            process = Process(True, names, names, senders, proved=bool(names))
            return Node(
                name, Directory(f"{name}.0", (), 1, (), names, names, Completed(1, 1), was_primary=True), process
            )
        process = Process(False, None, None, upstream=self.names[0])
        return Node(name, Directory(f"{name}.0", (), 1, (), None, None, Completed(0, 0)), process)

    def told(self, state: State) -> tuple[Any, ...]:
        """The values of a state's parts."""
        return tuple(self.parts.values[number] for number in state)

    # --- steps ---

    def moves(self, state: State) -> Iterator[Move]:
        """Every step from a state."""
        authority, clients, cib = state[:NODES]
        yield from self._late.get(authority) or self._remember(self._late, authority, self._deliveries(state))
        for at in range(NODES, len(state)):
            node = state[at]
            key = clients << BITS | node
            yield from self._servers.get(key) or self._remember(self._servers, key, self._server(state, at))
            key = (authority << BITS | cib) << BITS | node
            yield from self._agents.get(key) or self._remember(self._agents, key, self._agent(state, at))
            for to in range(NODES, len(state)):
                if to != at:
                    key = node << BITS | state[to]
                    yield from self._pairs.get(key) or self._remember(self._pairs, key, self._pair(state, at, to))

    @staticmethod
    def _remember(where: dict[int, tuple[Move, ...]], key: int, moves: Iterator[Move]) -> tuple[Move, ...]:
        found = where[key] = tuple(moves)
        return found

    def after(self, state: State) -> Iterator[tuple[str, State]]:
        """Every step from a state, with the state that it leads to."""
        for move in self.moves(state):
            yield move.story, self.apply(state, move)

    def apply(self, state: State, move: Move) -> State:
        """The state after a step."""
        parts = list(state)
        for cell, value in move.changes:
            parts[cell] = value
        if move.accepted:
            mine = {cell for cell, _ in move.changes}
            for cell in range(NODES, len(parts)):
                if cell not in mine:
                    parts[cell] = self._aged(parts[cell])
        return tuple(parts)

    def _aged(self, number: int) -> int:
        known = self._older.get(number)
        if known is None:
            node: Node = self.parts.values[number]
            older = node._replace(programs=tuple(aged(one) for one in node.programs))
            known = self._older[number] = self.parts.number(older)
        return known

    def _deliveries(self, state: State) -> Iterator[Move]:
        authority: Authority = self.parts.values[state[AUTHORITY]]
        for proposal in authority.late:
            after = accept(authority, proposal, self.rules)
            if after is not None:
                who = ", ".join(one.node for one in proposal.successors)
                text = f"a late write of {proposal.writer} is accepted: epoch {proposal.epoch}, {proposal.primary}"
                yield Move(f"{text} of {{{who}}}", ((AUTHORITY, self.parts.number(after)),), accepted=True)

    def _server(self, state: State, at: int) -> Iterator[Move]:
        node, clients = self.parts.values[state[at]], self.parts.values[state[CLIENTS]]
        for done in postgresql.steps(node, clients, self.limits):
            changes = [(at, self.parts.number(done.node))]
            if done.clients != clients:
                changes.append((CLIENTS, self.parts.number(done.clients)))
            yield Move(done.story, tuple(changes))

    def _agent(self, state: State, at: int) -> Iterator[Move]:
        authority, _, cib = self.told(state[:NODES])
        for out in programs.steps(Seen(self.setting, authority, cib, self.parts.values[state[at]])):
            changes = [(at, self.parts.number(out.node))]
            if out.authority is not authority:
                changes.append((AUTHORITY, self.parts.number(out.authority)))
            if out.cib is not cib:
                changes.append((CIB, self.parts.number(out.cib)))
            yield Move(out.story, tuple(changes), out.accepted)

    def _pair(self, state: State, at: int, to: int) -> Iterator[Move]:
        one, other = self.parts.values[state[at]], self.parts.values[state[to]]
        for linked in postgresql.between(one, other, self.limits):
            yield Move(linked.story, ((at, self.parts.number(linked.primary)), (to, self.parts.number(linked.standby))))
        for story, copy in copied(one, other, self.setting):
            yield Move(story, ((to, self.parts.number(copy)),))

    # --- what must hold ---

    def broken(self, state: State) -> frozenset[str]:
        """The invariants that do not hold."""
        authority, clients = state[AUTHORITY], state[CLIENTS]
        found: list[str] = []
        for at in range(NODES, len(state)):
            key = (authority << BITS | clients) << BITS | state[at]
            verdict = self._broken.get(key)
            found += self._at_node(key, state, at) if verdict is None else verdict
            for to in range(at + 1, len(state)):
                pair = state[at] << BITS | state[to]
                verdict = self._broken_pairs.get(pair)
                found += self._at_pair(pair, state, at, to) if verdict is None else verdict
        if "I6" in self.bounds.watched:
            found += self._histories(state)
        return self.bounds.watched.intersection(found) if found else frozenset()

    def _at_node(self, key: int, state: State, at: int) -> tuple[str, ...]:
        authority, clients, node = (self.parts.values[state[cell]] for cell in (AUTHORITY, CLIENTS, at))
        verdict = self._broken[key] = tuple(invariants.of_node(authority.record, clients.acknowledged, node))
        return verdict

    def _at_pair(self, key: int, state: State, at: int, to: int) -> tuple[str, ...]:
        verdict = tuple(invariants.of_pair(self.parts.values[state[at]], self.parts.values[state[to]]))
        self._broken_pairs[key] = verdict
        return verdict

    def _histories(self, state: State) -> tuple[str, ...]:
        authority, _, cib, *nodes = self.told(state)
        return tuple(
            name
            for primary in nodes
            for node in nodes
            if node is not primary
            for name in invariants.of_history(authority.record, cib, node, primary)
        )
