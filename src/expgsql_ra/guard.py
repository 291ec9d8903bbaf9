# SPDX-License-Identifier: GPL-2.0-or-later
"""The guard of one server: a process that waits for its end, and reports one that nobody wanted.

Without it the death of a server is noticed by the next monitor, seconds later (docs/decisions/011-guard.md). Where
it cannot report, the monitor does.

With an arbiter it also holds the primary's deadline (R5): where nobody renews the lease any more, be it that Pacemaker
is dead or hangs on this node, it stops the server before another node may be promoted.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress

from expgsql_ra.effects import proc
from expgsql_ra.effects.clock import MonotonicClock
from expgsql_ra.effects.memory import FileMemory
from expgsql_ra.effects.process import check, run, run_together
from expgsql_ra.effects.watch import LEASED, claim
from expgsql_ra.errors import AgentError
from expgsql_ra.ocf import Context, Log, read_context
from expgsql_ra.rules import reporting
from expgsql_ra.world import MemoryStore

LOOK_SECONDS = 1.0
"""How often to look whether the server has become a primary with a lease."""
LADDER = ((signal.SIGINT, 0.8), (signal.SIGQUIT, 0.6), (signal.SIGKILL, 0.4))
MANAGED_SECONDS = 1.0
"""How long the cluster may take to say that the resource is in maintenance; together with the ladder
less than `succession.STOP_SECONDS`."""
MAINTENANCE_SECONDS = 5.0
QUESTION_SECONDS = 2.0
REPORT_SECONDS = 5.0
SETTLED_SECONDS = 3.0
"""Pacemaker has counted the report and ended the monitors by then (it takes a tenth of that)."""
SETTLED_POLL_SECONDS = 0.05


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Guard the server whose process descriptor is ``argv[2]``; ``argv[1]`` is the file that says who reports."""
    watched, server, pid = argv[1], int(argv[2]), argv[3]
    context = read_context("guard", environ)
    if LEASED in argv and _outlives_its_right(server, FileMemory(context.resource), context):
        _stop(server, pid, Log(context))
        _remember(context)
    _ends(server, None)
    reported = claim(watched)
    if reported is None:
        return 0  # an action wanted it, or the monitor was faster
    try:
        _report(context, Log(context), pid, reported)
    finally:
        with suppress(OSError):
            os.unlink(reported)
    return 0


def _outlives_its_right(server: int, memory: MemoryStore, context: Context) -> bool:
    """Wait for the end of the server, or of its right to be primary; whether that came first.

    In maintenance nobody renews the lease and nobody is promoted: then the server is left alone, as people expect.
    """
    clock = MonotonicClock()
    while True:
        stop_at = memory.load().stop_at
        left = stop_at - clock.now() if stop_at else LOOK_SECONDS
        if left <= 0 and not _in_maintenance(context):
            return True
        if _ends(server, left if left > 0 else MAINTENANCE_SECONDS):
            return False


def _in_maintenance(context: Context) -> bool:
    """Whether the cluster says that it does not manage the resource just now; one that says nothing has not said it."""
    question = reporting.unmanaged(context.resource, context.node or "")
    try:
        done = run(("cibadmin", "--query", "--local", "--xpath", question), timeout=MANAGED_SECONDS)
    except AgentError:
        return False
    return done.code == 0


def _stop(server: int, pid: str, log: Log) -> None:
    """End the server within `succession.STOP_SECONDS`, whatever it takes; nobody may commit here after that."""
    log.error(f"nobody has renewed the lease: the guard stops PostgreSQL (pid {pid}), another node may take over")
    folder = ""
    with suppress(OSError):
        folder = os.readlink(f"/proc/{pid}/cwd")
    for number, seconds in LADDER:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(server, number)
        if _ends(server, seconds):
            break
    for one in proc.processes_of(folder) if folder else ():
        proc.send(one, folder, signal.SIGKILL)


def _remember(context: Context) -> None:
    """For people; imported only now, since a guard sleeps for as long as its server runs."""
    from expgsql_ra.effects.journal import event_of, record_event  # noqa: PLC0415 - see above
    from expgsql_ra.events import Kind  # noqa: PLC0415 - see above

    node = context.node or os.uname().nodename
    record_event(context.resource, event_of(Kind.STOPPED, node, "nobody renewed its lease", 0, node))


def _ends(server: int, seconds: float | None) -> bool:
    """Wait for the end of the server, without waking up meanwhile; False when ``seconds`` (if any) are over first."""
    ending = select.poll()
    ending.register(server, select.POLLIN)
    return bool(ending.poll(None if seconds is None else seconds * 1000))


def _report(context: Context, log: Log, pid: str, reported: str) -> None:
    count = _FailCount(context)
    try:
        before, verdict = _asked(context, count)
        if isinstance(verdict, reporting.Leave):
            log.info(f"the guard saw PostgreSQL (pid {pid}) end and leaves it to the monitor: {verdict.why}")
            return
        log.error(f"the guard saw PostgreSQL (pid {pid}) end unexpectedly and reports it to Pacemaker")
        count.set(reporting.handicap(before, context.counts_twice))
        _tell(context)
        _settle(reported)
        count.set(reporting.correction(before, count.read()))
    except AgentError as problem:
        log.warning(f"the guard could not report the end of PostgreSQL (pid {pid}), the monitor will: {problem}")


def _asked(context: Context, count: _FailCount) -> tuple[int, reporting.Report | reporting.Leave]:
    """The fail-count, and whether to report."""
    question = reporting.obstacles(context.resource, context.node or "")
    commands = (count.query, ("cibadmin", "--query", "--local", "--xpath", question))
    counted, obstacles = run_together(commands, timeout=QUESTION_SECONDS)
    return count.understood(counted.code, counted.out) or 0, reporting.may_report(obstacles.code)


def _tell(context: Context) -> None:
    command = ("crm_resource", "--fail", "--resource", context.resource, "--node", context.node or "")
    check(run(command, timeout=REPORT_SECONDS), "crm_resource --fail")


def _settle(reported: str) -> None:
    """Wait until Pacemaker has counted the report: the recovery's start (which removes the file) comes after that.

    Later the count may be about the next server.
    """
    clock = MonotonicClock()
    end = clock.now() + SETTLED_SECONDS
    while os.path.exists(reported) and clock.now() < end:
        clock.pause(SETTLED_POLL_SECONDS)


class _FailCount:
    """Pacemaker's count of reports like ours."""

    def __init__(self, context: Context) -> None:
        self._at = ("--name", f"fail-count-{context.resource}#asyncmon_0", "--node", context.node or "")
        self.query = ("crm_attribute", *self._at, "--lifetime", "reboot", "--query", "--quiet")

    def read(self) -> int | None:
        done = run(self.query, timeout=QUESTION_SECONDS)
        return self.understood(done.code, done.out)

    @staticmethod
    def understood(code: int, out: str) -> int | None:
        """The number; None if there is none."""
        text = out.strip()
        return int(text) if not code and text.removeprefix("-").isdigit() else None

    def set(self, value: int | None) -> None:
        if value is not None:
            check(run(("attrd_updater", *self._at, f"--update={value}"), timeout=QUESTION_SECONDS), "attrd_updater")


if __name__ == "__main__":
    sys.exit(main(sys.argv, os.environ))
