"""The guard beside each server: a death is noticed at once and counted once, and nothing else is."""

from __future__ import annotations

import signal

import pytest
from tests.lab import faults, processes
from tests.lab.cluster import Cluster
from tests.lab.configuration import RESOURCE
from tests.lab.node import PGDATA, Node
from tests.lab.waiting import now, wait_until
from tests.lab.writer import Writer
from tests.system import story
from tests.system.story import the_primary

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

MONITOR = r"heartbeat/expgsql monitor"
REPORTED = r"the guard saw PostgreSQL \(pid \d+\) end unexpectedly and reports it"
LEFT = r"the guard saw PostgreSQL \(pid \d+\) end and leaves it to the monitor: the resource is not managed"
# Seconds since the end of a monitor; the next one begins three seconds after it.
MOMENTS = (0.0, 1.5, 2.5, 2.8, 2.95)


def guard_of(cluster: Cluster, node: Node) -> int:
    """Wait until the server of a node is guarded, by one process; return that."""
    cluster.wait_for(lambda: len(story.guards(node)) == 1, within=30, what=f"one guard on {node}")
    return story.guards(node)[0]


def wait_for_monitor(node: Node) -> list[int]:
    """Wait until a monitor runs on a node; its processes."""
    return wait_until(lambda: node.processes(MONITOR), within=30, what=f"a monitor on {node}", every=0.002)


def wait_for_the_end_of_a_monitor(node: Node) -> None:
    """For three seconds after it, nobody but the guard looks at the server."""
    wait_for_monitor(node)
    wait_until(lambda: not node.processes(MONITOR), within=30, what="the end of the monitor", every=0.002)


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_death_at_any_moment_counts_once(audited: Cluster, writer: Writer, moment: float) -> None:
    primary = the_primary(audited)
    timeline = story.timeline(primary)
    guard_of(audited, primary)
    wait_for_the_end_of_a_monitor(primary)
    ended = now()
    wait_until(lambda: now() - ended >= moment, within=10, what="the moment", every=0.005)
    faults.kill_server(primary, audited)
    killed = now()
    writer.wait_for_acks(since=killed)
    audited.wait_healthy()
    assert (the_primary(audited), story.timeline(primary)) == (primary, timeline)
    story.assert_counted(audited, primary, 1)


def test_a_death_that_a_monitor_sees_too_counts_once(audited: Cluster) -> None:
    primary = the_primary(audited)
    guard_of(audited, primary)
    seen = len(story.logged(primary, REPORTED))
    monitors = wait_for_monitor(primary)
    processes.send(monitors, signal.SIGSTOP)
    try:
        faults.kill_server(primary, audited)
        story.wait_logged(primary, REPORTED, seen, within=20)
    finally:
        processes.send(monitors, signal.SIGCONT)
    audited.wait_healthy()
    assert the_primary(audited) == primary
    story.assert_counted(audited, primary, 1)


def test_deaths_that_guard_and_monitor_report_add_up_until_the_primary_moves(audited: Cluster) -> None:
    old = the_primary(audited)
    guard = guard_of(audited, old)
    seen = len(story.logged(old, REPORTED))
    processes.send([guard], signal.SIGSTOP)
    try:
        faults.kill_server(old, audited)
        audited.wait_for(lambda: story.fail_count(audited, old) == "1", within=30, what="the monitor's report")
    finally:
        processes.send([guard], signal.SIGCONT)
    audited.wait_healthy()
    assert len(story.logged(old, REPORTED)) == seen
    story.assert_counted(audited, old, 1)

    story.sync_standby(audited)
    wait_for_the_end_of_a_monitor(old)
    faults.kill_server(old, audited)
    story.wait_logged(old, REPORTED, seen, within=20)
    audited.wait_healthy()
    assert the_primary(audited) == old
    story.assert_counted(audited, old, 2)

    story.sync_standby(audited)
    faults.kill_server(old, audited)
    primary = story.new_primary(audited, old)
    story.assert_counted(audited, old, 3)
    audited.cleanup()
    story.comes_back(audited, old, story.recorded_fork(audited))
    assert the_primary(audited) == primary


def test_a_standby_that_dies_is_reported_and_counts_once(audited: Cluster) -> None:
    standby = story.sync_standby(audited)
    guard_of(audited, standby)
    seen = len(story.logged(standby, REPORTED))
    faults.kill_server(standby, audited)
    story.wait_logged(standby, REPORTED, seen, within=20)
    audited.wait_healthy()
    story.assert_counted(audited, standby, 1)


def test_a_server_stopped_by_hand_in_maintenance_counts_nothing(audited: Cluster) -> None:
    primary = the_primary(audited)
    guard_of(audited, primary)
    seen = len(story.logged(primary, LEFT))
    primary.run("crm_attribute --name maintenance-mode --update true").check()
    try:
        # the monitor goes on until the controller has thought about it, which may take it a second
        audited.wait_for(
            lambda: not audited.cib().is_monitored(primary.name, RESOURCE), within=30, what="the end of the monitors"
        )
        primary.run((f"{primary.bindir}/pg_ctl", "stop", "-w", "-D", PGDATA), user="postgres").check()
        story.wait_logged(primary, LEFT, seen, within=20)
        primary.run(
            (f"{primary.bindir}/pg_ctl", "start", "-w", "-D", PGDATA, "-l", "/dev/null"), user="postgres"
        ).check()
    finally:
        primary.run("crm_attribute --name maintenance-mode --update false").check()
    audited.wait_healthy()
    assert the_primary(audited) == primary
    guard_of(audited, primary)
    story.assert_counted(audited, primary, 0)
    # Other tests find the property as they would without this one.
    primary.run("crm_attribute --name maintenance-mode --delete").check()


def test_a_guard_that_is_killed_is_replaced(audited: Cluster) -> None:
    primary = the_primary(audited)
    guard = guard_of(audited, primary)
    processes.kill([guard])
    assert guard_of(audited, primary) != guard
    story.assert_counted(audited, primary, 0)


def test_a_guard_outlives_the_cluster_software_as_its_server_does(audited: Cluster) -> None:
    standby = story.spare_standby(audited)
    guard = guard_of(audited, standby)
    with faults.cluster_crashed(standby):
        assert story.guards(standby) == [guard]
    audited.wait_healthy()
    assert guard_of(audited, standby) == guard or standby.postmaster() is not None
    story.assert_counted(audited, standby, 0)


def test_a_stopped_resource_leaves_no_guard(audited: Cluster) -> None:
    standby = story.spare_standby(audited)
    guard_of(audited, standby)
    with faults.cluster_stopped(standby):
        audited.wait_for(lambda: not story.guards(standby), within=30, what=f"the end of the guard on {standby}")
        kept = [one.name for one in standby.path("/run/resource-agents").iterdir()]
        lasting = (".json", ".lock")
        assert not [name for name in kept if name.startswith(f"expgsql-{RESOURCE}.") and not name.endswith(lasting)]
    audited.wait_healthy()
    story.assert_counted(audited, standby, 0)
