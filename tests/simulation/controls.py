# SPDX-License-Identifier: GPL-2.0-or-later
"""Negative controls: every rule taken away once, in a world just large enough to show what it is for.

A switch is a wrapper around the product's function or a program that leaves out a step. `invariants.NAMES` says
what each guarded invariant means.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from tests.simulation.model import ALL_PROGRAMS, Bounds
from tests.simulation.rules import BY_THE_BOOK, Rules, choose, next_step

from expgsql_ra.record import LeaseHeld, Outdated, Proposal, Record, Successor, objection, ordered, promoted, rewritten
from expgsql_ra.rules import replication, succession
from expgsql_ra.rules.succession import (
    AwaitLease,
    Blocked,
    Choice,
    Claim,
    Completed,
    Duty,
    Narrow,
    NoClaim,
    Rename,
    Step,
    Widen,
)
from expgsql_ra.snapshot import ClusterView, Primary
from expgsql_ra.values import Attestation, Lsn

KEEP = frozenset({"keep"})
TAKEOVER = frozenset({"keep", "promote"})
REBUILD = ALL_PROGRAMS | {"rebuild"}
LOSS = frozenset({"I1"})
NEXT_LOSS = frozenset({"I1s"})
"""The loss as soon as a directory that lacks a commit may become the primary: steps before it does."""
UNWAITED = frozenset({"I4"})
ALONE = frozenset({"I2"})
TWINS = frozenset({"I3"})
MISLED = frozenset({"I6"})
FAR = Lsn(1 << 40)
EVERYTHING = frozenset({"I1", "I1s", "I2", "I3", "I4", "I5"})
ALONE_AT_FIRST: tuple[str, ...] = ()
BOTH = ("node2", "node3")


class Control(NamedTuple):
    """A rule, the switch that turns it off, and where this shows."""

    rule: str
    without: str
    rules: Rules
    bounds: Bounds
    hole: str = ""
    """The trace of the safety model that it stands for, or of this one."""

    @property
    def file(self) -> str:
        """Where its story is kept."""
        return f"{self.rule} {self.without}".lower().replace(", ", "-").replace(" ", "-").replace("'", "") + ".txt"


# --- the switches -----------------------------------------------------------------------------


def relaxes_first(duty: Duty) -> Step:
    """R1: PostgreSQL stops waiting, then the record is written."""
    step = next_step(duty)
    nodes = tuple(one.node for one in duty.target)
    return Rename(nodes) if isinstance(step, Narrow) and duty.names != nodes else step


def trusts_a_reading(duty: Duty) -> Step:
    """R1: where the record as read lacks the node, nothing is written."""
    return next_step(duty._replace(fresh=True))


def asks_no_flush(duty: Duty) -> Step:
    """R2 (6): whoever is named is recorded."""
    return next_step(duty._replace(passed=frozenset(one.node for one in duty.target)))


def asks_no_flag(duty: Duty) -> Step:
    """R2 (4), the first half: the setting is taken for its effect."""
    return next_step(duty._replace(effective=True))


def records_first(duty: Duty) -> Step:
    """R2, the order: the record, then PostgreSQL."""
    missing = tuple(one for one in duty.target if one not in duty.record.successors)
    if not missing:
        return next_step(duty)
    recorded = (*duty.record.successors, *missing)
    return Widen(rewritten(duty.record, recorded, writer=duty.me.node, reason=""))


def only_the_session(duty: Duty) -> Step:
    """R2: what a new session shows is taken for what every reload will bring."""
    return next_step(duty._replace(written=duty.names))


def never_closes_between(duty: Duty) -> Step:
    """R2 (4): one list follows another at once, newcomers in front."""
    step = next_step(duty)
    if step != Rename(None):
        return step
    nodes = tuple(one.node for one in duty.target)
    relaxes = not set(duty.names or ()) <= set(nodes) or duty.names is None
    if relaxes and not duty.fresh:
        keeps = tuple(one for one in duty.record.successors if one == duty.me or one in duty.target)
        return Narrow(rewritten(duty.record, keeps, writer=duty.me.node, reason=""))
    return Rename(nodes) if (duty.names, duty.written) != (nodes, nodes) else next_step(duty._replace(taken=True))


def whoever_streams(server: Primary, view: ClusterView) -> tuple[Successor, ...]:
    """R2 (2): a standby counts as it connects, whatever its history."""
    if view.history is None:
        return ()
    word = (view.history.current, view.history.forks)
    told = tuple(one._replace(follows=Attestation(one.follows.directory, *word)) for one in view.members if one.follows)
    return replication.candidates(server, view._replace(members=told))


def also_who_reports_too_much(server: Primary, view: ClusterView) -> tuple[Successor, ...]:
    """R2 (2): a standby may report more than the primary has."""
    return replication.candidates(server._replace(flushed=FAR), view)


def whoever_streams_whatever(server: Primary, view: ClusterView) -> tuple[Successor, ...]:
    """R2 (2): a standby counts as it connects, whatever its history and its report."""
    return whoever_streams(server._replace(flushed=FAR), view)


def all_have_taken(senders: object, names: object) -> bool:  # noqa: ARG001 - it looks at nothing
    """R2 (4), the second half: nobody looks at the walsenders."""
    return True


def anybody_claims(record: Record, me: Successor) -> Claim | AwaitLease | NoClaim:
    """R3: a directory that the record does not name takes the next epoch."""
    others = tuple(one for one in record.successors if one.node != me.node)
    return Claim(promoted(record._replace(successors=ordered((*others, me))), me, reason=""))


def anything_is_accepted(stored: Record, proposal: Proposal) -> None:  # noqa: ARG001 - it looks at nothing
    """R3: the authority compares nothing."""
    return


def compares_contents(stored: Record, proposal: Proposal) -> Outdated | LeaseHeld | None:
    """The revision: contents that came back pass for those that were read."""
    base = proposal.replaces
    same = (base.epoch, base.primary, base.successors) == (stored.epoch, stored.primary, stored.successors)
    return objection(stored, proposal._replace(replaces=stored)) if same else Outdated(stored)


def any_epoch(record: Record, me: Successor, completed: Completed, timeline: int) -> bool:
    """R4: the record's word is enough, whatever was completed in the directory."""
    return succession.is_its_primary(record, me, Completed(record.epoch, timeline), timeline) and completed.epoch >= 0


