# SPDX-License-Identifier: GPL-2.0-or-later
"""Taking a node into a running cluster, and taking one out of it.

A changed parameter makes Pacemaker restart a resource. So `node_list` is changed in maintenance mode, and the history
of the operations, which has the old parameters, is renewed by probes before the mode ends (Pacemaker Explained,
"Reloading an agent after a definition change" tells how it compares them): no server stops for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from expgsql_ra.deployment import ClusterNode, Deployment
from expgsql_ra.errors import CommandFailed, DeadlineExceeded, Refused
from expgsql_ra.rules import switching
from expgsql_ra.site import Site
from expgsql_ra.values import same_node, without

SHORT = 30.0
JOIN_SECONDS = 120.0
PROBE_SECONDS = 60.0
STOP_SECONDS = 180.0
FORGET_SECONDS = 60.0
TRANSIENT = ("status", "xlog-loc", "timeline", "master-baseline", "receiver-status", "follows")
NO_PARTNER = 2
BY_HAND = (
    "{0} is no member of this cluster, and pcs cannot make it one here ({1}). With pcs: pcs host auth {0}, then this "
    "again. Without it: add {0} to the nodelist of corosync.conf on every node, corosync-cfgtool -R, and start "
    "Pacemaker on {0}"
)


JOIN_HINT = (
    "look there at corosync's log. Where crm_node --list on another node still has the name of one that was removed, "
    "Pacemaker takes the new one for that: on the new node pcs cluster stop, on another crm_node --force --remove with "
    "the old name, then call this again"
)


class Members(NamedTuple):
    """How the cluster's membership is changed from here."""

    has_pcs: bool
    address: str = ""
    """Of a new node, where its name does not resolve to it."""
    keep: bool = False
    """A node that is taken out stays a member of the cluster, without a database."""


def add_node(site: Site, node: str, members: Members) -> None:
    """A new standby, whose data directory is there already (``expgsql setup standby``)."""
    seen = _begin(site)
    changed = False
    if seen.node(node) is None:
        _join(site, node, members)
        changed = True
    changed |= _set_nodes(site, seen, _with(seen.parameters.node_list, node))
    changed |= _lift_ban(site, seen, node)
    if not changed:
        site.console.say(f"{node} is one of the nodes already: nothing to do")
        return
    if not site.dry_run:
        _wait_for_standby(site, node)
    site.console.say(f"add {node} to [cluster] nodes of your expgsql.toml, too: the next apply goes by it")


def remove_node(site: Site, node: str, members: Members) -> None:
    """For good: its server is stopped, and nothing of it is left in the cluster."""
    seen = _begin(site)
    if same_node(seen.promoted, node):
        raise Refused(f"{node} is the primary: call expgsql switchover first")
    if same_node(seen.me, node) and not members.keep:
        raise Refused(f"call this on another node: {node} cannot remove itself")
    if seen.node(node) is None and not any(same_node(one, node) for one in seen.parameters.node_list):
        site.console.say(f"{node} is no member of this cluster: nothing to do")
        return
    staying = without(seen.parameters.node_list, node)
    _refuse_bad_nodes(seen, node, staying)
    rest = without(seen.view.nodes, node)
    if len(rest) < NO_PARTNER:
        site.console.warn("the primary then has no standby: commits are on one node only")
    site.console.confirm(f"Take {node} out of the cluster? Its server is stopped; its data stays where it is.")
    _stop_there(site, seen, node, members)
    _set_nodes(site, seen, staying)
    _drop_slot(site, seen, node)
    member = seen.node(node)
    if member is not None:
        _forget(site, seen, node)
        if not members.keep:
            _leave(site, member, members)
    site.console.say(f"remove {node} from [cluster] nodes of your expgsql.toml, too: the next apply goes by it")


def _begin(site: Site) -> Deployment:
    """The cluster, in which a call that was interrupted in the middle has been finished."""
    seen = site.read.deployment()
    if not seen.promoted:
        raise Refused("the cluster has no primary just now: look with expgsql status, repair that first")
    wanted = seen.setting(_mark(seen))
    if wanted:
        site.console.say(f"an earlier call was interrupted: finishing it, node_list={wanted}")
        _change_nodes(site, seen, wanted)
        return site.read.deployment()
    if switching.in_maintenance(seen):
        raise Refused("the cluster is in maintenance mode: end that first (expgsql maintenance off)")
    return seen


def _mark(seen: Deployment) -> str:
    """The property that says which `node_list` is being set: as long as it is there, maintenance mode is ours."""
    return f"{seen.resource}_CHANGING"


