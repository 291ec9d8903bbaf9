"""The client itself: sessions that write, and a record of every commit they were told of.

Run in the client's network namespace as `-m tests.lab.writer_process MARK LAB FILE ADDRESS`. Lines
"SESSION ADDRESS" on standard input open further sessions. An acknowledgement is one line
"SESSION ROW ASKED ANSWERED" in FILE, written with one system call, so that a killed client leaves
whole lines behind.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from dataclasses import dataclass

import psycopg

TABLE = "lab_writes"
WRITE_EVERY = 0.005
RECONNECT_EVERY = 0.05
PAUSES = -1
"""In place of a session's number: not an acknowledgement, but a time in which this process did not run."""
TICK, LATE = 0.05, 0.2

# The timeouts of the published figures. Keepalives let a session that waits for an answer notice
# that the server is gone; tcp_user_timeout alone speaks only of what was sent and not received.
CONNECTION = (
    "user=postgres dbname=postgres application_name=lab_writer connect_timeout=2 "
    "tcp_user_timeout=2000 keepalives_idle=1 keepalives_interval=1 keepalives_count=2"
)


@dataclass
class Session:
    """One stream of rows."""

    number: int
    address: str
    record: int
    row: int = 0
    doubted: bool = False

    def connect(self) -> psycopg.Connection[tuple[object, ...]]:
        """Open a connection on which every statement is a transaction."""
        connection = psycopg.connect(f"host={self.address} {CONNECTION}", autocommit=True, prepare_threshold=None)
        connection.add_notice_handler(self._doubt)
        return connection

    def _doubt(self, _notice: object) -> None:
        """Note a warning, such as that the commit did not wait for a standby: no acknowledgement then."""
        self.doubted = True

    def write_until_error(self) -> None:
        """Write on one connection for as long as it lasts."""
        with self.connect() as connection:
            while True:
                self._write(connection)
                time.sleep(WRITE_EVERY)

    def _write(self, connection: psycopg.Connection[tuple[object, ...]]) -> None:
        # A row of unknown fate keeps its number: it is never used again.
        self.row += 1
        self.doubted = False
        asked = time.monotonic()
        connection.execute(f"insert into {TABLE} values (%s, %s)".encode(), (self.number, self.row))
        if not self.doubted:
            line = f"{self.number} {self.row} {asked:.6f} {time.monotonic():.6f}\n"
            os.write(self.record, line.encode())

    def write_once(self) -> None:
        """Write on one connection and give up when it breaks."""
        try:
            self.write_until_error()
        except psycopg.Error as error:
            log(self, error)

    def write_forever(self) -> None:
        """Write, and connect again whenever that fails."""
        while True:
            self.write_once()
            time.sleep(RECONNECT_EVERY)


def note_pauses(record: int) -> None:
    """Write down when this process did not get to run, so that nobody takes its own silence for the cluster's."""
    while True:
        began = time.monotonic()
        time.sleep(TICK)
        ended = time.monotonic()
        if ended - began > TICK + LATE:
            os.write(record, f"{PAUSES} 0 {began:.6f} {ended:.6f}\n".encode())


def log(session: Session, error: Exception) -> None:
    """Say why a connection ended."""
    text = " ".join(str(error).split())
    print(f"{time.monotonic():.3f} session {session.number} {session.address}: {text}", flush=True)


def main(file: str, address: str) -> None:
    """Write through the address; open the sessions that are asked for."""
    record = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    threading.Thread(target=Session(0, address, record).write_forever, daemon=True).start()
    threading.Thread(target=note_pauses, args=(record,), daemon=True).start()
    for line in sys.stdin:
        number, own_address = line.split()
        session = Session(int(number), own_address, record)
        threading.Thread(target=session.write_once, daemon=True).start()
    # Standard input ends with the test that holds it: a client nobody reads must not live on.


if __name__ == "__main__":
    main(*sys.argv[-2:])
