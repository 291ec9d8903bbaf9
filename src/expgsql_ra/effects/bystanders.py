# SPDX-License-Identifier: GPL-2.0-or-later
"""Servers on other nodes, as far as they can be seen from here: whether one of them takes writes."""

from __future__ import annotations

from psycopg.pq import PGconn, Ping

from expgsql_ra.effects import libpq
from expgsql_ra.effects.clock import MonotonicClock
from expgsql_ra.effects.network import NoAnswer, addresses
from expgsql_ra.parameters import Parameters
from expgsql_ra.world import Deadline

SHORTEST_CONNECT = 2
"""Less is not possible: libpq, "connect_timeout"."""
USABLE = "host='{}' port={} user='{}' dbname='{}'"


def why_not_writable(host: str, parameters: Parameters, within: float) -> str:
    """Why nobody could be found there who takes writes; empty if somebody was.

    A server that turns us away, or is a standby, is no such; what the reason is worth is for people to judge.
    """
    user = parameters.monitor_user or parameters.pgdba
    values = [_quoted(value) for value in (host, parameters.pgport, user, parameters.pgdb)]
    conninfo = USABLE.format(*values)
    if parameters.monitor_password:
        conninfo += f" password='{_quoted(parameters.monitor_password)}'"
    try:
        libpq.connect(conninfo, parameters.passfile, Deadline(MonotonicClock(), within)).close()
    except NoAnswer as problem:
        return str(problem)
    return ""


def answers(host: str, parameters: Parameters, within: float) -> bool:
    """Whether a server is there at all, whomever it lets in (PQping, which needs no right to connect)."""
    deadline = Deadline(MonotonicClock(), within)
    try:
        found = addresses(host, deadline)
    except NoAnswer:
        return False
    for address in found:
        seconds = max(SHORTEST_CONNECT, int(deadline.left()))
        conninfo = f"hostaddr={address} port={parameters.pgport} connect_timeout={seconds}"
        if PGconn.ping(conninfo.encode()) in {Ping.OK, Ping.REJECT}:
            return True
    return False


def _quoted(value: object) -> str:
    """As libpq reads a value between single quotes."""
    return str(value).replace("\\", "\\\\").replace("'", "\\'")
