"""The README followed on three machines that have only Debian 12, and the shell agent's stories told again there.

Everything is the machines' own: systemd, apt, pcsd, sshd, and PostgreSQL as Debian sets it up. The tests build on each
other in their order, as the story does.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator

import pytest
from tests.lab.bare import CHECKOUT, bare_machines
from tests.system.manual import FILE, SERVER, Reader, Site, User, blocks
from tests.system.shared import LAB, SharedCluster

pytestmark = [pytest.mark.lab, pytest.mark.timeout(1500)]

DOCTOR = blocks("docs/doctor.md", "In monitoring")[0]
COMPLETION = blocks("docs/doctor.md", "Completion")[0]
ADD_A_NODE = blocks("docs/setup.md", "Add a node, remove a node")[0]


@pytest.fixture(scope="module")
def three(shared: SharedCluster) -> Iterator[Site]:
    """The cluster of the README, and a fourth machine on which everything is installed."""
    shared.discard()  # two labs of one worker would starve each other
    with bare_machines(f"{LAB}man", "bookworm", SERVER, "node1", "node2", "node3", "node4") as machines:
        user = User({one.name: one for one in machines})
        places = machines[0].places
        edits = {
            r'writer = "192.*': f'writer = "{places.writer_ip}"',
            r'reader = "192.*': f'reader = "{places.reader_ip}"',
            r"#fencing = .*": 'fencing = "none"',
        }
        Reader(user, ("node1", "node2", "node3"), edits).follow()
        yield Site(user, "15")


def test_the_readme_makes_a_healthy_cluster_of_three(three: Site) -> None:
    three.wait_healthy("node1", primary="node1")
    marks = ["LATEST", "STREAMING|ASYNC", "STREAMING|SYNC"]
    three.wait_for(lambda: sorted(three.data_status("node1").values()) == marks, what="a synchronous standby")
    assert three.data_status("node1")["node1"] == "LATEST"
    assert three.primary_of_record("node2").startswith("node1|1|")
    assert "pgsql: HEALTHY" in three.user.type("cls_status", "node2")
    assert three.user.type("cls_master", "node3").strip() == "node1"
    three.write("node1", "written first")
    for node in ("node2", "node3"):
        three.wait_for(lambda on=node: three.reads(on) == ["written first"], what=f"{node} to have it")  # type: ignore[misc]


def test_the_doctor_finds_no_error_and_the_shell_knows_the_commands(three: Site) -> None:
    for line in DOCTOR:
        told = three.user.machines["node1"].run(f"/opt/expgsql/bin/{line.command}")
        assert told.rc in {0, 1}, told.stdout
    for line in COMPLETION:
        three.user.type(line.command, "node1")
    complete = "source /etc/bash_completion.d/expgsql; complete -p expgsql"
    assert "expgsql" in three.user.type(f"bash -c {shlex.quote(complete)}", "node1")


def test_a_killed_server_is_started_in_place_twice_and_the_third_time_fails_over(three: Site) -> None:
    heir = three.fail_over("node1", seen_from="node2")
    assert three.primary_of_record("node2").startswith(f"{heir}|2|")
    three.write(heir, "written by the second")


def test_an_empty_data_directory_is_rebuilt(three: Site) -> None:
    primary = three.user.type("cls_master", "node1").strip()
    assert primary != "node1"
    three.user.type("rm -rf /var/lib/postgresql/15/main/*", "node1")
    assert "node1" in three.user.type("cls_rebuild_slave", "node1")
    three.wait_healthy("node1", primary=primary)
    assert three.reads("node1") == ["written first", "written by the second"]


def test_a_primary_without_its_network_card_is_rewound(three: Site) -> None:
    old = three.user.type("cls_master", "node1").strip()
    three.user.type("ip link set eth0 down", old)
    three.say_alone(old, "heard by nobody")
    three.wait_for(lambda: three.shown("node1")["primary"] not in {"", old}, what="another primary")
    primary = three.shown("node1")["primary"]
    three.write(primary, "written by the third")
    three.user.type("ip link set eth0 up", old)
    three.wait_for(lambda: f"-> expgsql repair {old}" in three.told("node1"), what=f"{old} to be refused")
    assert old in three.user.type("cls_repair_by_pg_rewind", old)
    three.wait_healthy("node1", primary=primary)
    assert three.reads(old)[-1] == "written by the third"


def test_the_primary_is_moved_and_nodes_are_emptied(three: Site) -> None:
    target = three.successor("node1")
    three.user.type(f"cls_online_switch {target}", "node1")
    three.wait_healthy("node1", primary=target)
    three.user.type(f"cls_standby_node {target}", "node1")
    successor = three.user.type("cls_master", "node1").strip()
    assert successor != target
    three.user.type(f"cls_unstandby_node {target}", "node1")
    three.wait_healthy("node1", primary=successor)


def test_the_cluster_software_is_restarted_under_the_database_and_everything_is_stopped(three: Site) -> None:
    primary = three.user.type("cls_master", "node1").strip()
    servers = three.servers()
    for command in ("cls_unmanage", "cls_stop", "cls_start", "cls_manage"):
        three.user.type(command, "node1")
    three.wait_healthy("node1", primary=primary)
    assert three.servers() == servers
    three.user.type("cls_stop", "node1")
    assert set(three.servers().values()) == {""}
    three.user.type("cls_start", "node1")
    three.wait_healthy("node1", primary=primary)


def test_a_dead_node_is_replaced_by_a_new_one(three: Site) -> None:
    primary = three.user.type("cls_master", "node1").strip()
    dead = next(node for node in ("node3", "node2") if node != primary)
    *add, remove = ADD_A_NODE
    three.user.machines[dead].power_off()
    three.wait_for(lambda: three.data_status("node1")[dead] == "DISCONNECT", what=f"{dead} to be missed")
    three.user.type(remove.command.replace("node2", dead), "node1")
    assert dead not in three.user.type("crm_node --list", "node1")
    three.user.edit(FILE, "node1", {f'"{dead}"': '"node4"'})
    three.user.type(f"scp -p {FILE} node4:{CHECKOUT}/", "node1")
    for line in add:
        three.user.type(line.command, "node4" if line.command.startswith("expgsql setup standby") else "node1")
    three.wait_healthy("node1", primary=primary)
    assert three.reads("node4")[0] == "written first"
    assert dead not in three.data_status("node1")
