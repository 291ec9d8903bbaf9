# SPDX-License-Identifier: GPL-2.0-or-later
"""Real servers for the authorities: PostgreSQL as its own user, and three members of etcd."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg

from expgsql_ra.effects.clock import MonotonicClock
from expgsql_ra.effects.etcd import EtcdAuthority
from expgsql_ra.effects.etcd_gateway import Endpoints
from expgsql_ra.record import Unreachable
from expgsql_ra.world import Deadline

USER = "postgres"
ROLE_WITH_PASSWORD = "secretive"
PATIENCE = 30.0


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition."""
    for _ in Deadline(MonotonicClock(), PATIENCE).every(0.05, what):
        if condition():
            return


def free_ports(count: int) -> list[int]:
    """Ports that nobody uses just now, all different."""
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


class PostgresServer:
    """A server to be the arbiter, in a data directory of its own."""

    def __init__(self, data: Path, version: str) -> None:
        (self.port,) = free_ports(1)
        self._databases = 0
        self._log = data.parent / "server.log"
        log = self._log.open("ab")
        rules = data / "pg_hba.conf"
        trust = rules.read_text(encoding="utf-8")
        rules.write_text(f"host all {ROLE_WITH_PASSWORD} all scram-sha-256\n{trust}", encoding="utf-8")
        self._process = subprocess.Popen(
            [
                f"/usr/lib/postgresql/{version}/bin/postgres",
                *("-D", str(data), "-p", str(self.port), "-k", str(data.parent), "-h", "127.0.0.1"),
                *("-c", "fsync=off", "-c", "max_connections=30"),
            ],
            stdout=log,
            stderr=log,
            cwd="/",
            user=USER,
            group=USER,
            extra_groups=[],
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
        )
        log.close()
        wait_until(self._answers, "the arbiter's server")

    def conninfo(self, database: str = "postgres", port: int | None = None) -> str:
        """How to reach it, possibly through something else."""
        return f"host=127.0.0.1 port={port or self.port} user={USER} dbname={database}"

    def database(self) -> str:
        """A new, empty database."""
        self._databases += 1
        name = f"arbiter{self._databases}"
        self.do(f"create database {name} encoding 'utf8' template template0")
        return name

    def do(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run what an administrator would type; its rows."""
        with psycopg.connect(self.conninfo(database), autocommit=True) as session:
            done = session.execute(statement.encode())
            return done.fetchall() if done.description else []

    def signal(self, number: signal.Signals) -> None:
        """Signal its first process, which accepts connections."""
        self._process.send_signal(number)

    def stop(self) -> None:
        """End it."""
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGQUIT)
        self._process.wait(PATIENCE)

    def _answers(self) -> bool:
        try:
            self.do("select")
        except psycopg.OperationalError:
            assert self._process.poll() is None, self._log.read_text(encoding="utf-8")
            return False
        return True


class EtcdCluster:
    """Three members on this machine; each can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        if not shutil.which("etcd"):
            raise RuntimeError("no etcd on this machine: 'make deps' installs it")
        self._folder = folder
        self._log = (folder / "etcd.log").open("ab")
        ports = free_ports(6)
        self.ports, self._peers = ports[:3], ports[3:]
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        for number in range(3):
            self.start(number)
        self.wait_until_well()

    def url(self, *ports: int) -> str:
        """Where the members are, or what stands before them."""
        return f"etcd://{','.join(f'127.0.0.1:{port}' for port in ports or self.ports)}/expgsql"

    def start(self, number: int) -> None:
        """Begin to start a member; one that was there before finds its data again."""
        client, peer = (f"http://127.0.0.1:{ports[number]}" for ports in (self.ports, self._peers))
        members = ",".join(f"m{other}=http://127.0.0.1:{port}" for other, port in enumerate(self._peers))
        options = {
            "name": f"m{number}",
            "data-dir": str(self._folder / f"m{number}"),
            "listen-client-urls": client,
            "advertise-client-urls": client,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": members,
            "initial-cluster-token": "expgsql-tests",
            "initial-cluster-state": "new",
        }
        self._processes[number] = subprocess.Popen(
            ["etcd", *(f"--{name}={value}" for name, value in options.items())],
            stdout=self._log,
            stderr=self._log,
            env={"PATH": "/usr/bin:/bin", "ETCD_UNSUPPORTED_ARCH": os.uname().machine},
        )

    def signal(self, number: int, what: signal.Signals) -> None:
        """Signal a member."""
        self._processes[number].send_signal(what)

    def kill(self, number: int) -> None:
        """Kill a member."""
        self._processes[number].kill()
        self._processes[number].wait(PATIENCE)

    def heal(self) -> None:
        """Start what was killed, wake what was stopped, and wait until all of it serves."""
        for number, process in self._processes.items():
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
            else:
                self.start(number)
        self.wait_until_well()

    def wait_until_well(self) -> None:
        """Wait until each member for itself answers with a majority behind it."""
        for port in self.ports:
            wait_until(lambda port=port: self._serves(port), f"the etcd member on port {port}")  # type: ignore[misc]

    def stop(self) -> None:
        """End all of it."""
        for process in self._processes.values():
            process.kill()
            process.wait(PATIENCE)
        self._log.close()

    def _serves(self, port: int) -> bool:
        member = EtcdAuthority(Endpoints((("127.0.0.1", port),), "/health"), "none", 5)
        return not isinstance(member.read(2), Unreachable)