def any_names(record: Record, me: Successor, names: tuple[str, ...] | None) -> bool:  # noqa: ARG001
    """R4: the names of the file are kept, whatever they are."""
    return True


def never(was_primary: bool, completed: Completed, timeline: int) -> bool:  # noqa: ARG001 - it looks at nothing
    """R7: every directory gives its word."""
    return False


def choose_all(
    candidates: tuple[Successor, ...], named: tuple[str, ...] | None, count: int, strict: bool
) -> Choice | Blocked:
    """The product's choice, newcomers behind."""
    choice = choose(candidates, named, count, strict)
    assert isinstance(choice, Choice)
    kept = tuple(one for one in choice.target if one.node in (named or ()))
    return Choice((*kept, *(one for one in choice.target if one not in kept)))


Switch = Callable[[Duty], Step]


def _keeping(switch: Switch, **more: object) -> Rules:
    return replace(BY_THE_BOOK, next_step=switch, **more)  # type: ignore[arg-type]


def _book(**changes: object) -> Rules:
    return replace(BY_THE_BOOK, **changes)  # type: ignore[arg-type]


# --- the table --------------------------------------------------------------------------------

SMALL = Bounds(programs=TAKEOVER, late=0, watched=LOSS)
DEGRADED = replace(SMALL, synchronous=ALONE_AT_FIRST, epochs=1, watched=NEXT_LOSS)
CONTROLS = (
    Control("R1", "the record before the names", _keeping(relaxes_first), SMALL),
    Control("R1", "a fresh write", _keeping(trusts_a_reading), replace(SMALL, late=1), "H2"),
    Control("R1", "awaiting the answer", _book(awaits_answers=False), replace(SMALL, late=1)),
    Control("R2", "the flush", _keeping(asks_no_flush), DEGRADED),
    Control("R2", "the flag", _keeping(asks_no_flag), replace(DEGRADED, commits=2), "H5"),
    Control(
        "R2",
        "the walsenders",
        _book(all_took=all_have_taken),
        replace(DEGRADED, nodes=3, programs=KEEP, synchronous=("node2",), commits=1),
        "H6",
    ),
    Control("R2", "names before the record", _keeping(records_first), DEGRADED),
    Control("R2", "the file's names", _keeping(only_the_session), replace(DEGRADED, commits=1)),
    Control(
        "R2",
        "closing between lists",
        _keeping(never_closes_between),
        replace(DEGRADED, nodes=4, programs=KEEP, count=2, synchronous=BOTH),
    ),
    Control(
        "R2",
        "the standby's own word",
        _book(candidates=whoever_streams),
        replace(SMALL, programs=ALL_PROGRAMS - {"restart"}, commits=2, watched=NEXT_LOSS),
        "H7",
    ),
    Control(
        "R1",
        "FIRST n of exactly n",
        _book(lists_spares=True),
        replace(SMALL, nodes=3, programs=TAKEOVER, count=2, synchronous=BOTH, watched=NEXT_LOSS),
        "H14",
    ),
    Control(
        "R3",
        "being a successor",
        _book(claim=anybody_claims),
        replace(SMALL, synchronous=ALONE_AT_FIRST),
    ),
    Control("R3", "compare-and-set", _book(objection=anything_is_accepted, forgets_old=False), replace(SMALL)),
    Control(
        "R3",
        "the confirmation",
        _book(confirms=False),
        replace(SMALL, programs=ALL_PROGRAMS, epochs=3, commits=2, watched=TWINS),
    ),
    Control(
        "record", "the revision", _book(objection=compares_contents, forgets_old=False), replace(SMALL, late=1), "H3"
    ),
    Control(
        "R4",
        "narrowing before a restart",
        _book(narrows_in_place=False),
        replace(SMALL, programs=ALL_PROGRAMS, fixed=False),
        "H11",
    ),
    Control(
        "R4",
        "the completed epoch",
        _book(is_its_primary=any_epoch),
        replace(SMALL, programs=ALL_PROGRAMS, commits=2, watched=TWINS),
        "H12",
    ),
    Control(
        "R6",
        "the intent before the promotion",
        _book(intent_first=False),
        replace(SMALL, programs=ALL_PROGRAMS, watched=MISLED),
    ),
    Control("R11", "one run at a time", _book(one_hand=False), SMALL, "H4"),
    Control(
        "R12",
        "never the recorded primary's",
        _book(spares_primary=False),
        replace(SMALL, programs=REBUILD, directories=1),
    ),
    Control(
        "R2",
        "the standby's own word, and commits to come",
        _book(candidates=whoever_streams_whatever),
        replace(SMALL, programs=ALL_PROGRAMS, watched=frozenset({"I5"})),
        "H8",
    ),
    Control(
        "R2",
        "no report beyond the end",
        _book(candidates=also_who_reports_too_much),
        replace(SMALL, programs=REBUILD - {"restart"}, directories=1, watched=frozenset({"I5"})),
    ),
    Control(
        "R2",
        "a position that nobody can have reported before",
        _book(fresh_reports=False),
        replace(SMALL, programs=REBUILD, directories=1, older=True, epochs=1, commits=2, watched=NEXT_LOSS),
    ),
    Control(
        "R2, R12",
        "the directory's id, in a directory replaced behind our back",
        _book(new_ids=False, rebuild_writes=False),
        replace(SMALL, programs=REBUILD, directories=1, older=True, watched=NEXT_LOSS),
        "H9",
    ),
    Control(
        "R4",
        "names that last and hold back enough",
        _book(syncs_names=False, may_keep_names=any_names),
        replace(SMALL, programs=ALL_PROGRAMS, synchronous=ALONE_AT_FIRST, epochs=1, watched=ALONE),
        "H10",
    ),
    Control(
        "R7",
        "the silence of a stray directory",
        _book(strayed=never),
        replace(SMALL, programs=ALL_PROGRAMS - {"restart"}, hand=True, timelines=3, watched=frozenset({"I5"})),
    ),
    Control(
        "R11",
        "a start beside a restart",
        _book(one_hand=False),
        replace(SMALL, programs=frozenset({"standby", "restart", "promote"}), commits=2, watched=TWINS),
        "H4",
    ),
    Control(
        "R12",
        "the write before a rebuild",
        _book(rebuild_writes=False),
        replace(SMALL, programs=REBUILD, directories=1, older=True, epochs=1, commits=2, watched=NEXT_LOSS),
        "H9",
    ),
    Control(
        "R13",
        "names closed at rest",
        _book(closes=False),
        replace(
            SMALL, programs=REBUILD, synchronous=ALONE_AT_FIRST, directories=1, hand=True, timelines=3, watched=ALONE
        ),
        "H13",
    ),
)
"""One rule less, and its world breaks."""

SECOND_LINES = (
    Control(
        "R4",
        "names that last: a restart looks at the file that is there",
        _book(syncs_names=False),
        replace(SMALL, programs=ALL_PROGRAMS, synchronous=ALONE_AT_FIRST, epochs=1, watched=EVERYTHING),
    ),
    Control(
        "R4",
        "names that hold back enough: the file always does, if it lasts",
        _book(may_keep_names=any_names),
        replace(SMALL, programs=ALL_PROGRAMS, synchronous=ALONE_AT_FIRST, epochs=1, watched=EVERYTHING),
    ),
    Control(
        "R2",
        "newcomers in front: names are closed between two lists",
        _book(choose=choose_all),
        replace(
            SMALL, nodes=3, commits=0, programs=KEEP, count=2, synchronous=("node2",), epochs=1, watched=EVERYTHING
        ),
    ),
)
"""Rules that another one covers: alone they can go, within their bounds, and nothing breaks."""