def _with(nodes: Sequence[str], node: str) -> tuple[str, ...]:
    """An empty list means all nodes of the cluster, and stays so."""
    known = any(same_node(one, node) for one in nodes)
    return tuple(nodes) if known or not nodes else (*nodes, node)


def _refuse_bad_nodes(seen: Deployment, node: str, staying: tuple[str, ...]) -> None:
    """Parameters that the agent refuses would stop every command of ours, in the middle of the change."""
    conflict = next(seen.parameters.replace(node_list=staying).conflicts(), None)
    if conflict is not None:
        raise Refused(
            f"without {node} the parameters would be wrong ({conflict.text}); nothing was changed. Take another node "
            f"in first (expgsql setup add-node), or let the machine that replaces {node} have its name "
            '(docs/setup.md, "Replace a machine")'
        )


def _join(site: Site, node: str, members: Members) -> None:
    if not members.has_pcs:
        raise Refused(BY_HAND.format(node, "pcs is not installed"))
    address = [f"addr={members.address}"] if members.address else []
    try:
        _do(site, ["pcs", "cluster", "node", "add", node, *address, "--start", "--enable"], JOIN_SECONDS)
    except CommandFailed as problem:
        raise Refused(BY_HAND.format(node, problem)) from None
    if site.dry_run:
        return
    what = f"{node} to join the cluster"
    if site.console.wait(what, lambda: _is_online(site, node), JOIN_SECONDS) is None:
        raise DeadlineExceeded(f"{node} has not joined within {JOIN_SECONDS:.0f} s: {JOIN_HINT}")


def _is_online(site: Site, node: str) -> bool | None:
    found = site.read.deployment().node(node)
    return True if found is not None and found.online else None


def _leave(site: Site, member: ClusterNode, members: Members) -> None:
    node = member.name
    # pcs(8): a node that cannot be reached keeps its own corosync.conf
    words = ["pcs", "cluster", "node", "remove", node, "--force", *([] if member.online else ["--skip-offline"])]
    try:
        if not members.has_pcs:
            raise CommandFailed("pcs is not installed")
        _do(site, words, JOIN_SECONDS)
    except CommandFailed as problem:
        site.console.warn(
            f"{node} is still a member of the cluster ({problem}). By hand: stop Pacemaker and Corosync on it, take it "
            f"out of the nodelist of corosync.conf on every other node, corosync-cfgtool -R, and crm_node --force "
            f"--remove {node} until crm_node --list does not show it any more"
        )
        return
    if not site.dry_run:
        _await_oblivion(site, node)


def _await_oblivion(site: Site, node: str) -> None:
    """Until no controller knows the node any more: pcs hands the next new node its number in Corosync.

    Pacemaker before 2.1.7 can lose the request to forget it without anybody noticing, and then takes the new node for
    the old one (ChangeLog of 2.1.7, "wait for reply from crm_node -R"); so it is looked for and asked again.
    """
    others = without((one.name for one in site.read.deployment().nodes if one.online), node)

    def look() -> bool | None:
        remembering = [one for one in others if _remembers(site, one, node)]
        for one in remembering:
            site.hosts.run(one, ["crm_node", "--force", "--remove", node], SHORT)
        return None if remembering else True

    if site.console.wait(f"Pacemaker to forget {node}", look, FORGET_SECONDS) is None:
        site.console.warn(
            f"Pacemaker still knows {node} (crm_node --list): a new node may be taken for it. Before one is added, "
            f"call crm_node --force --remove {node} again"
        )


def _remembers(site: Site, on: str, node: str) -> bool:
    """Whether the controller there has the node in its list (crm_node(8): number, name and state on each line)."""
    listed = site.hosts.run(on, ["crm_node", "--list"], SHORT)
    names = [line.split()[1] for line in listed.out.splitlines() if len(line.split()) > 1]
    return listed.code != 0 or any(same_node(one, node) for one in names)


def _do(site: Site, words: Sequence[str], within: float = SHORT) -> None:
    """Run a program of the cluster here, or say that it would be."""
    site.console.say(f"{'would run' if site.dry_run else 'running'}: {' '.join(words)}")
    if site.dry_run:
        return
    done = site.hosts.run(site.read.deployment().me, words, within)
    if done.code:
        raise CommandFailed(f"{words[0]} failed ({done.code}): {done.tail}")


