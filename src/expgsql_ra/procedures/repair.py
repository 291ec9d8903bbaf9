# SPDX-License-Identifier: GPL-2.0-or-later
"""Repairing the data of the node that this runs on: rewound, or made anew, and back as a standby.

Each step leaves what the next call finds and goes on from: marks in the data directory that keep it from being
started, names beside it that say how far a new copy has come, configuration files that are kept until they are back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

from expgsql_ra.deployment import Deployment, unreachable
from expgsql_ra.errors import AgentError, CannotTell, CommandFailed, DeadlineExceeded, Inconsistent, Refused
from expgsql_ra.events import Kind
from expgsql_ra.procedures.repair_job import ASK_SECONDS, Job, Orders, finish
from expgsql_ra.record import (
    Accepted,
    Found,
    LeaseHeld,
    Missing,
    Outdated,
    Record,
    Trusted,
    Unbound,
    Unreachable,
    trust,
)
from expgsql_ra.repairs import Folder, Mark, Source
from expgsql_ra.rules import repairing
from expgsql_ra.rules.repairing import Follow, Intent, Objection, Renew, Rewind, Scene, Way
from expgsql_ra.site import Site
from expgsql_ra.snapshot import LocalWal
from expgsql_ra.values import same_node
from expgsql_ra.workshop import Workshop
from expgsql_ra.world import Deadline, Shutdown

T = TypeVar("T")
UNANSWERED = (CannotTell, DeadlineExceeded)
"""What a look raises where somebody does not answer now: the cluster, or the primary at its address."""
STOPS = ((Shutdown.FAST, 60.0), (Shutdown.IMMEDIATE, 10.0), (Shutdown.KILL, 10.0))
"""Seconds that each way to end the server may take."""
ATTEMPTS = 5
RETRY_SECONDS = 1.0
POLL_SECONDS = 0.1


class Planned(NamedTuple):
    """What is to be done, and from where."""

    job: Job
    folder: Folder
    intended: Intent
    source: Source | None
    """The primary, reached the way the copy will go; None where nothing is to be copied."""


# --- the whole --------------------------------------------------------------------------------


def repair(site: Site, shop: Workshop, orders: Orders) -> bool:
    """Do it; whether the node streams at the end (False: the cluster does not start it now, and was not meant to).

    `Refused` or `Inconsistent` where it must not be done, `CommandFailed` where a program failed, `DeadlineExceeded`
    where the repaired server does not stream in time. Each says what to do.
    """
    patience = Deadline(site.clock, orders.wait if orders.background else 0.0)
    job, folder, intended, source = _looked(site, patience, lambda: _planned(site, shop, orders))
    _explain(job, folder, intended)
    if source and isinstance(intended, Renew):
        _check_room(job, source)
    if site.dry_run:
        site.console.say("nothing was done: --dry-run")
        return False
    _ask(job, intended)
    old = _mend(job, intended, source) if source else ""
    return finish(job, old)


def _looked(site: Site, patience: Deadline, look: Callable[[], T | Objection]) -> T:
    """What a look finds, which is repeated while only something that passes speaks against the repair."""
    told = False
    while True:
        try:
            found = look()
        except UNANSWERED as problem:
            if not patience.left():
                raise
            found = Objection(str(problem), passing=True)
        if not isinstance(found, Objection):
            return found
        if not found.passing or not patience.left():
            raise _refusal(found)
        if not told:
            site.console.say(f"waiting: {found.why}")
            told = True
        site.clock.pause(RETRY_SECONDS)


def _planned(site: Site, shop: Workshop, orders: Orders) -> Planned | Objection:
    """Everything in one look: whoever waited for the primary's address may find another primary there."""
    found = _intended(site, shop, orders)
    if isinstance(found, Objection):
        return found
    job, folder, intended = found
    if isinstance(intended, Follow):
        return Planned(job, folder, intended, None)
    try:
        source = job.shop.tools.source(ASK_SECONDS)
    except CommandFailed as problem:
        return Objection(f"the primary does not tell what it is: {problem}", passing=True)
    return repairing.source_objection(source, job.history) or Planned(job, folder, intended, source)


def _intended(site: Site, shop: Workshop, orders: Orders) -> tuple[Job, Folder, Intent] | Objection:
    seen = site.read.deployment()
    objection = repairing.objection(_scene(site, shop, seen))
    if objection:
        return objection
    folder, history = shop.data.look(), seen.view.history
    plan = repairing.plan(orders.way, folder, *_local(shop, folder), history)
    if isinstance(plan, Objection):
        return plan
    if history is None:
        raise AssertionError
    return Job(site, shop, orders, seen, history), folder, plan


