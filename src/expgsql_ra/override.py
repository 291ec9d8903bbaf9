# SPDX-License-Identifier: GPL-2.0-or-later
"""The operator's word in place of an arbiter that is gone for good: one promotion, of one directory, for one epoch.

Only the command ``expgsql arbiter override`` makes one; the agent uses it and never makes it. It stands for a record
that nobody keeps: the node promoted by it is its own only successor, until an arbiter is set up anew.
"""

from __future__ import annotations

from typing import NamedTuple

from expgsql_ra.record import NO_LEASE, HighWater, Reading, Record, Successor, Unreachable


class Override(NamedTuple):
    """What an operator has allowed."""

    system: str
    epoch: int
    revision: int
    """The highest epoch and revision of the record that the node had seen then: whatever comes later voids it."""
    node: str
    directory: str
    """Who may be promoted, and with which data directory."""
    by: str
    time: str
    reason: str
    used: bool = False
    """Whether a promotion has claimed it."""

    @property
    def record(self) -> Record:
        """What is true once it is used, as far as it is true for anybody."""
        primary = Successor(self.node, self.directory)
        return Record(
            system=self.system,
            epoch=self.epoch + 1,
            revision=self.revision + 1,
            primary=self.node,
            successors=(primary,),
            lease=NO_LEASE,
            writer=self.by,
            time=self.time,
            reason=f"override of the arbiter: {self.reason}",
        )

    @property
    def standing(self) -> str:
        """What has come of it, for people."""
        done = (
            "serves by an operator's override of the arbiter: alone, and nobody may succeed it"
            if self.used
            else "may be promoted once, by an operator's override of the arbiter"
        )
        return f"{self.node} {done} ({self.by}, {self.time}: {self.reason})"

    @property
    def claimed(self) -> HighWater:
        """What its node has seen when it is used."""
        return HighWater(self.epoch + 1, self.revision + 1)


class Allowed(NamedTuple):
    """The record to go on with: a promotion that has claimed it, or its primary's restart in place."""

    record: Record


class NotAllowed(NamedTuple):
    """It allows nothing now, with the reason."""

    why: str


class Situation(NamedTuple):
    """What there is to be known before an override is used: all of it on this node, but for the arbiter's answer."""

    answer: Reading
    """Just now, of the arbiter that is said to be gone."""
    seen: HighWater
    system: str
    me: Successor


def overridden(override: Override | None, now: Situation) -> Allowed | NotAllowed:
    """Whether an override stands in for the record that could not be read."""
    if override is None:
        return NotAllowed("there is no override; where the arbiter is gone for good see expgsql arbiter override")
    if not isinstance(now.answer, Unreachable):
        return NotAllowed("the arbiter answers: its record counts, not the override")
    why = _another_place(override, now) or is_over(override, now.seen)
    return NotAllowed(why) if why else Allowed(override.record)


def _another_place(override: Override, now: Situation) -> str:
    """Why it was not given for this data; empty if it was."""
    if (override.node.casefold(), override.directory) != (now.me.node.casefold(), now.me.directory):
        return f"the override is for {override.node} with another data directory than there is here"
    if override.system != now.system:
        return f"the override is for the database system {override.system}, not {now.system or 'none'}"
    return ""


def is_over(override: Override, seen: HighWater) -> str:
    """Why it does not hold any more; empty if it does."""
    if seen == override.claimed:
        return "" if override.used else "another promotion of the override's epoch was seen here"
    if seen == (override.epoch, override.revision):
        return ""
    return (
        f"the override is over: it was given at epoch {override.epoch}, revision {override.revision}, and epoch "
        f"{seen.epoch}, revision {seen.revision} has been seen here"
    )
