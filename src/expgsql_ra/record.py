# SPDX-License-Identifier: GPL-2.0-or-later
"""The record: which node is the primary, in which epoch, and who alone may succeed it.

An authority outside the node keeps it (`world.Authority`). A write names the revision that it replaces
and the authority alone compares: contents may come back (A-B-A), a revision never does. Whatever could
not be found out is a value of its own, never "granted" and never "denied".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

# --- what is recorded -------------------------------------------------------------------------


class Successor(NamedTuple):
    """A data directory that may become the primary: its node, and the id kept inside the directory."""

    node: str
    directory: str


class Lease(NamedTuple):
    """For how long nobody else may be promoted, as the authority told when it was asked."""

    holder: str
    seconds_left: float

    @classmethod
    def of(cls, holder: str, seconds_left: float) -> Self:
        """A lease that is over or released is nobody's."""
        return cls(holder, seconds_left) if holder and seconds_left > 0 else cls("", 0.0)


NO_LEASE = Lease("", 0.0)
"""Nobody holds it: never taken, released, or over."""


class Record(NamedTuple):
    """One state of the record."""

    system: str
    """The database system's identifier; empty until the primary's first write binds the record to it."""
    epoch: int
    """Grows by one with each promotion."""
    revision: int
    """Grows by one with each accepted write; renewals and releases of the lease are none."""
    primary: str
    successors: tuple[Successor, ...]
    """In the order of their nodes; always with the primary's own directory."""
    lease: Lease
    writer: str
    time: str
    """When it was written, for people (UTC); no decision reads it."""
    reason: str

    @property
    def nodes(self) -> tuple[str, ...]:
        """The nodes that may be the primary next, the present one included."""
        return tuple(successor.node for successor in self.successors)


def ordered(successors: tuple[Successor, ...]) -> tuple[Successor, ...]:
    """The one order in which successors are kept, so that equal sets are equal values."""
    return tuple(sorted(successors))


def first_record(system: str, primary: Successor, since: tuple[int, int], writer: str, reason: str) -> Record:
    """What an explicit command creates where there is none: the primary alone, nobody's lease.

    ``since`` is its epoch and revision: beyond all that was seen before, where an arbiter is replaced.
    """
    return Record(system, *since, primary.node, (primary,), NO_LEASE, writer, "", reason)


# --- what is written --------------------------------------------------------------------------


class Proposal(NamedTuple):
    """A write: the record that it replaces, and what is to be true after it."""

    replaces: Record
    system: str
    epoch: int
    primary: str
    successors: tuple[Successor, ...]
    writer: str
    reason: str
    confirms: bool = False
    """Whether it is the second write of a promotion, which narrows before the server accepts writes (rule R3)."""

    @property
    def promotes(self) -> bool:
        """Whether it begins an epoch, for which the lease must be over, released or the writer's own."""
        return self.epoch != self.replaces.epoch

    @property
    def takes_lease(self) -> bool:
        """Whether it also renews the lease: whatever the primary writes shows that it lives."""
        return self.writer == self.primary

    @property
    def degrades(self) -> bool:
        """Whether the primary goes on without a standby once this is accepted (rule R9 makes it wait then).

        The same record once more by the same hand is one too: the first may have been interrupted while it waited.
        """
        if self.promotes or self.confirms or not self.takes_lease:
            return False
        before, after = set(self.replaces.successors), set(self.successors)
        repeated = before == after and self.replaces.writer.casefold() == self.primary.casefold()
        return repeated or not before <= after

    def accepted(self, time: str, lease: Lease) -> Record:
        """The record that this write leaves behind once the authority has accepted it."""
        return Record(
            system=self.system,
            epoch=self.epoch,
            revision=self.replaces.revision + 1,
            primary=self.primary,
            successors=self.successors,
            lease=lease,
            writer=self.writer,
            time=time,
            reason=self.reason,
        )


def rewritten(
    record: Record,
    successors: tuple[Successor, ...],
    *,
    writer: str,
    reason: str,
    system: str = "",
    confirms: bool = False,
) -> Proposal:
    """Other successors in the same epoch (also the same ones: the write itself kills an older one on its way).

    ``system`` binds a record that was created without it; ``confirms`` marks the last write before a promotion.
    """
    return _sound(
        Proposal(
            replaces=record,
            system=record.system or system,
            epoch=record.epoch,
            primary=record.primary,
            successors=ordered(successors),
            writer=writer,
            reason=reason,
            confirms=confirms,
        )
    )


def promoted(record: Record, primary: Successor, *, reason: str) -> Proposal:
    """The next epoch with another primary, who writes it; the successors stay (rule R3, the first write)."""
    if primary not in record.successors:
        raise ValueError(f"{primary.node} with directory {primary.directory} is none of the successors")
    return _sound(
        Proposal(
            replaces=record,
            system=record.system,
            epoch=record.epoch + 1,
            primary=primary.node,
            successors=record.successors,
            writer=primary.node,
            reason=reason,
        )
    )


def _sound(proposal: Proposal) -> Proposal:
    nodes = [successor.node for successor in proposal.successors]
    if proposal.primary not in nodes or len(set(nodes)) != len(nodes):
        raise ValueError(f"successors {nodes} must name each node once, and the primary {proposal.primary}")
    return proposal


# --- what the authority answers ---------------------------------------------------------------


class Found(NamedTuple):
    """The record as it is."""

    record: Record


class Missing(NamedTuple):
    """The authority answers and has no record: nobody may conclude anything from that."""

    why: str


class Unreachable(NamedTuple):
    """No answer that can be used. What was written may or may not be, or become, true."""

    why: str


class Accepted(NamedTuple):
    """That very write is true now."""

    record: Record


