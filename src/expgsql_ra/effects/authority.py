# SPDX-License-Identifier: GPL-2.0-or-later
"""Which authority keeps the record: as the parameters say it for the agent, or a connection string for a command.

Each is imported where it is chosen: a monitor without an arbiter pays for no client of one.
"""

from __future__ import annotations

import os

from expgsql_ra.errors import BadArguments
from expgsql_ra.parameters import Parameters
from expgsql_ra.world import Archive, Authority

CLUSTER = "cluster:"


def chosen_authority(parameters: Parameters, resource: str, node: str) -> Authority:
    """The authority of a resource, as this node reaches it; `BadArguments` for one that is not named."""
    given = parameters
    witnesses = given.distlock_lockservice_deadcheck_nodelist
    if not given.enable_distlock:
        return cluster_authority(resource, node)
    if given.distlock_conninfo:
        place = (given.distlock_conninfo, given.distlock_lockname, given.distlock_ttl, given.passfile)
        direct = authority_of(*place)
        if not witnesses:
            return direct
        from expgsql_ra.effects.relay import Place, RelayedAuthority  # noqa: PLC0415 - see above

        return RelayedAuthority(direct, Place(*place), witnesses, node)
    if given.distlock_lock_cmd:
        from expgsql_ra.effects.lock_command import LockCommands, LockedAuthority  # noqa: PLC0415 - see above
        from expgsql_ra.effects.relay import asking_through  # noqa: PLC0415 - see above

        commands = LockCommands(given.distlock_lock_cmd, given.distlock_unlock_cmd, given.distlock_ttl)
        return LockedAuthority(cluster_authority(resource, node), commands, node, asking_through(witnesses, node))
    raise BadArguments("enable_distlock=true needs distlock_conninfo or distlock_lock_cmd")


def cluster_authority(resource: str, node: str) -> Archive:
    """The cluster itself."""
    from expgsql_ra.effects.cluster_record import ClusterRecord  # noqa: PLC0415 - see above

    return ClusterRecord(resource, node)


def authority_of(conninfo: str, lockname: str, ttl: int, passfile: str = "") -> Archive:
    """The authority that keeps the record ``lockname``; nothing is connected yet.

    ``conninfo`` is etcd's (``etcd://host:port,.../prefix``), ``cluster:`` for the cluster that this node is in
    (``lockname`` is the resource then) or, otherwise, PostgreSQL's. ``ttl`` is the term of its leases in seconds.
    `BadArguments` for an address that is none; PostgreSQL's are read when asked.
    """
    if conninfo.startswith(CLUSTER):
        if conninfo != CLUSTER:
            raise BadArguments(f"{conninfo}: 'cluster:' stands by itself, the resource is the lock's name")
        return cluster_authority(lockname, os.uname().nodename)
    if conninfo.startswith(("etcd:", "etcds:")):
        from expgsql_ra.effects.etcd import EtcdAuthority  # noqa: PLC0415 - see above
        from expgsql_ra.effects.etcd_gateway import endpoints  # noqa: PLC0415 - see above

        return EtcdAuthority(endpoints(conninfo), lockname, ttl)
    from expgsql_ra.effects.arbiter import PostgresArbiter  # noqa: PLC0415 - see above

    return PostgresArbiter(conninfo, lockname, ttl, passfile)
