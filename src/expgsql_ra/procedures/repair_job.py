# SPDX-License-Identifier: GPL-2.0-or-later
"""A repair under way, and its end: the node goes back into the cluster's hands, and is seen to stream."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from expgsql_ra.deployment import Deployment, Failure
from expgsql_ra.errors import DeadlineExceeded
from expgsql_ra.procedures.common import forget_failures, look
from expgsql_ra.repairs import Mark
from expgsql_ra.rules.repairing import Way
from expgsql_ra.site import Site
from expgsql_ra.snapshot import Standby
from expgsql_ra.values import Ancestry, same_node
from expgsql_ra.workshop import Workshop

ASK_SECONDS = 10.0
CLEANUPS = 3


class Orders(NamedTuple):
    """What the operator wants."""

    way: Way
    keep_old: bool = False
    """Whether the directory that a new copy replaces is kept after it streams, too."""
    wait: float = 120.0
    """Seconds until the repaired standby has to stream."""
    limit: float = 86400.0
    """Seconds that a program of PostgreSQL may take."""
    background: bool = False
    """Begun by a start that may still wait for it: failures are forgotten only where that start has failed."""


class Job(NamedTuple):
    """A repair under way: what was seen before it, and what it works with."""

    site: Site
    shop: Workshop
    orders: Orders
    seen: Deployment
    history: Ancestry

    @property
    def node(self) -> str:
        """Whose data it is: this node's."""
        return self.seen.me


def finish(job: Job, old: str) -> bool:
    """Let Pacemaker start it, and see it stream."""
    job.shop.data.forget_configuration()
    with job.shop.lock():
        job.shop.data.unmark(Mark.REPAIRING)
    seen = look(job.site)
    known = seen.failures if seen else ()
    if not job.orders.background:
        forget_failures(job.site, seen or job.seen, job.seen.resource, job.node)
    idle = _stays_down(job)
    if idle:
        job.site.console.say(f"the data of {job.node} is repaired; {idle}")
        _tell_of(job, old)
        return False
    outcome = _started(job) if job.orders.background else _outcome(job, known)
    found = job.site.console.wait(f"{job.node} to stream from {job.seen.promoted}", outcome, job.orders.wait)
    if found != STREAMS:
        why = f": {found}" if found else " yet"
        raise DeadlineExceeded(f"the data of {job.node} is repaired, but it does not stream{why}; {_hint(job)}")
    if old and not job.orders.keep_old:
        job.shop.data.discard_old(old)
    else:
        _tell_of(job, old)
    job.site.console.say(f"{job.node} streams from {job.seen.promoted}")
    return True


def _tell_of(job: Job, old: str) -> None:
    if old:
        job.site.console.say(f"its old directory is {old}: rm -rf it when nobody needs it any more")


def _hint(job: Job) -> str:
    """Where to look: a ban is easily forgotten, and else only the server's log knows."""
    bans = [one.identity for one in job.seen.constraints if same_node(one.node, job.node) and one.score == "-INFINITY"]
    if bans:
        return f"the constraint {bans[0]} keeps it off the node: crm_resource --clear --resource {job.seen.subject}"
    return f"PostgreSQL's log there says why: where it misses WAL, run expgsql rebuild {job.node}"


STREAMS = ""
"""What a look finds when all is well: no reason."""


def _outcome(job: Job, known: tuple[Failure, ...]) -> Callable[[], str | None]:
    """Looks once: streaming, a reason why it never will, or None. What failed before, ``known``, is forgotten."""

    def found() -> str | None:
        return STREAMS if _streams(job) else next((one for one in _failed_starts(job, known)), None)

    return found


def _started(job: Job) -> Callable[[], str | None]:
    """The same in the background: the start that could not wait has failed, and is forgotten, a few times at most."""
    attempts = iter(range(CLEANUPS))

    def found() -> str | None:
        if _streams(job):
            return STREAMS
        failed = next(iter(_failed_starts(job, ())), None)
        if failed is None:
            return None
        if next(attempts, None) is None:
            return failed
        job.site.manager.cleanup(job.seen.resource, job.node)
        return None

    return found


def _streams(job: Job) -> bool:
    server = job.shop.look.server(ASK_SECONDS)
    return isinstance(server, Standby) and server.streams


def _failed_starts(job: Job, known: tuple[Failure, ...]) -> list[str]:
    """The reasons of those that Pacemaker remembers of this node, but for ``known`` ones."""
    seen = look(job.site)
    failures = (one for one in (seen.failures if seen else ()) if one not in known and one.operation == "start")
    mine = (one for one in failures if same_node(one.node, job.node) and one.resource == job.seen.resource)
    return [one.reason or "its start failed" for one in mine]


def _stays_down(job: Job) -> str:
    """Why the cluster will not start the server now, and what lets it; empty where it will."""
    seen = job.seen
    node = seen.node(job.node)
    if seen.disabled:
        return "the resource is disabled: expgsql start"
    if node and node.standby:
        return f"the node is in standby: expgsql standby off {job.node}"
    if not seen.managed or (node and node.maintenance):
        return "the cluster does not manage it now: expgsql maintenance off"
    return ""
