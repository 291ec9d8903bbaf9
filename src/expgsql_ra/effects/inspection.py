# SPDX-License-Identifier: GPL-2.0-or-later
"""Looking at the PostgreSQL server of this node. Nothing here changes anything.

Process table, socket and SQL have to agree before a server counts as running or stopped; whatever is left
over is "cannot tell". Sources: PostgreSQL documentation, "pg_isready", "pg_controldata", "Timelines".
"""

from __future__ import annotations

from expgsql_ra.effects import files, marks, proc, role_files, sql
from expgsql_ra.effects.installation import Installation
from expgsql_ra.effects.process import check, run
from expgsql_ra.effects.recovery import names_in
from expgsql_ra.errors import CannotTell, CommandFailed, DeadlineExceeded, NotInstalled
from expgsql_ra.repairs import Mark
from expgsql_ra.snapshot import (
    ControlData,
    LocalWal,
    Orphans,
    Refusing,
    Server,
    Stalled,
    Starting,
    Stopped,
    Unknown,
)
from expgsql_ra.values import Fork, Lsn, parse_history_file

PROBE_SECONDS = 5.0
PING_SECONDS = 3.0
SHORT_COMMAND = 10.0
# What the pid file says of a server that takes no connections (PostgreSQL source, pidfile.h).
NOT_YET = frozenset({"starting", "stopping", "standby"})
LAST_WORDS = 200
ISREADY_SERVES = 0
ISREADY_REJECTS = 1
ISREADY_SILENT = 2


