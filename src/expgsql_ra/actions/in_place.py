# SPDX-License-Identifier: GPL-2.0-or-later
"""The recorded primary's server comes back read-write on its own timeline (R4).

In two steps, each safe to die after. First the right of all others to succeed is withdrawn, and the server started
with names that nobody can satisfy: it accepts writes and acknowledges none. Then the names are opened.
"""

from __future__ import annotations

from expgsql_ra.actions import primary, steps
from expgsql_ra.rules import replication
from expgsql_ra.snapshot import ClusterView, NoCluster, Primary
from expgsql_ra.world import World


def begin(world: World, view: ClusterView | NoCluster) -> Primary:
    """Start the stopped server as the primary, closed."""
    steps.apply(world, view, (*primary.withdrawn(view), *primary.own_score(view)))
    world.server.start_as_primary(replication.CLOSED)
    return steps.await_primary(world, world.deadline)


def open_names(world: World) -> Primary:
    """Let the primary acknowledge commits; done when a new session shows that it does."""
    world.server.rename(replication.OPEN)
    for _ in world.deadline.every(steps.POLL_SECONDS, "the new primary to acknowledge commits"):
        server = world.look.server(world.deadline.left())
        if isinstance(server, Primary) and server.names == replication.OPEN:
            return server
        steps.must_live(world, server)
    raise AssertionError
