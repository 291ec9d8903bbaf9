# SPDX-License-Identifier: GPL-2.0-or-later
"""How a deployment is: one row a node, and everything that is not as it should be, each with its remedy.

Healthy means: one primary that acknowledges commits, every node there and streaming, the promise of the mode kept,
addresses where they belong, the record readable and of one mind with Pacemaker, no failure on record.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

from expgsql_ra.deployment import ClusterNode, Companion, Deployment, NodeFacts
from expgsql_ra.overview import Overview
from expgsql_ra.record import NOTHING_SEEN, Doubtful, Found, Missing, Record, trust
from expgsql_ra.rules import explanation, replication
from expgsql_ra.rules.promise import goes_by_record
from expgsql_ra.snapshot import Member
from expgsql_ra.values import Lsn, RepMode, Score, Status, same_node

REPORTED = "asyncmon"
"""How Pacemaker calls a failure that was reported to it: the guard does, when the server ends."""
REPLICATING = frozenset({RepMode.SYNC, RepMode.ASYNC})


class Level(StrEnum):
    """How bad it is."""

    CRITICAL = "critical"
    """Commits are impossible, or not safe."""
    WARNING = "warning"
    """It works, and the next fault may be one too many."""
    NOTE = "note"
    """Something to know; the deployment is healthy all the same."""


class Finding(NamedTuple):
    """One thing that is not as it should be."""

    level: Level
    what: str
    remedy: str
    node: str = ""


class Row(NamedTuple):
    """One node, in the words of the screen; None where nobody can tell."""

    node: str
    role: str
    state: str
    timeline: int | None
    lsn: Lsn | None
    lag: int | None
    """Bytes that the primary has flushed and this node has not."""
    seconds: float | None
    """The age of the last commit replayed there; 0 where everything received is replayed."""
    sync: str
    takes_over: bool
    """Whether Pacemaker may promote it."""
    failures: int


# --- rows -------------------------------------------------------------------------------------


def rows(overview: Overview) -> tuple[Row, ...]:
    """One for each node that replication is for, in their order."""
    return tuple(_row(overview, member) for member in overview.seen.view.members)


def _row(overview: Overview, member: Member) -> Row:
    facts, seen = overview.of(member.name), overview.seen
    is_primary = same_node(seen.promoted, member.name)
    counts = [int(count) for node, count in seen.fail_counts if same_node(node, member.name) and count.isdigit()]
    return Row(
        node=member.name,
        role=_role(facts, member),
        state=_state(overview, member, facts),
        timeline=facts.timeline or _told_timeline(overview, member),
        lsn=facts.lsn or member.wal,
        lag=None if is_primary else _lag(overview, member.name),
        seconds=None if is_primary else facts.seconds_behind,
        sync=_sync(overview, member),
        takes_over=_takes_over(overview, member),
        failures=sum(counts),
    )


def _takes_over(overview: Overview, member: Member) -> bool:
    able = member.online and member.score in {Score.CAN, Score.WON, Score.PRIMARY}
    return able and explanation.unreadable(overview) is None


def _role(facts: NodeFacts, member: Member) -> str:
    if facts.answers:
        return facts.server
    if facts.server in {"stopped", "orphans"}:
        return "-"
    if not member.online or member.status in {None, Status.UNKNOWN}:
        return "unknown" if facts.server == "unknown" else "-"
    if member.status == Status.PRIMARY:
        return "primary"
    return "-" if member.status == Status.STOPPED else "standby"


def _state(overview: Overview, member: Member, facts: NodeFacts) -> str:
    node = overview.seen.node(member.name)
    if facts.server not in {"primary", "standby", "unknown"}:
        return facts.server
    if node is None or not node.online:
        return "joining" if node and node.pending else "offline"
    if facts.server == "primary" or (facts.server == "unknown" and member.status == Status.PRIMARY):
        return "holds commits" if facts.names == replication.CLOSED else "running"
    if facts.server == "unknown" and member.status == Status.STOPPED:
        return "stopped"
    if explanation.arrives(overview, member.name):
        return "streaming"
    return _connection(overview, member.name) or "not streaming"


def _connection(overview: Overview, node: str) -> str:
    """What the primary's walsender says of a standby that does not stream."""
    peers = overview.primary.peers if overview.primary else ()
    return next((one.state for one in peers if same_node(one.name, node)), "")


def _told_timeline(overview: Overview, member: Member) -> int | None:
    history = overview.seen.view.history
    if history and same_node(overview.seen.promoted, member.name):
        return history.current
    return member.timeline or (member.follows.timeline if member.follows else None)


