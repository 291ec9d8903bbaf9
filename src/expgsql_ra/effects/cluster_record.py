# SPDX-License-Identifier: GPL-2.0-or-later
"""The record in one property of the cluster, for three nodes or more that have nothing outside to ask (rule R9).

One ``cibadmin --modify --xpath`` compares the whole record and replaces it: each node's CIB manager applies it, in the
one order in which Corosync delivers, or refuses it, because nothing matches. Sources: Pacemaker Explained,
"cibadmin"; corosync.conf(5), "token" and "consensus"; cmap_keys(8).

A change reaches everybody who can see it, and nobody behind a cut that is not noticed yet. So a primary that
wants to go on alone waits until such a cut would have been noticed, and looks whether one was.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from expgsql_ra.effects.clock import MonotonicClock, utc_now
from expgsql_ra.effects.cluster import CIB, PROPERTY_SET, read_cib
from expgsql_ra.effects.process import Result, check, run_together
from expgsql_ra.errors import AgentError
from expgsql_ra.record import (
    NO_LEASE,
    SUSPENDED,
    WEAKER,
    Accepted,
    Found,
    Missing,
    Outdated,
    Past,
    Prepared,
    Proposal,
    Reading,
    Record,
    Renewal,
    Unreachable,
    Writing,
    as_mapping,
    concerns,
    objection,
)
from expgsql_ra.record_line import as_line, kept_as_line
from expgsql_ra.snapshot import ClusterView
from expgsql_ra.world import Clock, Deadline

EXISTS = 108
NO_MATCH = 105
QUORUM = ("crm_node", "--quorum")
SILENCE = "runtime.config.totem.token"
CONSENSUS = "runtime.config.totem.consensus"
TIMES = ("corosync-cmapctl", "-g", SILENCE, CONSENSUS)
DOUBTS = "stats.srp.gather_entered"
CHANGES = ("corosync-cmapctl", "-m", "stats", "-g", DOUBTS)
KEY = re.compile(r"(\S+) \(u\d+\) = (\d+)")

Programs = Callable[[Sequence[Sequence[str]], float], tuple[Result, ...]]
SETTLING = 1.0
"""What reading, writing and reading again may take besides the wait, in seconds."""


class NotNow(Exception):
    """Nobody can tell, with the reason."""


class Seen(NamedTuple):
    """What this node knows of the cluster's state."""

    view: ClusterView
    quorate: bool

    @property
    def counts(self) -> bool:
        """Whether what is written here counts."""
        return self.view.ignores_quorum or (self.quorate and self.view.quorate)


class Membership(NamedTuple):
    """How often Corosync has begun to doubt its membership here, and how many seconds it takes to find a new one."""

    doubts: int
    silence: float
    consensus: float

    @property
    def timeout(self) -> float:
        """Seconds after which whoever was cut off knows it."""
        return self.silence + self.consensus


