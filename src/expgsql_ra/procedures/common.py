# SPDX-License-Identifier: GPL-2.0-or-later
"""Steps that the procedures which change the cluster share."""

from __future__ import annotations

from expgsql_ra.deployment import Deployment
from expgsql_ra.errors import AgentError, BadArguments, CannotTell, Inconsistent, Refused
from expgsql_ra.rules.switching import Objection, Refusal
from expgsql_ra.site import Site
from expgsql_ra.values import same_node

ERRORS: dict[Objection, type[AgentError]] = {
    Objection.ARGUMENTS: BadArguments,
    Objection.PRECONDITION: Refused,
    Objection.INCONSISTENT: Inconsistent,
}


def refuse(refusal: Refusal) -> AgentError:
    """The error that tells a caller what kind of "no" it is."""
    return ERRORS[refusal.kind](refusal.reason)


def lift_own_constraints(site: Site, seen: Deployment) -> int:
    """Remove what a command that was killed has left behind; how many there were."""
    left = sorted({one.identity for one in seen.constraints if one.ours})
    for constraint in left:
        site.console.say(f"lifting the constraint {constraint}, which an interrupted command has left behind")
        site.manager.lift(constraint)
    return len(left)


def forget_failures(site: Site, seen: Deployment, resource: str, node: str = "") -> None:
    """Forget those of our resource and of what is tied to it, on one node or on all."""
    failed = {one.resource for one in seen.failures if not node or same_node(one.node, node)}
    for name in (resource, *sorted(failed & {one.name for one in seen.companions})):
        site.manager.cleanup(name, node)


def online(seen: Deployment) -> tuple[str, ...]:
    """The nodes that can be asked."""
    return tuple(node.name for node in seen.nodes if node.online)


def look(site: Site) -> Deployment | None:
    """The cluster, while it may not answer for a moment: nothing is concluded from that."""
    try:
        return site.read.deployment()
    except CannotTell:
        return None