def _mend(job: Job, intended: Intent, source: Source) -> str:
    """Change the data, which `finish` lets the cluster have; where the old directory is, if it was put aside."""
    _take_out_of_service(job)
    if isinstance(intended, Rewind):
        loss = intended.loss
        intended = _rewound(job, intended, source)
        if isinstance(intended, Follow):
            _note(job, Kind.REPAIR, f"rewound to the history of {job.seen.promoted}; gone is {loss}")
    if isinstance(intended, Renew):
        old = _rebuild(job)
        _note(job, Kind.REBUILD, f"a base backup of {job.seen.promoted} took its place ({intended.why})")
        return old
    return ""


def _note(job: Job, kind: Kind, reason: str) -> None:
    job.site.journal.record(job.seen.resource, kind, job.node, reason, job.history.current)


def _scene(site: Site, shop: Workshop, seen: Deployment) -> Scene:
    nodes = [seen.me, *([seen.promoted] if seen.promoted and not same_node(seen.promoted, seen.me) else [])]
    here, *others = site.read.facts(nodes)
    primary = others[0] if others else unreachable(seen.promoted, "")
    return Scene(seen.me, seen, here, primary, _record(shop, seen))


def _record(shop: Workshop, seen: Deployment) -> repairing.Verdict | None:
    if not repairing.is_recorded(seen):
        return None
    answer = shop.authority.read(ASK_SECONDS)
    if not isinstance(answer, Found):
        return answer
    system = seen.view.ancestry.system if seen.view.ancestry else answer.record.system
    return trust(answer.record, shop.own.highest(), system)


def _local(shop: Workshop, folder: Folder) -> tuple[LocalWal | None, str]:
    """What the data is, and the state that its control file tells; nothing where there is no database."""
    if not folder.present:
        return None, ""
    try:
        return shop.look.stopped_wal(), shop.look.control().state
    except (CannotTell, CommandFailed):
        return None, ""  # a control file that cannot be read is no database


def _refusal(objection: Objection) -> AgentError:
    return (Inconsistent if objection.inconsistent else Refused)(objection.why)


def _explain(job: Job, folder: Folder, intended: Intent) -> None:
    say = job.site.console.say
    primary = job.seen.promoted
    match intended:
        case Follow():
            say(f"the data of {job.node} lies on the history of {primary}: it only has to be started")
        case Rewind(loss):
            say(f"pg_rewind makes the data of {job.node} a standby's of {primary} again; this is thrown away:")
            say(f"  {loss}")
            say(f"  {repairing.promise(job.seen.parameters.rep_mode)}")
        case Renew(why):
            say(f"a base backup of {primary} takes the place of {folder.path} on {job.node}: {why}")
            if folder.present:
                say(f"  what is there now is kept as {folder.path}.old-... until the new copy streams")
    for old in folder.olds:
        say(f"  left from an earlier rebuild: {old} (rm -rf it when nobody needs it)")


def _ask(job: Job, intended: Intent) -> None:
    if not isinstance(intended, Follow):
        job.site.console.confirm(f"Repair the data of {job.node}?")


def _check_room(job: Job, source: Source) -> None:
    why = repairing.no_room(job.shop.data.look(source.tablespaces), source)
    if why:
        raise Refused(why)


# --- out of service: R12 ----------------------------------------------------------------------


def _take_out_of_service(job: Job) -> None:
    """From here on nobody starts this data; its server is stopped, and then the record lets go of it."""
    with job.shop.lock():
        job.shop.data.mark(Mark.REPAIRING)
    _stop(job)
    _dismissed(job, str)


def _stop(job: Job) -> None:
    """The lock is held for the signals only: while the server ends Pacemaker may want to stop it, too."""
    if job.shop.look.is_gone():
        return
    job.site.console.say(f"stopping the server on {job.node}")
    for how, seconds in STOPS:
        with job.shop.lock():
            job.shop.server.shut_down(how)
        if _gone_within(job, seconds):
            return
    raise CannotTell(f"the server on {job.node} does not end: see what its processes wait for, then repeat the command")


def _gone_within(job: Job, seconds: float) -> bool:
    deadline = Deadline(job.site.clock, seconds)
    while not job.shop.look.is_gone():
        if not deadline.left():
            return False
        job.site.clock.pause(POLL_SECONDS)
    return True


