# SPDX-License-Identifier: GPL-2.0-or-later
"""monitor: say what the server is, and see to it that the cluster knows what follows from that.

The report comes from the server alone. The cluster is read once, and only by a primary or by a standby
that does not stream; if it cannot be read or written, the report stays what it is.
"""

from __future__ import annotations

from expgsql_ra.actions import primary, right, standby, steps, stop
from expgsql_ra.errors import AgentError, Refused
from expgsql_ra.events import Kind
from expgsql_ra.ocf import Code
from expgsql_ra.parameters import Parameters
from expgsql_ra.rules import health, promotion, replication, succession
from expgsql_ra.rules.health import Report
from expgsql_ra.snapshot import ClusterView, NoCluster, Primary, Refusing, Server, Stalled, Standby, Starting
from expgsql_ra.values import RepMode
from expgsql_ra.world import World

PROBE_SHARE = 4
MONITOR_SQL_SECONDS = 5.0
# The agent's own question to the server has been answered by then, which says more.
DEFAULT_QUERY = Parameters.monitor_sql.default
SILENT = (Stalled, Starting)
NO_QUORUM = "this partition has no quorum; who is in sync is left as it is"


def monitor(world: World) -> Report:
    """The state of the server as a code, and the reason where it is not simply well."""
    try:
        report = _found(world)
    except AgentError:
        if _is_reported(world):
            return _known(world)
        raise
    return _known(world) if health.is_failure(report.code) and _is_reported(world) else report


def _is_reported(world: World) -> bool:
    """Whether the guard tells Pacemaker of this failure just now; if not, it leaves that to us from here on."""
    if world.context.is_probe:
        return False
    world.watch.release()
    return world.watch.is_reporting()


def _known(world: World) -> Report:
    """Pacemaker would count the same failure again, and move the primary sooner than it should."""
    report = health.reported(world.look.signalled_standby())
    world.log.info(str(report.reason))
    return _settled(world, report if steps.replicates(world) else health.without_role(report))


def _found(world: World) -> Report:
    misses = world.memory.load().stalls + 1
    server = world.look.server(min(world.deadline.left() / PROBE_SHARE, right.patience(world)))
    if isinstance(server, Primary | Standby) and not world.context.is_probe:
        world.watch.begin(server.pid)
    found = _judged(world, server)
    if isinstance(server, Stalled | Refusing) and not world.context.is_probe and not health.is_failure(found.code):
        right.keep(world, server)
    if world.context.is_probe or not isinstance(server, Primary | Standby):
        return _settled(world, found)
    if world.parameters.rep_mode is RepMode.NONE:
        found = Report(Code.SUCCESS)
    elif steps.replicates(world):
        found = _settled(world, _supervised(world, server, found))
    return found if health.is_failure(found.code) else _own_check(world, server, found, misses)


def _own_check(world: World, server: Primary | Standby, found: Report, misses: int) -> Report:
    """The report after the administrator's own question; one that is not answered is forgiven, as a stall is."""
    if world.parameters.monitor_sql in {"", DEFAULT_QUERY}:
        return found
    try:
        world.look.monitor_query(world.parameters.monitor_sql, MONITOR_SQL_SECONDS)
    except AgentError as problem:
        # last of all, for the rest begins a new account
        world.memory.save(world.memory.load()._replace(stalls=misses))
        missed = health.silent(isinstance(server, Standby), str(problem), misses)
        world.log.warning(str(missed.reason))
        return missed if steps.replicates(world) else health.without_role(missed)
    return found


def glance(world: World) -> Report:
    """The state of the server alone, where another process works on it just now."""
    return _settled(world, _judged(world, world.look.server(world.deadline.left() / PROBE_SHARE)))


def _judged(world: World, server: Server) -> Report:
    memory = world.memory.load()
    stalls = memory.stalls + 1 if isinstance(server, SILENT) else 0
    world.memory.save(memory._replace(stalls=stalls))
    if world.parameters.rep_mode is RepMode.NONE and isinstance(server, Primary):
        return Report(Code.SUCCESS)
    report = health.report(server, stalls, world.look.signalled_standby())
    if not steps.replicates(world) and not isinstance(server, Primary):
        report = health.without_role(report)
    if report.reason:
        world.log.warning(report.reason)
    return report


