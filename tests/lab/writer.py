"""The writer: a client outside the cluster that counts on every commit it was told of.

This is the tests' handle; the client itself (writer_process.py) runs in the client's own network
namespace, so that no fault of a node is also a fault of the client.
"""

from __future__ import annotations

import bisect
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import psycopg
from tests.lab import writer_process
from tests.lab.cluster import Cluster
from tests.lab.command import spawn
from tests.lab.netns import Network
from tests.lab.node import Node
from tests.lab.places import CLIENT
from tests.lab.waiting import now, wait_until

VIP_SESSION = 0
REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True)
class Ack:
    """One commit the client was told of, on the machine's monotonic clock."""

    session: int
    row: int
    asked: float
    answered: float


@dataclass(frozen=True)
class Audit:
    """What became of the acknowledged rows."""

    acknowledged: int
    missing: tuple[Ack, ...]

    @property
    def lost(self) -> int:
        """Number of acknowledged rows that are gone."""
        return len(self.missing)


class AcknowledgedCommitsLost(AssertionError):
    """Rows are missing whose commit was acknowledged."""

    def __init__(self, audit: Audit) -> None:
        first = ", ".join(str(ack) for ack in audit.missing[:3])
        super().__init__(f"{audit.lost} of {audit.acknowledged} acknowledged commits are lost: {first}")
        self.audit = audit


@dataclass
class Writer:
    """A running client."""

    cluster: Cluster
    process: subprocess.Popen[bytes]
    file: Path
    _sessions: Iterator[int] = field(default_factory=lambda: iter(range(VIP_SESSION + 1, 10_000)))

    @classmethod
    @contextmanager
    def running(cls, cluster: Cluster) -> Iterator[Writer]:
        """Write through the address of the primary for as long as the block lasts."""
        writer = cls.begin(cluster)
        try:
            writer.wait_for_acks(within=60)
            yield writer
        finally:
            writer.stop()

    @classmethod
    def begin(cls, cluster: Cluster) -> Writer:
        """Start the client on an empty table."""
        places = cluster.config.places
        _create_table(cluster)
        file = places.base / f"acks.{now():.6f}"
        order = ("-m", writer_process.__name__, *places.mark, str(file), places.writer_ip)
        with (places.base / "writer.log").open("ab") as log:
            process = spawn(
                (*Network(places).exec_prefix(CLIENT), sys.executable, *order),
                stdin=subprocess.PIPE,
                log=log.fileno(),
                env={"PYTHONPATH": str(REPOSITORY)},
            )
        wait_until(file.exists, within=30, what="the writer to start")
        return cls(cluster, process, file)

    def open_session(self, node: Node) -> int:
        """Open a connection to a node's own address, which writes until it breaks; return its number."""
        session = next(self._sessions)
        assert self.process.stdin is not None
        self.process.stdin.write(f"{session} {node.address}\n".encode())
        self.process.stdin.flush()
        wait_until(lambda: self.acks(session), within=30, what=f"a first commit of session {session}")
        return session

    def stop(self) -> None:
        """End the client; what it was told of stays on record."""
        self.process.kill()
        self.process.wait()
        if self.process.stdin is not None:
            self.process.stdin.close()

    # What it was told

    def acks(self, session: int | None = VIP_SESSION) -> list[Ack]:
        """Acknowledged commits of a session in order, of all sessions with None."""
        lines = self.file.read_bytes().split(b"\n")[:-1]
        every = (_ack(line) for line in lines)
        wanted = {session} if session is not None else None
        return [ack for ack in every if (ack.session in wanted if wanted else ack.session != writer_process.PAUSES)]

    def wait_for_acks(self, *, since: float | None = None, count: int = 20, within: float = 60.0) -> float:
        """Wait for that many acknowledged commits asked for after `since`; return when the first came."""
        start = now() if since is None else since

        def fresh() -> list[Ack]:
            found = [ack for ack in self.acks() if ack.asked >= start]
            return found if len(found) >= count else []

        return self.cluster.wait_for(fresh, within=within, what=f"{count} acknowledged commits")[0].answered

    def assert_open(self, session: int) -> None:
        """A session that was opened before still writes."""
        since = now()
        self.cluster.wait_for(
            lambda: any(ack.asked > since for ack in self.acks(session)), within=30, what=f"session {session} to go on"
        )

    def longest_silence(self, since: float) -> float:
        """Longest time without an acknowledged commit, less what the client itself was kept from its work."""
        pauses = self.acks(writer_process.PAUSES)
        times = [since, *(ack.answered for ack in self.acks() if ack.answered > since), now()]
        return max(
            later - earlier - sum(max(0.0, min(later, one.answered) - max(earlier, one.asked)) for one in pauses)
            for earlier, later in pairwise(times)
        )

    def longest_gap(self, since: float, until: float | None = None) -> float:
        """Longest time between two acknowledged commits in a window; an open end counts up to now."""
        end = now() if until is None else until
        times = [ack.answered for ack in self.acks()]
        first = max(0, bisect.bisect_left(times, since) - 1)
        window = [*(time for time in times[first:] if time <= end), end]
        return max((later - earlier for earlier, later in pairwise(window)), default=0.0)

    # What became of it

    def look_up(self) -> Audit:
        """Read every acknowledged row back from the primary."""
        # Read before the rows: what is acknowledged in between is no loss.
        acknowledged = self.acks(None)
        self.cluster.wait_for(lambda: self.cluster.primary, within=60, what="a primary to read the rows from")
        stored = set(self.cluster.sql(f"select session, row from {writer_process.TABLE}"))
        missing = tuple(ack for ack in acknowledged if (ack.session, ack.row) not in stored)
        return Audit(len(acknowledged), missing)

    def audit(self) -> Audit:
        """Raise if anything acknowledged is missing."""
        audit = self.look_up()
        if audit.missing:
            raise AcknowledgedCommitsLost(audit)
        return audit


def _ack(line: bytes) -> Ack:
    session, row, asked, answered = line.split()
    return Ack(int(session), int(row), float(asked), float(answered))


def _create_table(cluster: Cluster) -> None:
    for node in _servers(cluster):
        node.sql(f"drop table if exists {writer_process.TABLE}")
        node.sql(
            f"create table {writer_process.TABLE} (session int, row bigint, at timestamptz "
            "default clock_timestamp(), primary key (session, row))"
        )


def _servers(cluster: Cluster) -> list[Node]:
    """Return the primary; of independent servers (agent "null") all of them."""
    writable = cluster.writable
    if cluster.config.agent != "null" and len(writable) != 1:
        raise psycopg.OperationalError(f"servers that accept writes: {[str(node) for node in writable]}")
    return writable
