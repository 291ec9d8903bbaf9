"""What users of the arbiter have to know: where it is, its lock's name, roles and passwords."""

from __future__ import annotations

from tests.lab.places import Places

KINDS = ("postgresql", "etcd")
LOCKNAME = "pgsql_lab"
DATABASE = "ha"
# The owner of the tables, and the role of the nodes, which may change the record and nothing else.
OWNER, OWNER_PASSWORD = "dba", "owner-of-the-lab"
ROLE, ROLE_PASSWORD = "expgsql", "arbiter-of-the-lab"
ETCD_PORT, ETCD_PEER_PORT = 2379, 2380
# Of three members of etcd this many run on the cluster's own nodes, the third beside them.
ETCD_NODES = 2


def conninfo(kind: str, places: Places, role: str = ROLE) -> str:
    """Return distlock_conninfo."""
    if kind == "etcd":
        members = [f"{address}:{ETCD_PORT}" for address in etcd_addresses(places)]
        return f"etcd://{','.join(members)}/expgsql"
    return f"host={places.arbiter_ip} dbname={DATABASE} user={role}"


def etcd_addresses(places: Places) -> list[str]:
    """Return where the members of etcd are."""
    return [*(places.node_ip(number) for number in range(1, ETCD_NODES + 1)), places.arbiter_ip]


def passfile(role: str, password: str) -> str:
    """Render a line of .pgpass."""
    return f"*:*:{DATABASE}:{role}:{password}\n"


def parameters(kind: str, places: Places, lease: int, passfile: str) -> dict[str, str]:
    """Return the resource's parameters that a user adds for an arbiter."""
    return {
        "enable_distlock": "true",
        "distlock_conninfo": conninfo(kind, places),
        "distlock_lockname": LOCKNAME,
        "distlock_ttl": str(lease),
        "passfile": passfile,
    }
