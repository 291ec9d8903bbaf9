# SPDX-License-Identifier: GPL-2.0-or-later
"""Changing the PostgreSQL server of this node. Nothing here waits for the effect: actions do, and say for what.

Signals and files are those of the PostgreSQL documentation: "Shutting Down the Server", "Standby Server
Operation", ``pg_ctl``.
"""

from __future__ import annotations

import os
import signal

from expgsql_ra.effects import files, marks, proc, sql
from expgsql_ra.effects.installation import Installation
from expgsql_ra.effects.preflight import check_before_start
from expgsql_ra.effects.process import check, closing_shared, run
from expgsql_ra.effects.recovery import Following, conninfo
from expgsql_ra.errors import BadArguments, CommandFailed, NotPermitted
from expgsql_ra.world import Shutdown, Watch

SHORT_COMMAND = 10.0
SIGNALS = {
    Shutdown.FAST: signal.SIGINT,
    Shutdown.IMMEDIATE: signal.SIGQUIT,
    Shutdown.KILL: signal.SIGKILL,
}


class LiveControl:
    """The real server."""

    def __init__(self, installation: Installation, watch: Watch) -> None:
        self._at = installation
        self._watch = watch

    def check_configuration(self) -> None:
        """Refuse, before anything is changed, what would make the server start wrongly or not at all."""
        check_before_start(self._at)

    def start_as_standby(self, names: str, connected: bool) -> None:
        """Begin a start as a standby, connected to the primary's address or to nobody."""
        recovery, following = self._at.recovery(), self._following(connected)
        self._prepare()
        files.as_user(self._at.account, lambda: recovery.become_standby(names, following))
        self.start_as_it_is()

    def start_as_primary(self, names: str | None) -> None:
        """Begin a start read-write on the present timeline; None: with the names that its files have."""
        recovery = self._at.recovery()
        self._prepare()
        files.as_user(self._at.account, lambda: recovery.become_primary(names))
        self.start_as_it_is()

    def start_as_it_is(self) -> None:
        """Begin a start with the role that the data directory has: ``pg_ctl start`` without its waiting."""
        marks.check(self._at.folder)
        self._watch.forget()
        p = self._at.parameters
        options = f"-c config_file={_shell_word(self._at.config)} -p {p.pgport} {p.start_opt}"
        options += f" -k {_shell_word(p.socketdir)}" if p.socketdir else ""
        closing = closing_shared()
        options += f" {closing}"
        argv = [
            p.pgctl,
            "start",
            "-W",
            "-s",
            "-D",
            p.pgdata,
            "-l",
            p.logfile,
            "-o",
            options,
            *p.ctl_opt.split(),
        ]
        done = run(argv, timeout=SHORT_COMMAND, user=self._at.account, environ=self._at.environ, shares=bool(closing))
        if done.code:
            raise CommandFailed(f"PostgreSQL did not start: {done.tail or 'see its log'}")

    def follow(self, names: str) -> bool:
        """Connect a running standby to the primary; whether it took effect without a restart."""
        recovery, following = self._at.recovery(), self._following(connected=True)
        if not recovery.reloads:
            return False  # and nothing is written: killed here, the files must not say what the server does not know
        files.as_user(self._at.account, lambda: recovery.become_standby(names, following))
        self._reload()
        return True

    def rename(self, names: str) -> None:
        """Change ``synchronous_standby_names`` of the running server."""
        recovery = self._at.recovery()
        files.as_user(self._at.account, lambda: recovery.rename(names))
        self._reload()

    def _reload(self) -> None:
        self._signal(signal.SIGHUP)

    def promote(self) -> None:
        """Begin a promotion; it is complete when the server is no longer in recovery."""
        argv = [self._at.parameters.pgctl, "promote", "-W", "-s", "-D", self._at.parameters.pgdata]
        check(
            run(argv, timeout=SHORT_COMMAND, user=self._at.account, environ=self._at.environ),
            "pg_ctl promote",
        )

    def shut_down(self, how: Shutdown) -> None:
        """Send the signal for a shutdown; KILL goes to everything that is left of the server."""
        self._watch.release()
        self._signal(SIGNALS[how])
        if how is Shutdown.KILL:
            for pid in proc.processes_of(self._at.folder):
                proc.send(pid, self._at.folder, signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        found = proc.postmaster(self._at.parameters.pgdata)
        if isinstance(found, proc.Alive):
            proc.send(found.pid, self._at.folder, number)

    def checkpoint(self, within: float) -> None:
        """Complete a checkpoint; `CannotTell` if it takes longer than ``within`` seconds."""
        self._at.ask("CHECKPOINT", within)

    def write_wal(self, within: float) -> None:
        """Write something to the WAL and flush it: a message that nobody reads, in a transaction of its own."""
        self._at.ask(sql.WRITE_WAL, within)

    def create_slot(self, name: str, within: float) -> None:
        """Make a physical replication slot unless it is there."""
        self._at.ask(sql.CREATE_SLOT, within, slot=name)

    def drop_slot(self, name: str, within: float) -> None:
        """Remove a replication slot that nobody uses."""
        self._at.ask(sql.DROP_SLOT, within, slot=name)

    # --- our settings become part of the server's configuration ---

    def _prepare(self) -> None:
        self._make_tmpdir()
        config, line = self._at.config, f"include '{self._at.include}'"
        content = files.read(config) or ""
        if not any(_same_include(one, line) for one in content.splitlines()):
            mode = os.stat(config).st_mode & 0o777
            text = f"{content.rstrip()}\n{line} # added by ocf:heartbeat:expgsql\n"
            files.as_user(self._at.account, lambda: files.write(config, text, mode))

    def _make_tmpdir(self) -> None:
        tmpdir, user = self._at.parameters.tmpdir, self._at.account
        if not os.path.isdir(tmpdir):
            try:
                os.makedirs(tmpdir, 0o700)
                # the folder above may be the server's user's, who could put a link in its place meanwhile
                made = os.open(tmpdir, os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
                try:
                    os.fchown(made, user.uid, user.gid)
                finally:
                    os.close(made)
            except OSError as problem:
                raise NotPermitted(f"cannot create tmpdir {tmpdir}: {problem.strerror}; set another") from None
        if os.stat(tmpdir).st_uid != user.uid:
            raise BadArguments(f"tmpdir {tmpdir} does not belong to {user.name}; chown it, or set another")

    def _following(self, connected: bool) -> Following:
        p = self._at.parameters
        primary = (
            ("host", p.master_ip),
            ("port", str(p.pgport)),
            ("user", p.repuser),
            ("passfile", p.passfile),
            ("application_name", self._at.node),
        )
        return Following(
            conninfo=conninfo(primary, p.primary_conninfo_opt) if connected else "",
            slot=p.slot_of(self._at.node),
            restore_command=p.restore_command,
            archive_cleanup_command=p.archive_cleanup_command,
            recovery_end_command=p.recovery_end_command,
        )


def _shell_word(text: str) -> str:
    """Quote for the shell through which pg_ctl passes the server's options, with the server user's rights."""
    return "'" + text.replace("'", "'\\''") + "'"


def _same_include(line: str, wanted: str) -> bool:
    code = line.partition("#")[0].split()
    return code[:1] in (["include"], ["include_if_exists"]) and code[1:] == wanted.split()[1:]
