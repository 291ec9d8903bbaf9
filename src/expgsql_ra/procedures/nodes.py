# SPDX-License-Identifier: GPL-2.0-or-later
"""Leaving a node, or everything, alone for a while; and forgetting failures that were repaired."""

from __future__ import annotations

from collections.abc import Sequence

from expgsql_ra.deployment import ClusterNode, Deployment, Failure, NodeFacts
from expgsql_ra.errors import BadArguments, DeadlineExceeded
from expgsql_ra.procedures import common, switchover
from expgsql_ra.rules import switching
from expgsql_ra.rules.switching import Already, Refusal
from expgsql_ra.site import Site
from expgsql_ra.values import Score

SETTLE_SECONDS = 5.0
"""After which a failure that comes back at once has come back."""


def known(seen: Deployment, name: str) -> ClusterNode:
    """A node by its name; `BadArguments` if there is none."""
    node = seen.node(name)
    if node is None:
        raise BadArguments(f"the cluster has no node {name} (its nodes: {', '.join(one.name for one in seen.nodes)})")
    return node


# --- standby ----------------------------------------------------------------------------------


def standby_on(site: Site, name: str, within: float) -> None:
    """Let a node run nothing; a primary hands over before."""
    seen = site.read.deployment()
    found = switching.leave(seen, site.read.facts(common.online(seen)), name)
    if isinstance(found, Refusal):
        raise common.refuse(found)
    common.lift_own_constraints(site, seen)
    if isinstance(found, Already):
        site.console.say(f"{found.node} is in standby already")
        return
    if found.warning:
        site.console.warn(found.warning)
        site.console.confirm(f"Put {name} into standby all the same?")
    node = known(seen, name).name
    if found.handover:
        site.console.say(f"{node} is the primary: {found.handover.target} takes over first")
        switchover.hand_over(site, found.handover, within)
    site.manager.standby(node, True)
    if not site.dry_run:
        _await_role(site, node, {"Stopped"}, f"{node} to run nothing", within)
        site.console.say(f"{node} is in standby; expgsql standby off {node} brings it back")


def standby_off(site: Site, name: str, within: float) -> None:
    """Let a node run resources again."""
    seen = site.read.deployment()
    objection = switching.view_objection(seen)
    if objection:
        raise common.refuse(objection)
    node = known(seen, name)
    common.lift_own_constraints(site, seen)
    site.manager.standby(node.name, False)
    if site.dry_run:
        return
    if not node.online:
        site.console.say(f"{node.name} is not online; it takes part again when it is")
        return
    _await_role(site, node.name, {"Promoted", "Unpromoted"}, f"the server on {node.name} to run", within)
    site.console.say(f"{node.name} takes part again")


def _await_role(site: Site, node: str, roles: set[str], what: str, within: float) -> None:
    def look() -> bool | None:
        seen = common.look(site)
        return True if seen and seen.role(node) in roles else None

    if not site.console.wait(what, look, within):
        raise DeadlineExceeded(f"not in time: {what}. Look with: expgsql why {node}")


# --- maintenance ------------------------------------------------------------------------------


def maintenance_on(site: Site, name: str) -> None:
    """Have Pacemaker leave the servers of a node alone, or all of them: nothing is stopped or started."""
    seen = site.read.deployment()
    node = known(seen, name).name if name else ""
    site.manager.maintenance(True, node)
    becomes = "would be" if site.dry_run else "is"
    site.console.say(f"{node or 'the cluster'} {becomes} in maintenance: nothing is watched, moved or restarted there")
    if seen.parameters.enable_distlock:
        site.console.say("nobody renews the lease meanwhile; the record stays as it is")
    back = " ".join(["expgsql maintenance off", node]).rstrip()
    site.console.say(f"{back} brings it back")


def maintenance_off(site: Site, name: str, within: float) -> None:
    """Manage them again; what was changed meanwhile, Pacemaker sees now and acts upon."""
    seen = _coordinated(site, within)
    node = known(seen, name).name if name else ""
    facts = site.read.facts(tuple(one.name for one in seen.nodes))
    primary = switching.serving(seen, facts)
    if primary and not site.dry_run:
        _prepare(site, primary, within)
    _tell_what_changed(site, [one for one in facts if node in {"", one.node}])
    site.manager.maintenance(False, node)
    if site.dry_run:
        return

    def managed() -> Deployment | None:
        now = common.look(site)
        return now if now and now.promoted else None

    found = site.console.wait("a primary", managed, within)
    if found is None:
        raise DeadlineExceeded(f"managed again, but there is no primary after {within:.0f} s: expgsql why")
    site.console.say(f"{node or 'the cluster'} is managed again; {found.promoted} is the primary")


