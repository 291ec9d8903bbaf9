"""Ways to an arbiter on real machines: directly, through another node by ssh, and the operator's word without any."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.lab import faults
from tests.lab.cluster import Cluster
from tests.lab.configuration import Config
from tests.lab.node import Node
from tests.system.shared import SharedCluster

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

WITHIN = 12.0
FOLDER = "/tmp/arbiter"  # on the node's own disk, which goes with it
NAME = "cls1"
ASK = """
import json, sys, time
from expgsql_ra.effects.authority import chosen_authority
from expgsql_ra.effects.relay import reply
from expgsql_ra.parameters import Parameters
from expgsql_ra.record import Found, rewritten
conninfo, within = sys.argv[1], float(sys.argv[2])
authority = chosen_authority(Parameters(enable_distlock=True, distlock_conninfo=conninfo, distlock_lockname="cls1",
    distlock_lockservice_deadcheck_nodelist=("NODE1", "node2")), "pgsql", "node1")
answers = []
def asked(act, *what):
    begun = time.monotonic()
    answer = act(*what, within)
    answers.append({**reply(answer), "seconds": time.monotonic() - begun})
    return answer
found = asked(authority.read)
if isinstance(found, Found):
    record = found.record
    asked(authority.write, rewritten(record, record.successors, writer="node1", reason="tried", system="77"))
    asked(authority.renew, record._replace(system="77"))
    asked(authority.release, record._replace(system="77"))
print(json.dumps(answers))
"""


class Site:
    """Two nodes of a database, and a third machine with an arbiter."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.one, self.two, self.arbiter = cluster.nodes
        self.conninfo = f"host={self.arbiter.address} user=postgres dbname=postgres password=hush"

    def prepare(self) -> None:
        """Let node 1 log in to node 2, and start the arbiter."""
        self.one.run("ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_ed25519").check()
        key = self.one.run("cat /root/.ssh/id_ed25519.pub").check().stdout
        self.two.run("cat >> /etc/ssh/lab_authorized_keys", stdin=key).check()
        self.one.run("ssh-keyscan node2 >> /root/.ssh/known_hosts").check()
        setting_up = f"mkdir -p {FOLDER} && cd {FOLDER} && {self.arbiter.bindir}/initdb -D data -A trust"
        self.arbiter.run(setting_up, user="postgres").check()
        self.arbiter.run(f"echo 'host all all 0.0.0.0/0 trust' >> {FOLDER}/data/pg_hba.conf").check()
        self.start_arbiter()
        self.expgsql(self.one, "init", "--primary", "node1", "--system", "77", "--directory", "d1").check()

    def start_arbiter(self) -> None:
        """Start its server."""
        self._arbiter(f"-l {FOLDER}/log -w -o \"-h '*' -k {FOLDER}\" start")

    def stop_arbiter(self) -> None:
        """Stop its server."""
        self._arbiter("-m fast stop")

    def _arbiter(self, words: str) -> None:
        self.arbiter.run(f"{self.arbiter.bindir}/pg_ctl -D {FOLDER}/data {words}", user="postgres").check()

    def expgsql(self, node: Node, command: str, *words: str) -> Any:
        """``expgsql arbiter`` there."""
        where = ("--conninfo", self.conninfo, "--lockname", NAME)
        return node.run(["/opt/expgsql/bin/expgsql", "arbiter", command, *where, *words])

    def asked(self) -> list[dict[str, Any]]:
        """What node 1 is told when it reads, writes, renews and releases."""
        command = ["/opt/expgsql/bin/python3", "-I", "-c", ASK, self.conninfo, str(WITHIN)]
        found: list[dict[str, Any]] = json.loads(self.one.run(command).check().stdout)
        return found


@pytest.fixture(scope="module")
def site(shared: SharedCluster) -> Iterator[Site]:
    """Built once; no resource runs on it."""
    shared.discard()  # two labs of one worker would starve each other
    cluster = Cluster.build(Config(lab="ways", agent="expgsql"), configured=False)
    try:
        built = Site(cluster)
        built.prepare()
        yield built
    finally:
        cluster.down()


def names(answers: list[dict[str, Any]]) -> list[str]:
    """What kind of answers these are."""
    return [answer["answer"] for answer in answers]


def test_who_reaches_the_arbiter_asks_it(site: Site) -> None:
    assert names(site.asked()) == ["Found", "Accepted", "Accepted", "Accepted"]


def test_who_does_not_asks_through_another_node(site: Site) -> None:
    with faults.cut_link(site.one, site.arbiter):
        answers = site.asked()
    assert names(answers) == ["Found", "Accepted", "Accepted", "Accepted"], answers
    assert answers[1]["record"]["revision"] == answers[0]["record"]["revision"] + 1
    assert answers[2]["record"]["holder"] == "node1"
    assert all(answer["seconds"] < WITHIN for answer in answers)


