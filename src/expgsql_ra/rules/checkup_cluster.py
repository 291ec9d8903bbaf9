# SPDX-License-Identifier: GPL-2.0-or-later
"""Checks of the cluster's configuration: Pacemaker's side of the promise (docs/safety.md).

Sources: Pacemaker Explained, "Cluster Options", "Resource Meta-Attributes", "Clone Options", "Resource Operations".
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

from expgsql_ra.checkup import ConfiguredOperation, Facts
from expgsql_ra.parameter_kinds import Problem, conninfo_keywords
from expgsql_ra.parameters import Parameters
from expgsql_ra.parameters import warnings as deprecated
from expgsql_ra.record import WEAKER
from expgsql_ra.rules import promise
from expgsql_ra.rules.findings import Severity, Trouble, error, warning
from expgsql_ra.values import RepMode, same_node

TWO = 2
SHORTEST = {"start": 60.0, "stop": 60.0, "promote": 60.0, "demote": 60.0, "notify": 20.0, "monitor": 15.0}
"""Seconds below which an action ends by Pacemaker's axe rather than by its own report."""
PACEMAKERS_TIMEOUT = 20.0
"""What Pacemaker takes for an operation that is not configured."""
CLONE_META = (
    (("promotable",), "true", "true"),
    (("promoted-max", "master-max"), "1", "1"),
    (("promoted-node-max", "master-node-max"), "1", "1"),
    (("clone-node-max",), "1", "1"),
)
"""Names old and new, Pacemaker's default, and what the agent needs."""
PLACES = {"monitor_password": "~{}/.pgpass on every node"}
"""Where a password belongs that no parameter names a file for."""
REPLACED = {
    "primary_conninfo_opt": "passfile=FILE primary_conninfo_opt=...",
    "distlock_conninfo": "passfile=FILE distlock_conninfo=...",
    "distlock_lock_cmd": "distlock_lock_cmd='PGPASSFILE=FILE ...'",
    "distlock_unlock_cmd": "distlock_unlock_cmd='PGPASSFILE=FILE ...'",
}
TRUE = frozenset({"true", "yes", "1", "on", "y"})


def quorum(facts: Facts) -> Iterator[Trouble]:
    """Whether a survivor goes on, and only one that may."""
    seen = facts.deployment
    policy = seen.setting("no-quorum-policy", "stop")
    if not seen.view.quorate:
        yield error("this part of the cluster has no quorum: nothing is promoted here", "expgsql status")
    if len(seen.nodes) == TWO and policy not in {"ignore", "freeze"} and not _two_nodes(facts):
        yield error(
            f"no-quorum-policy={policy} without two_node: the one of two nodes that survives stops its server",
            "crm_attribute --name no-quorum-policy --update ignore   # with an arbiter; or two_node: 1 of corosync",
        )
    if len(seen.nodes) > TWO and policy == "ignore":
        yield warning(
            "no-quorum-policy=ignore: three or more nodes have a quorum to go by, so use it",
            "crm_attribute --name no-quorum-policy --update stop",
        )


def _two_nodes(facts: Facts) -> bool:
    """Whether Corosync itself lets one of two go on: two_node, or a quorum device.

    A node that says nothing of it does not speak against it.
    """
    return all(one.totem.get("two_node") == "1" or "device" in one.totem for one in facts.asked if one.totem)


def _has_record_outside(given: Parameters) -> bool:
    return given.enable_distlock and bool(given.distlock_conninfo)


def authority(facts: Facts) -> Iterator[Trouble]:
    """What validate-all doubts; what three nodes by themselves promise is no trouble, but said in docs/safety.md."""
    seen = facts.deployment
    nodes = len(seen.nodes)
    for text in promise.doubts(seen.parameters, nodes, seen.view.ignores_quorum):
        if text != WEAKER:
            severity = Severity.ERROR if nodes == TWO else Severity.WARNING
            yield Trouble(severity, text, "expgsql arbiter init --help   # then set enable_distlock, distlock_conninfo")


def fencing(facts: Facts) -> Iterator[Trouble]:
    """Fencing that is on and has no device stops everything; off it is a choice, which an arbiter makes a good one."""
    seen = facts.deployment
    enabled = _true(seen.setting("stonith-enabled", "true"))
    has_device = bool(facts.configuration.fences) or seen.setting("stonith-watchdog-timeout", "0") not in {"0", "0s"}
    if enabled and not has_device:
        yield error(
            "stonith-enabled=true and no fence device: Pacemaker starts nothing",
            "pcs stonith create ...   # or, without fence devices: crm_attribute --name stonith-enabled --update false",
        )
    if not enabled and has_device:
        yield warning(
            f"there are fence devices ({', '.join(facts.configuration.fences) or 'the watchdog'}), but "
            "stonith-enabled=false: they are not used",
            "crm_attribute --name stonith-enabled --update true",
        )
    if not enabled and seen.parameters.rep_mode is RepMode.ASYNC and not _has_record_outside(seen.parameters):
        yield warning(
            "asynchronous, without fencing and without an arbiter: a node that hangs may accept writes beside the new "
            "primary for a while",
            "pcs stonith create ...   # or an arbiter: expgsql arbiter init --help",
        )


