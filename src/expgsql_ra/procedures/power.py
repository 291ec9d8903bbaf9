# SPDX-License-Identifier: GPL-2.0-or-later
"""Starting and stopping the whole cluster, on all nodes from one.

Stopping first has Pacemaker stop the resource everywhere in one plan, in which nobody is promoted, and remember that
it is to stay so; only then the cluster software goes. So it does not matter which node is slower, no node counts a
failure, and starting again brings back the same primary on the same timeline.
"""

from __future__ import annotations

from collections.abc import Sequence

from expgsql_ra.deployment import Deployment
from expgsql_ra.errors import CommandFailed, DeadlineExceeded
from expgsql_ra.procedures import common
from expgsql_ra.rules import switching
from expgsql_ra.site import Site
from expgsql_ra.values import same_node

UNITS = ("corosync", "pacemaker")
"""In the order in which they start."""
SOFTWARE_SECONDS = 300.0


def start(site: Site, nodes: Sequence[str], within: float) -> None:
    """Start the cluster software on all nodes, and the resource if it was stopped; wait for a primary.

    ``nodes``: those of Corosync's configuration, for Pacemaker need not run yet.
    """
    started = _start_software(site, nodes)
    if not started:
        return
    seen = site.console.wait("the nodes to be one cluster", lambda: _joined(site, started), within) or common.look(site)
    if seen is None or not seen.view.may_decide or not switching.coordinated(seen):
        raise DeadlineExceeded(
            f"no quorum after {within:.0f} s: look at the nodes that did not start, then start again"
        )
    common.lift_own_constraints(site, seen)
    if seen.disabled:
        site.console.say(f"letting {seen.subject} run again")
        site.manager.enable(seen.subject, True)
    if switching.in_maintenance(seen):
        site.console.warn("the cluster is in maintenance and leaves the servers as they are: expgsql maintenance off")
        return
    _await_service(site, within)


def _start_software(site: Site, nodes: Sequence[str]) -> list[str]:
    """The nodes that were started. One that does not start does not keep the others from it."""
    site.console.say(f"starting Corosync and Pacemaker on {', '.join(nodes)}")
    if site.dry_run:
        site.console.say(f"would run on each: systemctl start {' '.join(UNITS)}")
        site.console.say("would let the resource run again if it was stopped, and wait for a primary")
        return []
    answers = site.hosts.everywhere(nodes, ("systemctl", "start", *UNITS), SOFTWARE_SECONDS)
    failed = [(node, why) for node, why in zip(nodes, answers, strict=True) if why]
    for node, why in failed:
        site.console.warn(f"{node} was not started: {why}")
    if len(failed) == len(nodes):
        raise CommandFailed("no node could be started")
    return [node for node in nodes if node not in dict(failed)]


def _joined(site: Site, started: Sequence[str]) -> Deployment | None:
    """The cluster, when all of them take part: where quorum is ignored, one node alone would start without others."""
    seen = common.look(site)
    if seen is None or not seen.view.may_decide or not switching.coordinated(seen):
        return None
    members = [node.name for node in seen.nodes if node.online]
    return seen if all(any(same_node(one, member) for member in members) for one in started) else None


def _await_service(site: Site, within: float) -> None:
    def look() -> Deployment | None:
        seen = common.look(site)
        return seen if seen and seen.promoted and not _missing(seen) else None

    seen = site.console.wait("a primary, and its standbys", look, within)
    if seen is None:
        seen = site.read.deployment()
        if not seen.promoted:
            raise DeadlineExceeded(f"the cluster runs, but has no primary after {within:.0f} s: expgsql why")
        raise DeadlineExceeded(
            f"{seen.promoted} is the primary; not running on: {', '.join(_missing(seen))}. Look with: expgsql why"
        )
    standbys = [node for node, role in seen.roles if role == "Unpromoted"]
    site.console.say(f"{seen.promoted} is the primary; standbys: {', '.join(standbys) or 'none'}")


def _missing(seen: Deployment) -> list[str]:
    """Nodes that should run an instance and do not."""
    wanted = [member.name for member in seen.view.members]
    able = [node.name for node in seen.nodes if node.online and not node.standby and node.name in wanted]
    return [name for name in able if seen.role(name) in {"Stopped", "Started"}]


def stop(site: Site, nodes: Sequence[str], within: float) -> None:
    """Stop the resource everywhere, then the cluster software on all nodes.

    In maintenance the servers go on, which is what it is for.
    """
    seen = common.look(site)
    if seen is None:
        site.console.warn("Pacemaker does not answer on this node: what is left elsewhere is stopped without order")
    elif switching.in_maintenance(seen):
        site.console.warn(
            "the cluster is in maintenance: its servers go on while the cluster software is stopped. Nobody watches "
            "them then; with an arbiter a primary that has a successor is stopped when its lease is over"
        )
    else:
        common.lift_own_constraints(site, seen)
        _stop_resource(site, seen, within)
    for unit in reversed(UNITS):
        _stop_unit(site, nodes, unit)
    site.console.say("the cluster is stopped; expgsql start brings it back")


def _stop_resource(site: Site, seen: Deployment, within: float) -> None:
    site.console.say(f"stopping {seen.subject} everywhere")
    site.manager.enable(seen.subject, False)
    if site.dry_run:
        return

    def stopped() -> bool | None:
        now = common.look(site)
        return True if now and now.disabled and not now.roles else None

    if not site.console.wait("all servers to be stopped", stopped, within):
        running = ", ".join(node for node, _ in site.read.deployment().roles) or "unknown"
        raise DeadlineExceeded(
            f"servers are still running on {running}; Pacemaker goes on stopping them. Call again to go on, or "
            "take it back with expgsql start"
        )


def _stop_unit(site: Site, nodes: Sequence[str], unit: str) -> None:
    if site.dry_run:
        site.console.say(f"would run on {', '.join(nodes)}: systemctl stop {unit}")
        return
    site.console.say(f"stopping {unit} on {', '.join(nodes)}")
    answers = site.hosts.everywhere(nodes, ("systemctl", "stop", unit), SOFTWARE_SECONDS)
    failed = "; ".join(f"{node}: {why}" for node, why in zip(nodes, answers, strict=True) if why)
    if failed:
        raise CommandFailed(f"{unit} was not stopped everywhere ({failed}): call again on a node that is left")
