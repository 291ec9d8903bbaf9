"""From bare nodes to a cluster with `expgsql setup`: servers, copies, configuration, changes, nodes."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest
from tests.lab import databases, lock_service
from tests.lab.arbiter import OWNERS_PASSFILE
from tests.lab.cluster import Cluster
from tests.lab.configuration import READER_VIP, RESOURCE, setup_file
from tests.lab.node import Node
from tests.system import by_hand
from tests.system.by_hand import FILE, STANDBYS, expgsql, members_with_a_file
from tests.system.shared import FIRST_START_SECONDS, SharedCluster, lab_config

pytestmark = [pytest.mark.lab, pytest.mark.timeout(400)]

FOREIGN = (
    "pcs resource create foreign ocf:pacemaker:Dummy --force",
    "pcs constraint location foreign prefers node3=50",
    "pcs property set symmetric-cluster=true",
)


def section(node: Node, name: str) -> ET.Element:
    """A part of the configuration."""
    found = ET.fromstring(node.run("cibadmin --query").check().stdout).find(f"configuration/{name}")
    assert found is not None
    return found


def foreign(node: Node) -> list[str]:
    """Everything in the configuration that is not from the file."""
    sections = [section(node, name) for name in ("resources", "constraints", "crm_config")]
    parts = (one for each in sections for one in each.iter() if re.search("foreign|symmetric", one.get("id", "")))
    return [ET.canonicalize(ET.tostring(one), strip_text=True) for one in parts]


@pytest.fixture(scope="module")
def cluster(shared: SharedCluster) -> Cluster:
    """Nothing is set up but the file; the configuration has things of somebody else's."""
    built = members_with_a_file(shared)
    for command in FOREIGN:
        built.nodes[0].run(command).check()
    return built


def change_file(cluster: Cluster, old: str, new: str) -> None:
    """Edit the set-up on all nodes."""
    for node in cluster.nodes:
        text = node.read(FILE)
        assert old in text
        node.write(FILE, text.replace(old, new), mode=0o600)


def servers(cluster: Cluster) -> list[int | None]:
    """The first processes of all servers."""
    return [node.postmaster() for node in cluster.nodes]


def test_the_first_server_is_set_up_once(cluster: Cluster) -> None:
    first = cluster.node("node1")
    assert "would write" in expgsql(first, f"setup postgres {FILE} --dry-run")
    assert first.postmaster() is None
    said = expgsql(first, f"setup postgres {FILE} --yes")
    assert "starting the server" in said
    assert first.sql(f"select rolsuper, rolreplication from pg_roles where rolname = '{STANDBYS}'") == [(False, True)]
    rewinds = "select has_function_privilege('standbys', 'pg_read_binary_file(text)', 'execute')"
    assert first.sql(rewinds) == [(True,)]
    assert first.sql("show wal_log_hints") == [("on",)]
    assert first.run(f"stat -c %U:%a {databases.PASSFILE}").stdout.strip() == "postgres:600"
    assert "nothing to do" in expgsql(first, f"setup postgres {FILE} --yes")


def test_the_others_are_copies(cluster: Cluster) -> None:
    second, third = cluster.node("node2"), cluster.node("node3")
    assert "copying" in expgsql(second, f"setup standby {FILE}")
    refused = expgsql(third, f"setup standby {FILE}", code=1)
    assert "nothing was changed" in refused
    assert "the old data is in" in expgsql(third, f"setup standby {FILE} --yes")
    for node in (second, third):
        assert "nothing to do" in expgsql(node, f"setup standby {FILE}")
    databases.stop_server(cluster.node("node1"))


@pytest.mark.parametrize("tool", ["pcs", "crmsh"])
def test_the_commands_for_doing_it_by_hand_make_the_same(cluster: Cluster, tool: str) -> None:
    node = cluster.node("node1")
    node.run(f"cibadmin --query > {by_hand.SCRATCH}").check()
    by_hand.configure(node, FILE, tool)
    assert "no difference" in expgsql(node, f"setup plan {FILE} --cib {by_hand.SCRATCH} --with cibadmin")


def test_applied_once(cluster: Cluster) -> None:
    node, before = cluster.node("node2"), foreign(cluster.node("node2"))
    assert len(before) > 3
    assert "+ resource pgsql" in expgsql(node, f"setup apply {FILE} --dry-run")
    assert section(node, "resources").find("clone") is None
    assert "as one transaction" in expgsql(node, f"setup apply {FILE} --yes")
    cluster.wait_healthy(FIRST_START_SECONDS)
    # Not the whole document: the agent writes its marks and the record there.
    configured = [ET.tostring(section(node, name)) for name in ("resources", "constraints")]
    assert "nothing to do" in expgsql(cluster.node("node3"), f"setup apply {FILE} --yes")
    assert "no difference" in expgsql(node, f"setup plan {FILE}")
    assert [ET.tostring(section(node, name)) for name in ("resources", "constraints")] == configured
    assert foreign(node) == before


