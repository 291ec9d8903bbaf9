# SPDX-License-Identifier: GPL-2.0-or-later
"""A run of the agent: what it starts from, how it goes on, and how it writes the record.

A run is what it knows and the one step that it has decided. So a pause between check and act, a kill between any two
steps, and another run that overtakes need nothing of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from tests.simulation.postgresql import shown
from tests.simulation.rules import Rules
from tests.simulation.state import NOW, OLD, Act, Authority, Cib, Node, Process, Program, aged, aged_proposal

from expgsql_ra.record import NO_LEASE, Proposal, Record

UNREAD = Record("", 0, OLD, "", (), NO_LEASE, "", "", "")
"""The record of a run that has not read it."""


class Setting(NamedTuple):
    """What the programs are told."""

    rules: Rules
    programs: frozenset[str]
    wanted: int
    """How many standbys are synchronous."""
    epochs: int
    timelines: int
    late: int
    directories: int
    fixed: bool
    """Whether this version of PostgreSQL waits from its first moment as a primary."""
    hand: bool
    """Whether there are promotions that nobody confirmed; copies are not taken from such a server."""
    older: bool
    """Whether a directory may be replaced by a copy that was made earlier."""


class Outcome(NamedTuple):
    """A step of an agent."""

    story: str
    node: Node
    authority: Authority
    cib: Cib
    accepted: bool = False
    """Whether the record is another one now."""


class Seen(NamedTuple):
    """What a step starts from."""

    setting: Setting
    authority: Authority
    cib: Cib
    node: Node

    @property
    def process(self) -> Process:
        """The running server."""
        assert self.node.process is not None
        return self.node.process


def same(seen: Seen, story: str, node: Node) -> Outcome:
    return Outcome(story, node, seen.authority, seen.cib)


def with_program(node: Node, program: Program | None) -> Node:
    if program is None:
        return node
    return node._replace(programs=tuple(sorted((*node.programs, program), key=repr)))


def goes_on(seen: Seen, program: Program, node: Node, following: Program | None) -> Iterator[Outcome]:
    """A step that touched this node alone."""
    yield same(seen, f"{node.name} {program.kind}: {described(program.act)}", with_program(node, following))


def described(act: Act) -> str:
    """A step for people."""
    load = act.load
    if isinstance(load, Proposal):
        return f"writes ({act.what}) epoch {load.epoch}, {load.primary} of {{{', '.join(_nodes(load))}}}"
    if act.what in {"rename", "reload"}:
        return f"{act.what}s to {shown(load)}"
    return act.what + (f" {load}" if load else "")


def _nodes(proposal: Proposal) -> tuple[str, ...]:
    return tuple(one.node for one in proposal.successors)


# --- writing the record -----------------------------------------------------------------------


def accept(authority: Authority, proposal: Proposal, rules: Rules) -> Authority | None:
    """What the authority keeps after a write; None if it refuses."""
    if rules.objection(authority.record, proposal) is not None:
        return None
    record = proposal.accepted("", NO_LEASE)._replace(revision=NOW, writer="")
    left = () if rules.forgets_old else tuple(aged_proposal(one) for one in authority.late if one != proposal)
    return Authority(record, left)


def writes(seen: Seen, program: Program, following: Callable[[Record], Program | None]) -> Iterator[Outcome]:
    """A write: accepted at once, or on its way after its sender has given up."""
    proposal, rules, node = program.act.load, seen.setting.rules, seen.node
    text = f"{node.name} {program.kind}: {described(program.act)}"
    after = accept(seen.authority, proposal, rules)
    if after is not None:
        rest = node._replace(programs=tuple(aged(one) for one in node.programs))
        written = with_program(rest, following(after.record))
        yield Outcome(text, written, after, seen.cib, accepted=True)
    if len(seen.authority.late) < seen.setting.late and (after is not None or not rules.forgets_old):
        late = seen.authority._replace(late=tuple(sorted((*seen.authority.late, proposal), key=repr)))
        yield Outcome(f"{text}; no answer", node, late, seen.cib)
        if not rules.awaits_answers and proposal.epoch == seen.authority.record.epoch:
            hoped = following(program.record._replace(successors=proposal.successors))
            yield Outcome(f"{text}; goes on without an answer", with_program(node, hoped), late, seen.cib)


def reads(record: Record) -> str:
    return f"reads {{{', '.join(record.nodes)}}}"


def is_own(seen: Seen, record: Record) -> bool:
    at = seen.node.directory
    return seen.setting.rules.is_its_primary(record, seen.node.me, at.completed, at.timeline)


def nothing(seen: Seen, program: Program) -> Iterator[Outcome]:  # noqa: ARG001 - one signature for all
    """A run that has nothing left to do ends as every run can."""
    return iter(())
