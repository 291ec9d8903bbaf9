# SPDX-License-Identifier: GPL-2.0-or-later
"""What the chosen authority of the record is worth, for the administrator to know beforehand (docs/safety.md)."""

from __future__ import annotations

from collections.abc import Iterator

from expgsql_ra.parameters import Parameters
from expgsql_ra.record import SUSPENDED, WEAKER
from expgsql_ra.rules import succession
from expgsql_ra.values import RepMode

TWO = 2
RENEWAL_SECONDS = 3.0
"""The bound on one question to the authority."""
LEASE_RESERVE = RENEWAL_SECONDS + succession.STOP_SECONDS
"""What a lease has to last beyond the monitor interval of the promoted role, in seconds."""


def lease_doubt(given: Parameters, interval: float) -> str | None:
    """Why a primary without its lease could not stop in time (R5), monitored every ``interval`` seconds; or None."""
    if not given.enable_distlock:
        return None
    return succession.lease_too_short(given.distlock_ttl, interval, RENEWAL_SECONDS, succession.STOP_SECONDS)


def goes_by_record(given: Parameters) -> bool:
    """Whether promotions go by a record: always where commits wait for standbys."""
    return given.rep_mode is RepMode.SYNC or given.enable_distlock


def doubts(given: Parameters, nodes: int, ignores_quorum: bool) -> Iterator[str]:
    """Where commits may be lost after all; ``nodes`` is their number, 0 where it is not known."""
    if given.rep_mode is not RepMode.SYNC or (given.enable_distlock and given.distlock_conninfo):
        return
    if given.enable_distlock:
        yield "distlock_lock_cmd knows no successors: use distlock_conninfo where you can"
    if nodes == TWO:
        yield (
            "two nodes and no arbiter that keeps the record: neither can tell a dead node from a cut network, and "
            "after a failover commits may be missing; set enable_distlock and distlock_conninfo"
        )
    else:
        yield WEAKER
    if ignores_quorum:
        yield SUSPENDED
