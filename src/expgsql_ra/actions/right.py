# SPDX-License-Identifier: GPL-2.0-or-later
"""The right to be primary: the record as the authority has it, and what follows where it cannot be had.

Without an arbiter the record is one of the cluster's own properties (R9) and was read with everything else.
"""

from __future__ import annotations

from typing import NamedTuple

from expgsql_ra.actions import steps
from expgsql_ra.errors import AgentError, CannotTell, DeadlineExceeded, Refused
from expgsql_ra.record import (
    NO_LEASE,
    Accepted,
    Doubtful,
    Found,
    LeaseHeld,
    Missing,
    Outdated,
    Proposal,
    Reading,
    Record,
    Renewal,
    Successor,
    Trusted,
    Unbound,
    Unreachable,
    concerns,
    first_record,
    rewritten,
    trust,
)
from expgsql_ra.rules import promise, succession
from expgsql_ra.rules.succession import Completed
from expgsql_ra.snapshot import ClusterView, Primary, Refusing, Stalled
from expgsql_ra.values import same_node
from expgsql_ra.world import World

RETRY_SECONDS = 1.0
ASK_SECONDS = promise.RENEWAL_SECONDS
PATIENCE_SECONDS = 10.0
REPORT_SECONDS = 2.0
LEAST_PATIENCE_SECONDS = 1.0
STOP_MARGIN_SECONDS = 1.0
"""What has to be left of the deadline after a question."""
SLACK_SECONDS = 10.0
"""How late a monitor may be on a busy machine, besides its question to the authority."""


class Held(NamedTuple):
    """This node is the record's primary."""

    record: Record
    me: Successor


class Unsure(NamedTuple):
    """It cannot be told: nobody is promoted, nothing is relaxed."""

    why: str


class Lost(NamedTuple):
    """Another is the record's primary, or this one's promotion was not completed."""

    why: str


def is_recorded(world: World) -> bool:
    """Whether this resource's promotions go by a record: always where commits wait for standbys."""
    return promise.goes_by_record(world.parameters)


def seconds(world: World) -> float:
    """How long one question to the authority may take."""
    return min(ASK_SECONDS, world.deadline.left())


def write_seconds(world: World) -> float:
    """How long one write may take: the cluster's own record waits for a membership timeout first (R9).

    That is more than 6 s with Corosync's own defaults, and grows with the number of nodes.
    """
    elsewhere = world.parameters.enable_distlock and world.parameters.distlock_conninfo
    return seconds(world) if elsewhere else world.deadline.reserving(REPORT_SECONDS).left()


def myself(world: World, view: ClusterView) -> Successor:
    """This node's data directory, as the record names it."""
    return Successor(view.me, world.own.kept().directory)


def as_recorded(record: Record, me: Successor) -> Successor:
    """The same where this node is the record's primary, in the spelling of whoever created the record."""
    return me._replace(node=record.primary) if same_node(record.primary, me.node) else me


def completed(world: World) -> Completed:
    """The last promotion that was completed in this directory."""
    kept = world.own.kept()
    return Completed(kept.epoch, kept.timeline)


# --- reading ----------------------------------------------------------------------------------


def read(world: World, view: ClusterView) -> Reading:
    """The record as it is now."""
    if world.parameters.enable_distlock:
        return world.authority.read(seconds(world))
    return view.recorded


def trusted(world: World, reading: Reading, system: str) -> Trusted | Unbound | Missing | Unsure:
    """Whether what was read may be acted upon; what was seen is kept, so that nothing older is believed later."""
    if isinstance(reading, Missing):
        return reading
    if isinstance(reading, Unreachable):
        return Unsure(reading.why)
    verdict = trust(reading.record, world.own.highest(), system)
    if isinstance(verdict, Doubtful):
        return Unsure(verdict.why)
    world.own.saw(verdict.record)
    return verdict


def required(world: World, view: ClusterView, system: str) -> tuple[ClusterView, Trusted | Unbound | Missing]:
    """The record, asked for again and again for a while; `CannotTell` without it."""
    why = ""
    try:
        for attempt in world.deadline.within(min(PATIENCE_SECONDS, world.deadline.left() / 2)).every(
            RETRY_SECONDS, "the record"
        ):
            if attempt and not world.parameters.enable_distlock:
                seen = steps.required_view(world, roles=True)
                view = seen if isinstance(seen, ClusterView) else view
            answer = trusted(world, read(world, view), system)
            if not isinstance(answer, Unsure):
                return view, answer
            why = answer.why
            world.log.warning(f"cannot read the record yet: {why}")
    except DeadlineExceeded:
        raise CannotTell(why) from None
    raise AssertionError