def _lag(overview: Overview, node: str) -> int | None:
    primary, facts = overview.primary, overview.of(node)
    if primary is None or primary.lsn is None:
        return None
    flushed = [one.flushed for one in primary.peers if same_node(one.name, node) and one.flushed is not None]
    known = flushed[0] if flushed else facts.lsn if facts.timeline == primary.timeline else None
    return None if known is None else max(0, primary.lsn - known)


def _sync(overview: Overview, member: Member) -> str:
    if same_node(overview.seen.promoted, member.name):
        return "-"
    if overview.primary:
        return next((one.sync_state for one in overview.primary.peers if same_node(one.name, member.name)), "-")
    streams, _, sync_state = (member.data_status or "").partition("|")
    return sync_state.lower() if streams == "STREAMING" else "-"


# --- findings ---------------------------------------------------------------------------------


def findings(overview: Overview) -> tuple[Finding, ...]:
    """Everything that is not as it should be, the worst first."""
    found = (
        *_of_quorum(overview.seen),
        *_of_primary(overview),
        *_of_management(overview.seen),
        *(finding for node in overview.seen.nodes for finding in _of_node(overview, node)),
        *_of_promise(overview),
        *_of_record(overview),
        *(finding for one in overview.seen.companions for finding in _of_companion(overview.seen, one)),
        *_of_failures(overview.seen),
    )
    order = list(Level)
    return tuple(sorted(found, key=lambda finding: order.index(finding.level)))


def is_healthy(found: tuple[Finding, ...]) -> bool:
    """Whether nothing is found but notes."""
    return all(one.level is Level.NOTE for one in found)


def replicates(seen: Deployment) -> bool:
    """Whether there is a primary among the servers of this resource."""
    return seen.parameters.rep_mode in REPLICATING


def _of_quorum(seen: Deployment) -> Iterator[Finding]:
    if not seen.view.may_decide:
        what = "this partition has no quorum: it decides nothing, and what it knows of the other nodes may be old"
        yield Finding(Level.CRITICAL, what, "look from the other nodes; bring them or the network back")


def _of_primary(overview: Overview) -> Iterator[Finding]:
    seen = overview.seen
    if not replicates(seen):
        if not seen.roles:
            yield Finding(Level.CRITICAL, f"{seen.resource} runs nowhere", "expgsql start")
        return
    open_ones = [one.node for one in overview.facts if one.server == "primary" and one.names != replication.CLOSED]
    strays = [node for node in open_ones if not same_node(node, seen.promoted)]
    for node in strays:
        what = f"the server on {node} accepts writes and is not the primary that Pacemaker knows"
        yield Finding(Level.CRITICAL, what, f"expgsql standby on {node}", node)
    if not seen.promoted:
        yield Finding(Level.CRITICAL, "there is no primary: nobody can write", "expgsql why")
        return
    facts = overview.of(seen.promoted)
    trouble = "" if facts.server == "unknown" else explanation.server_trouble(facts)
    if facts.server == "standby":
        trouble = "its server is a standby"
    if trouble:
        what = f"{seen.promoted} is promoted, but {trouble}"
        yield Finding(Level.CRITICAL, what, f"expgsql why {seen.promoted}", seen.promoted)
    if facts.names == replication.CLOSED:
        what = f"the primary {seen.promoted} holds every commit back until it knows that it may acknowledge them"
        yield Finding(Level.CRITICAL, what, f"expgsql why {seen.promoted}", seen.promoted)


def _of_management(seen: Deployment) -> Iterator[Finding]:
    if seen.disabled:
        yield Finding(Level.CRITICAL, "the resource is disabled: somebody has stopped it", "expgsql start")
    for one in seen.constraints:
        if one.identity.startswith("cli-"):
            what = f"the constraint {one.identity} binds the resource: a move left it behind"
            yield Finding(Level.WARNING, what, f"crm_resource --clear --resource {seen.subject}", one.node)
    if not seen.managed or seen.setting("maintenance-mode") in {"true", "on", "yes", "y", "1"}:
        what = "maintenance: Pacemaker restarts and promotes nothing"
        yield Finding(Level.WARNING, what, "expgsql maintenance off")


def _of_node(overview: Overview, node: ClusterNode) -> Iterator[Finding]:
    facts = overview.of(node.name)
    if node.unclean:
        what = f"{node.name} is lost, and nobody knows whether it has stopped"
        yield Finding(Level.WARNING, what, "make sure that it is off, or bring it back", node.name)
    if overview.seen.view.member(node.name) is None:
        return
    if node.maintenance and node.online:
        what = f"{node.name} is in maintenance: Pacemaker leaves it alone"
        yield Finding(Level.WARNING, what, f"expgsql maintenance off {node.name}", node.name)
    if facts.server == "unknown" and node.online:
        what = f"{node.name} could not be asked ({facts.why}); what is shown of it is what the cluster knows"
        yield Finding(Level.NOTE, what, f"try: ssh {node.name} true", node.name)
    if replicates(overview.seen) and not same_node(overview.seen.promoted, node.name):
        yield from _of_standby(overview, node.name)


