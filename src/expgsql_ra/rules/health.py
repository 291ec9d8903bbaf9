# SPDX-License-Identifier: GPL-2.0-or-later
"""What monitor reports: the server's state as one OCF code and the reason for it.

"Cannot tell" is never reported as "stopped" (R8): that would let a second primary start. A server that
stalls for one probe keeps its role; only a second stall in a row is a failure.
"""

from __future__ import annotations

from typing import NamedTuple, assert_never

from expgsql_ra.ocf import Code
from expgsql_ra.snapshot import (
    Orphans,
    Primary,
    Refusing,
    Server,
    Stalled,
    Standby,
    Starting,
    Stopped,
    Unknown,
)

PATIENCE = 1
"""Probes in a row that may stall before the server counts as failed."""

WEAK_PATIENCE = 2
"""Monitors in a row that may find a promise weakened before it is reported: after each failover the standbys
take a moment to come back, and a warning that is always there is read by nobody."""


def is_failure(code: int) -> bool:
    """Whether Pacemaker counts this answer of a recurring monitor as a failure and recovers the server."""
    return code not in {Code.SUCCESS, Code.RUNNING_PROMOTED, Code.DEGRADED, Code.DEGRADED_PROMOTED}


def has_hung(stalls: int) -> bool:
    """Whether so many probes in a row without an answer make a failure."""
    return stalls > PATIENCE


MAY_BAN = frozenset({"start", "validate-all"})
"""Actions before which no server runs."""


def failure_code(action: str, code: int) -> int:
    """The code of an action that could not be done for a reason which says ``code``.

    Pacemaker bans a node for 2, 4 and 5 until somebody cleans up. That is right where a server cannot be started; a
    full disk beside a running one must not take its node away for good (OCF, "Return codes", hard errors).
    """
    hard = {Code.ERR_ARGS, Code.ERR_PERM, Code.ERR_INSTALLED}
    return Code.ERR_GENERIC if code in hard and action not in MAY_BAN else code


class Report(NamedTuple):
    """What to tell Pacemaker."""

    code: int
    reason: str | None = None


def weakened(server: Primary | Standby, why: str, times: int) -> Report:
    """The report of a server that serves while a promise is weakened, found ``times`` times in a row."""
    standby = isinstance(server, Standby)
    if times <= WEAK_PATIENCE:
        return Report(_serving(standby))
    return Report(_degraded(standby), why)


def reported(signalled_standby: bool) -> Report:
    """What monitor says of a failure that the guard has reported: no second failure, and not that all is well."""
    return Report(_degraded(signalled_standby), "PostgreSQL ended; its guard has reported that to Pacemaker")


def report(server: Server, stalls: int, signalled_standby: bool) -> Report:  # noqa: PLR0911, C901 - one case a state
    """The code for a server; ``stalls`` counts the probes in a row that got no answer, this one included.

    ``signalled_standby``: whether the data directory says that it belongs to a standby.
    """
    match server:
        case Primary():
            return Report(Code.RUNNING_PROMOTED)
        case Standby():
            return Report(Code.SUCCESS)
        case Stopped():
            return Report(Code.NOT_RUNNING)
        case Refusing(standby=standby, why=why):
            return Report(_degraded(standby), f"PostgreSQL answers, but not to the agent: {why}")
        case Stalled(standby=standby, why=why):
            return silent(standby, why, stalls)
        case Starting():
            return silent(signalled_standby, "PostgreSQL starts, recovers or shuts down", stalls)
        case Orphans(pids=pids):
            return Report(
                _failed(signalled_standby),
                f"the postmaster died, {len(pids)} of its processes still run (pid {pids[0]})",
            )
        case Unknown(why=why):
            return Report(Code.ERR_GENERIC, f"cannot tell whether PostgreSQL runs: {why}")
    assert_never(server)


WITHOUT_ROLE = {
    Code.RUNNING_PROMOTED: Code.SUCCESS,
    Code.DEGRADED_PROMOTED: Code.DEGRADED,
    Code.FAILED_PROMOTED: Code.ERR_GENERIC,
}
"""Pacemaker takes a resource that is no promotable clone and says it is promoted for a failed one."""


def without_role(found: Report) -> Report:
    """The report on a server of a mode that knows no promotion, though its directory is not a standby's."""
    return found._replace(code=WITHOUT_ROLE.get(found.code, found.code))


def silent(standby: bool, why: str, stalls: int) -> Report:
    """The report of a server that gave no answer, or not the one an administrator's check wants, ``stalls`` times."""
    if not has_hung(stalls):
        return Report(_serving(standby), f"{why}; probe {stalls} in a row, not a failure yet")
    return Report(_failed(standby), f"{why}; {stalls} probes in a row")


def _serving(standby: bool) -> int:
    return Code.SUCCESS if standby else Code.RUNNING_PROMOTED


def _degraded(standby: bool) -> int:
    return Code.DEGRADED if standby else Code.DEGRADED_PROMOTED


def _failed(standby: bool) -> int:
    return Code.ERR_GENERIC if standby else Code.FAILED_PROMOTED