def _supervised(world: World, server: Primary | Standby, found: Report) -> Report:
    """The report after looking after the cluster's knowledge: degraded where a promise is weakened."""
    if isinstance(server, Standby) and server.streams and standby.has_told(world, server):
        return found
    if isinstance(server, Primary) and replication.all_answer(server):
        right.bridge(world)
    view = steps.cluster_view(world)
    if not isinstance(view, ClusterView):
        return found if isinstance(view, NoCluster) else _blind(world, server, found, view.why)
    if isinstance(server, Primary):
        return _primary(world, view, server, found)
    return _standby(world, view, server)


def _blind(world: World, server: Primary | Standby, found: Report, why: str) -> Report:
    """Without the cluster nothing is looked after; but a lease that nobody renews ends all the same."""
    world.log.warning(f"cannot read the cluster's state: {why}")
    return (_overdue(world, server, why) or found) if isinstance(server, Primary) else found


def _primary(world: World, view: ClusterView, server: Primary, found: Report) -> Report:
    try:
        held = right.hold(world, view, server) if right.is_recorded(world) else _unrecorded(view)
        if isinstance(held, right.Lost):
            return _stopped(world, held.why)
        if isinstance(held, right.Unsure):
            return _unsure(world, server, held.why)
        if held is None and not view.may_decide:
            return _weighed(world, server, NO_QUORUM)
        return _weighed(world, server, primary.keep(world, view, server, held))
    except AgentError as problem:
        world.log.warning(f"the primary serves, but its standbys could not be looked after: {problem}")
        return found


def _unrecorded(view: ClusterView) -> right.Lost | None:
    reason = promotion.usurped(view)
    return right.Lost(reason) if reason and view.may_decide else None


def _unsure(world: World, server: Primary, why: str) -> Report:
    """Nothing is relaxed without the authority; and whoever may have been succeeded stops by himself (R5)."""
    return _overdue(world, server, why) or _weighed(world, server, f"{why}; who is in sync is left as it is")


def _overdue(world: World, server: Primary, why: str) -> Report | None:
    """A primary that was not renewed is stopped in time, unless whoever may succeed it is seen to follow it."""
    follows = replication.all_answer(server)
    reason = succession.must_stop(right.standing(world, follows))
    if reason:
        return _stopped(world, f"{reason}: {why}")
    if follows:
        right.extend_lease(world)
    return None


def _stopped(world: World, reason: str) -> Report:
    """A primary that has lost its right is stopped before that is reported (R5)."""
    world.log.error(f"this server must not accept writes any more and is stopped: {reason}")
    stop.end(world, at_once=True)
    world.journal.record(Kind.STOPPED, reason)
    return Report(Code.FAILED_PROMOTED, reason)


def _standby(world: World, view: ClusterView, server: Standby) -> Report:
    try:
        return _weighed(world, server, standby.keep(world, view, server))
    except Refused:
        raise
    except AgentError as problem:
        world.log.warning(f"what follows for this standby could not be found out or done: {problem}")
        # it may have been restarted to connect it: look again at what became of it
        return _judged(world, world.look.server(world.deadline.left() / PROBE_SHARE))


def _weighed(world: World, server: Primary | Standby, weakness: str | None) -> Report:
    memory = world.memory.load()
    times = min(memory.weak + 1, health.WEAK_PATIENCE + 1) if weakness else 0
    world.memory.save(memory._replace(weak=times))
    return health.weakened(server, weakness or "", times) if weakness else health.report(server, 0, False)


def _settled(world: World, report: Report) -> Report:
    """Pacemaker before 2.0.5, and whoever runs the agent by hand, know no degraded codes; probes need none."""
    plain = {Code.DEGRADED: Code.SUCCESS, Code.DEGRADED_PROMOTED: Code.RUNNING_PROMOTED}
    if report.code in plain and (world.context.is_probe or not world.context.understands_degraded):
        return report._replace(code=plain[report.code])
    return report