def _of_standby(overview: Overview, node: str) -> Iterator[Finding]:
    if explanation.arrives(overview, node):
        return
    hindered = explanation.hindrance(overview, node)
    if hindered and not overview.seen.disabled:
        yield Finding(Level.WARNING, f"{node}: {hindered.reason}", hindered.change, node)
    elif overview.seen.promoted:
        answer = explanation.does_stream(overview, node)
        yield Finding(Level.WARNING, f"{node} does not stream: {answer.reason}", answer.change, node)


def _of_promise(overview: Overview) -> Iterator[Finding]:
    seen = overview.seen
    weakened = replication.promise_kept(seen.view._replace(me=seen.promoted), explanation.settings(seen))
    if weakened and seen.promoted:
        yield Finding(Level.WARNING, weakened, "expgsql why", seen.promoted)


def _of_record(overview: Overview) -> Iterator[Finding]:
    seen = overview.seen
    if not replicates(seen) or not goes_by_record(seen.parameters):
        return
    unknown = explanation.unreadable(overview)
    if unknown:
        yield Finding(Level.WARNING, unknown.reason, unknown.change)
    match overview.reading:
        case Missing(why):
            yield Finding(Level.WARNING, f"there is no record: {why}", "expgsql arbiter init --help")
        case Found(record):
            yield from _of_found(overview, record)
        case _:
            # nobody answers
            yield from _of_overrides(overview)


def _of_overrides(overview: Overview) -> Iterator[Finding]:
    """Of no account where the arbiter answers. Where it does not, nothing is more urgent."""
    for one in overview.facts:
        if one.override and overview.seen.parameters.enable_distlock:
            change = 'begin the record of a new arbiter: docs/arbiter.md, "When it is gone for good"'
            yield Finding(Level.CRITICAL, one.override, change, one.node)


def _of_found(overview: Overview, record: Record) -> Iterator[Finding]:
    seen = overview.seen
    if seen.promoted and not same_node(record.primary, seen.promoted):
        what = f"the record names {record.primary} as the primary, and Pacemaker has promoted {seen.promoted}"
        yield Finding(Level.CRITICAL, what, f"expgsql why {seen.promoted}", seen.promoted)
    systems = {one.system for one in overview.facts if one.system}
    for system in systems:
        verdict = trust(record, NOTHING_SEEN, system)
        if isinstance(verdict, Doubtful):
            yield Finding(Level.CRITICAL, verdict.why, "expgsql arbiter show has the record")
    has_lease = seen.parameters.enable_distlock and seen.parameters.distlock_conninfo
    if has_lease and seen.promoted and not record.lease.holder:
        what = "nobody holds the lease: the primary does not renew it, and a successor may take over"
        yield Finding(Level.WARNING, what, f"expgsql why {seen.promoted}; the agent's log there", seen.promoted)


def _of_companion(seen: Deployment, one: Companion) -> Iterator[Finding]:
    called = f"the address {one.name} ({one.address})" if one.address else one.name
    if not one.nodes and one.role == "primary" and not seen.promoted:
        return  # it waits for a primary
    if not one.nodes:
        yield Finding(Level.WARNING, f"{called} runs nowhere", f"crm_resource --why --resource {one.name}")
    elif one.role == "primary" and seen.promoted and not any(same_node(seen.promoted, node) for node in one.nodes):
        what = f"{called} is on {', '.join(one.nodes)}, and the primary is {seen.promoted}"
        yield Finding(Level.CRITICAL, what, f"crm_resource --why --resource {one.name}")


def _of_failures(seen: Deployment) -> Iterator[Finding]:
    for one in seen.failures:
        if one.resource == seen.resource and seen.role(one.node) == "Stopped" and replicates(seen):
            continue  # it is said of the node that it does not run, and why
        reason = one.reason or f"exit code {one.code}"
        what = f"{one.resource}: {one.operation} failed on {one.node} ({one.time}): {reason}"
        if one.operation == REPORTED:
            what = (
                f"{one.resource}: the server on {one.node} ended unexpectedly ({one.time}); PostgreSQL's log says why"
            )
        yield Finding(Level.WARNING, what, f"mend it if it lasts; then: expgsql cleanup {one.node}", one.node)
    named = {one.node for one in seen.failures}
    for node, count in seen.fail_counts:
        if node not in named:
            what = f"{node} has failed before (fail count {count}); Pacemaker may keep away from it"
            yield Finding(Level.WARNING, what, f"expgsql cleanup {node}", node)
