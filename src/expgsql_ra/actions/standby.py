# SPDX-License-Identifier: GPL-2.0-or-later
"""What a standby does at each monitor: nothing while it streams; else find its primary, or help to choose one.

A standby that streams tells once, for each primary, that its data lies on that primary's history.
"""

from __future__ import annotations

from expgsql_ra.actions import right, start, steps
from expgsql_ra.changes import Change, SetFollows, SetReceiver, SetScore, SetStatus, SetWal
from expgsql_ra.errors import Refused
from expgsql_ra.record import Missing, Trusted, Unbound
from expgsql_ra.rules import divergence, election, promotion, replication, succession
from expgsql_ra.snapshot import ClusterView, Standby
from expgsql_ra.values import Ancestry, Attestation, Lsn, Status, same_node
from expgsql_ra.world import Memory, World

TELL_AGAIN = 8
"""After so many monitors a standby says again where it stands: the cluster forgets what a node said when it
has been away for a moment, and nobody tells the node."""


def keep(world: World, view: ClusterView, server: Standby) -> str | None:
    """Bring this node's own attributes up to date; the reason if it does not stream though there is a primary."""
    if world.parameters.check_wal_receiver:
        steps.publish(world, view, (SetReceiver(view.me, "normal" if server.streams else "ERROR"),))
    if server.streams:
        _attest(world, view, server)
        return None
    if view.history is not None and not view.i_am_recorded:
        _follow(world, view, server)
    _stand(world, view, server)
    primary = promotion.other_primary(view)
    return f"does not stream from {primary.name}; PostgreSQL's log says why" if primary else None


# --- what a streaming standby says of itself --------------------------------------------------


def has_told(world: World, server: Standby) -> bool:
    """Whether a streaming standby has nothing to say: it has told, not long ago, that it follows this primary."""
    memory = world.memory.load()
    if world.parameters.check_wal_receiver or memory.attested != _mark(world, server) or memory.rounds >= TELL_AGAIN:
        return False
    world.memory.save(Memory(attested=memory.attested, rounds=memory.rounds + 1))
    return True


def _mark(world: World, server: Standby) -> str:
    return f"{world.own.kept().directory} {server.receives} {server.pid}"


def _attest(world: World, view: ClusterView, server: Standby) -> None:
    """Say on which history this directory lies, once WAL of that history's own timeline has been replayed here."""
    history, mark = view.history, _mark(world, server)
    if history is None or server.receives != history.current:
        world.memory.save(Memory())
        return
    if world.own.kept().strayed:
        world.log.warning("the data here was promoted without confirmation and may not succeed: expgsql rebuild")
        return
    if world.memory.load().attested != mark and not _lies_on(world, history):
        world.memory.save(Memory())
        return
    attestation = Attestation(world.own.kept().directory, history.current, history.forks)
    told = steps.publish(world, view, (SetFollows(view.me, attestation),))
    _see(world, view, server)
    world.memory.save(Memory(attested=mark if told else ""))


def _lies_on(world: World, history: Ancestry) -> bool:
    """Whether what was replayed here lies on that history and has come to its timeline; `Refused` if it diverged.

    What is *received* proves nothing: a diverged standby that knows the history asks for its timeline, too, and
    replays its own WAL beyond the fork. After two CHECKPOINTs the control file tells where replay is and on which
    timeline (docs/postgresql.md, vii).
    """
    local = world.look.standby_wal(None, world.deadline.reserving(1).left())
    verdict = divergence.may_follow(local._replace(end=world.look.control().recovered), history)
    if isinstance(verdict, divergence.Diverged):
        raise Refused(verdict.reason)
    return local.timeline == history.current


def _see(world: World, view: ClusterView, server: Standby) -> None:
    """Keep what the record is now: an authority that forgets it is not believed when this node is to take over.

    An arbiter is asked once for each primary; the cluster's own record has been read with everything else.
    """
    asks = world.parameters.enable_distlock
    if right.is_recorded(world) and not (asks and world.memory.load().attested == _mark(world, server)):
        right.trusted(world, right.read(world, view), view.ancestry.system if view.ancestry else "")


# --- a standby without a primary --------------------------------------------------------------


def _follow(world: World, view: ClusterView, server: Standby) -> None:
    """Connect to the primary if not connected; if connected in vain, see whether it ever can be."""
    if not world.look.is_connected():
        start.connect_if_safe(world, view, server)
        return
    history = view.history
    if history is None or promotion.other_primary(view) is None:
        return
    verdict = divergence.may_follow(world.look.standby_wal(server.end, world.deadline.left()), history)
    if isinstance(verdict, divergence.Diverged):
        raise Refused(verdict.reason)
    # an agent that died between writing the settings and the reload left a server that does not know them
    world.server.follow(replication.CLOSED)


def _stand(world: World, view: ClusterView, server: Standby) -> None:
    """Without a primary: report this node's data, vote, wait for the recorded primary or take its place."""
    memory, result = world.memory.load(), None
    changes: tuple[Change, ...] = ()
    if promotion.other_primary(view) is None:
        changes = (SetStatus(view.me, Status.ALONE),)
    if view.repl_info is None:
        memory, result, report = _vote(world, view, server, memory)
        changes += (report,)
    right_here = _by_record(world, view) if promotion.other_primary(view) is None else None
    memory = memory._replace(absences=_absences(view, memory, right_here))
    world.memory.save(memory)
    wanted = promotion.standby_score(
        view, world.parameters.rep_mode, result, memory.absences, world.parameters.xlog_check_count, right_here
    )
    if isinstance(wanted, promotion.Give):
        world.log.info(f"promotion score {wanted.score}: {wanted.reason}")
        changes += (SetScore(view.me, wanted.score),)
    steps.publish(world, view, changes)


def _by_record(world: World, view: ClusterView) -> promotion.Right | None:
    """What the record gives this node; None where there is none to go by."""
    if not right.is_recorded(world):
        return None
    system = view.ancestry.system if view.ancestry else world.look.control().system
    answer = right.trusted(world, right.read(world, view), system)
    match answer:
        case Trusted(record):
            return promotion.Right(record.primary, succession.is_successor(record, right.myself(world, view)))
        case Unbound(record):
            return promotion.Right(record.primary, same_node(record.primary, view.me))
        case Missing(why) if world.parameters.enable_distlock:
            return promotion.Right(None, False, why)
        case Missing():
            return None
        case right.Unsure(why):
            return promotion.Right(None, False, why)


def _vote(world: World, view: ClusterView, server: Standby, memory: Memory) -> tuple[Memory, election.Result, SetWal]:
    local = world.look.standby_wal(server.end, world.deadline.left())
    report = SetWal(view.me, local.timeline, server.end or Lsn(0))
    readings = election.readings(view)
    equal = memory.equal + 1 if readings == memory.readings else 1
    result = election.first_start(view, equal, world.parameters.xlog_check_count)
    return memory._replace(readings=readings, equal=equal), result, report


def _absences(view: ClusterView, memory: Memory, given: promotion.Right | None) -> int:
    """For how many readings in a row the recorded primary's node, or its server, has not been there.

    A server that was stopped for a restart in place is back within one or two.
    """
    primary = given.primary if given else None
    if primary is None and view.repl_info is not None:
        primary = view.repl_info.node
    if primary is None or same_node(primary, view.me):
        return 0
    member = view.member(primary)
    is_there = member is not None and member.online and member.status != Status.STOPPED
    return 0 if is_there else memory.absences + 1