def test_where_no_way_leads_there_nothing_is_granted(site: Site) -> None:
    with faults.isolated(site.one, site.cluster):
        answers = site.asked()
    assert names(answers) == ["Unreachable"]
    assert answers[0]["seconds"] < WITHIN + 1


def test_a_password_is_in_no_argument(site: Site) -> None:
    watch = (
        "for i in $(seq 400); do cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | grep -c 'rela[y].*hus[h]'; done"
    )
    with faults.cut_link(site.one, site.arbiter):
        site.two.run(f"({watch}) > /tmp/seen 2>&1 &").check()
        assert names(site.asked())[0] == "Found"
    assert set(site.two.run("cat /tmp/seen").check().stdout.split()) <= {"0"}


# --- the operator's word ----------------------------------------------------------------------

OVERRIDE = "/opt/expgsql/bin/expgsql arbiter override"
SEEN = """
from expgsql_ra.effects.durable import SeenFile
from expgsql_ra.record import Successor, first_record
SeenFile("pgsql@cls1").saw(first_record("77", Successor("node1", "d"), (3, 17), "", ""))
"""


@pytest.fixture
def resource(site: Site) -> Iterator[None]:
    """A resource that Pacemaker leaves alone."""
    site.cluster.wait_for(site.cluster.is_complete, within=60, what="all nodes to be members again")
    given = {
        "pgctl": f"{site.one.bindir}/pg_ctl",
        "psql": f"{site.one.bindir}/psql",
        "pgdata": "/var/lib/pgsql/data",
        "rep_mode": "sync",
        "master_ip": "192.0.2.1",
        "enable_distlock": "true",
        "distlock_conninfo": site.conninfo,
        "distlock_lockname": NAME,
    }
    pairs = "".join(f'<nvpair id="i-{name}" name="{name}" value="{value}"/>' for name, value in given.items())
    document = (
        '<primitive id="pgsql" class="ocf" provider="heartbeat" type="expgsql"><meta_attributes id="m">'
        '<nvpair id="m-1" name="is-managed" value="false"/></meta_attributes>'
        f'<instance_attributes id="i">{pairs}</instance_attributes></primitive>'
    )
    site.one.run(["cibadmin", "--create", "--scope", "resources", "--xml-text", document]).check()
    yield
    site.one.run("cibadmin --delete --xml-text '<primitive id=\"pgsql\"/>'").check()


@pytest.mark.usefixtures("resource")
def test_an_override_is_given_when_nobody_answers_and_somebody_says_so(site: Site) -> None:
    site.one.run(["/opt/expgsql/bin/python3", "-I", "-c", SEEN]).check()
    refused = site.one.run(f"{OVERRIDE} --yes")
    assert (refused.rc, "the arbiter answers" in refused.stderr) == (10, True)
    site.stop_arbiter()
    try:
        stranger = site.two.run(f"{OVERRIDE} --yes")
        assert (stranger.rc, "never seen" in stranger.stderr) == (10, True)
        declined = site.one.run(f"echo n | {OVERRIDE}")
        assert (declined.rc, "COMMITS MAY BE LOST" in declined.stdout) == (1, True)
        tried = site.one.run(f"{OVERRIDE} --dry-run").check()
        assert "COMMITS MAY BE LOST" in tried.stdout
        assert json.loads(site.one.run(f"{OVERRIDE} --show").check().stdout) == []
        given = site.one.run(f"{OVERRIDE} --yes --reason gone").check()
        assert "OVERRIDE" in given.stdout
        shown = site.two.run("/opt/expgsql/bin/expgsql status").stdout
        assert "node1 may be promoted once, by an operator's override of the arbiter" in shown
    finally:
        site.start_arbiter()
    (entry,) = json.loads(site.one.run(f"{OVERRIDE} --show").check().stdout)
    assert (entry["epoch"], entry["revision"], entry["node"], entry["used"]) == (3, 17, "node1", False)
    assert site.one.run(f"{OVERRIDE} --withdraw").rc == 0
    assert site.one.run(f"{OVERRIDE} --withdraw").rc == 10


@pytest.mark.usefixtures("resource")
def test_an_override_is_refused_beside_a_server_that_takes_writes(site: Site) -> None:
    site.one.run(["/opt/expgsql/bin/python3", "-I", "-c", SEEN]).check()
    site.stop_arbiter()
    try:
        site.two.run(f"{site.two.bindir}/pg_ctl -D /var/lib/pgsql/data -w start -l /tmp/log", user="postgres").check()
        refused = site.one.run(f"{OVERRIDE} --yes")
        assert (refused.rc, "takes writes at node2" in refused.stderr) == (10, True)
    finally:
        site.two.run(f"{site.two.bindir}/pg_ctl -D /var/lib/pgsql/data -m fast stop", user="postgres")
        site.start_arbiter()
