# SPDX-License-Identifier: GPL-2.0-or-later
"""A lock of another maker, behind the commands that take and release it, beside a record in the cluster.

Such a lock knows an owner and nothing more. It stands for the lease: whoever writes as the primary has to be granted it
first. Who may succeed is in the record, whose keeper compares as ever. Whatever such a command does but exit with 0
and print 1 or 0 is no answer, and no answer grants nothing.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from enum import Enum, auto
from typing import NamedTuple

from expgsql_ra.effects.clock import MonotonicClock
from expgsql_ra.effects.process import run_with_children
from expgsql_ra.errors import AgentError
from expgsql_ra.record import (
    NO_LEASE,
    Accepted,
    Lease,
    LeaseHeld,
    Outdated,
    Past,
    Prepared,
    Proposal,
    Reading,
    Record,
    Renewal,
    Unreachable,
    Writing,
)
from expgsql_ra.values import same_node
from expgsql_ra.world import Archive, Deadline

OWNER = "@owner"
SHELL_SYNTAX = re.compile(r"[|&;<>()$`\n*?#~]|^\s*\w+=")
SHELL_COMMAND = "EXPGSQL_COMMAND"
SOMEBODY = "another node"
COMMANDS_SHARE = 0.5
"""The part of the time that a command may use: the record is written after it."""


class Verdict(Enum):
    """What a lock service said."""

    YES = auto()
    NO = auto()


Answer = Verdict | Unreachable
Ask = Callable[[str, str, float], Answer]


class LockCommands(NamedTuple):
    """How the lock is taken (again) and released, and for how many seconds it is given."""

    lock: str
    unlock: str
    ttl: int


def ask(command: str, owner: str, within: float) -> Answer:
    """Run a command for an owner; without a shell, unless it is written for one."""
    try:
        argv, environ = words(command, owner)
        done = run_with_children(argv, within, environ=environ)
    except ValueError as problem:
        return Unreachable(f"the lock command cannot be understood: {problem}")
    except AgentError as problem:
        return Unreachable(f"the lock command: {problem}")
    printed = done.out.strip()
    if done.code == 0 and printed in {"0", "1"}:
        return Verdict.YES if printed == "1" else Verdict.NO
    said = f"exited with {done.code}: {done.tail}" if done.code else "printed neither 1 nor 0"
    return Unreachable(f"the lock command {said}")


def words(command: str, owner: str) -> tuple[list[str], dict[str, str]]:
    """The arguments to run, and what to add to the environment; ValueError for quotes that do not match or no command.

    What is written for a shell may assign a password: it is handed over where others than root cannot read it.
    """
    if SHELL_SYNTAX.search(command):
        return ["/bin/sh", "-c", f'eval "${SHELL_COMMAND}"'], {
            SHELL_COMMAND: command.replace(OWNER, shlex.quote(owner))
        }
    arguments = [word.replace(OWNER, owner) for word in shlex.split(command)]
    if not arguments:
        raise ValueError("it is empty")
    return arguments, {}


class LockedAuthority:
    """``keeper`` keeps the record, the commands the lease; this node is ``owner``."""

    def __init__(self, keeper: Archive, commands: LockCommands, owner: str, asked: Ask = ask) -> None:
        self._keeper = keeper
        self._commands = commands
        self._owner = owner
        self._ask = asked

    def read(self, within: float) -> Reading:
        """The record; who has the lock, only the commands could tell, and they would take it."""
        return self._keeper.read(within)

    def write(self, proposal: Proposal, within: float) -> Writing:
        """Take the lock, where the writer is to be the primary; then write."""
        if not proposal.takes_lease:
            return self._keeper.write(proposal, within)
        deadline = Deadline(MonotonicClock(), within)
        match self._taken(deadline):
            case Unreachable() as problem:
                return problem
            case Verdict.NO:
                return LeaseHeld(SOMEBODY, 0.0)
        answer = self._keeper.write(proposal, deadline.left())
        match answer:
            case Accepted(record):
                return Accepted(self._held(record))
            case Outdated(record) if not same_node(record.primary, self._owner):
                self._ask(self._commands.unlock, self._owner, deadline.left())  # nothing of ours is left to guard
        return answer

    def renew(self, record: Record, within: float) -> Renewal:
        """Take the lock again, if the record still is the one known; `Outdated` also where another node has it."""
        deadline = Deadline(MonotonicClock(), within)
        answer = self._keeper.renew(record, deadline.left() * (1 - COMMANDS_SHARE))
        if not isinstance(answer, Accepted):
            return answer
        match self._ask(self._commands.lock, self._owner, deadline.left()):
            case Verdict.YES:
                return Accepted(self._held(answer.record))
            case Verdict.NO:
                return Outdated(answer.record._replace(lease=Lease(SOMEBODY, float(self._commands.ttl))))
            case problem:
                return problem

    def release(self, record: Record, within: float) -> Renewal:
        """Release the lock; one that another node has is not ours to hold."""
        match self._ask(self._commands.unlock, self._owner, within):
            case Unreachable() as problem:
                return problem
            case _:
                return Accepted(record._replace(lease=NO_LEASE))

    def prepare(self, within: float) -> Prepared | Unreachable:
        """The keeper's; a lock is prepared by its maker."""
        return self._keeper.prepare(within)

    def create(self, record: Record, within: float) -> Writing:
        """The keeper's: whoever creates a record takes no lease."""
        return self._keeper.create(record, within)

    def history(self, newest: int, within: float) -> Past | Unreachable:
        """The keeper's."""
        return self._keeper.history(newest, within)

    def _taken(self, deadline: Deadline) -> Answer:
        return self._ask(self._commands.lock, self._owner, deadline.left() * COMMANDS_SHARE)

    def _held(self, record: Record) -> Record:
        return record._replace(lease=Lease(self._owner, float(self._commands.ttl)))