class LiveInspection:
    """The real server."""

    def __init__(self, installation: Installation) -> None:
        self._at = installation

    def server(self, within: float) -> Server:
        """What runs here, asked over a new connection within ``within`` seconds."""
        try:
            found = proc.postmaster(self._at.parameters.pgdata)
            if isinstance(found, proc.Gone):
                return _without_postmaster(found)
            return self._probe(found, min(PROBE_SECONDS, within))
        except (CannotTell, NotInstalled) as problem:
            return Unknown(str(problem))

    def _probe(self, alive: proc.Alive, within: float) -> Server:
        if alive.status in NOT_YET:
            return Starting(alive.pid)
        try:
            answer = sql.ask(self._at.monitor_target(alive), sql.FACTS, within)
        except CommandFailed as problem:
            return Refusing(alive.pid, self.signalled_standby(), str(problem))
        if isinstance(answer, sql.TookTooLong):
            return Stalled(alive.pid, self.signalled_standby(), answer.why)
        if isinstance(answer, sql.NoSession):
            return self._without_session(alive, answer.why)
        return sql.facts(answer, alive.pid)

    def _without_session(self, alive: proc.Alive, why: str) -> Server:
        """Tell a server that turns everybody away from one that turns only us away, and from one that died."""
        ping = self._ping(alive)
        if ping == ISREADY_SERVES:
            return Refusing(alive.pid, self.signalled_standby(), why)
        if ping == ISREADY_REJECTS:
            return Starting(alive.pid)
        found = proc.postmaster(self._at.parameters.pgdata)
        if isinstance(found, proc.Gone):
            return _without_postmaster(found)
        if found.status in NOT_YET:
            return Starting(alive.pid)
        return Stalled(alive.pid, self.signalled_standby(), f"the server process does not answer: {why}")

    def _ping(self, alive: proc.Alive) -> int:
        target = self._at.monitor_target(alive)
        argv = [self._at.tool("pg_isready"), "-q", "-p", target.port, "-t", str(int(PING_SECONDS))]
        argv += ["-h", target.host] if target.host else []
        try:
            return run(argv, timeout=PING_SECONDS + 1, user=self._at.account, environ=self._at.environ).code
        except DeadlineExceeded:
            return ISREADY_SILENT

    def signalled_standby(self) -> bool:
        """Whether the data directory says that it is a standby's; asked without the server."""
        return self._at.signalled_standby()

    def marks(self) -> tuple[Mark, ...]:
        """What forbids a start of this data, the worst first."""
        return marks.marks(self._at.parameters.pgdata)

    def is_gone(self) -> bool:
        """Whether it is proven that no process of this data directory is left; `CannotTell` if it cannot be."""
        return proc.postmaster(self._at.parameters.pgdata) == proc.Gone(())

    def names_at_rest(self) -> str | None:
        """``synchronous_standby_names`` as a start would find them; None where our settings are not there."""
        return names_in(files.read(self._at.include) or "")

    def version(self) -> str:
        """What ``postgres --version`` prints."""
        done = run([self._at.tool("postgres"), "--version"], timeout=SHORT_COMMAND, environ=self._at.environ)
        return check(done, "postgres --version").out

    def is_connected(self) -> bool:
        """Whether the settings name a primary to follow."""
        paths = (self._at.include, self._at.within(role_files.RECOVERY_CONF))
        return any(role_files.names_primary(files.read(path) or "") for path in paths)

    def control(self) -> ControlData:
        """The control file, as ``pg_controldata`` prints it in the C locale."""
        argv = [self._at.tool("pg_controldata"), "-D", self._at.parameters.pgdata]
        done = run(argv, timeout=SHORT_COMMAND, user=self._at.account, environ=self._at.environ)
        return read_control_data(check(done, "pg_controldata").out)

    def stopped_wal(self) -> LocalWal:
        """The history in the data directory of a server that does not run."""
        control = self.control()
        return LocalWal(
            system=control.system,
            timeline=control.timeline,
            forks=self.forks(control.timeline),
            last_record=control.checkpoint if control.clean_primary else None,
            end=None,
            reached=control.recovered if control.recovered_timeline == control.timeline else None,
        )

    def standby_wal(self, end: Lsn | None, within: float) -> LocalWal:
        """The history of a running standby that holds WAL up to ``end``.

        CHECKPOINT makes the control file tell the timeline replayed last (PostgreSQL source,
        ``CreateRestartPoint``); the second one does so where the first had a restart point to make.
        """
        for _ in range(2):
            self._at.ask("CHECKPOINT", within)
        control = self.control()
        return LocalWal(control.system, control.timeline, self.forks(control.timeline), None, end)

    def system(self, within: float) -> str:
        """The identifier of a running server's database system."""
        return str(self._at.ask(sql.SYSTEM, within)["system"])

    def seconds_behind(self, within: float) -> float | None:
        """The age of the last commit that a standby has replayed; 0 where all that it received is; None: never one."""
        seconds = self._at.ask(sql.BEHIND, within)["seconds"]
        return None if seconds is None else float(seconds)

    def replay(self, within: float) -> tuple[Lsn | None, bool]:
        """How far a standby has replayed, and whether it has come to the end of what is here."""
        row = self._at.ask(sql.WAITS_FOR_WAL, within)
        return (Lsn.parse(row["replayed"]) if row["replayed"] else None, bool(row["idle"]))

    def forks(self, timeline: int) -> tuple[Fork, ...]:
        """The ancestors of a timeline, from its history file; timeline 1 has none."""
        if timeline <= 1:
            return ()
        content = files.read(self._at.within(f"pg_wal/{timeline:08X}.history"))
        return parse_history_file(content) if content else ()

    def last_words(self) -> str:
        """The last line of the server's log that tells why it ended, for people; where the agent knows the log."""
        path = self._at.parameters.logfile
        # as the user that writes it: what root alone may read must not get into a reason that way
        text = files.as_user(self._at.account, lambda: files.tail(path))
        lines = [line for line in text.splitlines() if line.strip()]
        fatal = [line for line in lines if "FATAL:" in line or "PANIC:" in line]
        return (fatal or lines)[-1][-LAST_WORDS:] if lines else "see its log (set logfile to have it shown here)"

    def monitor_query(self, statement: str, within: float) -> None:
        """Run the administrator's own check; `CommandFailed` or `CannotTell` if it fails."""
        found = proc.postmaster(self._at.parameters.pgdata)
        if isinstance(found, proc.Gone):
            raise CannotTell("PostgreSQL has ended meanwhile; its log says why")
        sql.execute(self._at.monitor_target(found), statement, within)


def _without_postmaster(found: proc.Gone) -> Server:
    return Orphans(found.orphans) if found.orphans else Stopped()


CONTROL_LABELS = {
    "Database system identifier": "system",
    "Database cluster state": "state",
    "Latest checkpoint location": "checkpoint",
    "Latest checkpoint's TimeLineID": "checkpoint_timeline",
    "Min recovery ending loc's timeline": "recovered_timeline",
    "Minimum recovery ending location": "recovered",
}


def read_control_data(text: str) -> ControlData:
    """The fields we need; `CannotTell` if one is missing (a locale other than C, a broken file)."""
    pairs = (line.split(":", 1) for line in text.splitlines() if ":" in line)
    found = {CONTROL_LABELS[key]: value.strip() for key, value in pairs if key in CONTROL_LABELS}
    missing = [label for label, field in CONTROL_LABELS.items() if field not in found]
    if missing:
        raise CannotTell(f"pg_controldata does not tell: {', '.join(missing)}")
    return ControlData(
        system=found["system"],
        state=found["state"],
        checkpoint=Lsn.parse(found["checkpoint"]),
        checkpoint_timeline=int(found["checkpoint_timeline"]),
        recovered_timeline=int(found["recovered_timeline"]),
        recovered=Lsn.parse(found["recovered"]),
    )
