# SPDX-License-Identifier: GPL-2.0-or-later
"""Who may succeed the primary, one step at a time: rules R1 to R5 and R10 (docs/safety.md).

Every function here looks at what is known now and answers with the *next* step alone; nothing is remembered
between two steps but what is written down in the facts. So an agent that dies, waits or is overtaken between
any two steps leaves a state from which the same functions go on, and the simulator can try every such moment.

The two directions have opposite orders, and the promise hangs on that:

* fewer nodes are waited for: first the record is *written* without them, then PostgreSQL stops waiting (R1);
* more nodes are waited for: first PostgreSQL waits, this is proven, the node is seen to have flushed what was
  there at that moment, then the record is written with it (R2).
"""

from __future__ import annotations

from typing import NamedTuple

from expgsql_ra.record import Proposal, Record, Successor, ordered, promoted, rewritten
from expgsql_ra.snapshot import Sender
from expgsql_ra.values import Ancestry, Fork, Lsn, same_node

# --- the primary: R1 and R2 -------------------------------------------------------------------


class Duty(NamedTuple):
    """What the primary knows when it asks for its next step."""

    record: Record
    """As the authority answered last, to our own epoch and name."""
    me: Successor
    names: tuple[str, ...] | None
    """The nodes that a new session's ``synchronous_standby_names`` names; None: nobody can satisfy them."""
    written: tuple[str, ...] | None
    """The nodes that the file names, which any reload puts in force: other ones if an agent died before its reload."""
    target: tuple[Successor, ...]
    """Whom commits shall wait for, in the order of the setting; each has shown that it lies on our history."""
    fresh: bool = False
    """Whether ``record`` is our own write, accepted since the names were changed last."""
    effective: bool = False
    """Whether it is proven that commits wait for names at all: the checkpointer's flag, for this server's life."""
    taken: bool = False
    """Whether every walsender shows the place that it has in ``names`` (`all_took`)."""
    noted: Lsn | None = None
    """The end of what was written to the WAL after that proof, for this purpose (`Note`)."""
    passed: frozenset[str] = frozenset()
    """The nodes that stream, synchronously, and have flushed beyond ``noted``."""


class Narrow(NamedTuple):
    """Write the record; go on only if this very write was accepted."""

    proposal: Proposal


class Rename(NamedTuple):
    """Let PostgreSQL wait for exactly these nodes; None: close the names, nobody can satisfy them for a moment."""

    nodes: tuple[str, ...] | None


class Prove(NamedTuple):
    """See to it that every process of the server has taken the names."""


class Note(NamedTuple):
    """Write to the WAL, flush it, and note its end: so nobody can have reported that position before.

    A walsender may outlive its standby by minutes, and the node may have another data directory by then.
    """


class Await(NamedTuple):
    """Wait, for a bounded time, until these nodes have flushed beyond the position noted."""

    nodes: tuple[str, ...]


class Widen(NamedTuple):
    """Write the record with nodes that have passed; if another write came first, all begins again."""

    proposal: Proposal


class Settled(NamedTuple):
    """Nothing to do: record, names and standbys agree."""


Step = Narrow | Rename | Prove | Note | Await | Widen | Settled


def next_step(duty: Duty) -> Step:  # noqa: PLR0911 - one return a step, in the order of the rules
    """What the primary does next."""
    recorded = _others(duty.record, duty.me)
    keeps = _waited_for(recorded, duty)
    if recorded != keeps:
        return Narrow(_write(duty, keeps, _narrowing(duty, keeps)))
    renaming = _renaming(duty, keeps)
    if renaming is not None:
        return renaming
    missing = tuple(one for one in duty.target if one not in recorded)
    if not missing:
        return Settled()
    if not (duty.effective and duty.taken):
        return Prove()
    if duty.noted is None:
        return Note()
    ready = tuple(one for one in missing if one.node in duty.passed)
    if ready:
        added = ", ".join(one.node for one in ready)
        return Widen(_write(duty, (*keeps, *ready), f"commits wait for {added}, which has caught up"))
    return Await(tuple(one.node for one in missing))