def _set_nodes(site: Site, seen: Deployment, nodes: tuple[str, ...]) -> bool:
    """Change `node_list` without a restart; whether it had to be changed."""
    if nodes == seen.parameters.node_list or not nodes:
        return False
    value = " ".join(nodes)
    site.console.say(f"node_list: {' '.join(seen.parameters.node_list)} -> {value}, in maintenance mode for a moment")
    _change_nodes(site, site.read.deployment(), value)
    return True


def _change_nodes(site: Site, seen: Deployment, value: str) -> None:
    """What is interrupted here leaves the mark and the mode, and the next call goes on: without the probes, the end
    of maintenance would restart the servers."""
    site.manager.set_property(_mark(seen), value)
    site.manager.maintenance(True)
    change = ["crm_resource", "--resource", seen.resource, "--set-parameter", "node_list", "--parameter-value", value]
    try:
        _do(site, change)
    except CommandFailed:
        site.manager.maintenance(False)
        site.manager.set_property(_mark(seen), "")
        raise
    site.manager.refresh(seen.subject)
    if not site.dry_run:
        _wait_for_probes(site, seen)
    site.manager.maintenance(False)
    site.manager.set_property(_mark(seen), "")


def _wait_for_probes(site: Site, before: Deployment) -> None:
    """Until Pacemaker has looked at every server again."""

    def look() -> bool | None:
        now = site.read.deployment()
        same = all(now.role(node) == role for node, role in before.roles)
        return True if same and now.promoted == before.promoted else None

    if site.console.wait("Pacemaker to look at the servers again", look, PROBE_SECONDS) is None:
        raise DeadlineExceeded(
            "Pacemaker has not seen all servers again, and the cluster is still in maintenance mode: look with expgsql "
            "status, then call this again"
        )


def _ban(seen: Deployment, node: str, action: str) -> list[str]:
    return ["crm_resource", f"--{action}", "--resource", seen.subject, "--node", node]


def _lift_ban(site: Site, seen: Deployment, node: str) -> bool:
    """Of a node that was taken out and stayed a member."""
    if seen.node(node) is None or seen.role(node) != "Stopped":
        return False
    _do(site, _ban(seen, node, "clear"))
    return True


def _stop_there(site: Site, seen: Deployment, node: str, members: Members) -> None:
    """With a constraint, which the node's removal takes along."""
    if seen.node(node) is None:
        return
    if seen.role(node) != "Stopped" or members.keep:
        _do(site, _ban(seen, node, "ban"))
    if site.dry_run:
        return

    def look() -> bool | None:
        return True if site.read.deployment().role(node) == "Stopped" else None

    if site.console.wait(f"the server on {node} to stop", look, STOP_SECONDS) is None:
        raise DeadlineExceeded(f"the server on {node} has not stopped within {STOP_SECONDS:.0f} s: look at it there")


def _wait_for_standby(site: Site, node: str) -> None:
    def look() -> bool | None:
        return True if site.read.deployment().role(node) == "Unpromoted" else None

    if site.console.wait(f"{node} to run as a standby", look, JOIN_SECONDS) is None:
        raise DeadlineExceeded(
            f"{node} does not run as a standby after {JOIN_SECONDS:.0f} s: look with expgsql status; its data comes by "
            "expgsql setup standby FILE, called there"
        )


def _drop_slot(site: Site, seen: Deployment, node: str) -> None:
    """The primary would keep WAL for it for ever."""
    slot = seen.parameters.slot_of(node)
    if not slot:
        return
    site.console.say(f"{'would drop' if site.dry_run else 'dropping'} replication slot {slot} on {seen.promoted}")
    if site.dry_run:
        return
    given = seen.parameters
    words = ["runuser", "-u", given.pgdba, "--", given.psql, "-X", "-q", "-w", "-v", "ON_ERROR_STOP=1"]
    words += ["-p", str(given.pgport), "-d", "postgres", *(["-h", given.socketdir] if given.socketdir else [])]
    # A slot's name consists of lower case letters, digits and underscores: nothing in it needs quoting.
    statement = f"select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = '{slot}'"  # noqa: S608
    done = site.hosts.run(seen.promoted, words, SHORT, stdin=statement)
    if done.code:
        site.console.warn(f"slot {slot} is still there ({done.tail}): drop it, or it keeps WAL for ever")


def _forget(site: Site, seen: Deployment, node: str) -> None:
    """What the agent has left about a node."""
    for name in TRANSIENT:
        site.manager.set_attribute(node, f"{seen.resource}-{name}", "", False)
    site.manager.set_attribute(node, f"{seen.resource}-data-status", "", True)