def test_a_changed_file_changes_that_alone(cluster: Cluster) -> None:
    node, running, before = cluster.node("node1"), servers(cluster), foreign(cluster.node("node1"))
    change_file(cluster, "migration_threshold = 3", "migration_threshold = 5")
    plan = expgsql(node, f"setup plan {FILE} --with cibadmin").splitlines()
    assert [line for line in plan if line[:1] in "+~-"] == [
        f"~ {name}: migration-threshold: 3 -> 5" for name in (READER_VIP, "msPostgresql", "master-group")
    ]
    expgsql(node, f"setup apply {FILE} --yes")
    assert "no difference" in expgsql(node, f"setup plan {FILE}")
    cluster.wait_healthy()
    assert servers(cluster) == running
    assert foreign(node) == before


def test_the_shell_agents_file_is_understood(cluster: Cluster) -> None:
    node = cluster.node("node1")
    node.write("/root/config.ini", OLD_FILE, mode=0o600)
    said = expgsql(node, "setup plan /root/config.ini")
    assert "~ pgsql: node_list: node1 node2 node3 -> node1 node2" in said
    assert "secret-of-the-seeds" not in said


def test_a_node_goes_and_comes_while_the_servers_run(cluster: Cluster) -> None:
    primary = cluster.primary
    assert primary is not None
    leaving = next(node for node in reversed(cluster.nodes) if node != primary)
    staying = [node for node in cluster.nodes if node != leaving]
    running = [node.postmaster() for node in staying]
    assert "primary" in expgsql(leaving, f"setup remove-node {primary} --keep-member --yes", code=10)
    expgsql(primary, f"setup remove-node {leaving} --keep-member --yes")
    assert leaving.postmaster() is None
    assert leaving.name not in primary.run(f"crm_resource -r {RESOURCE} -g node_list").stdout
    assert primary.run(f"crm_attribute -N {leaving} -n {RESOURCE}-data-status -G -q").rc != 0
    assert [node.postmaster() for node in staying] == running
    expgsql(primary, f"setup add-node {leaving} --yes")
    cluster.wait_healthy()
    assert [node.postmaster() for node in staying] == running
    assert "nothing to do" in expgsql(primary, f"setup add-node {leaving} --yes")


def test_two_nodes_and_an_arbiter(shared: SharedCluster) -> None:
    cluster = shared.unconfigured(lab_config(nodes=2, arbiter="postgresql"))
    node, arbiter = cluster.nodes[0], cluster.arbiter
    assert arbiter is not None
    text = setup_file(cluster.config, node.bindir).replace(lock_service.LOCKNAME, "made_by_apply")
    without = "".join(
        line for line in text.splitlines(keepends=True) if not line.startswith(('conninfo = "host', "lockname"))
    )
    node.write(FILE, without)
    assert "two nodes without an arbiter" in expgsql(node, f"setup apply {FILE} --yes", code=10)
    owner = lock_service.conninfo("postgresql", cluster.config.places, lock_service.OWNER)
    who = f'[arbiter]\nowner_conninfo = "{owner}"\nowner_passfile = "{OWNERS_PASSFILE}"'
    node.write(FILE, text.replace("[arbiter]", who))
    assert "the record made_by_apply is made, with node1 as primary" in expgsql(node, f"setup apply {FILE} --yes")
    assert "left as it is" in expgsql(node, f"setup apply {FILE} --yes")
    cluster.wait_healthy(FIRST_START_SECONDS)
    assert cluster.primary == node


OLD_FILE = """\
pcs_template=dual.pcs.template
OCF_ROOT=/usr/lib/ocf
RESOURCE_LIST="msPostgresql vip-master vip-slave"
pha4pgsql_dir=/opt/pha4pgsql
writer_vip=192.168.41.136
reader_vip=192.168.41.137
node1=node1
node2=node2
vip_nic=eth0
vip_cidr_netmask=24
pgsql_pgctl=/usr/bin/pg_ctl
pgsql_psql=/usr/bin/psql
pgsql_pgdata=/data/postgresql/data
pgsql_pgport=5432
pgsql_restore_command=""
pgsql_rep_mode=sync
pgsql_repuser=replication
pgsql_reppassord=secret-of-the-seeds
pgsql_enable_distlock=true
pgsql_distlock_psql_cmd='/usr/bin/psql \\\\"host=node3 port=5439 dbname=postgres user=postgres connect_timeout=5\\\\"'
pgsql_distlock_lockname=pgsql_cls1
"""
