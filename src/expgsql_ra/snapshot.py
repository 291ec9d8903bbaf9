# SPDX-License-Identifier: GPL-2.0-or-later
"""The facts that decisions are made of: what was seen, frozen, with "cannot tell" as a value.

Nothing here looks at the world; `observe` fills these in and `rules` read them.
"""

from __future__ import annotations

from typing import NamedTuple

from expgsql_ra.record import Found, Missing, Reading, Record, Unreachable
from expgsql_ra.values import NO_FORK, Ancestry, Attestation, Fork, Lsn, ReplInfo, same_node

# --- the server on this node ------------------------------------------------------------------


class Stopped(NamedTuple):
    """Proven: no process of this data directory is left."""


class Orphans(NamedTuple):
    """No postmaster, but processes of its data directory still run (and may still write)."""

    pids: tuple[int, ...]


class Starting(NamedTuple):
    """A postmaster lives and turns connections away: it starts up, recovers or shuts down."""

    pid: int


class Stalled(NamedTuple):
    """A postmaster lives and did not answer a new connection within the bound."""

    pid: int
    standby: bool
    why: str


class Refusing(NamedTuple):
    """A postmaster lives and answers others, but not us: no connection slot, a password, a database."""

    pid: int
    standby: bool
    why: str


class Sender(NamedTuple):
    """One row of ``pg_stat_replication``, of a physical walsender."""

    name: str
    state: str
    sync_state: str
    sync_priority: int
    flushed: Lsn | None


class Primary(NamedTuple):
    """A server that is not in recovery."""

    pid: int
    version: int
    timeline: int
    flushed: Lsn
    names: str
    senders: tuple[Sender, ...]
    slots: tuple[str, ...]


class Standby(NamedTuple):
    """A server in recovery."""

    pid: int
    version: int
    receiver: str | None
    received: Lsn | None
    replayed: Lsn | None
    names: str
    slots: tuple[str, ...] = ()
    receives: int | None = None
    """The timeline that arrives from the primary."""

    @property
    def end(self) -> Lsn | None:
        """The end of what it holds: after a start, receive alone tells the begin of a segment."""
        return max((lsn for lsn in (self.received, self.replayed) if lsn is not None), default=None)

    @property
    def streams(self) -> bool:
        """Whether WAL arrives from a primary now."""
        return self.receiver == "streaming"


class Unknown(NamedTuple):
    """It could not be found out."""

    why: str


Running = Primary | Standby
Server = Stopped | Orphans | Starting | Stalled | Refusing | Primary | Standby | Unknown


class ControlData(NamedTuple):
    """What ``pg_controldata`` says of a stopped server's data directory."""

    system: str
    state: str
    checkpoint: Lsn
    checkpoint_timeline: int
    recovered_timeline: int
    recovered: Lsn
    """Up to where a standby has replayed at least; 0/0 where that is nobody's question."""

    @property
    def timeline(self) -> int:
        """The highest timeline this directory is known to have reached."""
        return max(self.checkpoint_timeline, self.recovered_timeline)

    @property
    def was_primary(self) -> bool:
        """Whether the last server here accepted writes."""
        return self.state in {"in production", "shutting down", "shut down"}

    @property
    def clean_primary(self) -> bool:
        """Whether it was a primary that was shut down in order: its last record is the checkpoint."""
        return self.state == "shut down"


class LocalWal(NamedTuple):
    """Which history this node's data directory holds, and how far."""

    system: str
    timeline: int
    forks: tuple[Fork, ...]
    last_record: Lsn | None
    """Where the last record begins, when a clean shutdown says so."""
    end: Lsn | None
    """Where the last complete record ends, when the server itself has said so."""
    reached: Lsn | None = None
    """A position that the WAL here is known to reach, when only the files have been asked."""


# --- the cluster ------------------------------------------------------------------------------


class Member(NamedTuple):
    """One node, with the attributes that are ours."""

    name: str
    id: str
    online: bool
    status: str | None
    data_status: str | None
    score: str | None
    wal: Lsn | None
    timeline: int | None
    receiver: str | None
    follows: Attestation | None = None
    """What its server has last shown to lie on and to receive."""


class ClusterView(NamedTuple):
    """One reading of the cluster's configuration and status."""

    me: str
    quorate: bool
    ignores_quorum: bool
    members: tuple[Member, ...]
    repl_info: ReplInfo | None
    ancestry: Ancestry | None
    promoted: tuple[str, ...] = ()
    """The nodes whose instance is promoted, as Pacemaker knows; read only where a promotion depends on it."""
    nodes: tuple[str, ...] = ()
    """The names of all nodes of the cluster, also of those that replication is not for."""
    record: Record | Unknown | None = None
    """What the cluster's own property says of the record, wherever the record is kept."""
    switchover: bool = False
    """Whether a planned switchover is being asked for just now (``expgsql switchover``)."""

    def member(self, name: str) -> Member | None:
        """The node of that name, in whatever case it is spelled."""
        return next((one for one in self.members if same_node(one.name, name)), None)

    @property
    def myself(self) -> Member | None:
        """This node's own entry."""
        return self.member(self.me)

    @property
    def i_am_recorded(self) -> bool:
        """Whether this node is the recorded primary."""
        return self.repl_info is not None and same_node(self.repl_info.node, self.me)

    @property
    def history(self) -> Ancestry | None:
        """The primary's history; None while none is recorded or the last promotion is not complete.

        A promotion first records where it expects to fork, then where it did.
        """
        if self.ancestry is None or self.repl_info is None:
            return None
        recorded = Fork(self.repl_info.timeline, self.repl_info.end)
        return self.ancestry if (self.ancestry.parent or NO_FORK) == recorded else None

    @property
    def may_decide(self) -> bool:
        """Whether what is written here counts: in a partition with quorum, or where nobody wants one."""
        return self.quorate or self.ignores_quorum

    @property
    def recorded(self) -> Reading:
        """The record, where the cluster is the authority that keeps it."""
        if not self.may_decide:
            return Unreachable("no quorum: a record of the cluster counts only in a partition that has it")
        match self.record:
            case None:
                return Missing(
                    "the cluster keeps no record: run expgsql arbiter init --conninfo cluster: "
                    "--lockname RESOURCE --primary NODE"
                )
            case Unknown(why):
                return Unreachable(why)
            case record:
                return Found(record)

    @property
    def promise_suspended(self) -> bool:
        """Whether a record of the cluster promises nothing: each part of a divided cluster goes on by itself."""
        return self.ignores_quorum


class NoCluster(NamedTuple):
    """The agent was run by hand or by ``ocf-tester``: there is no cluster to ask."""


Cluster = ClusterView | NoCluster | Unknown