def _renaming(duty: Duty, keeps: tuple[Successor, ...]) -> Narrow | Rename | Prove | None:
    """What leads to the names of the target; None if these are in force.

    A walsender releases what as many walsenders have flushed as *its own* names are, chosen by the places that
    *all* of them show. So where walsenders have taken two different lists and one of them is longer than one name,
    a commit may pass a node that both lists have. Between such lists the names are closed, until all have seen it.
    """
    nodes = tuple(one.node for one in duty.target)
    in_force = _in_force(duty)
    if in_force == (nodes, nodes):
        return None
    if any(len(names or ()) > 1 for names in (*in_force, nodes)):
        if in_force != (None, None):
            return Rename(None)
        if not duty.taken:
            return Prove()
    if _relaxes(duty, nodes) and not duty.fresh:
        return Narrow(_write(duty, keeps, _narrowing(duty, keeps)))
    return Rename(nodes)


def _others(record: Record, me: Successor) -> tuple[Successor, ...]:
    return tuple(one for one in record.successors if not same_node(one.node, me.node))


def _waited_for(recorded: tuple[Successor, ...], duty: Duty) -> tuple[Successor, ...]:
    """The recorded successors that commits wait for now and go on waiting for, in the same directory."""
    return tuple(
        one
        for one in recorded
        if one in duty.target and all(names is None or one.node in names for names in _in_force(duty))
    )


def _in_force(duty: Duty) -> tuple[tuple[str, ...] | None, ...]:
    """The names of now, and those that the next reload brings, whoever reloads."""
    return (duty.names, duty.written)


def _relaxes(duty: Duty, nodes: tuple[str, ...]) -> bool:
    """Whether the names of the target let a commit through that those in force would hold back."""
    return any(names is None or not set(names) <= set(nodes) for names in _in_force(duty))


def _write(duty: Duty, others: tuple[Successor, ...], reason: str) -> Proposal:
    return rewritten(duty.record, (duty.me, *others), writer=duty.me.node, reason=reason)


def _narrowing(duty: Duty, keeps: tuple[Successor, ...]) -> str:
    lost = [one.node for one in _others(duty.record, duty.me) if one not in keeps]
    gone = [name for names in _in_force(duty) for name in names or () if name not in {one.node for one in duty.target}]
    left = sorted({*lost, *gone})
    if not left:
        return f"{duty.me.node} opens its names"
    return f"{', '.join(left)} may not succeed {duty.me.node} any more"


# --- whom to wait for -------------------------------------------------------------------------


class Word(NamedTuple):
    """A standby's own report: its data directory lies on the history of the timeline that it receives (R2, step 2)."""

    node: str
    directory: str
    timeline: int
    forks: tuple[Fork, ...]


def candidates(
    senders: tuple[Sender, ...], words: tuple[Word, ...], mine: Ancestry, flushed: Lsn
) -> tuple[Successor, ...]:
    """The standbys that may be waited for: the directories that have said that they lie on our history.

    Only where exactly one walsender streams under the node's name, and does not report more than there is
    (``flushed``): a standby that has diverged may, and commits to come would pass without waiting.
    """
    fit = (word for word in words if unfit(senders, word, mine, flushed) is None)
    return ordered(tuple(Successor(word.node, word.directory) for word in fit))


def unfit(senders: tuple[Sender, ...], word: Word, mine: Ancestry, flushed: Lsn) -> str | None:
    """Why the standby that gave this word may not be waited for; None if it may."""
    ours = tuple(one for one in senders if same_node(one.name, word.node))
    if len(ours) != 1:
        return f"{len(ours)} walsenders carry its name, and only one of its own would show what it has"
    if ours[0].state != "streaming":
        return f"it does not stream yet ({ours[0].state})"
    if (word.timeline, word.forks) != (mine.current, mine.forks):
        return f"it has last said that it follows timeline {word.timeline}, not that it lies on the primary's history"
    if ours[0].flushed is None:
        return "it has not told how far it has written"
    if ours[0].flushed > flushed:
        return f"it reports WAL up to {ours[0].flushed}, which the primary does not have ({flushed}): it has diverged"
    return None


class Choice(NamedTuple):
    """Whom commits shall wait for."""

    target: tuple[Successor, ...]
    """In the order for ``synchronous_standby_names``."""


class Blocked(NamedTuple):
    """Too few standbys, and the promise is not to be weakened: the names stay as they are."""

    reason: str