def lease(facts: Facts) -> Iterator[Trouble]:
    """The arithmetic of validate-all, with the interval that is really configured (R5)."""
    given = facts.deployment.parameters
    found = _promoted_monitor(facts.configuration.operations)
    why = promise.lease_doubt(given, found.interval or 0.0) if found else None
    if why:
        needed = int((found.interval or 0.0) + promise.LEASE_RESERVE) + 4 if found else 0
        yield error(why, _set_parameter(facts, "distlock_ttl", str(needed)))


def operations(facts: Facts) -> Iterator[Trouble]:
    """Pacemaker tells recurring operations apart by their intervals alone; one of two with the same is not run."""
    resource, configured = facts.deployment.resource, facts.configuration.operations
    promoted = _promoted_monitor(configured)
    other = next((one for one in configured if _recurs(one) and one.role in {"", "Unpromoted", "Started"}), None)
    for found, role, interval in ((promoted, "Promoted", "3s"), (other, "Unpromoted", "4s")):
        if found is None:
            yield error(
                f"no monitor for the role {role}: a server that dies there is not noticed",
                f"pcs resource op add {resource} monitor interval={interval} role={role} timeout=60s",
            )
    if promoted and other and promoted.interval == other.interval:
        yield error(
            f"both monitors have the interval {promoted.interval:g} s: Pacemaker runs one of them only",
            f"pcs resource update {resource} op monitor interval={(promoted.interval or 0) + 1:g}s timeout=60s",
        )
    yield from _short_timeouts(resource, configured)


def _short_timeouts(resource: str, configured: tuple[ConfiguredOperation, ...]) -> Iterator[Trouble]:
    for name, shortest in SHORTEST.items():
        given = [one.timeout for one in configured if one.name == name]
        least = min((PACEMAKERS_TIMEOUT if one is None else one for one in given), default=PACEMAKERS_TIMEOUT)
        if least < shortest:
            where = "" if given else " (it is not configured)"
            yield warning(
                f"{name} has {least:g} s{where}: give it {shortest:g} s or more, or a slow server counts as failed",
                f"pcs resource update {resource} op {name} {_interval_of(name, configured)}timeout={shortest:g}s",
            )


def _interval_of(name: str, configured: tuple[ConfiguredOperation, ...]) -> str:
    """What tells pcs which of several operations is meant."""
    found = next((one for one in configured if one.name == name and _recurs(one)), None)
    if found is None:
        return ""
    return f"interval={found.interval:g}s " + (f"role={found.role} " if found.role else "")


def _promoted_monitor(configured: tuple[ConfiguredOperation, ...]) -> ConfiguredOperation | None:
    return next((one for one in configured if _recurs(one) and one.role == "Promoted"), None)


def _recurs(one: ConfiguredOperation) -> bool:
    return one.name == "monitor" and bool(one.interval)


def clone(facts: Facts) -> Iterator[Trouble]:
    """Without notifications a standby does not learn of a new primary until its next monitor."""
    seen, meta = facts.deployment, facts.configuration.meta
    if seen.parameters.rep_mode is RepMode.NONE:
        return
    if not seen.clone:
        yield error(
            f"{seen.resource} is no promotable clone: it runs on one node",
            f"pcs resource promotable {seen.resource} notify=true",
        )
        return
    if not _true(meta.get("notify", "false")):
        yield error(
            "notify is not true: the agent is not told of promotions and stops", _set_meta(facts, "notify=true")
        )
    for names, default, needed in CLONE_META:
        value = next((meta[name] for name in names if name in meta), default)
        if value != needed and not (needed == "true" and _true(value)):
            yield error(f"{names[0]}={value}: the agent needs {needed}", _set_meta(facts, f"{names[0]}={needed}"))
    most = meta.get("clone-max", "")
    if most.isdigit() and int(most) < len(seen.nodes):
        yield warning(f"clone-max={most}: not every node gets a server", _set_meta(facts, "clone-max="))


def failure_policy(facts: Facts) -> Iterator[Trouble]:
    """How often a server may fail before its node is left (migration-threshold), and how long that is remembered."""
    meta = facts.configuration.meta
    threshold = meta.get("migration-threshold", "INFINITY")
    if threshold == "1":
        yield warning(
            "migration-threshold=1: after one failure a node may not run the server again before a cleanup",
            _set_meta(facts, "migration-threshold=3"),
        )
    if threshold not in {"INFINITY", "0"} and meta.get("failure-timeout", "0") in {"0", "0s"}:
        yield warning(
            f"migration-threshold={threshold} without failure-timeout: failures add up over months, until a node "
            "is banned",
            _set_meta(facts, "failure-timeout=3600"),
        )


