# SPDX-License-Identifier: GPL-2.0-or-later
"""Steps that several actions share: bounded waits for the server, and reading the cluster."""

from __future__ import annotations

from collections.abc import Iterator

from expgsql_ra.changes import Change, differing
from expgsql_ra.errors import AgentError, CannotTell, CommandFailed, DeadlineExceeded
from expgsql_ra.snapshot import (
    Cluster,
    ClusterView,
    NoCluster,
    Orphans,
    Primary,
    Server,
    Standby,
    Stopped,
    Unknown,
)
from expgsql_ra.values import RepMode, same_node
from expgsql_ra.world import Deadline, Shutdown, World

POLL_SECONDS = 0.01
APPEAR_SECONDS = 2.0


def replicates(world: World) -> bool:
    """Whether this resource's servers have a primary among them."""
    return world.parameters.rep_mode in {RepMode.SYNC, RepMode.ASYNC}


def is_among(world: World, variable: str) -> bool:
    """Whether this node is in a list of the transition's notification variables, such as ``start_uname``."""
    node = world.context.node
    return node is not None and any(same_node(node, name) for name in world.context.names(variable))


def cluster_view(world: World, roles: bool = False) -> Cluster:
    """One reading of the cluster."""
    return world.cluster.view(cluster_seconds(world), roles)


def cluster_seconds(world: World) -> float:
    """How long one question or message to the cluster may take."""
    return min(float(world.parameters.crm_attr_timeout), world.deadline.left())


def required_view(world: World, roles: bool = False) -> ClusterView | NoCluster:
    """A reading of the cluster, tried until the time is nearly over; `CannotTell` without one."""
    why = ""
    try:
        for _ in world.deadline.reserving(1).every(1, "the cluster's state"):
            view = cluster_view(world, roles)
            if not isinstance(view, Unknown):
                return view
            why = view.why
            world.log.warning(f"cannot read the cluster's state yet: {why}")
    except DeadlineExceeded:
        raise CannotTell(f"cannot read the cluster's state: {why}") from None
    raise AssertionError


def apply(world: World, view: Cluster, changes: tuple[Change, ...]) -> None:
    """Write what differs from ``view``; nothing where there is no cluster."""
    if isinstance(view, ClusterView):
        wanted = differing(changes, view)
        if wanted:
            world.cluster.apply(wanted, cluster_seconds(world))


def publish(world: World, view: Cluster, changes: tuple[Change, ...]) -> bool:
    """Like `apply`, for what only informs: a cluster that is slow to listen must not fail the action.

    Whether it listened.
    """
    try:
        apply(world, view, changes)
    except AgentError as problem:
        world.log.warning(f"could not tell the cluster: {problem}")
        return False
    return True


def await_standby(world: World, deadline: Deadline) -> Standby:
    """Wait until the server answers as a standby; `CommandFailed` if it ends meanwhile."""
    for server in _coming_up(world, deadline, "PostgreSQL to accept connections as a standby"):
        if isinstance(server, Standby):
            return server
    raise AssertionError


def await_primary(world: World, deadline: Deadline) -> Primary:
    """Wait until the server accepts writes; `CommandFailed` if it ends meanwhile."""
    for server in _coming_up(world, deadline, "PostgreSQL to accept writes"):
        if isinstance(server, Primary):
            return server
    raise AssertionError


def await_running(world: World, deadline: Deadline) -> Primary | Standby:
    """Wait until the server answers, whatever it is; `CommandFailed` if it ends meanwhile."""
    for server in _coming_up(world, deadline, "PostgreSQL to accept connections"):
        if isinstance(server, Primary | Standby):
            return server
    raise AssertionError


def _coming_up(world: World, deadline: Deadline, waiting_for: str) -> Iterator[Server]:
    """Look again and again at a server that was started; it may take a moment until its process is to be seen."""
    appears = deadline.within(APPEAR_SECONDS)
    for _ in deadline.every(POLL_SECONDS, waiting_for):
        server = world.look.server(deadline.left())
        if isinstance(server, Stopped | Orphans) and not appears.left():
            raise CommandFailed(f"PostgreSQL ended while it was starting: {world.look.last_words()}")
        if not isinstance(server, Stopped | Orphans):
            appears = deadline.within(0)
        yield server


def must_live(world: World, server: Server) -> None:
    """`CommandFailed` if a server that was being promoted has ended."""
    if isinstance(server, Stopped | Orphans):
        raise CommandFailed(f"PostgreSQL ended while it was promoted: {world.look.last_words()}")


def await_gone(world: World, deadline: Deadline) -> None:
    """Wait for the proof that nothing of the server is left; `DeadlineExceeded` without it."""
    for _ in deadline.every(POLL_SECONDS, "PostgreSQL to stop"):
        if world.look.is_gone():
            return


def stop_politely(world: World, deadline: Deadline) -> None:
    """A fast shutdown and nothing harsher: the standbys get every record before the server ends."""
    world.server.shut_down(Shutdown.FAST)
    await_gone(world, deadline)
