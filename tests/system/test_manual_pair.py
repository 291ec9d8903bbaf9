"""The README followed on two machines and an arbiter that have only Debian 13."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.lab.bare import CHECKOUT, bare_machines
from tests.lab.places import ARBITER
from tests.system.manual import FILE, SERVER, Reader, Site, User, blocks
from tests.system.shared import LAB, SharedCluster

pytestmark = [pytest.mark.lab, pytest.mark.timeout(1500)]

REPLACE = blocks("docs/setup.md", "Replace a machine")[0]
# What a machine has that comes from the installer, in place of one that was in the cluster.
AS_NEW = (
    "systemctl disable --now pacemaker corosync",
    "rm -rf /etc/corosync/corosync.conf /etc/corosync/authkey /var/lib/corosync/* /var/lib/pacemaker/cib/*",
    f"rm -rf /var/lib/expgsql /var/lib/postgresql/.pgpass {CHECKOUT}/{FILE}",
    "pg_dropcluster 17 main",
    "pg_createcluster 17 main",
)
TABLE, ROLES = ([line.command for line in block] for block in blocks("docs/setup.md", "Two nodes and an arbiter"))


@pytest.fixture(scope="module")
def two(shared: SharedCluster) -> Iterator[Site]:
    """The two nodes of the README, and the arbiter of docs/arbiter.md."""
    shared.discard()  # two labs of one worker would starve each other
    with bare_machines(f"{LAB}man", "trixie", SERVER, "node1", "node2", ARBITER) as machines:
        user = User({one.name: one for one in machines})
        places = machines[0].places
        user.type("apt install postgresql", ARBITER)
        user.type("echo \"listen_addresses = '*'\" >> /etc/postgresql/17/main/postgresql.conf", ARBITER)
        user.type(f"echo 'host ha all {places.subnet} scram-sha-256' >> /etc/postgresql/17/main/pg_hba.conf", ARBITER)
        user.type("systemctl restart postgresql", ARBITER)
        for statement in ROLES:
            user.sql(ARBITER, statement)
        user.machines["node1"].write("/root/.pgpass", "arbiter:*:ha:dba:...\n", mode=0o600)
        edits = {
            r"nodes = \[.*": 'nodes = ["node1", "node2"]',
            r'writer = "192.*': f'writer = "{places.writer_ip}"',
            r'reader = "192.*': f'reader = "{places.reader_ip}"',
            r"#fencing = .*": 'fencing = "none"',
            r"version = .*": "version = 17",
            r"\[arbiter\]": "\n".join(TABLE),
            r"\[parameters\]": '[parameters]\nrejoin = "rebuild"',
        }
        replaced = {" 15 ": " 17 ", "node1 node2 node3": "node1 node2"}
        Reader(user, ("node1", "node2"), edits, replaced).follow()
        yield Site(user, "17")


def test_the_readme_makes_a_healthy_pair_with_an_arbiter(two: Site) -> None:
    two.wait_healthy("node1", primary="node1")
    two.write("node1", "written first")


def test_the_pair_survives_the_loss_of_a_machine(two: Site) -> None:
    two.user.machines["node1"].power_off()
    two.wait_for(lambda: two.shown("node2")["primary"] == "node2", what="node2 to be the primary")
    two.write("node2", "written by the second")
    two.user.machines["node1"].power_on()
    two.user.type("cls_start", "node2")
    two.wait_healthy("node2", primary="node2")
    assert two.reads("node1") == ["written first", "written by the second"]


def test_data_that_diverged_is_rebuilt_unattended_by_a_unit_of_systemd(two: Site) -> None:
    # the cable: a link that is down IPaddr2 would take up again, on a node that serves without quorum as this one may
    two.user.machines["node2"].unplug()
    two.say_alone("node2", "heard by nobody")
    two.wait_for(lambda: two.shown("node1")["primary"] == "node1", what="node1 to be the primary")
    two.write("node1", "written by the first again")
    two.user.machines["node2"].plug()
    # what failed on the cut-off node stays on record: the cluster is not called healthy before a clean-up
    two.wait_for(lambda: two.data_status("node1")["node2"] == "STREAMING|SYNC", what="node2 to be rebuilt and in sync")
    two.user.type("cls_cleanup", "node1")
    two.wait_healthy("node1", primary="node1")
    assert two.reads("node2") == ["written first", "written by the second", "written by the first again"]
    two.user.type("journalctl --no-pager | grep 'rejoin=rebuild allows to repair it'", "node2")
    two.user.type("journalctl --no-pager --unit expgsql-repair-pgsql | grep -i start", "node2")


def test_a_pair_survives_killed_servers_and_each_repair_takes_one_command(two: Site) -> None:
    assert two.fail_over("node1", seen_from="node2") == "node2"
    two.write("node2", "written after three kills")
    two.user.type("rm -rf /var/lib/postgresql/17/main/*", "node1")
    assert "node1" in two.user.type("cls_rebuild_slave", "node1")
    two.wait_healthy("node1", primary="node2")
    assert two.fail_over("node2", seen_from="node1") == "node1"
    assert "node2" in two.user.type("cls_repair_slave", "node2")
    two.wait_healthy("node1", primary="node1")
    assert two.reads("node2")[-1] == "written after three kills"


def test_a_pair_cannot_do_without_one_of_its_nodes(two: Site) -> None:
    told = two.user.type("expgsql setup remove-node node2", "node1", code=10)
    assert "nothing was changed" in told
    assert '"Replace a machine"' in told
    assert "node2" in two.user.type("crm_resource --resource pgsql --get-parameter node_list", "node1")


def test_a_new_machine_takes_the_place_of_a_dead_one(two: Site) -> None:
    two.user.machines["node2"].power_off()
    two.wait_for(lambda: two.data_status("node1")["node2"] == "DISCONNECT", what="node2 to be out")
    two.write("node1", "written while node2 was dead")
    two.user.machines["node2"].power_on()
    for command in AS_NEW:
        two.user.type(command, "node2")
    for line in REPLACE:
        (where,) = dict.fromkeys(line.where)
        two.user.type(line.command.replace(f"{FILE} node2:", f"{FILE} node2:{CHECKOUT}/"), where)
    two.wait_healthy("node1", primary="node1")
    assert two.reads("node2")[-1] == "written while node2 was dead"
    assert two.fail_over("node1", seen_from="node2") == "node2"
