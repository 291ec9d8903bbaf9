# SPDX-License-Identifier: GPL-2.0-or-later
"""The recorded primary's server comes back read-write on its own timeline (R4).

With an arbiter it first writes that nobody else may succeed, starts with names that nobody can satisfy, and
opens them then: it accepts writes and acknowledges none in between. Where the cluster itself keeps the record,
such a write counts only after a membership timeout; there the server comes back with the names it had, so that
its standbys keep their right and commits go on waiting for them, and nothing has to be written at all.
"""

from __future__ import annotations

from expgsql_ra.actions import primary, right, steps
from expgsql_ra.record import Record, Successor
from expgsql_ra.rules import replication, succession
from expgsql_ra.snapshot import ClusterView, Primary
from expgsql_ra.world import World


def begin(world: World, view: ClusterView, record: Record | None, me: Successor) -> Primary:
    """Start the stopped server as the primary; what it acknowledges afterwards, whoever may succeed has."""
    if record and _keeps_names(world, view, record, me):
        world.server.start_as_primary(None)
        return steps.await_primary(world, world.deadline)
    narrow(world, view, record, me)
    world.server.start_as_primary(replication.CLOSED)
    return steps.await_primary(world, world.deadline)


def _keeps_names(world: World, view: ClusterView, record: Record, me: Successor) -> bool:
    """Whether the names in the files may stay, and do hold back what a successor must have."""
    if world.parameters.enable_distlock or not succession.waits_from_the_start(world.look.version()):
        return False
    at_rest = world.look.names_at_rest()
    named = None if at_rest is None else replication.names_in_force(at_rest, view.members)
    return succession.may_keep_names(record, me, named)


def narrow(world: World, view: ClusterView, record: Record | None, me: Successor) -> None:
    """Withdraw everybody else's right to succeed; returns when that is accepted."""
    if record:
        right.write(world, succession.alone(record, me))
    else:
        steps.apply(world, view, (*primary.withdrawn(view), *primary.own_score(view)))


def open_names(world: World) -> Primary:
    """Let the primary acknowledge commits, unless it must not do so alone; done when a new session shows it."""
    if world.parameters.strict_sync:
        return steps.await_primary(world, world.deadline)
    # forgotten first: killed in between, the next monitor must not take the flag for proven that these names clear
    world.memory.save(world.memory.load()._replace(waits=0))
    world.server.rename(replication.OPEN)
    for _ in world.deadline.every(steps.POLL_SECONDS, "the new primary to acknowledge commits"):
        server = world.look.server(world.deadline.left())
        if isinstance(server, Primary) and server.names == replication.OPEN:
            return server
        steps.must_live(world, server)
    raise AssertionError