class ClusterRecord:
    """The record of one resource; nothing is asked before it is needed. It knows no lease: quorum stands for it."""

    def __init__(self, resource: str, node: str, clock: Clock | None = None, programs: Programs = run_together) -> None:
        self._resource = resource
        self._node = node
        self._name = f"{resource}_RECORD"
        self._id = f"{PROPERTY_SET}-{self._name}"
        self._clock = clock or MonotonicClock()
        self._programs = programs

    def read(self, within: float) -> Reading:
        """The record as this node's copy of the CIB has it."""
        try:
            return self._view(Deadline(self._clock, within)).recorded
        except NotNow as problem:
            return Unreachable(str(problem))

    def write(self, proposal: Proposal, within: float) -> Writing:
        """Compare and replace; a degrade is accepted only when it has outlasted a membership timeout."""
        deadline = Deadline(self._clock, within)
        against = objection(proposal.replaces._replace(lease=NO_LEASE), proposal)
        if against:
            return against
        try:
            return self._written(proposal, deadline)
        except NotNow as problem:
            return Unreachable(str(problem))
        except ValueError as problem:
            return Unreachable(f"the cluster cannot keep this: {problem}")

    def renew(self, record: Record, within: float) -> Renewal:
        """Whether the record still names this primary in this epoch, and the partition counts."""
        match self.read(within):
            case Found(stored):
                return Accepted(stored) if concerns(stored, record) else Outdated(stored)
            case other:
                return other

    def release(self, record: Record, within: float) -> Renewal:  # noqa: ARG002 - no lease, no wait
        """Nothing: there is no lease to release."""
        return Accepted(record._replace(lease=NO_LEASE))

    def prepare(self, within: float) -> Prepared | Unreachable:
        """Nothing to prepare but to say what this kind of keeping is worth."""
        try:
            seen = self._counting(Deadline(self._clock, within))
        except NotNow as problem:
            return Unreachable(str(problem))
        return Prepared((WEAKER, SUSPENDED) if seen.view.promise_suspended else (WEAKER,))

    def create(self, record: Record, within: float) -> Writing:
        """Make the first record where there is none."""
        deadline = Deadline(self._clock, within)
        try:
            first = kept_as_line(record._replace(time=utc_now()))
            self._counting(deadline)
            self._allowed("--create", "--scope", "crm_config", self._set(""), deadline, refusal=EXISTS)
            where = f"{self._set_path()}[not(nvpair[@id='{self._id}'])]"
            if self._allowed("--modify", "--xpath", where, self._set(self._pair(first)), deadline):
                return Accepted(first)
            return self._refused(deadline)
        except NotNow as problem:
            return Unreachable(str(problem))
        except ValueError as problem:
            return Unreachable(f"the cluster cannot keep this: {problem}")

    def history(self, newest: int, within: float) -> Past | Unreachable:
        """What there is of it: the record alone; the cluster's logs have the rest."""
        match self.read(within):
            case Found(record):
                return Past((as_mapping(record),)[:newest])
            case Missing():
                return Past(())
            case Unreachable() as problem:
                return problem

    # --- writing ------------------------------------------------------------------------------

    def _written(self, proposal: Proposal, deadline: Deadline) -> Writing:
        record = kept_as_line(proposal.accepted(utc_now(), NO_LEASE))
        if not proposal.degrades:
            return self._at_once(record, proposal, deadline)
        self._counting(deadline)
        before = self._membership(deadline)
        if before.timeout + SETTLING > deadline.left():
            raise NotNow(f"too little time left to wait for {before.timeout:.1f} s; nothing was written")
        began = self._clock.now()
        if not self._allowed("--modify", "--xpath", self._where(proposal), self._pair(record), deadline):
            return self._refused(deadline)
        return self._outlasted(record, before, began, deadline)

    def _at_once(self, record: Record, proposal: Proposal, deadline: Deadline) -> Writing:
        """Write where the controller says that there is quorum, which takes it milliseconds: a failover waits for this.

        Without, nothing is written: a partition's own changes make its copy look newer when copies are merged.
        """
        (quorum,) = self._run([QUORUM], deadline)
        if not _has_quorum(quorum):
            self._counting(deadline)
        if self._allowed("--modify", "--xpath", self._where(proposal), self._pair(record), deadline):
            return Accepted(record)
        return self._refused(deadline)

    def _where(self, proposal: Proposal) -> str:
        """The record that is replaced, whole: what is compared and written is one statement."""
        return f"{self._set_path()}/nvpair[@id='{self._id}' and @value='{as_line(proposal.replaces)}']"

    def _outlasted(self, record: Record, before: Membership, began: float, deadline: Deadline) -> Writing:
        """Whether everybody who could act has the write: it is old enough, and nobody came or went since.

        A node that was stopped for longer than the others wait for it has missed what they did meanwhile.
        """
        if before.timeout > deadline.left():
            raise NotNow("too little time left to wait for a membership timeout: repeat the write")
        self._clock.pause(before.timeout)
        seen = self._counting(deadline)
        if self._membership(deadline).doubts != before.doubts:
            raise NotNow("the cluster's membership changed meanwhile: repeat the write")
        if self._clock.now() - began > before.timeout + before.silence:
            raise NotNow("this node was held up meanwhile: repeat the write")
        stored = seen.view.recorded
        if isinstance(stored, Found) and stored.record != record:
            return Outdated(stored.record)
        return Accepted(record) if isinstance(stored, Found) else stored

    def _refused(self, deadline: Deadline) -> Writing:
        """Why nothing was written. This only explains: the copy read here may lag behind the one that refused."""
        stored = self._view(deadline).recorded
        return Outdated(stored.record) if isinstance(stored, Found) else stored

    def _allowed(
        self, verb: str, kind: str, where: str, what: str, deadline: Deadline, *, refusal: int = NO_MATCH
    ) -> bool:
        """Whether the CIB took it; `NotNow` if that is not known."""
        (done,) = self._run([("cibadmin", verb, kind, where, "--xml-text", what)], deadline)
        return self._took(done, refusal)

    @staticmethod
    def _took(done: Result, refusal: int) -> bool:
        if done.code not in {0, refusal}:
            raise NotNow(f"the cluster did not say that it took the record ({done.code}): {done.tail}")
        return done.code == 0

    def _set_path(self) -> str:
        return f"/cib/configuration/crm_config/cluster_property_set[@id='{PROPERTY_SET}']"

    def _set(self, content: str) -> str:
        return f'<cluster_property_set id="{PROPERTY_SET}">{content}</cluster_property_set>'

    def _pair(self, record: Record) -> str:
        return f'<nvpair id="{self._id}" name="{self._name}" value="{as_line(record)}"/>'

    # --- reading ------------------------------------------------------------------------------

    def _view(self, deadline: Deadline) -> ClusterView:
        (done,) = self._run([CIB], deadline)
        return self._understood(done)

    def _counting(self, deadline: Deadline) -> Seen:
        """The state of a cluster in which a write counts; `NotNow` in any other.

        The controller's own word on quorum besides the CIB's, which is told by a coordinator that may be gone.
        """
        cib, quorum = self._run([CIB, QUORUM], deadline)
        seen = Seen(self._understood(cib), _has_quorum(quorum))
        if not seen.counts:
            raise NotNow("no quorum: a record of the cluster counts only in a partition that has it")
        return seen

    def _understood(self, done: Result) -> ClusterView:
        try:
            return read_cib(check(done, "reading the cluster's state").out, self._resource, self._node, ())
        except (AgentError, ValueError) as problem:
            raise NotNow(str(problem)) from None

    def _membership(self, deadline: Deadline) -> Membership:
        times, changes = self._run([TIMES, CHANGES], deadline)
        known = {name: int(value) for name, value in KEY.findall(f"{times.out}\n{changes.out}")}
        try:
            return Membership(known[DOUBTS], known[SILENCE] / 1000, known[CONSENSUS] / 1000)
        except KeyError as missing:
            raise NotNow(f"Corosync does not tell {missing}: {times.tail} {changes.tail}") from None

    def _run(self, commands: Sequence[Sequence[str]], deadline: Deadline) -> tuple[Result, ...]:
        """`NotNow` for a program that cannot be run or does not end; what it was to write may still be written."""
        if deadline.left() <= 0:
            raise NotNow("no time left")
        try:
            return self._programs(commands, deadline.left())
        except AgentError as problem:
            raise NotNow(f"the cluster cannot be reached: {problem}") from None


def _has_quorum(answer: Result) -> bool:
    return answer.code == 0 and answer.out.strip() == "1"