def choose(
    candidates: tuple[Successor, ...], named: tuple[str, ...] | None, count: int, strict: bool
) -> Choice | Blocked:
    """Whom to wait for: those that are waited for already, then others, ``count`` at most.

    ``candidates`` stream on our history, in the order of the nodes. Newcomers stand in front: so every walsender
    that has not taken a longer list yet shows another ``sync_priority`` than its new one (see `all_took`).
    ``strict``: fewer than ``count`` are not enough.
    """
    kept = tuple(one for one in candidates if one.node in (named or ()))[:count]
    newcomers = tuple(one for one in candidates if one not in kept)[: count - len(kept)]
    if strict and len(kept) + len(newcomers) < count:
        return Blocked(
            f"strict_sync: {len(kept) + len(newcomers)} of {count} synchronous standbys are there; start the others"
        )
    in_order = tuple(sorted(kept, key=lambda one: (named or ()).index(one.node)))
    return Choice((*newcomers, *in_order))


def all_took(senders: tuple[Sender, ...], names: tuple[str, ...]) -> bool:
    """Whether every walsender shows the priority that it has by ``names`` (R2, the second half of step 4).

    A walsender that has not read the new names yet would release commits by the old ones. Names match
    whatever the case (PostgreSQL documentation, ``synchronous_standby_names``).
    """
    places = {name.casefold(): place for place, name in enumerate(names, 1)}
    return all(one.sync_priority == places.get(one.name.casefold(), 0) for one in senders)


# --- a candidate: R3 --------------------------------------------------------------------------


class Claim(NamedTuple):
    """Write the next epoch."""

    proposal: Proposal


class AwaitLease(NamedTuple):
    """The old primary's lease has to end first."""

    by: str
    seconds: float


class NoClaim(NamedTuple):
    """Not this directory."""

    reason: str


def claim(record: Record, me: Successor) -> Claim | AwaitLease | NoClaim:
    """Whether this directory may take the next epoch (R3, the first write); the successors stay as they are."""
    seat = _seat(record, me)
    if seat is None:
        return NoClaim(_not_a_successor(record, me))
    if not same_node(record.lease.holder or me.node, me.node):
        return AwaitLease(record.lease.holder, record.lease.seconds_left)
    again = same_node(record.primary, me.node)
    reason = f"{me.node} is promoted anew" if again else f"{me.node} takes over from {record.primary}"
    return Claim(promoted(record, seat, reason=reason))


def is_successor(record: Record, me: Successor) -> bool:
    """Whether the record names this very directory."""
    return _seat(record, me) is not None


def _seat(record: Record, me: Successor) -> Successor | None:
    """This directory's own entry."""
    return next((one for one in record.successors if same_node(one.node, me.node) and one == _as_named(me, one)), None)


def _as_named(me: Successor, entry: Successor) -> Successor:
    return Successor(entry.node, me.directory)


def _not_a_successor(record: Record, me: Successor) -> str:
    if any(same_node(one.node, me.node) for one in record.successors):
        return (
            f"the record knows another data directory of {me.node} than this one, which was made anew since: it may "
            f"lack commits; start {record.primary}"
        )
    return (
        f"data here may lack commits of {record.primary}: the record (epoch {record.epoch}, revision "
        f"{record.revision}) does not name {me.node} as a successor, but {', '.join(record.nodes)}"
    )


def confirm(record: Record, me: Successor) -> Proposal:
    """The second write of a promotion, directly before it: from now on nobody else may succeed."""
    seat = Successor(record.primary, me.directory)
    reason = f"{record.primary} is being promoted"
    return rewritten(record, (seat,), writer=record.primary, reason=reason, confirms=True)


# --- the same primary again: R4 ---------------------------------------------------------------


class Completed(NamedTuple):
    """What a data directory keeps of the last promotion that was completed in it; (0, 0) if none was."""

    epoch: int
    timeline: int


def is_its_primary(record: Record, me: Successor, completed: Completed, timeline: int) -> bool:
    """Whether this directory is the recorded primary's own, on the timeline that the record's epoch began (R4)."""
    return (
        same_node(record.primary, me.node)
        and _seat(record, me) is not None
        and completed == Completed(record.epoch, timeline)
    )