# --- writing ----------------------------------------------------------------------------------


def write(world: World, proposal: Proposal, within: float | None = None) -> Record:
    """The record as this very write has left it; `CannotTell` or `Refused` if it was not seen to be accepted."""
    sent = world.deadline.now()
    answer = world.authority.write(proposal, write_seconds(world) if within is None else within)
    match answer:
        case Accepted(record):
            world.own.saw(record)
            world.log.info(f"record: epoch {record.epoch} revision {record.revision}, {record.reason}")
            if proposal.takes_lease and not proposal.promotes:
                # a candidate has no server yet that would have to be stopped: its second write notes it
                note_lease(world, record, sent)
            return record
        case Outdated(record):
            raise Refused(f"another write came first: {record.writer}: {record.reason}")
        case LeaseHeld(by, left):
            raise Refused(f"{by} holds the lock for another {left:.0f} s")
        case Missing(why):
            raise CannotTell(why)
        case Unreachable(why):
            raise CannotTell(f"whether the record was written is not known: {why}")


# --- the primary's own ------------------------------------------------------------------------


def hold(world: World, view: ClusterView, server: Primary) -> Held | Unsure | Lost:
    """Renew the lease and read the record, in one question; see whether it is still this server's."""
    system = view.ancestry.system if view.ancestry else world.look.system(steps.cluster_seconds(world))
    me, done = myself(world, view), completed(world)
    sent = world.deadline.now()
    reading = _renewed(world, view, me, done, system)
    verdict = trusted(world, reading, system)
    if isinstance(verdict, Unsure):
        return verdict
    if isinstance(verdict, Missing):
        return _first(world, view, server, me, system) if _may_create(world, view) else Unsure(verdict.why)
    record = verdict.record
    if isinstance(verdict, Unbound):
        return _bound(world, server, record, me, system)
    if not same_node(record.primary, me.node):
        return Lost(f"the record names {record.primary} as the primary (epoch {record.epoch}), not this node")
    if not succession.is_its_primary(record, me, done, server.timeline):
        return Lost(f"the promotion of epoch {record.epoch} was not completed here")
    if world.parameters.enable_distlock:
        note_lease(world, record, sent)
    return Held(record, as_recorded(record, me))


def _renewed(world: World, view: ClusterView, me: Successor, done: Completed, system: str) -> Reading:
    """The record after a renewal, or as it stands where there is nothing to renew."""
    if not world.parameters.enable_distlock or not done.epoch:
        return read(world, view)
    return _as_reading(_asked(world, me, done.epoch, system))


def _asked(world: World, me: Successor, epoch: int, system: str) -> Renewal:
    """A renewal, in the record's own spelling of this node."""
    known = Record(system, epoch, 1, me.node, (me,), NO_LEASE, me.node, "", "")
    answer = world.authority.renew(known, seconds(world))
    if isinstance(answer, Outdated):
        spelled = known._replace(primary=as_recorded(answer.record, me).node)
        if spelled != known and concerns(answer.record, spelled):
            answer = world.authority.renew(spelled, seconds(world))
    if isinstance(answer, Outdated) and concerns(answer.record, known):
        return Unreachable("the lease was not renewed: another holds the lock")
    return answer


def patience(world: World) -> float:
    """How long a monitor may wait for the server and still renew the lease in time, in seconds."""
    stop_at = world.memory.load().stop_at
    return max(LEAST_PATIENCE_SECONDS, stop_at - world.deadline.now() - ASK_SECONDS) if stop_at else float("inf")


def keep(world: World, server: Stalled | Refusing) -> None:
    """Renew the lease of a primary that just does not answer: it relaxes nothing, and one stall is no failure.

    Whether the record is this server's is asked when it answers again; a renewal names epoch and primary.
    """
    if server.standby or not world.parameters.enable_distlock or not steps.replicates(world):
        return
    kept, me = world.own.kept(), world.context.node
    if not kept.epoch or not me:
        return
    try:
        system = world.look.control().system
        sent = world.deadline.now()
        answer = _asked(world, Successor(me, kept.directory), kept.epoch, system)
        verdict = trusted(world, _as_reading(answer), system)
    except AgentError as problem:
        world.log.warning(f"the lease of a server that does not answer could not be renewed: {problem}")
        return
    if isinstance(answer, Accepted) and isinstance(verdict, Trusted):
        note_lease(world, verdict.record, sent)


