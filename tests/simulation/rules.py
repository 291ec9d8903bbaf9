# SPDX-License-Identifier: GPL-2.0-or-later
"""The rules by which the processes of the model act: the product's own functions, and what surrounds them.

The functions are those of the package. A negative control puts a wrapper in the place of one, or takes away a
step of a program; the package itself has no switches.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from expgsql_ra.record import LeaseHeld, Outdated, Proposal, Record, Successor, objection
from expgsql_ra.rules import replication, succession
from expgsql_ra.rules.succession import AwaitLease, Blocked, Choice, Claim, Completed, Duty, NoClaim, Step
from expgsql_ra.snapshot import ClusterView, Primary, Sender

Candidates = Callable[[Primary, ClusterView], tuple[Successor, ...]]
Objection = Callable[[Record, Proposal], Outdated | LeaseHeld | None]
next_step = lru_cache(maxsize=None)(succession.next_step)
choose = lru_cache(maxsize=None)(succession.choose)


@dataclass(frozen=True)
class Rules:
    """Everything by the book, unless a control says otherwise."""

    next_step: Callable[[Duty], Step] = next_step
    choose: Callable[[tuple[Successor, ...], tuple[str, ...] | None, int, bool], Choice | Blocked] = choose
    all_took: Callable[[tuple[Sender, ...], tuple[str, ...]], bool] = succession.all_took
    claim: Callable[[Record, Successor], Claim | AwaitLease | NoClaim] = succession.claim
    is_its_primary: Callable[[Record, Successor, Completed, int], bool] = succession.is_its_primary
    may_keep_names: Callable[[Record, Successor, tuple[str, ...] | None], bool] = succession.may_keep_names
    strayed: Callable[[bool, Completed, int], bool] = succession.strayed
    objection: Objection = objection
    forgets_old: bool = True
    """Whether a write that names an older revision can never be accepted any more, as `objection` has it."""
    awaits_answers: bool = True
    """R1: nothing goes on before the write was seen accepted."""
    candidates: Candidates = replication.candidates
    fresh_reports: bool = True
    """R2: the position that is noted is new WAL, which no walsender can have been told of before."""
    new_ids: bool = True
    """R2: a copy has a directory id of its own."""
    confirms: bool = True
    """R3: the second write, directly before the promotion."""
    narrows_in_place: bool = True
    """R4: a restart in place writes the record first."""
    intent_first: bool = True
    """R6: the expected history is published before a promotion."""
    one_hand: bool = True
    """R11: one run of the agent on a node."""
    rebuild_writes: bool = True
    """R12: the record is written before a directory is replaced."""
    spares_primary: bool = True
    """R12: never the recorded primary's directory."""
    closes: bool = True
    """R13: names are closed before a start as a standby."""
    syncs_names: bool = True
    """The file with the names survives a power loss."""
    lists_spares: bool = False
    """Names are `FIRST 1` of all, instead of `FIRST n` of exactly n."""


BY_THE_BOOK = Rules()