def strayed(was_primary: bool, completed: Completed, timeline: int) -> bool:
    """Whether a directory, before it is started as a standby, holds a timeline that no completed promotion began.

    A promotion that nobody confirmed (a left-over signal, a hand) may leave at the same place, under the same
    number, as the one that was: no history tells the two apart. Such a directory never gives its `Word` again, until
    a promotion is completed in it or it is made anew; the mark is written before the start, which wipes the traces.
    ``was_primary``: the control file says that the last server here accepted writes. That file may not yet show the
    timeline of a promotion that has just been completed.
    """
    return was_primary and completed.timeline < timeline


def alone(record: Record, me: Successor) -> Proposal:
    """Write that nobody but this directory may succeed (R4 and R1), before it is started read-write."""
    return rewritten(record, (me,), writer=me.node, reason=f"{me.node} restarts as the primary that it was")


def may_keep_names(record: Record, me: Successor, names: tuple[str, ...] | None) -> bool:
    """Whether a restart in place may leave the names of its file in force instead of writing the record.

    They must hold back at least whatever a recorded successor must have.
    """
    return names is not None and all(one.node in names for one in _others(record, me))


WAITS_FROM_THE_START = {13: 21, 14: 18, 15: 13, 16: 9, 17: 5}
"""The first minor release of each version in which no commit is acknowledged without its standbys in the first
moments after a start, before the checkpointer has read the names (release notes of May 2025)."""


def waits_from_the_start(version: str) -> bool:
    """Whether a server of that version does; ``version`` as ``postgres --version`` prints it."""
    numbers = [part.split(".") for part in version.split() if part[:1].isdigit()]
    if not numbers or not all(part.isdigit() for part in numbers[0][:2]):
        return False
    major, minor = int(numbers[0][0]), int((*numbers[0], "0")[1])
    return major > max(WAITS_FROM_THE_START) or minor >= WAITS_FROM_THE_START.get(major, minor + 1)


# --- leaving: R10 -----------------------------------------------------------------------------


def leave(record: Record, me: Successor, primary_lives: bool) -> Proposal | None:
    """What a standby writes before it is stopped on purpose; None where it has nothing to leave.

    Only while another node holds a live lease, or, where the cluster keeps the record, is seen to be the primary
    (``primary_lives``): else both of two nodes, stopped in turn, would leave one alone that may be started again.
    """
    left = _others(record, me)
    if same_node(record.primary, me.node) or len(left) == len(record.successors):
        return None
    if not primary_lives and same_node(record.lease.holder or me.node, me.node):
        return None
    return rewritten(record, ordered(left), writer=me.node, reason=f"{me.node} is stopped")


# --- the lease: R5 ----------------------------------------------------------------------------


class Standing(NamedTuple):
    """What a primary knows of its right when a renewal has not been granted."""

    seconds_left: float
    """Our own copy of the lease: how long it lasts, counted from before the last granted request was sent."""
    stop: float
    """How long a stop may last, in seconds: it has to be over when the lease is."""
    shared: bool
    """Whether the record names another successor than this server."""
    successors_stream: bool
    """Whether every recorded successor streams synchronously under names in force."""
    unreachable: bool = True
    """Whether there was no answer at all (as opposed to "no")."""


def must_stop(standing: Standing) -> str | None:
    """Why the primary has to stop itself now; None while it may serve (R5)."""
    if not standing.unreachable:
        return "the record is another's"
    if standing.seconds_left > standing.stop or not standing.shared or standing.successors_stream:
        return None
    return "its lease is running out, nobody renews it, and another node may be promoted"


STOP_SECONDS = 3.0
"""How long before the end of its lease a primary that nobody renews begins to be stopped; it is gone by the end."""


def lease_too_short(ttl: float, interval: float, renewal: float, stop: float) -> str | None:
    """What is wrong with the times of a configuration; None if a primary can always stop in time.

    All in seconds: the term of the lease, the monitor interval of the promoted role, the bound on one renewal,
    and the longest stop.
    """
    needed = interval + renewal + stop
    if ttl > needed:
        return None
    return (
        f"distlock_ttl={ttl:g} is too short: it must be more than {needed:g} s, the monitor interval {interval:g} s, "
        f"a renewal {renewal:g} s and the stop {stop:g} s together"
    )