def _dismissed(job: Job, act: Callable[[], str]) -> str:
    """Do something to data whose server is stopped, and that the record has let go of after that (R12)."""
    why = ""
    for _ in range(ATTEMPTS):
        with job.shop.lock():
            why = _why_not_dismissed(job)
            if not why:
                return act()
        job.site.clock.pause(RETRY_SECONDS)
    raise CannotTell(f"the record did not let go of {job.node}'s data ({why}): repeat the command")


def _why_not_dismissed(job: Job) -> str:
    """A write without this data, also where it was not listed; why it was not accepted, empty if it was."""
    if not job.shop.look.is_gone():
        return "its server was started meanwhile"
    if not repairing.is_recorded(job.seen):
        return ""
    proposal = repairing.dismissal(_believed(job), job.node, job.orders.way.value)
    match job.shop.authority.write(proposal, ASK_SECONDS):
        case Accepted(record):
            job.shop.own.saw(record)
            return ""
        case Outdated(record):
            return f"{record.writer} wrote first: {record.reason}"
        case LeaseHeld(by):
            return f"{by} holds the lock"
        case Missing(why) | Unreachable(why):
            return why


def _believed(job: Job) -> Record:
    """The record as it is now, of the primary that is copied from."""
    verdict = _record(job.shop, job.seen)
    objection = repairing.record_objection(verdict, job.node, job.seen.promoted)
    if objection:
        raise _refusal(objection)
    if not isinstance(verdict, Trusted | Unbound):
        raise AssertionError
    return verdict.record


# --- rewinding --------------------------------------------------------------------------------


def _rewound(job: Job, intended: Rewind, source: Source) -> Follow | Renew:
    """Follow after a rewind, or where none was needed; Renew where it failed and a base backup is allowed."""
    try:
        return _rewind(job, intended, source)
    except CommandFailed as problem:
        if job.orders.way is not Way.REWIND_OR_REBUILD:
            remedy = Mark.REWINDING.meaning if job.shop.data.look().marks[:1] == (Mark.REWINDING,) else ""
            raise CommandFailed(
                f"{problem}; {remedy or 'nothing was thrown away: mend that, or run expgsql rebuild'}"
            ) from None
        job.site.console.warn(f"{problem}; a base backup takes its place")
        _check_room(job, source)
        return Renew("pg_rewind failed")


def _rewind(job: Job, intended: Rewind, source: Source) -> Follow:
    shop, say = job.shop, job.site.console.say
    if repairing.needs_recovery(shop.look.control()):
        say("crash recovery: pg_rewind needs a server that was shut down in order")
        shop.tools.recover(shop.told, job.orders.limit)
    if not intended.certain:
        found = repairing.plan(Way.REWIND, shop.data.look(), *_local(shop, shop.data.look()), job.history)
        if not isinstance(found, Rewind):
            return Follow()
        say(f"thrown away: {found.loss}")
    _checkpoint(job, source)
    say("pg_rewind: looking at what has to be copied")
    shop.tools.rewind(shop.told, job.orders.limit, trial=True)
    shop.data.keep_configuration()
    shop.data.mark(Mark.REWINDING)
    say("pg_rewind: copying; do not interrupt it now, or only expgsql rebuild helps")
    shop.tools.rewind(shop.told, job.orders.limit, trial=False)
    if Mark.REWINDING not in shop.data.look().marks:
        raise CannotTell("pg_rewind removed the mark that keeps its work from being started half done: expgsql rebuild")
    shop.data.restore_configuration()
    with shop.lock():
        shop.data.unmark(Mark.REWINDING)
    return Follow()


def _checkpoint(job: Job, source: Source) -> None:
    """Until its first checkpoint a primary's control file names the timeline before; old ``pg_rewind`` trusts it."""
    if source.checkpointed == source.timeline:
        return
    job.site.console.say(f"asking {job.seen.promoted} for its first checkpoint since its promotion")
    try:
        job.shop.tools.checkpoint_source(job.orders.limit)
    except CommandFailed as problem:
        raise CommandFailed(
            f"{job.seen.promoted} has made no checkpoint since its promotion, and refuses one: {problem}; run "
            "CHECKPOINT there, or wait for its next one"
        ) from None


# --- a new copy -------------------------------------------------------------------------------


def _rebuild(job: Job) -> str:
    shop, say = job.shop, job.site.console.say
    folder = shop.data.look()
    if folder.ready and not folder.present:
        say("a complete copy is there already: it only has to take its place")
    else:
        shop.data.make_room()
        say(f"pg_basebackup: copying {job.seen.promoted}")
        shop.tools.back_up(shop.told, job.orders.limit)
        shop.data.complete()
    _stop(job)
    return _dismissed(job, shop.data.take_place)
