# SPDX-License-Identifier: GPL-2.0-or-later
"""monitor: say what the server is, and see to it that the cluster knows what follows from that.

The report comes from the server alone. The cluster is read once, and only by a primary or by a standby
that does not stream; if it cannot be read or written, the report stays what it is.
"""

from __future__ import annotations

from expgsql_ra.actions import primary, standby, steps
from expgsql_ra.errors import CannotTell, CommandFailed, DeadlineExceeded
from expgsql_ra.ocf import Code
from expgsql_ra.parameters import Parameters
from expgsql_ra.rules import health, promotion
from expgsql_ra.rules.health import Report
from expgsql_ra.snapshot import ClusterView, NoCluster, Primary, Server, Stalled, Standby, Starting
from expgsql_ra.values import RepMode
from expgsql_ra.world import Memory, World

PROBE_SHARE = 4
MONITOR_SQL_SECONDS = 5.0
# The agent's own question to the server has been answered by then, which says more.
DEFAULT_QUERY = Parameters.monitor_sql.default
SILENT = (Stalled, Starting)


def monitor(world: World) -> Report:
    """The state of the server as a code, and the reason where it is not simply well."""
    server = world.look.server(world.deadline.left() / PROBE_SHARE)
    found = _judged(world, server)
    if world.context.is_probe or not isinstance(server, Primary | Standby):
        return _settled(world, found)
    if world.parameters.monitor_sql not in {"", DEFAULT_QUERY}:
        world.look.monitor_query(world.parameters.monitor_sql, MONITOR_SQL_SECONDS)
    if world.parameters.rep_mode is RepMode.NONE:
        return Report(Code.SUCCESS)
    if not steps.replicates(world):
        return found
    return _settled(world, _supervised(world, server, found))


def _judged(world: World, server: Server) -> Report:
    if world.parameters.rep_mode is RepMode.NONE and isinstance(server, Primary):
        return Report(Code.SUCCESS)
    memory = world.memory.load()
    stalls = memory.stalls + 1 if isinstance(server, SILENT) else 0
    world.memory.save(memory._replace(stalls=stalls))
    report = health.report(server, stalls, world.look.signalled_standby())
    if not steps.replicates(world) and not isinstance(server, Primary):
        report = health.without_role(report)
    if report.reason:
        world.log.warning(report.reason)
    return report


def _supervised(world: World, server: Primary | Standby, found: Report) -> Report:
    """The report after looking after the cluster's knowledge: degraded where a promise is weakened."""
    if isinstance(server, Standby) and server.streams and not world.parameters.check_wal_receiver:
        world.memory.save(Memory())
        return found
    view = steps.cluster_view(world)
    if not isinstance(view, ClusterView):
        if not isinstance(view, NoCluster):
            world.log.warning(f"cannot read the cluster's state: {view.why}")
        return found
    if isinstance(server, Primary):
        return _primary(world, view, server, found)
    return _standby(world, view, server)


def _primary(world: World, view: ClusterView, server: Primary, found: Report) -> Report:
    reason = promotion.usurped(view)
    if reason and view.may_decide:
        return Report(Code.FAILED_PROMOTED, reason)
    try:
        return _weighed(world, server, primary.keep(world, view, server))
    except (CannotTell, CommandFailed, DeadlineExceeded) as problem:
        world.log.warning(f"the primary serves, but its standbys could not be looked after: {problem}")
        return found


def _standby(world: World, view: ClusterView, server: Standby) -> Report:
    try:
        return _weighed(world, server, standby.keep(world, view, server))
    except (CannotTell, CommandFailed, DeadlineExceeded) as problem:
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
