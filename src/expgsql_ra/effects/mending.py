# SPDX-License-Identifier: GPL-2.0-or-later
"""PostgreSQL's own programs that repair a data directory, and the questions to the primary that go before them.

Passwords never stand in an argument: they come from the passfile, or from the environment of the program. Sources:
PostgreSQL documentation, "pg_rewind", "pg_basebackup"; source of ``ensureCleanShutdown``.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from expgsql_ra.effects import files, sql
from expgsql_ra.effects.installation import Installation
from expgsql_ra.effects.process import Result, follow, run
from expgsql_ra.effects.recovery import conninfo
from expgsql_ra.effects.role_files import SIGNALS
from expgsql_ra.errors import CannotTell, CommandFailed
from expgsql_ra.parameters import Parameters
from expgsql_ra.repairs import Source

DATABASE = "postgres"
NAME = "expgsql repair"
"""Never a node's: commits might be released by it."""
PATIENCE = "keepalives_idle=10 keepalives_interval=5 keepalives_count=3 tcp_user_timeout=30000 connect_timeout=10"
FIRST_WITH_ARCHIVE, FIRST_WITH_CONFIG_FILE = 13, 15
REWIND_CONFIG = "rewind.conf"
SHORT_COMMAND = 10.0
SOURCE = """
select json_build_object(
 'system', (select system_identifier::text from pg_control_system()),
 'recovery', r,
 'timeline', case when not r then substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8) end,
 'checkpointed', (select timeline_id from pg_control_checkpoint()),
 'tablespaces', (select json_agg(place) from (select pg_tablespace_location(oid) as place from pg_tablespace) t
                 where place <> ''))
from pg_is_in_recovery() r
"""
SIZE = "select json_build_object('size', sum(pg_database_size(oid))) from pg_database"


class LiveTools:
    """`workshop.Tools` of the real node. ``data`` and ``new`` are where the old directory is and the copy goes."""

    def __init__(self, installation: Installation, new: str) -> None:
        self._at = installation
        self._new = new

    def source(self, within: float) -> Source:
        """Ask the primary."""
        row = self._ask(SOURCE, within)
        return Source(
            system=str(row["system"]),
            in_recovery=bool(row["recovery"]),
            timeline=int(row["timeline"] or "0", 16),
            checkpointed=int(row["checkpointed"]),
            size=self._size(within),
            tablespaces=tuple(row["tablespaces"] or ()),
        )

    def _size(self, within: float) -> int | None:
        try:
            return int(self._ask(SIZE, within)["size"])
        except CommandFailed:
            return None  # a database that this user may not connect to

    def checkpoint_source(self, within: float) -> None:
        """CHECKPOINT there."""
        self._ask("CHECKPOINT", within)

    def _ask(self, statement: str, within: float) -> dict[str, Any]:
        p = self._at.parameters
        target = sql.Target(
            psql=self._at.tool("psql") if os.access(self._at.tool("psql"), os.X_OK) else p.psql,
            account=self._at.account,
            host=p.master_ip,
            port=str(p.pgport),
            database=conninfo((("dbname", DATABASE),), self._options()),
            role=p.repuser,
            environ={**self._secrets(), "PGAPPNAME": NAME},
        )
        answer = sql.ask(target, statement, within)
        if isinstance(answer, sql.NoSession | sql.TookTooLong):
            raise CannotTell(
                f"the primary does not let {p.repuser} in at {p.master_ip}, database {DATABASE}: {answer.why}; see "
                "pg_hba.conf there and the passfile here"
            )
        return answer

    # --- the connection ---

    def _conninfo(self) -> str:
        p = self._at.parameters
        pairs = (
            ("host", p.master_ip),
            ("port", str(p.pgport)),
            ("user", p.repuser),
            ("dbname", DATABASE),
            ("application_name", NAME),
        )
        return conninfo(pairs, f"{PATIENCE} {self._options()}".strip())

    def _options(self) -> str:
        """The administrator's, without what must not be seen in a list of processes."""
        given = _given(self._at.parameters)
        return conninfo(tuple((key, value) for key, value in given.items() if key not in {"password", "passfile"}), "")

    def _secrets(self) -> dict[str, str]:
        p = self._at.parameters
        given = _given(p)
        passfile = p.passfile or given.get("passfile", "")
        secrets = {"PGPASSFILE": passfile, "PGPASSWORD": given.get("password", "")}
        return {**self._at.environ, **{name: value for name, value in secrets.items() if value}}

    # --- the programs ---

    def recover(self, told: Callable[[str], None], within: float) -> None:
        """Crash recovery in single-user mode, as ``pg_rewind`` does it; a signal file would be in its way."""
        for name in SIGNALS:
            files.as_user(self._at.account, lambda name=name: files.remove(self._at.within(name)))  # type: ignore[misc]
        argv = [self._at.tool("postgres"), "--single", "-D", self._at.folder]
        argv += ["-c", f"config_file={self._at.config}", "template1"]
        self._run("crash recovery", argv, told, within)

    def rewind(self, told: Callable[[str], None], within: float, *, trial: bool) -> None:
        """``pg_rewind`` from the primary; with the archive where there is one, from PostgreSQL 13 on."""
        argv = [self._at.tool("pg_rewind"), f"--target-pgdata={self._at.folder}"]
        argv += [f"--source-server={self._conninfo()}", "--progress", *self._archive()]
        argv += ["--no-ensure-shutdown"] if self._at.major() >= FIRST_WITH_ARCHIVE else []
        self._run("pg_rewind", [*argv, *(["--dry-run"] if trial else [])], told, within)

    def _archive(self) -> list[str]:
        """``--restore-target-wal`` takes the command from a configuration file, and only from there."""
        command, major = self._at.parameters.restore_command, self._at.major()
        if not command or major < FIRST_WITH_ARCHIVE:
            return []
        if major >= FIRST_WITH_CONFIG_FILE:
            path = os.path.join(self._at.parameters.tmpdir, REWIND_CONFIG)
            escaped = command.replace("\\", "\\\\").replace("'", "''")
            files.as_user(self._at.account, lambda: files.write(path, f"restore_command = '{escaped}'\n"))
            return ["--restore-target-wal", f"--config-file={path}"]
        argv = [self._at.tool("postgres"), "-D", self._at.folder, "-C", "restore_command"]
        known = run(argv, timeout=SHORT_COMMAND, user=self._at.account, environ=self._at.environ)
        return ["--restore-target-wal"] if not known.code and known.out.strip() else []

    def back_up(self, told: Callable[[str], None], within: float) -> None:
        """``pg_basebackup`` of the primary; it syncs what it wrote."""
        argv = [self._at.tool("pg_basebackup"), f"--pgdata={self._new}", f"--dbname={self._conninfo()}"]
        argv += ["--checkpoint=fast", "--wal-method=stream", "--progress", "--no-password"]
        self._run("pg_basebackup", argv, told, within)

    def _run(self, what: str, argv: list[str], told: Callable[[str], None], within: float) -> None:
        done: Result = follow(argv, timeout=within, line=told, user=self._at.account, environ=self._secrets())
        if done.code:
            raise CommandFailed(f"{what} failed ({done.code}): {done.tail}")


def _given(parameters: Parameters) -> dict[str, str]:
    from psycopg.conninfo import conninfo_to_dict  # noqa: PLC0415 - the driver is slow to import

    found = conninfo_to_dict(parameters.primary_conninfo_opt)
    return {name: str(value) for name, value in found.items() if value is not None}
