# SPDX-License-Identifier: GPL-2.0-or-later
"""PostgreSQL on this node, for setting it up: not what the agent does, who runs a server that is set up already.

Sources: PostgreSQL documentation, pg_ctl, pg_basebackup, pg_controldata, "Streaming Replication Protocol".
"""

from __future__ import annotations

import datetime
import os
import re
import secrets
import shutil
from collections.abc import Sequence

from expgsql_ra.effects import files
from expgsql_ra.effects.process import Account, Result, account, check, run
from expgsql_ra.errors import CommandFailed, NotInstalled, NotPermitted
from expgsql_ra.setup_model import Setup

SHORT_COMMAND = 20.0
START_SECONDS = 120.0
COPY = ".expgsql-setup"
NOT_RUNNING = 3


class LiveServer:
    """The server of a set-up."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup

    @property
    def _account(self) -> Account:
        return account(self._setup.postgresql.user)

    def _run(self, program: str, *words: str, within: float = SHORT_COMMAND, stdin: str = "") -> Result:
        """One of the server's programs, as its user; passwords come from the password file."""
        environ = {"PGPASSFILE": self._setup.replication.passfile, "PGCONNECT_TIMEOUT": "10"}
        path = self._setup.psql if program == "psql" else f"{self._setup.programs}/{program}"
        return run([path, *words], timeout=within, user=self._account, environ=environ, stdin=stdin)

    def major(self) -> int:
        """Of pg_ctl, which is what starts it."""
        answer = self._run("pg_ctl", "--version").out
        found = re.search(r"(\d+)(?:[.\w]|$)", answer)
        if found is None:
            raise NotInstalled(f"{self._setup.programs}/pg_ctl does not say its version; correct [postgresql] pgctl")
        return int(found[1])

    def has_data(self) -> bool:
        """Anything at all."""
        try:
            return bool(os.listdir(self._setup.pgdata))
        except FileNotFoundError:
            return False
        except OSError as problem:
            raise NotPermitted(f"cannot look into {self._setup.pgdata}: {problem.strerror}") from None

    def hba_file(self) -> str:
        """As the server itself works it out."""
        words = ("-C", "hba_file", "-D", self._setup.pgdata, *self._options())
        return check(self._run("postgres", *words), "asking for hba_file").out.strip()

    def _options(self) -> Sequence[str]:
        """Where the configuration is not in the data directory."""
        return ("-c", f"config_file={self._setup.config}")

    def read(self, path: str) -> str | None:
        """With root's rights."""
        return files.read(path)

    def write(self, path: str, content: str) -> None:
        """With the server user's rights; a file that is there keeps its mode, but for the one with passwords."""
        keeps = os.path.exists(path) and path != self._setup.replication.passfile
        mode = os.stat(path).st_mode & 0o777 if keeps else 0o600
        files.as_user(self._account, lambda: files.write(path, content, mode))

    def role(self) -> str:
        """Asked by SQL; who does not answer is asked for by pg_ctl."""
        done = self._sql("select pg_is_in_recovery()")
        if done.code == 0:
            return {"f": "primary", "t": "standby"}[done.out.strip()]
        state = self._run("pg_ctl", "status", "-D", self._setup.pgdata)
        if state.code == 0:
            raise CommandFailed(
                f"the server runs and does not let {self._setup.postgresql.user} in ({done.tail}): its pg_hba.conf "
                f"needs a line such as: local all {self._setup.postgresql.user} peer"
            )
        return "stopped"

    def _sql(self, statement: str) -> Result:
        server = self._setup.postgresql
        socket = ["--host", server.socketdir] if server.socketdir else []
        words = ["-X", "-q", "-A", "-t", "-w", "-v", "ON_ERROR_STOP=1", "--port", str(server.port), *socket]
        return self._run("psql", *words, "--username", server.user, "--dbname", "postgres", stdin=statement)

    def ask(self, statement: str) -> str:
        """Through standard input: nothing of it is to be seen in a list of processes."""
        return check(self._sql(statement), "the server").out

    def control(self, action: str) -> None:
        """By pg_ctl: whoever starts it now, Pacemaker does so later."""
        words = [action, "-D", self._setup.pgdata, "-s"]
        if action != "reload":
            words += ["-w", "-l", self._setup.postgresql.logfile, "-o", f"-c config_file={self._setup.config}"]
        words += ["-m", "fast"] if action == "restart" else []
        done = self._run("pg_ctl", *words, within=START_SECONDS)
        check(done, f"pg_ctl {action} (see {self._setup.postgresql.logfile})")

    def random(self) -> bytes:
        """From the kernel."""
        return secrets.token_bytes(16)

    def system(self) -> str:
        """From pg_control; a directory without one is no whole copy."""
        done = self._run("pg_controldata", "-D", self._setup.pgdata)
        found = re.search(r"system identifier:\s*(\d+)", done.out)
        return found[1] if found and done.code == 0 else ""

    def system_of(self, host: str) -> str:
        """By the replication protocol, which is all that this role may speak."""
        r = self._setup.replication
        conninfo = f"host={host} port={self._setup.postgresql.port} user={r.user} dbname=postgres replication=true"
        done = self._run("psql", "-X", "-q", "-A", "-t", "-w", "-d", conninfo, "-c", "IDENTIFY_SYSTEM")
        if done.code:
            raise CommandFailed(
                f"{host} does not let {r.user} in ({done.tail}): run expgsql setup postgres FILE there first, "
                "and see that its server runs"
            )
        return done.out.split("|")[0].strip()

    def copy_from(self, host: str, within: float) -> None:
        """Into a directory of its own: what is in the way of nobody may be half done."""
        target = self._setup.pgdata + COPY
        files.as_user(self._account, lambda: shutil.rmtree(target, ignore_errors=True))
        where = ["--host", host, "--port", str(self._setup.postgresql.port), "--username", self._setup.replication.user]
        how = ["--pgdata", target, "--checkpoint=fast", "--wal-method=stream", "--no-password"]
        check(self._run("pg_basebackup", *where, *how, within=within), "pg_basebackup")

    def put_in_place(self) -> str:
        """Two renames; if killed between them, the next call copies anew."""
        pgdata = self._setup.pgdata
        kept = ""
        if os.path.isdir(pgdata):
            stamp = datetime.datetime.now(tz=datetime.UTC).strftime("%Y%m%d-%H%M%S")
            kept = f"{pgdata}.before-{stamp}" if self.has_data() else ""
        files.as_user(self._account, lambda: self._exchange(pgdata, kept))
        return kept

    def _exchange(self, pgdata: str, kept: str) -> None:
        try:
            if kept:
                os.rename(pgdata, kept)
            os.rename(pgdata + COPY, pgdata)
            files.sync_folder(os.path.dirname(pgdata))
        except OSError as problem:
            raise NotPermitted(
                f"cannot put the copy in the place of {pgdata}: {problem.strerror}; the directory above it has to "
                f"belong to {self._setup.postgresql.user}, and it must not be a mount point itself"
            ) from None
