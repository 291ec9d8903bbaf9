# SPDX-License-Identifier: GPL-2.0-or-later
"""A commit under way, and whether PostgreSQL lets it wait."""

from __future__ import annotations

from threading import Thread

import psycopg
from tests.postgresql.server import PATIENCE, Server, Session, until

ACKNOWLEDGED = "acknowledged"
WAITS = "waits"


class Commit:
    """One row, inserted and committed in a session of its own by a thread of its own."""

    def __init__(self, server: Server, row: str) -> None:
        self._server = server
        self._session: Session = server.session()
        self._pid = self._session.info.backend_pid
        self.row = row
        self.lost: psycopg.Error | None = None
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._session.execute("insert into t values (%s)", [self.row])
        except psycopg.Error as error:
            self.lost = error
        finally:
            self._session.close()

    @property
    def acknowledged(self) -> bool:
        """Whether the client was told of success."""
        self._thread.join(0)
        return not self._thread.is_alive() and self.lost is None

    @property
    def waits(self) -> bool:
        """Whether its server process waits for a standby."""
        question = "select wait_event from pg_stat_activity where pid = %s"
        return bool(self._server.value(question, self._pid) == "SyncRep")

    def outcome(self) -> str:
        """What became of it, as soon as it is one or the other."""
        until(lambda: self.lost or self.acknowledged or self.waits, f"commit {self.row} to end or to wait")
        assert self.lost is None, self.lost
        return ACKNOWLEDGED if self.acknowledged else WAITS

    def wait_acknowledged(self, within: float = PATIENCE) -> None:
        """Wait until the client has its answer."""
        until(lambda: self.acknowledged, f"commit {self.row} to be acknowledged", within)


def commit(server: Server, row: str) -> str:
    """Commit a row; whether it was acknowledged or waits."""
    return Commit(server, row).outcome()
