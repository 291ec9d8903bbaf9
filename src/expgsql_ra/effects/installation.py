# SPDX-License-Identifier: GPL-2.0-or-later
"""Where this node's PostgreSQL is: programs, data directory, configuration, user, and how to reach the server."""

from __future__ import annotations

import os
from typing import Any

from expgsql_ra.effects import files, proc, role_files, sql
from expgsql_ra.effects.process import Account, account
from expgsql_ra.effects.recovery import Recovery, recovery_of
from expgsql_ra.errors import BadArguments, CannotTell
from expgsql_ra.parameters import Parameters

OLDEST = 10
DEBIAN_WRAPPER = "/usr/bin/psql"


class Installation:
    """Cheap to make: nothing is looked up before it is needed."""

    def __init__(self, parameters: Parameters, node: str) -> None:
        self.parameters = parameters
        self.node = node
        self.environ = {"LD_LIBRARY_PATH": parameters.pglibs} if parameters.pglibs else {}

    @property
    def account(self) -> Account:
        """The operating system user that the server runs as."""
        return account(self.parameters.pgdba)

    @property
    def folder(self) -> str:
        """The data directory, all links resolved."""
        return os.path.realpath(self.parameters.pgdata)

    @property
    def config(self) -> str:
        """The server's main configuration file, all links resolved."""
        return os.path.realpath(self.parameters.config or os.path.join(self.parameters.pgdata, "postgresql.conf"))

    @property
    def include(self) -> str:
        """Our own settings file."""
        return role_files.include_file(self.parameters.tmpdir)

    def within(self, name: str) -> str:
        """A file of the data directory."""
        return os.path.join(self.parameters.pgdata, name)

    def tool(self, name: str) -> str:
        """A program of the same installation as ``pgctl``."""
        return os.path.join(os.path.dirname(os.path.realpath(self.parameters.pgctl)), name)

    def major(self) -> int:
        """The major version of the data directory."""
        content = files.read(self.within("PG_VERSION"))
        text = (content or "").strip().split(".")[0]
        if not text.isdigit():
            raise BadArguments(
                f"{self.parameters.pgdata} is no data directory (it has no PG_VERSION); correct pgdata, mount it, "
                "or run expgsql rebuild"
            )
        if int(text) < OLDEST:
            raise BadArguments(
                f"pgdata {self.parameters.pgdata} is of PostgreSQL {text}, which is too old; "
                f"upgrade it to version {OLDEST} or newer"
            )
        return int(text)

    def recovery(self) -> Recovery:
        """This version's way of telling standby from primary."""
        return recovery_of(self.major(), self.parameters.pgdata, self.parameters.tmpdir)

    def signalled_standby(self) -> bool:
        """Whether the data directory says that it is a standby's; asked without the server."""
        return role_files.signals_standby(self.parameters.pgdata)

    def monitor_target(self, alive: proc.Alive) -> sql.Target:
        """A session as the monitoring user, over the way that the server's pid file tells."""
        p = self.parameters
        secret = {"PGPASSWORD": p.monitor_password} if p.monitor_password else {}
        return sql.Target(
            psql=self._psql(),
            account=self.account,
            host=p.pghost or p.socketdir or alive.socket_folder,
            port=alive.port or str(p.pgport),
            database=p.pgdb,
            role=p.monitor_user or p.pgdba,
            environ={**self.environ, **secret},
        )

    def _psql(self) -> str:
        """Debian's wrapper takes five times as long to start as the program that it calls."""
        given, sibling = self.parameters.psql, self.tool("psql")
        return sibling if given == DEBIAN_WRAPPER and os.access(sibling, os.X_OK) else given

    def ask(self, statement: str, within: float, **variables: str) -> dict[str, Any]:
        """One statement as the server's own user; `CannotTell` if there is no answer."""
        found = proc.postmaster(self.parameters.pgdata)
        if isinstance(found, proc.Gone):
            raise CannotTell("PostgreSQL has ended meanwhile; its log says why")
        target = self.monitor_target(found)._replace(role=self.parameters.pgdba, environ=self.environ)
        answer = sql.ask(target, statement, within, variables)
        if isinstance(answer, sql.NoSession | sql.TookTooLong):
            raise CannotTell(f"PostgreSQL did not answer: {answer.why}")
        return answer