class Outdated(NamedTuple):
    """Refused: the record is not, or no longer, the one that was to be replaced or renewed."""

    record: Record


class LeaseHeld(NamedTuple):
    """Refused for now: another node may act as primary for that long."""

    by: str
    seconds_left: float


WEAKER = (
    "the cluster itself keeps this record: commits are safe from crashes, from the loss of single nodes, and from cuts "
    "of the network that outlast a membership timeout, not from the loss of power of all nodes at the same time"
)
"""What the cluster's own record is worth (rule R9), to be said wherever it is chosen."""
SUSPENDED = "no-quorum-policy=ignore: nothing is promised while the cluster is divided"


class Prepared(NamedTuple):
    """The authority can keep records now; what an operator should know nevertheless."""

    remarks: tuple[str, ...] = ()


class Past(NamedTuple):
    """Entries of the history, the newest first. Not records: rows of the old layout are among them."""

    entries: tuple[Mapping[str, Any], ...]


Reading = Found | Missing | Unreachable
Renewal = Accepted | Outdated | Missing | Unreachable
Writing = Accepted | Outdated | LeaseHeld | Missing | Unreachable


def objection(stored: Record, proposal: Proposal) -> Outdated | LeaseHeld | None:
    """Why a write is refused where ``stored`` is the record; None if nothing speaks against it.

    For real the authority decides, in the one statement that writes. This is the same rule for those who
    explain a refusal or stand in for an authority.
    """
    replaced = proposal.replaces
    if (stored.revision, stored.epoch) != (replaced.revision, replaced.epoch):
        return Outdated(stored)
    if stored.system not in {"", proposal.system}:
        return Outdated(stored)
    if not proposal.promotes:
        return None if stored.primary == proposal.primary else Outdated(stored)
    return None if stored.lease.holder in {"", proposal.primary} else LeaseHeld(*stored.lease)


def is_own(stored: Record, proposal: Proposal) -> bool:
    """Whether a write that was refused has already been applied: the record is just what it would have left.

    Then nothing that names an older revision can follow, and nobody can have named this one on our behalf.
    """
    wanted = proposal.accepted(stored.time, stored.lease)
    return stored == wanted


def concerns(stored: Record, known: Record) -> bool:
    """Whether a renewal or release meant for ``known`` is one for ``stored``: revisions do not matter."""
    return (stored.system, stored.epoch, stored.primary) == (known.system, known.epoch, known.primary)


# --- whether to believe it --------------------------------------------------------------------


class HighWater(NamedTuple):
    """The highest that a node has ever seen, kept durably there."""

    epoch: int
    revision: int

    def raised_by(self, record: Record) -> HighWater:
        """What is the highest after ``record`` was seen too."""
        return HighWater(max(self.epoch, record.epoch), max(self.revision, record.revision))


NOTHING_SEEN = HighWater(0, 0)


class Kept(NamedTuple):
    """What a data directory knows of itself, durably."""

    directory: str
    """Its id: new after every initdb, base backup, rewind or restore."""
    epoch: int
    timeline: int
    """Epoch and timeline of the last promotion that completed here; 0 if none did."""
    strayed: bool = False
    """Whether nobody had confirmed its last promotion: it may not succeed before it is made anew."""


class Trusted(NamedTuple):
    """The record may be acted upon."""

    record: Record


class Unbound(NamedTuple):
    """Created by a command that did not name the database system: only the primary it names may bind it."""

    record: Record


class Doubtful(NamedTuple):
    """Cannot tell: no degrade, no promotion, no start as primary."""

    why: str


def trust(record: Record, highest_seen: HighWater, system: str) -> Trusted | Unbound | Doubtful:
    """Whether a record that was read is this cluster's and not older than what was seen before."""
    if record.system and record.system != system:
        return Doubtful(
            f"the record is of the database system {record.system}, this node's data of {system or 'none'}: "
            "give each cluster a lock name of its own, or repair this node's data directory"
        )
    if record.epoch < highest_seen.epoch or record.revision < highest_seen.revision:
        return Doubtful(
            f"the record went back from epoch {highest_seen.epoch}, revision {highest_seen.revision} to epoch "
            f"{record.epoch}, revision {record.revision}: the arbiter forgot, or it is another one: "
            "correct distlock_conninfo, or begin a new record (docs/arbiter.md)"
        )
    return Trusted(record) if record.system else Unbound(record)


# --- as JSON ----------------------------------------------------------------------------------


def as_mapping(record: Record) -> dict[str, Any]:
    """The record for JSON: successors as an object from node to directory id."""
    return {
        "system": record.system,
        "epoch": record.epoch,
        "revision": record.revision,
        "primary": record.primary,
        "successors": {successor.node: successor.directory for successor in record.successors},
        "holder": record.lease.holder,
        "seconds_left": round(record.lease.seconds_left, 3),
        "writer": record.writer,
        "time": record.time,
        "reason": record.reason,
    }


def from_mapping(given: Mapping[str, Any]) -> Record:
    """Read what `as_mapping` made; ValueError for what no authority of ours can have written."""
    try:
        successors = ordered(tuple(Successor(str(node), str(id_)) for node, id_ in given["successors"].items()))
        record = Record(
            system=str(given["system"]),
            epoch=int(given["epoch"]),
            revision=int(given["revision"]),
            primary=str(given["primary"]),
            successors=successors,
            lease=Lease.of(str(given["holder"]), float(given["seconds_left"])),
            writer=str(given["writer"]),
            time=str(given["time"]),
            reason=str(given["reason"]),
        )
    except (KeyError, TypeError, AttributeError) as problem:
        raise ValueError(f"no record: {problem!r}") from None
    if record.primary not in record.nodes or record.epoch < 1 or record.revision < 1:
        raise ValueError(f"no sound record: {record}")
    return record
