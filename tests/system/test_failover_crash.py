"""Crashes of servers and losses of nodes: what serves, what comes back, and what was promised."""

from __future__ import annotations

import signal

import pytest
from tests.lab import faults
from tests.lab.cluster import Cluster
from tests.lab.command import run
from tests.lab.configuration import Config
from tests.lab.databases import start_server, stop_server
from tests.lab.node import Node
from tests.lab.waiting import now
from tests.lab.writer import Writer
from tests.system import story
from tests.system.shared import SharedCluster
from tests.system.story import the_primary

pytestmark = [pytest.mark.lab, pytest.mark.timeout(400)]

KILLS_UNTIL_FAILOVER = 3
NOT_A_FAILURE_YET = "not a failure yet"


def unequal_wal(cluster: Cluster) -> None:
    """Let each node's database hold more than the one before it in the node list, and all of that one's."""
    *_, middle, last = cluster.nodes
    start_server(last)
    last.sql("create table born as select generate_series(1, 1000) as row")
    stop_server(last)
    run("cp", "--archive", "--remove-destination", f"{last.disks.data}/.", str(middle.disks.data))
    start_server(last)
    last.sql("insert into born select generate_series(1001, 2000)")
    stop_server(last)


def test_first_start_promotes_the_newest_data_not_the_first_node(shared: SharedCluster, config: Config) -> None:
    cluster = shared.build(config, before_first_start=unequal_wal)
    newest = cluster.nodes[-1]
    assert the_primary(cluster) == newest
    story.assert_recorded(cluster, newest, 1)
    for node in cluster.nodes:
        cluster.wait_for(lambda node=node: rows_of(node) == 2000, within=30, what=f"all rows on {node}")  # type: ignore[misc]
    shared.settle()


def rows_of(node: Node) -> object:
    """Count the rows that were there before the cluster."""
    return node.sql("select count(*) from born")[0][0]


def test_standby_killed_comes_back_and_the_primary_goes_on(audited: Cluster, writer: Writer) -> None:
    primary, killed, spare = the_primary(audited), story.sync_standby(audited), story.spare_standby(audited)
    session = writer.open_session(primary)
    timeline = story.timeline(primary)
    faults.kill_server(killed, audited)
    writer.wait_for_acks(since=now())
    audited.wait_healthy()
    assert (the_primary(audited), story.timeline(primary)) == (primary, timeline)
    # Commits wait for the other one now, and go on doing so: a return is no reason to change.
    assert (story.sync_standby(audited), story.spare_standby(audited)) == (spare, killed)
    writer.assert_open(session)
    story.assert_counted(audited, killed, 1)
    story.assert_counted(audited, primary, 0)


def test_standby_without_power_is_marked_and_returns_by_itself(audited: Cluster, writer: Writer) -> None:
    primary, lost = the_primary(audited), story.sync_standby(audited)
    with faults.powered_off(lost, audited):
        writer.wait_for_acks(since=now())
        audited.wait_for(
            lambda: story.data_status(audited, lost) == "DISCONNECT", within=30, what=f"{lost} to be marked"
        )
        assert audited.primary == primary
    audited.wait_healthy()
    assert the_primary(audited) == primary


def test_primary_killed_once_starts_in_place(audited: Cluster, writer: Writer) -> None:
    primary = the_primary(audited)
    timeline, record = story.timeline(primary), story.repl_info(audited)
    session = writer.open_session(primary)
    faults.kill_server(primary, audited)
    served = writer.wait_for_acks(since=now())
    audited.wait_healthy()
    assert the_primary(audited) == primary
    assert story.timeline(primary) == timeline
    assert story.repl_info(audited) == record
    story.assert_counted(audited, primary, 1)
    assert writer.acks(session)[-1].answered < served, "a session survived its server"


def test_primary_killed_three_times_fails_over(audited: Cluster, writer: Writer) -> None:
    old = the_primary(audited)
    timeline = story.timeline(old)
    for kill in range(1, KILLS_UNTIL_FAILOVER):
        faults.kill_server(old, audited)
        audited.wait_for(lambda kill=kill: story.fail_count(audited, old) == str(kill), within=30, what="a fail-count")  # type: ignore[misc]
        audited.wait_healthy()
        assert the_primary(audited) == old
        # The next kill shall meet a cluster that could lose it.
        story.sync_standby(audited)
    writer.open_session(old)
    faults.kill_server(old, audited)
    killed = now()
    primary = story.new_primary(audited, old)
    writer.wait_for_acks(since=killed)
    assert story.timeline(primary) == timeline + 1
    story.assert_recorded(audited, primary, timeline)
    story.assert_counted(audited, old, KILLS_UNTIL_FAILOVER)
    assert not old.accepts_writes()
    audited.cleanup()
    story.comes_back(audited, old, story.recorded_fork(audited))
    assert the_primary(audited) == primary


def test_power_loss_of_the_primary_fails_over(audited: Cluster, writer: Writer) -> None:
    old = the_primary(audited)
    timeline = story.timeline(old)
    session = writer.open_session(old)
    with faults.powered_off(old, audited):
        lost = now()
        primary = story.new_primary(audited, old)
        writer.wait_for_acks(since=lost)
        assert story.timeline(primary) == timeline + 1
        story.assert_recorded(audited, primary, timeline)
        assert writer.acks(session)[-1].answered < lost
    story.comes_back(audited, old, story.recorded_fork(audited))
    assert the_primary(audited) == primary


def test_clean_primary_returns_by_itself_after_a_power_loss(audited: Cluster) -> None:
    old = the_primary(audited)
    wait_for_quiet(audited, old)
    with faults.powered_off(old, audited):
        primary = story.new_primary(audited, old)
    # what was written between the last look and the loss of power may have reached nobody
    story.comes_back(audited, old, story.recorded_fork(audited))
    assert the_primary(audited) == primary
    story.assert_counted(audited, old, 0)


def wait_for_quiet(cluster: Cluster, primary: Node) -> None:
    """Wait until both standbys have everything there is."""
    question = "select bool_and(flush_lsn = pg_current_wal_lsn()) and count(*) = 2 from pg_stat_replication"
    cluster.wait_for(lambda: primary.sql(question) == [(True,)], within=30, what="the standbys to have everything")


def test_stall_of_one_probe_is_no_failure(audited: Cluster, writer: Writer) -> None:
    primary = the_primary(audited)
    postmaster = primary.postmaster()
    seen = len(story.logged(primary, NOT_A_FAILURE_YET))
    assert postmaster is not None
    primary.kill_postgres(signal.SIGSTOP, whole=False)
    try:
        story.wait_logged(primary, NOT_A_FAILURE_YET, seen, within=20)
    finally:
        primary.kill_postgres(signal.SIGCONT, whole=False)
    # Two more monitors of the primary take place meanwhile.
    story.stays(lambda: primary.postmaster() == postmaster, 8, f"{primary}'s postmaster {postmaster}")
    writer.wait_for_acks(since=now())
    assert the_primary(audited) == primary
    story.assert_counted(audited, primary, 0)


def test_primary_that_hangs_is_replaced(audited: Cluster, writer: Writer) -> None:
    old = the_primary(audited)
    postmaster = old.postmaster()
    with faults.frozen(old):
        writer.wait_for_acks(since=now(), within=200)
        assert the_primary(audited) != old or old.postmaster() != postmaster
    story.wait_whole(audited)
