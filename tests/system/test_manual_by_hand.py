"""docs/by-hand.md followed on three machines that have only Debian 12: PostgreSQL's, Pacemaker's and pcs' own tools.

The tests build on each other in their order, as the page does.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.lab.bare import BareMachine, bare_machines
from tests.lab.membership import in_parallel
from tests.system.manual import EVERYWHERE, INSTALL, REPOSITORY, SERVER, Site, User, texts
from tests.system.shared import LAB, SharedCluster

pytestmark = [pytest.mark.lab, pytest.mark.timeout(1500)]

PAGE = "docs/by-hand.md"
NODES = ("node1", "node2", "node3")
SYSTEM, CONFIGURATION, RULES, ROLE, PASSFILE, COPY, CLUSTER, READER, FENCING = texts(PAGE, "Three nodes")
_, ARBITERS_PASSFILE, PAIR = texts(PAGE, "Two nodes and an arbiter")
MOVE, CLEAR = texts(PAGE, "Switch over")[0].splitlines()
_, REWIND, RENEW, CLEANUP = texts(PAGE, "Repair")
STOP = "pg_ctlcluster 15 main stop -m fast"
A_CLUSTER = ("pcs host auth node1 node2 node3", "pcs cluster setup ha node1 node2 node3 --start --wait")
"""What the page takes for granted."""


class Reader:
    """Types what the page says, with the addresses of these machines."""

    def __init__(self, user: User) -> None:
        self.user = user
        places = user.machines["node1"].places
        self._replaced = {
            "192.0.2.0/24": str(places.subnet),
            "192.0.2.10": str(places.writer_ip),
            "192.0.2.11": str(places.reader_ip),
        }

    def type(self, text: str, where: str, **named: str) -> str:
        """Type it; `named` are the nodes that stand for those of the page."""
        for old, new in {**self._replaced, **named}.items():
            text = text.replace(old, new)
        return self.user.type(text, where)

    def add(self, text: str, file: str, where: str) -> None:
        """Add lines to a file."""
        self.type(f"cat >> {file} <<'END'\n{text}\nEND", where)

    def prepare(self, machine: BareMachine) -> None:
        """Install, and write what is in PostgreSQL's files on every node."""
        node = machine.name
        for line in [*INSTALL, *EVERYWHERE]:
            self.type(line.command, node)
        self.type(SYSTEM, node)
        self.add(CONFIGURATION, "/etc/postgresql/15/main/postgresql.conf", node)
        self.add(RULES, "/etc/postgresql/15/main/pg_hba.conf", node)
        self.type(PASSFILE, node)


@pytest.fixture(scope="module")
def reader(shared: SharedCluster) -> Iterator[Reader]:
    """Whoever follows the page to its end."""
    shared.discard()  # two labs of one worker would starve each other
    with bare_machines(f"{LAB}man", "bookworm", SERVER, *NODES) as machines:
        reader = Reader(User({one.name: one for one in machines}))
        in_parallel(reader.prepare, machines)
        for command in A_CLUSTER:
            reader.type(command, "node1")
        reader.type(ROLE, "node1")
        in_parallel(lambda machine: reader.type(COPY, machine.name), machines[1:])
        reader.type(STOP, "node1")
        for text in (CLUSTER, READER, FENCING):
            reader.type(text, "node1")
        yield reader


@pytest.fixture
def site(reader: Reader) -> Site:
    """The cluster that the page makes."""
    return Site(reader.user, "15")


def primary_of(site: Site) -> str:
    """The primary, when nothing is missing."""
    site.wait_for(lambda: site.shown("node1")["healthy"], what="health")
    return str(site.shown("node1")["primary"])


def has_address(site: Site, node: str, address: str) -> bool:
    """Whether a node has an address."""
    return f" {address}/" in site.user.machines[node].run("ip -o address").stdout


def diverged(site: Site) -> tuple[str, str]:
    """A former primary that its agent refuses to start, and the one after it."""
    old = primary_of(site)
    other = next(node for node in NODES if node != old)
    site.user.type("ip link set eth0 down", old)
    site.say_alone(old, "heard by nobody")
    site.wait_for(lambda: site.shown(other)["primary"] not in {"", old}, what="another primary")
    primary = str(site.shown(other)["primary"])
    site.write(primary, f"written by {primary}")
    site.user.type("ip link set eth0 up", old)
    site.wait_for(lambda: f"-> expgsql repair {old}" in site.told(other), what=f"{old} to be refused")
    return old, primary


def test_the_page_stops_the_server_in_its_text() -> None:
    assert f"`{STOP}`" in (REPOSITORY / PAGE).read_text(encoding="utf-8")


def test_the_page_makes_a_healthy_cluster_with_both_addresses(reader: Reader, site: Site) -> None:
    primary = primary_of(site)
    site.write(primary, "written first")
    places = reader.user.machines["node1"].places
    synchronous = site.successor("node1")
    site.wait_for(lambda: has_address(site, primary, places.writer_ip), what="the address for writers")
    site.wait_for(lambda: has_address(site, synchronous, places.reader_ip), what="the address for readers")


def test_what_a_pair_has_more_is_taken_by_pcs(reader: Reader) -> None:
    """In a file: the pair itself is `test_manual_pair.py`'s."""
    create = CLUSTER.partition("ocf:heartbeat:expgsql \\\n")[2].partition("\\\n    rep_mode=")[0].strip()
    reader.type(ARBITERS_PASSFILE, "node3")
    reader.type("cibadmin --empty > pgsql.xml", "node3")
    reader.type(PAIR.replace("...", create), "node3")
    made = reader.user.machines["node3"].read("/root/expgsql/pgsql.xml")
    for value in ("rep_mode", "distlock_conninfo", "no-quorum-policy"):
        assert f'name="{value}"' in made


def test_the_primary_is_moved_by_a_constraint_that_is_taken_back(reader: Reader, site: Site) -> None:
    primary_of(site)
    heir = site.successor("node1")
    reader.type(MOVE, "node1", node2=heir)
    address = reader.user.machines["node1"].places.writer_ip
    site.wait_for(lambda: has_address(site, heir, address), what=f"{heir} to have the address")
    reader.type(CLEAR, "node1")
    site.wait_healthy("node1", primary=heir)
    assert site.failures("node1") == site.failures(heir) == 0


def test_diverged_data_is_rewound_by_hand(reader: Reader, site: Site) -> None:
    old, primary = diverged(site)
    reader.type(REWIND, old)
    reader.type(CLEANUP, primary, node1=old)
    site.wait_healthy("node1", primary=primary)
    assert site.reads(old) == ["written first", f"written by {primary}"]


def test_diverged_data_is_made_anew_by_hand(reader: Reader, site: Site) -> None:
    before = site.reads(primary_of(site))
    old, primary = diverged(site)
    reader.type(RENEW, old)
    reader.type(CLEANUP, primary, node1=old)
    site.wait_healthy("node1", primary=primary)
    assert site.reads(old) == [*before, f"written by {primary}"]
