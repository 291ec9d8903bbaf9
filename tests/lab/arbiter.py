"""The arbiter of a lab: a machine outside the cluster whose service keeps the record.

Either a PostgreSQL server there, or three members of etcd, of which one runs there and two on the
cluster's own nodes. `conninfo` and passwords are in lock_service.py.
"""

from __future__ import annotations

import signal
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tests.lab import lock_service, processes
from tests.lab.configuration import Config
from tests.lab.databases import PASSFILE
from tests.lab.lock_service import ETCD_NODES, ETCD_PEER_PORT, ETCD_PORT, LOCKNAME
from tests.lab.machine import Machine
from tests.lab.node import EXPGSQL, PGDATA, POSTGRES, SERVER_LOG, Node
from tests.lab.places import ARBITER
from tests.lab.waiting import wait_until

from expgsql_ra.effects.authority import authority_of
from expgsql_ra.record import Reading, Unreachable
from expgsql_ra.world import Archive

OWNERS_PASSFILE = "/root/arbiter.pgpass"
SERVICE_SECONDS = 60.0
READ_SECONDS = 2.0
HISTORY = 1000


@dataclass(frozen=True)
class Arbiter(ABC):
    """The machine, and its service wherever that runs."""

    config: Config
    machine: Machine
    nodes: tuple[Node, ...]

    @property
    def conninfo(self) -> str:
        """How the nodes find it."""
        return lock_service.conninfo(self.config.arbiter, self.config.places)

    def create(self) -> None:
        """Install the service, create the record with the first node as primary; all machines are on."""
        self._install()
        self.start_service()
        self._init()

    def boot(self) -> None:
        """Switch the machine on; its service starts."""
        self.machine.power_on()
        self.start_service()

    def heal(self) -> None:
        """End whatever is wrong with the machine and the service."""
        if not self.machine.is_on:
            self.machine.power_on()
        self.machine.plug()
        self.thaw_service()
        self.start_service()

    def start_service(self) -> None:
        """Start what is not running of the service and wait until it answers."""
        self.start_on([machine for machine in self.machines if machine.is_on])
        wait_until(self.answers, within=SERVICE_SECONDS, what="the arbiter to answer", seen=lambda: str(self.record()))

    def stop_service(self) -> None:
        """Stop the service in order, wherever it runs."""
        self._signal(signal.SIGINT)
        self._wait_for_end()

    def kill_service(self) -> None:
        """Kill it."""
        self._signal(signal.SIGKILL)
        self._wait_for_end()

    def freeze_service(self) -> None:
        """Let it hang: connections are taken and nothing answers."""
        self._signal(signal.SIGSTOP)

    def thaw_service(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def answers(self) -> bool:
        """Whether anybody would get an answer."""
        return not isinstance(self.record(), Unreachable)

    def record(self) -> Reading:
        """Read the record from this machine, which no fault between the lab's machines touches."""
        return self._authority.read(READ_SECONDS)

    def history(self) -> tuple[Mapping[str, object], ...]:
        """Return what was recorded, the newest first."""
        past = self._authority.history(HISTORY, READ_SECONDS)
        return () if isinstance(past, Unreachable) else past.entries

    @property
    def _authority(self) -> Archive:
        passfile = self.config.places.base / "arbiter.pgpass"
        if not passfile.is_file():
            passfile.touch(mode=0o600)
            passfile.write_text(lock_service.passfile(lock_service.ROLE, lock_service.ROLE_PASSWORD))
        return authority_of(self.conninfo, LOCKNAME, 1, str(passfile))

    @property
    @abstractmethod
    def machines(self) -> tuple[Machine, ...]:
        """Where parts of the service run."""

    @property
    @abstractmethod
    def pattern(self) -> str:
        """What its processes look like on those machines."""

    @abstractmethod
    def start_on(self, machines: Iterable[Machine]) -> None:
        """Start the service's part on those machines where it does not run; an answer is not waited for."""

    @abstractmethod
    def _install(self) -> None:
        """Prepare the machines before the service starts for the first time."""

    def _init(self) -> None:
        """Do what docs/arbiter.md says, on the first node."""
        first = self.nodes[0]
        where = ("--conninfo", lock_service.conninfo(self.config.arbiter, self.config.places, lock_service.OWNER))
        line = lock_service.passfile(lock_service.OWNER, lock_service.OWNER_PASSWORD)
        first.write(OWNERS_PASSFILE, line, mode=0o600)
        how = ("--lockname", LOCKNAME, "--passfile", OWNERS_PASSFILE, "--primary", first.name)
        first.run((EXPGSQL, "arbiter", "init", *where, *how)).check()
        for node in self.nodes:
            secret = node.read(PASSFILE) + lock_service.passfile(lock_service.ROLE, lock_service.ROLE_PASSWORD)
            node.write(PASSFILE, secret, mode=0o600, owner="postgres")

    def _processes(self) -> list[int]:
        return [pid for machine in self.machines for pid in machine.processes(self.pattern)]

    def _signal(self, number: signal.Signals) -> None:
        processes.send(self._processes(), number)

    def _wait_for_end(self) -> None:
        wait_until(lambda: not self._processes(), within=SERVICE_SECONDS, what="the end of the arbiter's service")


class PostgresqlArbiter(Arbiter):
    """A server of its own, with fsync on and passwords."""

    @property
    def machines(self) -> tuple[Machine, ...]:
        """The machine beside the cluster."""
        return (self.machine,)

    @property
    def pattern(self) -> str:
        """The server's processes."""
        return POSTGRES

    def stop_service(self) -> None:
        """Stop the server in the way that does not wait for clients."""
        # Its children would take SIGINT for a cancelled query.
        self._control("stop", "--mode=fast")

    def start_on(self, machines: Iterable[Machine]) -> None:
        """Start the server."""
        if self.machine in machines and not self._processes():
            self._control("start", "--log", SERVER_LOG)

    def _install(self) -> None:
        initdb = (
            f"{self._bindir}/initdb",
            "--pgdata",
            PGDATA,
            "--auth=trust",
            "--locale=C.UTF-8",
            "--username=postgres",
        )
        self.machine.run(initdb, user="postgres").check()
        conf = f"{PGDATA}/postgresql.conf"
        self.machine.write(conf, self.machine.read(conf) + SETTINGS, mode=0o600, owner="postgres")
        hba = f"local all all trust\nhost {lock_service.DATABASE} all {self.config.places.subnet} scram-sha-256\n"
        self.machine.write(f"{PGDATA}/pg_hba.conf", hba, mode=0o600, owner="postgres")
        single = (f"{self._bindir}/postgres", "--single", "-D", PGDATA, "postgres")
        self.machine.run(single, user="postgres", stdin=ROLES).check()

    def _init(self) -> None:
        super()._init()
        psql = (f"{self._bindir}/psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-U", lock_service.OWNER)
        self.machine.run((*psql, "-d", lock_service.DATABASE), user="postgres", stdin=GRANTS).check()

    @property
    def _bindir(self) -> str:
        return self.nodes[0].bindir

    def _control(self, *words: str) -> None:
        control = (f"{self._bindir}/pg_ctl", *words, "--pgdata", PGDATA, "--wait", "--silent")
        self.machine.run(control, user="postgres").check()


class EtcdArbiter(Arbiter):
    """Three members, of which two can fail with the cluster's nodes."""

    @property
    def machines(self) -> tuple[Machine, ...]:
        """Two nodes of the cluster, and the machine beside it."""
        return (*self.nodes[:ETCD_NODES], self.machine)

    @property
    def pattern(self) -> str:
        """The member's process."""
        return r"^etcd "

    def start_on(self, machines: Iterable[Machine]) -> None:
        """Start the members there."""
        for machine in machines:
            if machine in self.machines and not machine.processes(self.pattern):
                machine.start(("etcd", *self._options(machine)), log="/var/log/etcd.log")

    def _install(self) -> None:
        """A member makes its own directory."""

    def _options(self, machine: Machine) -> Sequence[str]:
        client, peer = (f"http://{machine.address}:{port}" for port in (ETCD_PORT, ETCD_PEER_PORT))
        members = ",".join(f"{each.name}=http://{each.address}:{ETCD_PEER_PORT}" for each in self.machines)
        options = {
            "name": machine.name,
            "data-dir": "/var/lib/etcd-of-the-lab",
            "listen-client-urls": client,
            "advertise-client-urls": client,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": members,
            "initial-cluster-token": "expgsql-lab",
            "initial-cluster-state": "new",
        }
        return [f"--{name}={value}" for name, value in options.items()]


def arbiter_of(config: Config, nodes: Sequence[Node]) -> Arbiter | None:
    """Return the arbiter of a cluster, if it has one."""
    if not config.arbiter:
        return None
    kind = {"postgresql": PostgresqlArbiter, "etcd": EtcdArbiter}[config.arbiter]
    machine = Machine(ARBITER, config.places.arbiter_ip, config.places, nodes[0].layer)
    return kind(config, machine, tuple(nodes))


SETTINGS = """\
listen_addresses = '*'
fsync = on
shared_buffers = '16MB'
log_line_prefix = '%m [%p] '
"""

# One statement a line: this is how a server reads them without a client.
ROLES = f"""\
create role {lock_service.OWNER} login password '{lock_service.OWNER_PASSWORD}'
create role {lock_service.ROLE} login password '{lock_service.ROLE_PASSWORD}'
create database {lock_service.DATABASE} owner {lock_service.OWNER}
"""

# As docs/arbiter.md has it.
GRANTS = f"""\
grant connect on database {lock_service.DATABASE} to {lock_service.ROLE};
grant usage on schema public to {lock_service.ROLE};
grant select, update on distlock to {lock_service.ROLE};
grant select on distlock_history to {lock_service.ROLE};
"""
