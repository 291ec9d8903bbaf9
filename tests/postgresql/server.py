# SPDX-License-Identifier: GPL-2.0-or-later
"""Real servers in directories of their own, reached through their sockets alone."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
from tests.lab.command import run
from tests.lab.processes import arguments, kill, parent, pids, send
from tests.lab.waiting import wait_until
from tests.postgresql.programs import USER, Programs

PATIENCE = 30.0
OPEN = ""
NOBODY = 'FIRST 1 ("nobody")'

Session = psycopg.Connection[tuple[Any, ...]]

SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "full_page_writes": "on",
    "shared_buffers": "16MB",
    "max_connections": "40",
    # Nothing in /dev/shm that a killed server would leave there.
    "dynamic_shared_memory_type": "mmap",
    "restart_after_crash": "off",
    # No checkpoint, no vacuum and no time-out but those that a test asks for.
    "checkpoint_timeout": "1h",
    "autovacuum": "off",
    "wal_sender_timeout": "0",
    "wal_receiver_timeout": "0",
    "wal_retrieve_retry_interval": "200ms",
}


def until(condition: Callable[[], object], what: str, within: float = PATIENCE) -> None:
    """Wait for a condition, looking often: what is waited for here takes milliseconds."""
    wait_until(lambda: bool(condition()) or None, within=within, what=what, every=0.01)


def names(*nodes: str) -> str:
    """``synchronous_standby_names`` as the product writes it."""
    return f"FIRST {len(nodes)} ({', '.join(nodes)})"


class Server:
    """A data directory and, at times, the server that runs on it."""

    def __init__(self, programs: Programs, folder: Path, name: str) -> None:
        self.programs = programs
        self.name = name
        self.home = folder / name
        self.data = self.home / "data"
        self.log = self.home / "server.log"
        self.settings: dict[str, str] = dict(SETTINGS)
        self._process: subprocess.Popen[bytes] | None = None

    # --- the directory ------------------------------------------------------------------------

    def fill_from(self, source: Path) -> None:
        """Become a copy of the data directory of a server that does not run."""
        self.home.mkdir(exist_ok=True)
        shutil.chown(self.home, USER, USER)
        shutil.rmtree(self.data, ignore_errors=True)
        subprocess.run(["cp", "--archive", source, self.data], check=True)

    def write_settings(self, **changes: str) -> None:
        """Write the configuration, renamed into place, as the product does."""
        self.settings.update(changes)
        lines = [f"{key} = '{value.replace(chr(39), chr(39) * 2)}'" for key, value in self.settings.items()]
        new = self.put("postgresql.conf.new", "\n".join([*lines, f"unix_socket_directories = '{self.home}'", ""]))
        new.rename(self.data / "postgresql.conf")

    def follow(self, primary: Server, **changes: str) -> None:
        """Be a standby of that server from the next start on, under this server's own name."""
        self.put("standby.signal")
        conninfo = f"host={primary.home} user={USER} application_name={self.name}"
        self.write_settings(primary_conninfo=conninfo, synchronous_standby_names=NOBODY, **changes)

    # --- the server ---------------------------------------------------------------------------

    def launch(self) -> None:
        """Start its first process and wait until that runs PostgreSQL's program, but for no more."""
        with self.log.open("ab") as log:
            self._process = self.programs.start("postgres", "-D", str(self.data), output=log)
        executable = Path("/proc", str(self.pid), "exe")
        until(lambda: self.ended() or executable.readlink().name == "postgres", "PostgreSQL's program")

    def start(self) -> None:
        """Start it and wait until it accepts sessions."""
        self.launch()
        until(self.accepts, f"{self.name} to accept sessions")

    @property
    def pid(self) -> int:
        """Its first process."""
        assert self._process, f"{self.name} was never started"
        return self._process.pid

    def accepts(self) -> bool:
        """Whether it accepts sessions; a server that has ended is an error, with its log."""
        assert self._process
        if self._process.poll() is not None:
            raise RuntimeError(f"{self.name} ended:\n{self.logged()[-2000:]}")
        try:
            self.session().close()
        except psycopg.OperationalError:
            return False
        return True

    def ended(self) -> bool:
        """Whether its first process has ended."""
        return self._process is None or self._process.poll() is not None

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        """Shut it down in order, or in the manner of that signal."""
        if self._process and self._process.poll() is None:
            self._process.send_signal(number)
            self._process.wait(PATIENCE)

    def crash(self) -> None:
        """Kill all its processes, the first one first, so that no other can tidy up."""
        victims = [self.pid, *self.children()]
        send(victims, signal.SIGSTOP)
        kill(victims)
        if self._process:
            self._process.wait(PATIENCE)

    def clear_away(self) -> None:
        """End it, whatever state its processes are in."""
        if self.ended():
            self._forget_shared_memory()
            return
        send([*self.children(), self.pid], signal.SIGCONT)
        with suppress(subprocess.TimeoutExpired):
            self.stop(signal.SIGQUIT)
            return
        self.crash()
        self._forget_shared_memory()

    def _forget_shared_memory(self) -> None:
        """Remove the segment that a killed server leaves to its next start; its pid file names it in line 7."""
        with suppress(FileNotFoundError, IndexError):
            lines = (self.data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
            run("ipcrm", "-m", lines[6].split()[1])

    # --- what can be seen of it ---------------------------------------------------------------

    def children(self) -> list[int]:
        """Its processes apart from the first."""
        return [pid for pid in pids() if parent(pid) == self.pid]

    def child(self, title: str) -> int:
        """The one process of it with that title."""
        found: list[int] = []

        def seen() -> bool:
            found[:] = [pid for pid in self.children() if title in " ".join(arguments(pid))]
            return len(found) == 1

        until(seen, f"one {title} of {self.name}")
        return found[0]

    def walsender(self, standby: Server) -> int:
        """The process that serves that standby."""
        question = "select pid from pg_stat_replication where application_name = %s"
        until(lambda: self.ask(question, standby.name), f"a walsender for {standby.name}")
        return int(self.value(question, standby.name))

    def session(self) -> Session:
        """A new session."""
        return psycopg.connect(host=str(self.home), user=USER, dbname="postgres", autocommit=True, connect_timeout=5)

    def ask(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Run a statement in a session of its own; its rows. It waits for no standby."""
        with self.session() as session:
            session.execute("set synchronous_commit = local")
            done = session.execute(statement.encode(), values or None)
            return done.fetchall() if done.description else []

    def value(self, statement: str, *values: object) -> Any:
        """The first column of the first row, or None."""
        rows = self.ask(statement, *values)
        return rows[0][0] if rows else None

    def flushed(self) -> str:
        """Where its WAL ends."""
        return str(self.value("select pg_current_wal_flush_lsn()"))

    def timeline(self) -> int:
        """The timeline that it writes on."""
        return int(self.value("select ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int"))

    def logged(self) -> str:
        """Its log."""
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""

    # --- what it is told ----------------------------------------------------------------------

    def reload(self, **changes: str) -> None:
        """Change settings and wait until a new session shows them: the first process has told all others by then."""
        self.write_settings(**changes)
        os.kill(self.pid, signal.SIGHUP)
        until(lambda: all(self.value(f"show {key}") == value for key, value in changes.items()), f"{changes} in force")

    def name_standbys(self, value: str) -> None:
        """Change ``synchronous_standby_names`` and wait until a new session shows it."""
        self.reload(synchronous_standby_names=value)

    def enforce(self, value: str) -> None:
        """Change ``synchronous_standby_names`` and wait until every process goes by it."""
        self.name_standbys(value)
        for _ in range(2):
            self.ask("checkpoint")

    def wait_streaming_to(self, *standbys: Server) -> None:
        """Wait until these standbys have all."""
        for one in standbys:
            until(lambda one=one: self.streams_to(one), f"{one.name} to have all")  # type: ignore[misc]

    def streams_to(self, standby: Server) -> bool:
        """Whether it streams to that standby, which has flushed all."""
        question = """
            select count(*) from pg_stat_replication
             where application_name = %s and state = 'streaming' and flush_lsn >= pg_current_wal_flush_lsn()"""
        return bool(self.value(question, standby.name) == 1)

    def sender(self, standby: Server, column: str) -> Any:
        """A column of ``pg_stat_replication`` for that standby."""
        return self.value(f"select {column} from pg_stat_replication where application_name = %s", standby.name)

    def has(self, row: str) -> bool:
        """Whether the row is visible on it."""
        return bool(self.value("select count(*) from t where what = %s", row) == 1)

    def put(self, name: str, text: str = "") -> Path:
        """Write a file of the server's user into the data directory."""
        path = self.data / name
        path.write_text(text, encoding="utf-8")
        shutil.chown(path, USER, USER)
        return path