def _coordinated(site: Site, within: float) -> Deployment:
    """The cluster, once somebody decides: just after a start nobody is online yet."""
    seen = site.read.deployment()
    if switching.coordinated(seen):
        return seen

    def decided() -> Deployment | None:
        now = common.look(site)
        return now if now and switching.coordinated(now) else None

    found = site.console.wait("a coordinator among the nodes", decided, within)
    if found is None:
        raise DeadlineExceeded("no node coordinates the cluster (DC); nothing was changed: call again")
    return found


def _prepare(site: Site, primary: str, within: float) -> None:
    """Where Pacemaker was restarted in maintenance it must know its primary, and the score, before it manages it."""
    again = "it is in maintenance as before: call again"

    def known_primary() -> Deployment | None:
        now = common.look(site)
        return now if now and switching.knows(now, primary) else None

    now = site.console.wait(f"Pacemaker to know that {primary} is the primary", known_primary, within)
    if now is None:
        raise DeadlineExceeded(f"Pacemaker does not know that {primary} is the primary; {again}")
    if not switching.unscored(now, primary):
        return
    site.console.say(f"{primary} gets back its promotion score, which was lost when Pacemaker was restarted")
    site.manager.set_attribute(primary, f"master-{now.resource}", Score.PRIMARY, False)

    def scored() -> bool | None:
        now = common.look(site)
        return True if now and not switching.unscored(now, primary) else None

    if not site.console.wait(f"the score of {primary}", scored, SETTLE_SECONDS):
        raise DeadlineExceeded(f"{primary} did not get its score back; {again}")


def _tell_what_changed(site: Site, facts: Sequence[NodeFacts]) -> None:
    """Once Pacemaker has had a moment: after a restart of its own it has yet to find the servers that run."""
    changed: list[str] = []

    def is_known() -> bool | None:
        changed[:] = _changed(site.read.deployment(), facts)
        return None if changed else True

    if not is_known() and not site.dry_run:
        site.console.wait("Pacemaker to find the servers", is_known, SETTLE_SECONDS)
    for one in changed:
        site.console.warn(f"{one}; Pacemaker takes that for a failure and brings back what it wants there")


def _changed(seen: Deployment, facts: Sequence[NodeFacts]) -> list[str]:
    expected = {"Promoted": "primary", "Unpromoted": "standby", "Stopped": "stopped"}
    before = [(one, expected.get(seen.role(one.node), one.server)) for one in facts]
    return [f"{one.node}: the server was {was} and is {one.server} now" for one, was in before if one.server != was]


# --- failures ---------------------------------------------------------------------------------


def cleanup(site: Site, name: str) -> None:
    """Forget the failures of our resource and of what is tied to it, and see whether they come back."""
    seen = site.read.deployment()
    node = known(seen, name).name if name else ""
    common.lift_own_constraints(site, seen)
    common.forget_failures(site, seen, seen.subject, node)
    if site.dry_run:
        return
    site.console.say(f"forgotten: {_told(_failures(seen, node))}")
    # Pacemaker forgets its counts first and the history after that: a failure between the two is counted only
    counted = _counted_since(site, node)
    if counted:
        site.console.say(f"counted meanwhile, and forgotten: {counted}")
        site.manager.cleanup(seen.subject, node)
        counted = _counted_since(site, node)
    if counted:
        raise DeadlineExceeded(f"Pacemaker counts failures again ({counted}) and keeps no record: see its log there")
    site.console.say("nothing has failed since")


def _counted_since(site: Site, node: str) -> str:
    """Wait a moment; `DeadlineExceeded` with what failed again, else what is counted of the database all the same."""

    def back() -> tuple[Failure, ...] | None:
        now = common.look(site)
        return (_failures(now, node) or None) if now else None

    again = site.console.wait("failures to come back", back, SETTLE_SECONDS)
    if again:
        raise DeadlineExceeded(f"failed again: {_told(again)}")
    counts = site.read.deployment().fail_counts
    return ", ".join(f"{count} on {name}" for name, count in counts if node in {"", name})


def _failures(seen: Deployment, node: str) -> tuple[Failure, ...]:
    ours = {seen.resource, *(one.name for one in seen.companions)}
    return tuple(one for one in seen.failures if one.resource in ours and node in {"", one.node})


def _told(failures: tuple[Failure, ...]) -> str:
    told = [f"{one.resource} {one.operation} on {one.node} ({one.reason or one.code})" for one in failures]
    return "; ".join(told) or "nothing had failed"
