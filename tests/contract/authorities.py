# SPDX-License-Identifier: GPL-2.0-or-later
"""What the contract of an authority is about: clients of one record, and ways for calls to go wrong."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from typing import Protocol

from tests.contract.authority_servers import EtcdCluster, PostgresServer, wait_until
from tests.contract.proxy import proxy_to
from tests.fake_authority import FakeAuthority, FakeKeeper

from expgsql_ra.effects.authority import authority_of
from expgsql_ra.record import NO_LEASE, Found, Proposal, Unreachable
from expgsql_ra.world import Archive

LOCKNAME = "pgsql cls'1"
TTL = 30
SHORT = 2
"""The shortest lease that etcd grants with its usual heartbeat."""
WITHIN = 10.0
IMPATIENT = 1.5

LateWrite = Callable[[], None]


class Authorities(Protocol):
    """One authority, in memory or not."""

    leases: bool
    """Whether it grants any, and keeps the whole history."""

    def client(self, ttl: int = TTL, lockname: str = LOCKNAME) -> Archive:
        """Somebody who talks to it."""

    def until_the_lease_is_over(self) -> None:
        """Let the time pass by the authority's clock."""

    def write_held_up(self, proposal: Proposal) -> contextlib.AbstractContextManager[LateWrite]:
        """Send a write that arrives only when the function is called; its sender has given up before."""

    def write_whose_reply_is_lost(self, proposal: Proposal) -> object:
        """Send a write that is applied; what its sender is told."""

    def out_of_reach(self) -> contextlib.AbstractContextManager[None]:
        """Nobody answers for the time of a block."""


class InMemory:
    """The fake one."""

    leases = True

    def __init__(self) -> None:
        self.keeper = FakeKeeper()

    def client(self, ttl: int = TTL, lockname: str = LOCKNAME) -> Archive:
        """A client of it."""
        return FakeAuthority(self.keeper, lockname, ttl)

    def until_the_lease_is_over(self) -> None:
        """At once."""
        self.keeper.clock.pause(3600)

    @contextlib.contextmanager
    def write_held_up(self, proposal: Proposal) -> Iterator[LateWrite]:
        """A write for later."""
        sender = FakeAuthority(self.keeper, LOCKNAME, TTL)
        sender.delay_writes = True
        assert isinstance(sender.write(proposal, IMPATIENT), Unreachable)
        yield sender.deliver

    def write_whose_reply_is_lost(self, proposal: Proposal) -> object:
        """A write that is applied."""
        sender = FakeAuthority(self.keeper, LOCKNAME, TTL)
        sender.lose_replies = True
        return sender.write(proposal, IMPATIENT)

    @contextlib.contextmanager
    def out_of_reach(self) -> Iterator[None]:
        """Down."""
        self.keeper.down = True
        yield
        self.keeper.down = False


class Remote:
    """What is common to real ones: their clients, the wait for a lease, and lines that fail."""

    leases = True
    WRITES: bytes

    def where(self, port: int | None = None) -> str:
        """The connection string, possibly through something else."""
        raise NotImplementedError

    @property
    def port(self) -> int:
        """Where one server listens."""
        raise NotImplementedError

    def client(self, ttl: int = TTL, lockname: str = LOCKNAME) -> Archive:
        """A client of it."""
        return authority_of(self.where(), lockname, ttl)

    def until_the_lease_is_over(self) -> None:
        """Ask until it is."""

        def is_over() -> bool:
            found = self.client().read(WITHIN)
            assert isinstance(found, Found)
            return found.record.lease == NO_LEASE

        wait_until(is_over, "the end of the lease")

    @contextlib.contextmanager
    def write_held_up(self, proposal: Proposal) -> Iterator[LateWrite]:
        """Through a line that keeps it."""
        with proxy_to(self.port) as proxy:
            proxy.hold_from = self.WRITES
            answer = authority_of(self.where(proxy.port), LOCKNAME, TTL).write(proposal, IMPATIENT)
            assert isinstance(answer, Unreachable)
            yield proxy.held.deliver

    def write_whose_reply_is_lost(self, proposal: Proposal) -> object:
        """Through a line that swallows it."""
        with proxy_to(self.port) as proxy:
            proxy.mute_from = self.WRITES
            answer = authority_of(self.where(proxy.port), LOCKNAME, TTL).write(proposal, IMPATIENT)
            (line,) = (each for each in proxy.lines if each.muted)
            assert line.replied.wait(WITHIN)
            return answer


class OnPostgres(Remote):
    """A PostgreSQL server."""

    WRITES = b"update distlock d set system"

    def __init__(self, server: PostgresServer) -> None:
        self.server = server
        self.database = server.database()

    def where(self, port: int | None = None) -> str:
        """As libpq wants it."""
        return self.server.conninfo(self.database, port)

    @property
    def port(self) -> int:
        """The server's."""
        return self.server.port

    @contextlib.contextmanager
    def out_of_reach(self) -> Iterator[None]:
        """Connections are taken by the kernel and never answered."""
        self.server.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.server.signal(signal.SIGCONT)


class OnEtcd(Remote):
    """Three members of etcd."""

    WRITES = b"/v3/kv/txn"

    def __init__(self, cluster: EtcdCluster, prefix: str) -> None:
        self.cluster = cluster
        self.prefix = prefix

    def where(self, port: int | None = None) -> str:
        """All three, or one place alone."""
        return f"{self.cluster.url(*([port] if port else []))}/{self.prefix}"

    @property
    def port(self) -> int:
        """The first member's."""
        return self.cluster.ports[0]

    @contextlib.contextmanager
    def out_of_reach(self) -> Iterator[None]:
        """All members are stopped."""
        for number in range(3):
            self.cluster.signal(number, signal.SIGSTOP)
        try:
            yield
        finally:
            self.cluster.heal()
