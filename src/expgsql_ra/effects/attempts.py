# SPDX-License-Identifier: GPL-2.0-or-later
"""Trying the ways from this node: ssh to the others, replication from every server, the arbiter. All at the same time.

What is tried tells more than what is configured: names, routes, firewalls and pg_hba.conf are all in it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from expgsql_ra.effects.authority import authority_of
from expgsql_ra.effects.clock import MonotonicClock
from expgsql_ra.effects.hosts import LiveHosts
from expgsql_ra.effects.installation import Installation
from expgsql_ra.effects.network import NoAnswer
from expgsql_ra.effects.recovery import conninfo
from expgsql_ra.errors import AgentError
from expgsql_ra.record import Missing, Prepared, Unreachable
from expgsql_ra.values import RepMode
from expgsql_ra.world import Deadline

NAME = "expgsql doctor"


class Ways(NamedTuple):
    """What failed, by where it should have led; empty where it worked."""

    replication: Mapping[str, str]
    ssh: Mapping[str, str]
    arbiter: str
    remarks: tuple[str, ...]


def ways(at: Installation, others: Sequence[str], within: float) -> Ways:
    """Try all of them."""
    given = at.parameters
    hosts = [given.master_ip, *others] if given.rep_mode is not RepMode.NONE else []
    replication = {host: (lambda host=host: _replicates(at, host, within)) for host in filter(None, hosts)}
    ssh = {node: (lambda node=node: _logs_in(at.node, node, within)) for node in others}
    answers = together([*replication.values(), *ssh.values()])
    why, remarks = _arbiter(at, within) if given.enable_distlock and given.distlock_conninfo else ("", ())
    first = len(replication)
    return Ways(
        dict(zip(replication, answers[:first], strict=True)), dict(zip(ssh, answers[first:], strict=True)), why, remarks
    )


def together(tasks: Sequence[Callable[[], str]]) -> list[str]:
    """The answers in the order of the tasks."""
    if not tasks:
        return []
    with ThreadPoolExecutor(len(tasks)) as several:
        return list(several.map(lambda task: task(), tasks))


def _logs_in(me: str, node: str, within: float) -> str:
    try:
        done = LiveHosts(me).run(node, ["true"], within)
    except AgentError as problem:
        return str(problem)
    return f"{done.tail or 'no reason given'} ({done.code})" if done.code else ""


def _replicates(at: Installation, host: str, within: float) -> str:
    """A connection as a standby here would make it; the server checks address, password and right to replicate."""
    from expgsql_ra.effects import libpq  # noqa: PLC0415 - it imports the driver

    given = at.parameters
    place = (("host", host), ("port", str(given.pgport)), ("user", given.repuser), ("replication", "true"))
    text = conninfo((*place, ("target_session_attrs", "any")), given.primary_conninfo_opt)
    try:
        libpq.connect(text, given.passfile or _default_passfile(at), Deadline(MonotonicClock(), within), NAME).close()
    except NoAnswer as problem:
        return str(problem)
    return ""


def _default_passfile(at: Installation) -> str:
    """Where the server's own libpq looks, which does not run as root."""
    path = os.path.join(at.account.home, ".pgpass")
    return path if os.path.exists(path) else ""


def _arbiter(at: Installation, within: float) -> tuple[str, tuple[str, ...]]:
    """Why the record cannot be read by this node itself, and what the arbiter's settings leave to wish for."""
    from expgsql_ra.effects.arbiter import PostgresArbiter  # noqa: PLC0415 - only where there is one

    given = at.parameters
    try:
        asked = authority_of(given.distlock_conninfo, given.distlock_lockname, given.distlock_ttl, given.passfile)
    except AgentError as problem:
        return str(problem), ()
    answer = asked.read(within)
    if isinstance(answer, Unreachable | Missing):
        return answer.why, ()
    # etcd's prepare changes nothing; PostgreSQL's does
    remarks = asked.remarks(within) if isinstance(asked, PostgresArbiter) else asked.prepare(within)
    return "", remarks.remarks if isinstance(remarks, Prepared) else ()
