# SPDX-License-Identifier: GPL-2.0-or-later
"""Which authority a connection string means."""

from __future__ import annotations

from expgsql_ra.world import Archive


def authority_of(conninfo: str, lockname: str, ttl: int, passfile: str = "") -> Archive:
    """The authority that keeps the record ``lockname``; nothing is connected yet.

    ``conninfo`` is etcd's (``etcd://host:port,.../prefix``) or, otherwise, PostgreSQL's. ``ttl`` is the term of
    its leases in seconds. `BadArguments` for an etcd address that is none; PostgreSQL's are read when asked.
    """
    if conninfo.startswith(("etcd:", "etcds:")):
        from expgsql_ra.effects.etcd import EtcdAuthority  # noqa: PLC0415 - each brings a client of its own
        from expgsql_ra.effects.etcd_gateway import endpoints  # noqa: PLC0415

        return EtcdAuthority(endpoints(conninfo), lockname, ttl)
    from expgsql_ra.effects.arbiter import PostgresArbiter  # noqa: PLC0415

    return PostgresArbiter(conninfo, lockname, ttl, passfile)
