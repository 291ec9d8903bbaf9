"""Who can acknowledge a commit: a session in each node's own namespace that writes and looks at the clock.

A write without an answer tells a server that waits for a standby from one that acknowledges. It cannot be
bounded by statement_timeout, which PostgreSQL switches off before it commits (finish_xact_command in
tcop/postgres.c), and must not be cancelled, which would commit it without its standby. So it stays pending,
and an answer that comes late is an acknowledgement like any other.
"""

from __future__ import annotations

import select
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field

import psycopg
from psycopg import pq
from tests.lab.cluster import Cluster
from tests.lab.machine import PowerFailure
from tests.lab.node import SOCKETS, Node
from tests.lab.waiting import now

TABLE = "lab_watch"
CREATE = f"create table {TABLE} (node text, row bigint, primary key (node, row))"
# The name of a WAL file begins with the timeline that the server writes.
INSERT = f"insert into {TABLE} values ($1, $2) returning substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8)"
EVERY = 0.1


@dataclass(frozen=True)
class Told:
    """A commit that a node's server acknowledged to a client on that node."""

    node: str
    row: int
    timeline: int
    asked: float
    answered: float


@dataclass
class Watcher:
    """One node's session; it begins anew whenever the server does."""

    node: Node
    told: list[Told] = field(default_factory=list)
    # When the write was sent that has no answer yet.
    pending_since: float | None = None
    _row: int = 0
    _doubted: bool = False
    _end: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Write until told to end."""
        while not self._end.wait(EVERY):
            with suppress(psycopg.Error, PowerFailure, OSError):
                self._session()
            self.pending_since = None

    def end(self) -> None:
        """Have it end soon."""
        self._end.set()

    def _session(self) -> None:
        where = str(self.node.path(SOCKETS))
        opened = psycopg.connect(host=where, user="postgres", dbname="postgres", connect_timeout=2, autocommit=True)
        # not "with" the connection: that commits first, which fails in the middle of a write and leaves it open
        with closing(opened) as session:
            session.add_notice_handler(self._doubt)
            while not self._end.wait(EVERY):
                if not self._write(session.pgconn):
                    return

    def _doubt(self, _notice: object) -> None:
        """A warning, such as that the wait was cancelled, takes the promise back."""
        self._doubted = True

    def _write(self, connection: pq.abc.PGconn) -> bool:
        """Write one row; False once the session is of no more use."""
        self._row += 1
        self._doubted = False
        asked = self.pending_since = now()
        connection.send_query_params(INSERT.encode(), [self.node.name.encode(), str(self._row).encode()])
        connection.flush()
        while connection.is_busy():
            if self._end.is_set():
                return False
            if select.select([connection.socket], [], [], EVERY)[0]:
                connection.consume_input()
        result = connection.get_result()
        answered = now()
        while connection.get_result() is not None:
            pass
        self.pending_since = None
        if result is None or connection.status != pq.ConnStatus.OK:
            return False
        value = result.get_value(0, 0) if result.status == pq.ExecStatus.TUPLES_OK else None
        if value is not None and not self._doubted:
            self.told.append(Told(self.node.name, self._row, int(value, 16), asked, answered))
        return True


@dataclass
class Watch:
    """All nodes' sessions."""

    cluster: Cluster
    watchers: Sequence[Watcher]

    @classmethod
    @contextmanager
    def running(cls, cluster: Cluster) -> Iterator[Watch]:
        """Watch for as long as the block lasts; the cluster has a primary when it begins."""
        for node in cluster.writable:
            node.sql(f"drop table if exists {TABLE}")
            node.sql(CREATE)
        watch = cls(cluster, [Watcher(node) for node in cluster.nodes])
        threads = [threading.Thread(target=watcher.run, daemon=True) for watcher in watch.watchers]
        for thread in threads:
            thread.start()
        try:
            yield watch
        finally:
            for watcher in watch.watchers:
                watcher.end()
            for thread in threads:
                thread.join(timeout=10)

    def told(self, node: Node | None = None, since: float = 0.0) -> list[Told]:
        """Return what was acknowledged, on one node or on all, for what was asked after `since`; in order."""
        every = [told for watcher in self.watchers if node in (None, watcher.node) for told in list(watcher.told)]
        return sorted((told for told in every if told.asked >= since), key=lambda told: told.answered)

    def hangs(self, node: Node) -> float:
        """Seconds for which a write on a node has been waiting for its answer."""
        since = next(watcher.pending_since for watcher in self.watchers if watcher.node == node)
        return 0.0 if since is None else now() - since

    def complaints(self) -> list[str]:
        """What must never be: two who acknowledge, or something acknowledged that is missing."""
        return [*overlaps(self.told()), *self.missing()]

    def missing(self) -> list[str]:
        """Acknowledged rows that are not on the primary."""
        told = self.told()
        self.cluster.wait_for(lambda: self.cluster.primary, within=60, what="a primary to read the rows from")
        stored = set(self.cluster.sql(f"select node, row from {TABLE}"))
        lost = [each for each in told if (each.node, each.row) not in stored]
        return (
            [f"{len(lost)} of {len(told)} commits acknowledged on the nodes are lost, first {lost[0]}"] if lost else []
        )


def overlaps(told: Iterable[Told]) -> list[str]:
    """Say who acknowledged beside, or after, another.

    Each promotion begins a timeline: one timeline has one node, and what is asked for after a later
    timeline has acknowledged something is not acknowledged on an earlier one.
    """
    first: dict[int, Told] = {}
    found: list[str] = []
    owners: dict[int, str] = {}
    for each in sorted(told, key=lambda told: told.answered):
        owner = owners.setdefault(each.timeline, each.node)
        if owner != each.node:
            found.append(f"{owner} and {each.node} both acknowledge on timeline {each.timeline}: {each}")
        first.setdefault(each.timeline, each)
        newer = [since for line, since in first.items() if line > each.timeline and since.answered < each.asked]
        if newer:
            late = each.answered - newer[0].answered
            found.append(f"{each.node} still acknowledges {late:.2f} s after {newer[0].node} does: {each}, {newer[0]}")
    return found[:5]