def bans(facts: Facts) -> Iterator[Trouble]:
    """A forgotten move decides the next failover."""
    for identity, resource in facts.configuration.bans:
        yield warning(
            f"the constraint {identity} of a ban or move is still there: it decides where {resource} may run",
            f"crm_resource --clear --resource {resource}",
        )


def managed(facts: Facts) -> Iterator[Trouble]:
    """Maintenance that nobody ended: nothing fails over."""
    seen = facts.deployment
    if _true(seen.setting("maintenance-mode", "false")):
        yield warning("the whole cluster is in maintenance: nothing fails over", "expgsql maintenance off")
    elif not seen.managed:
        yield warning(
            f"{seen.subject} is unmanaged: nothing fails over",
            f"crm_resource --resource {seen.subject} --meta --delete-parameter is-managed",
        )
    if seen.disabled:
        yield warning(f"{seen.subject} is disabled: its servers stay stopped", "expgsql start")
    for one in seen.nodes:
        if one.maintenance and not _true(seen.setting("maintenance-mode", "false")):
            yield warning("in maintenance: its server is not watched", f"expgsql maintenance off {one.name}", one.name)
        if one.standby:
            yield warning("in standby: it runs no server", f"expgsql standby off {one.name}", one.name)


def node_list(facts: Facts) -> Iterator[Trouble]:
    """A name that is not a node's is waited for in elections; a node without a name gets no server of ours."""
    seen = facts.deployment
    listed, nodes = seen.parameters.node_list, [one.name for one in seen.nodes]
    for name in listed:
        if not any(same_node(name, one) for one in nodes):
            yield warning(
                f"node_list names {name}, which is no node of the cluster",
                _set_parameter(facts, "node_list", " ".join(nodes)),
            )
    for name in nodes:
        if listed and not any(same_node(name, one) for one in listed):
            yield warning(
                "not in node_list: it replicates nothing and is never promoted",
                _set_parameter(facts, "node_list", " ".join((*listed, name))),
                name,
            )


def address(facts: Facts) -> Iterator[Trouble]:
    """master_ip has to follow the promoted instance, or the standbys stay behind at the old primary."""
    seen = facts.deployment
    wanted = seen.parameters.master_ip
    if not wanted or seen.parameters.rep_mode is RepMode.SLAVE:
        return
    found = next((one for one in seen.companions if one.address == wanted), None)
    if found is None:
        yield error(
            f"no address resource that follows {seen.subject} has master_ip={wanted}: standbys find no primary",
            f"pcs resource create vip-primary ocf:heartbeat:IPaddr2 ip={wanted} && "
            f"pcs constraint colocation add vip-primary with Promoted {seen.subject} INFINITY",
        )
    elif found.role != "primary":
        yield error(
            f"{found.name} ({wanted}) does not follow the promoted instance",
            f"pcs constraint colocation add {found.name} with Promoted {seen.subject} INFINITY",
        )


def passwords(facts: Facts) -> Iterator[Trouble]:
    """Whoever may read the cluster's configuration reads them, and pcs shows them."""
    given, resource = facts.deployment.parameters, facts.deployment.resource
    for name in _with_password(given):
        place = PLACES.get(name, "a passfile of mode 0600 on every node").format(given.pgdba)
        instead = REPLACED.get(name, f"{name}=")
        yield warning(
            f"{name} has a password: everybody in the group haclient can read it",
            f"put it into {place}; then pcs resource update {resource} {instead}",
        )


def _with_password(given: Parameters) -> Iterator[str]:
    if given.monitor_password:
        yield "monitor_password"
    for name in ("primary_conninfo_opt", "distlock_conninfo"):
        if shows_password(getattr(given, name)):
            yield name
    for name in ("distlock_lock_cmd", "distlock_unlock_cmd"):
        if "password" in getattr(given, name).lower():
            yield name


def shows_password(conninfo: str) -> bool:
    """Whether a connection string, of either form, has a password."""
    if "://" in conninfo:
        try:
            parts = urlsplit(conninfo)
        except ValueError:
            return False
        return bool(parts.password) or "password" in parse_qs(parts.query)
    try:
        return "password" in conninfo_keywords(conninfo)
    except Problem:
        return False


def parameters(facts: Facts) -> Iterator[Trouble]:
    """What validate-all warns of, but passwords, which have a check of their own."""
    for text in deprecated(facts.deployment.parameters):
        if "password" not in text:
            name = text.partition(" ")[0]
            yield warning(text, f"pcs resource update {facts.deployment.resource} {name}=")


def _true(text: str) -> bool:
    return text.strip().lower() in TRUE


def _set_meta(facts: Facts, pair: str) -> str:
    return f"pcs resource meta {facts.deployment.subject} {pair}"


def _set_parameter(facts: Facts, name: str, value: str) -> str:
    words = f"crm_resource --resource {facts.deployment.resource} --set-parameter {name} --parameter-value"
    return f"{words} '{value}'" if " " in value else f"{words} {value}"
