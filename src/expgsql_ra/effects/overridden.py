# SPDX-License-Identifier: GPL-2.0-or-later
"""An arbiter that an operator has declared gone for good: where it does not answer, his override stands for it.

What the arbiter says always counts first. The override allows one promotion, of this node's own data directory;
after that the node is its own only successor, and every attempt to name another fails, until an arbiter is set up
anew (docs/arbiter.md).
"""

from __future__ import annotations

from collections.abc import Callable

from expgsql_ra.effects.override_file import OverrideFile
from expgsql_ra.override import Allowed, Override, Situation, overridden
from expgsql_ra.record import (
    NO_LEASE,
    Accepted,
    Found,
    HighWater,
    Proposal,
    Reading,
    Record,
    Renewal,
    Successor,
    Unreachable,
    Writing,
)
from expgsql_ra.world import Authority

NOBODY = "nobody"
ALONE = "the arbiter is overridden: nobody may succeed this node before an arbiter is set up anew"


class OverriddenAuthority:
    """An arbiter, and the override that stands for it where it is silent."""

    def __init__(
        self,
        arbiter: Authority,
        override: OverrideFile,
        me: Callable[[], Successor],
        seen: Callable[[], HighWater],
    ) -> None:
        self._arbiter = arbiter
        self._override = override
        self._me = me
        self._seen = seen

    def read(self, within: float) -> Reading:
        """The arbiter's record, or the override's."""
        answer = self._arbiter.read(within)
        given = self._valid(answer)
        return Found(_record(given)) if given else answer

    def write(self, proposal: Proposal, within: float) -> Writing:
        """The arbiter's answer; without one, the promotion that the override allows, and nothing else."""
        answer = self._arbiter.write(proposal, within)
        given = self._valid(answer)
        if given is None:
            return answer
        if proposal.successors != given.record.successors:
            return Unreachable(ALONE)
        if not proposal.promotes and not given.used:
            return Unreachable(ALONE)
        return Accepted(self._override.consume())

    def renew(self, record: Record, within: float) -> Renewal:
        """The arbiter's answer; a primary by override has nobody to share a lease with."""
        answer = self._arbiter.renew(record, within)
        given = self._valid(answer)
        return Accepted(given.record) if given and given.used else answer

    def release(self, record: Record, within: float) -> Renewal:
        """The arbiter's answer."""
        return self._arbiter.release(record, within)

    def _valid(self, answer: Reading | Writing) -> Override | None:
        if not isinstance(answer, Unreachable):
            return None
        given = self._override.load()
        # whose data it is for, `right.trusted` compares with what is here
        now = Situation(answer, self._seen(), given.system if given else "", self._me())
        return given if isinstance(overridden(given, now), Allowed) else None


def _record(given: Override) -> Record:
    """What holds until it is used: this directory may take the next epoch. Afterwards: it has."""
    if given.used:
        return given.record
    me = Successor(given.node, given.directory)
    # nobody's: also where this node was the primary to the last, it comes back by the one promotion that is allowed
    return Record(
        given.system, given.epoch, given.revision, NOBODY, (me,), NO_LEASE, given.by, given.time, given.reason
    )
