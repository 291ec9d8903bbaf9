# SPDX-License-Identifier: GPL-2.0-or-later
"""Gathers `NodeCheckup` on this node, and from all nodes at the same time (``expgsql local checkup``).

Nothing here changes anything. What does not answer within its time is a fact like any other.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence

from expgsql_ra import __version__
from expgsql_ra.checkup import Disk, NodeCheckup, from_mapping
from expgsql_ra.deployment import Deployment
from expgsql_ra.effects import attempts, preflight, starters
from expgsql_ra.effects.hosts import SSH_FAILED, LiveHosts, program
from expgsql_ra.effects.inquiry import NO_ANSWER, facts_here, together
from expgsql_ra.effects.installation import Installation
from expgsql_ra.effects.process import Result, run
from expgsql_ra.errors import AgentError
from expgsql_ra.values import same_node

AFTERTHOUGHT = 10.0
"""Seconds for a node to begin, and for ssh to bring its answer."""
SHORT = 5.0
# Of synchronous_commit our own session has its own; what others get is in the files.
SETTINGS = """
select json_build_object(
 'settings', (select json_object_agg(name, setting) from pg_settings where name in (
  'fsync', 'full_page_writes', 'wal_level', 'wal_log_hints', 'data_checksums', 'hot_standby',
  'listen_addresses', 'max_wal_senders', 'max_replication_slots', 'max_slot_wal_keep_size', 'max_connections',
  'max_worker_processes', 'max_prepared_transactions', 'max_locks_per_transaction')),
 'commit', coalesce((select setting from pg_file_settings where name = 'synchronous_commit' and applied
  order by seqno desc limit 1), 'on'),
 'pending', (select json_agg(name order by name) from pg_settings where pending_restart))
"""
CMAP = {
    "runtime.config.totem.token": "token",
    "runtime.config.totem.consensus": "consensus",
    "runtime.config.totem.token_coefficient": "token_coefficient",
    "quorum.two_node": "two_node",
    "quorum.device.model": "device",
}
OWN_STATE = "/var/lib/expgsql"
PACEMAKER_STATE = "/var/lib/pacemaker"


def checkups_of(nodes: Sequence[str], resource: str, me: str, within: float) -> tuple[NodeCheckup, ...]:
    """All nodes at the same time, in their order."""
    hosts = LiveHosts(me)
    words = [program(), "local", "checkup", "--resource", resource, "--timeout", f"{within:.1f}"]

    def asked(node: str) -> NodeCheckup:
        try:
            return _understood(node, hosts.run(node, words, within + AFTERTHOUGHT))
        except AgentError as problem:
            return NodeCheckup(node, str(problem))

    return together(asked, nodes)


def _understood(node: str, done: Result) -> NodeCheckup:
    """The clock is compared with the moment at which its answer was here: it is the last thing that it says."""
    now = time.time()
    if done.code == SSH_FAILED:
        return NodeCheckup(node, f"ssh does not get there: {done.tail}")
    if done.code:
        return NodeCheckup(node, done.tail)
    try:
        found = from_mapping(json.loads(done.out))
    except (ValueError, KeyError, TypeError):
        return NodeCheckup(node, NO_ANSWER)
    return found._replace(node=node, offset=found.clock - now)


def checkup_here(seen: Deployment, within: float) -> NodeCheckup:
    """What this node says of itself."""
    at = Installation(seen.parameters, seen.me)
    # Files first: looking at them as the server's user changes the user of the whole process.
    problems, passfile = preflight.problems(at), preflight.problem_of(preflight.check_passfile, at)
    facts = facts_here(seen.resource, seen.parameters, seen.me, within)
    settings, pending = _settings(at, within) if facts.answers else ({}, ())
    others = [one.name for one in seen.nodes if not same_node(one.name, seen.me)]
    ways = attempts.ways(at, others, within)
    units, started = starters.units(), tuple(starters.starters())
    return NodeCheckup(
        node=seen.me,
        server=facts.server,
        marks=facts.marks,
        versions=_versions(at),
        settings=settings,
        pending=pending,
        totem=_totem(),
        problems=problems,
        passfile=passfile,
        replication=ways.replication,
        ssh=ways.ssh,
        arbiter=ways.arbiter,
        remarks=ways.remarks,
        units=units,
        starters=started,
        disks=tuple(_disks(at)),
        clock=time.time(),
    )


def _settings(at: Installation, within: float) -> tuple[Mapping[str, str], tuple[str, ...]]:
    try:
        answer = at.ask(SETTINGS, within)
    except AgentError:
        return {}, ()
    settings = {**answer["settings"], "synchronous_commit": answer["commit"]}
    return settings, tuple(answer["pending"] or ())


def _versions(at: Installation) -> Mapping[str, str]:
    """The second word of ``Pacemaker 2.1.5``, and so on."""
    return {
        "expgsql": __version__,
        "pacemaker": _word(["pacemakerd", "--version"], 1),
        "corosync": _word(["corosync", "-v"], 4).strip("'"),
        "postgresql": _word([at.tool("postgres"), "-V"], 2, at.environ),
    }


def _word(argv: Sequence[str], place: int, environ: Mapping[str, str] | None = None) -> str:
    words = (_said(argv, environ).splitlines() or [""])[0].split()
    return words[place] if len(words) > place else ""


def _said(argv: Sequence[str], environ: Mapping[str, str] | None = None) -> str:
    """What a program prints; nothing where it cannot be run or complains."""
    try:
        done = run(argv, timeout=SHORT, environ=environ)
    except AgentError:
        return ""
    return "" if done.code else done.out


def _totem() -> Mapping[str, str]:
    """From lines such as ``runtime.config.totem.token (u32) = 1000`` (corosync-cmapctl(8))."""
    found = {}
    for line in _said(["corosync-cmapctl"]).splitlines():
        key, _, value = line.partition(" = ")
        name = CMAP.get(key.partition(" ")[0])
        if name:
            found[name] = value.strip()
    return found


def _disks(at: Installation) -> Iterator[Disk]:
    """Each file system once."""
    seen = set()
    for path in (at.folder, at.within("pg_wal"), at.parameters.tmpdir, OWN_STATE, PACEMAKER_STATE):
        found = _disk(path)
        if found is not None and found[1] not in seen:
            seen.add(found[1])
            yield found[0]


def _disk(path: str) -> tuple[Disk, int] | None:
    """What is free there, and which file system it is; None where there is nothing."""
    try:
        space, device = os.statvfs(path), os.stat(path).st_dev
    except OSError:
        return None
    return Disk(path, space.f_bavail * space.f_frsize, space.f_blocks * space.f_frsize), device