def _as_reading(answer: Renewal) -> Reading:
    match answer:
        case Accepted(record) | Outdated(record):
            return Found(record)
        case _:
            return answer


def _may_create(world: World, view: ClusterView) -> bool:
    """The cluster's own record may be made from what it knew before; an arbiter's only by a command."""
    return not world.parameters.enable_distlock and view.i_am_recorded and view.may_decide


def _first(world: World, view: ClusterView, server: Primary, me: Successor, system: str) -> Held | Unsure:
    """The record of a primary that was there before the record: a cluster of an older version of the agent."""
    # kept first: killed between the two, this server would be taken for one whose promotion was not completed
    world.own.completed(world.own.highest().epoch + 1, server.timeline)
    return Held(create(world, me, system, f"{view.me} was the primary before there was a record"), me)


def create(world: World, me: Successor, system: str, reason: str) -> Record:
    """Make the cluster's record with this node alone; what another made first is not overwritten."""
    seen = world.own.highest()
    first = first_record(system, me, (seen.epoch + 1, seen.revision + 1), me.node, reason)
    answer = world.authority.create(first, seconds(world))
    if not isinstance(answer, Accepted):
        raise CannotTell(f"the cluster's record could not be made: {answer}")
    world.own.saw(answer.record)
    world.log.info(f"record: epoch {answer.record.epoch} revision {answer.record.revision}, {reason}")
    return answer.record


def _bound(world: World, server: Primary, record: Record, me: Successor, system: str) -> Held | Lost:
    """A record that a command made for this running primary: it fills in what the command did not know."""
    if not same_node(record.primary, me.node):
        return Lost(f"the record names {record.primary} as the primary, not this node; it was made by {record.writer}")
    world.own.completed(record.epoch, server.timeline)  # first, as above
    return Held(write(world, bind(record, me, system)), as_recorded(record, me))


def bind(record: Record, me: Successor, system: str) -> Proposal:
    """The first write of the primary that a command named."""
    seat = Successor(record.primary, me.directory)
    return rewritten(record, (seat,), writer=record.primary, reason="bound to its data directory", system=system)


# --- the lease --------------------------------------------------------------------------------


def note_lease(world: World, record: Record, sent: float) -> None:
    """Keep until when this node may act alone on a granted request (R5): counted from before it was sent."""
    if not world.parameters.enable_distlock:
        return
    sole = len(record.successors) == 1
    world.memory.save(world.memory.load()._replace(stop_at=0.0 if sole else _last_moment(world, sent)))


def _last_moment(world: World, since: float) -> float:
    """When a primary has to begin to stop so that it is gone when a lease of that moment ends."""
    return since + max(0.0, world.parameters.distlock_ttl - succession.STOP_SECONDS)


def extend_lease(world: World) -> None:
    """Until the next monitor, for a primary whose every successor is seen to follow it, though nobody renews."""
    known = world.memory.load()
    if known.stop_at:
        next_look = world.deadline.now() + (world.context.interval or ASK_SECONDS) + ASK_SECONDS + SLACK_SECONDS
        later = min(next_look, _last_moment(world, world.deadline.now()))
        world.memory.save(known._replace(stop_at=max(known.stop_at, later)))


def bridge(world: World) -> None:
    """The same before questions that may outlast what is left: while they are asked the deadline would pass."""
    if not world.parameters.enable_distlock:
        return
    if 0.0 < world.memory.load().stop_at < world.deadline.now() + ASK_SECONDS + STOP_MARGIN_SECONDS:
        extend_lease(world)


def standing(world: World, successors_stream: bool) -> succession.Standing:
    """What this primary knows of its right, without an answer of the authority."""
    stop_at = world.memory.load().stop_at
    left = stop_at - world.deadline.now() + succession.STOP_SECONDS
    return succession.Standing(left, succession.STOP_SECONDS, stop_at > 0, successors_stream)
