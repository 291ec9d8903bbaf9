# SPDX-License-Identifier: GPL-2.0-or-later
"""Asks nodes for `NodeFacts`: this one directly, the others through their own ``expgsql local facts``."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from expgsql_ra.deployment import NodeFacts, Peer, facts_from_mapping, unreachable
from expgsql_ra.effects.durable import DirectoryFile
from expgsql_ra.effects.hosts import SSH_FAILED, LiveHosts, program
from expgsql_ra.effects.inspection import LiveInspection
from expgsql_ra.effects.installation import Installation
from expgsql_ra.effects.keeping import LiveKeeping
from expgsql_ra.effects.override_file import OverrideFile
from expgsql_ra.effects.process import Result, account
from expgsql_ra.errors import AgentError, CommandFailed
from expgsql_ra.events import NodeHistory, event_from_mapping
from expgsql_ra.override import is_over
from expgsql_ra.parameters import Parameters
from expgsql_ra.record import Kept
from expgsql_ra.snapshot import Primary, Server, Standby, Stopped, Unknown

Answer = TypeVar("Answer")
AFTERTHOUGHT = 5.0
"""Seconds for each question after the first, and for ssh to bring the answer."""

NO_CLUSTER = 101
"""The exit code of our command where Pacemaker does not answer (docs/status.md)."""
NO_ANSWER = "what it said is no answer of ours: is another version installed there?"


def facts_here(resource: str, parameters: Parameters, node: str, within: float) -> NodeFacts:
    """What this node's server is and has; problems become part of the answer."""
    at = Installation(parameters, node)
    look, override = LiveInspection(at), _override(resource, at)
    try:
        told = _told(look, node, look.server(within), within)._replace(kept=_kept(at))
    except AgentError as problem:
        told = unreachable(node, str(problem))
    return told._replace(override=override)


def facts_of(nodes: Sequence[str], resource: str, me: str, within: float) -> tuple[NodeFacts, ...]:
    """All nodes at the same time, in their order."""
    hosts = LiveHosts(me, within)
    words = [program(), "local", "facts", "--resource", resource, "--timeout", f"{within:.1f}"]

    def asked(node: str) -> NodeFacts:
        try:
            return _understood(node, hosts.run(node, words, within + AFTERTHOUGHT))
        except AgentError as problem:
            return unreachable(node, str(problem))

    return together(asked, nodes)


def histories_of(nodes: Sequence[str], resource: str, me: str, within: float) -> tuple[NodeHistory, ...]:
    """What all nodes have kept, asked at the same time, in their order."""
    hosts = LiveHosts(me, within)
    words = [program(), "local", "history", "--resource", resource]

    def asked(node: str) -> NodeHistory:
        try:
            return _history(node, hosts.run(node, words, within))
        except AgentError as problem:
            return NodeHistory(node, why=str(problem))

    return together(asked, nodes)


def together(ask: Callable[[str], Answer], nodes: Sequence[str]) -> tuple[Answer, ...]:
    """Ask all nodes at the same time; the answers in their order."""
    if not nodes:
        return ()
    with ThreadPoolExecutor(len(nodes)) as several:
        return tuple(several.map(ask, nodes))


def _problem(done: Result) -> str:
    """Why a node's answer is none; empty for one."""
    if done.code == SSH_FAILED:
        return f"ssh does not get there: {done.tail}"
    if done.code == NO_CLUSTER:
        return "the cluster does not run there"
    return (done.tail or f"exit code {done.code}") if done.code else ""


def _history(node: str, done: Result) -> NodeHistory:
    why = _problem(done)
    if why:
        return NodeHistory(node, why=why)
    try:
        return NodeHistory(node, tuple(event_from_mapping(one) for one in json.loads(done.out)))
    except (ValueError, KeyError, TypeError):
        return NodeHistory(node, why=NO_ANSWER)


def _understood(node: str, done: Result) -> NodeFacts:
    why = _problem(done)
    if why:
        return unreachable(node, why)
    try:
        return facts_from_mapping(json.loads(done.out))
    except (ValueError, KeyError, TypeError):
        return unreachable(node, NO_ANSWER)


def _kept(at: Installation) -> Kept | None:
    try:
        return DirectoryFile(at.parameters.pgdata, account(at.parameters.pgdba), at.node).known()
    except AgentError:
        return None


def _override(resource: str, at: Installation) -> str:
    """What is left of one: whatever this node has seen of a record since voids it."""
    try:
        given = OverrideFile(resource).load()
        return "" if given is None or is_over(given, LiveKeeping(resource, at).highest()) else given.standing
    except AgentError as problem:
        return str(problem)


def _told(look: LiveInspection, node: str, server: Server, within: float) -> NodeFacts:
    match server:
        case Primary():
            peers = tuple(Peer(one.name, one.state, one.sync_state, one.flushed) for one in server.senders)
            return NodeFacts(
                node,
                "primary",
                version=_version(server.version),
                system=look.system(within),
                timeline=server.timeline,
                lsn=server.flushed,
                names=server.names,
                peers=peers,
                forks=look.forks(server.timeline),
            )
        case Standby():
            control = look.control()
            timeline = server.receives or control.timeline
            return NodeFacts(
                node,
                "standby",
                version=_version(server.version),
                system=control.system,
                timeline=timeline,
                lsn=server.end,
                replayed=server.replayed,
                receiver=server.receiver or "",
                seconds_behind=look.seconds_behind(within),
                forks=look.forks(timeline),
            )
        case Stopped():
            return _at_rest(look, node)
        case Unknown(why):
            return unreachable(node, why)
        case _:
            return NodeFacts(node, type(server).__name__.lower(), getattr(server, "why", ""))


def _at_rest(look: LiveInspection, node: str) -> NodeFacts:
    try:
        control, wal = look.control(), look.stopped_wal()
    except CommandFailed as problem:
        # no server runs, that is proven; there is no database, or a broken one
        return NodeFacts(node, "stopped", str(problem), marks=tuple(mark.value for mark in look.marks()))
    reached = max(filter(None, (control.checkpoint, wal.reached)), default=None)
    return NodeFacts(
        node,
        "stopped",
        marks=tuple(mark.value for mark in look.marks()),
        system=control.system,
        timeline=control.timeline,
        lsn=reached,
        state=control.state,
        checkpoint=control.checkpoint,
        forks=wal.forks,
    )


def _version(number: int) -> str:
    """As PostgreSQL writes it: 170002 is 17.2 (``server_version_num``)."""
    return f"{number // 10000}.{number % 10000}"
