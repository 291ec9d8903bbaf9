"""What people do on purpose: moving the primary, stopping nodes, stopping everything."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from tests.lab import faults
from tests.lab.cluster import Cluster
from tests.lab.configuration import CLONE, READER_VIP, RESOURCE
from tests.lab.membership import in_parallel
from tests.lab.node import COROSYNC, POSTGRES, Node
from tests.lab.waiting import now
from tests.lab.writer import Writer
from tests.system import story
from tests.system.story import the_primary

pytestmark = [pytest.mark.lab, pytest.mark.timeout(400)]


def assert_no_failures(cluster: Cluster) -> None:
    """What is done in order counts as no failure anywhere.

    Pacemaker also lists what is none: that there was no synchronous standby while the standbys were starting.
    """
    assert {node.name: story.fail_count(cluster, node) for node in cluster.nodes} == dict.fromkeys(
        cluster.config.node_names, "0"
    )
    assert story.failures(cluster) == []


def test_every_node_is_marked_as_the_contract_says(audited: Cluster) -> None:
    primary, sync, spare = the_primary(audited), story.sync_standby(audited), story.spare_standby(audited)
    expected = (
        (primary, "PRI", "LATEST", "1000"),
        (sync, "HS:sync", "STREAMING|SYNC", "100"),
        (spare, "HS:async", "STREAMING|ASYNC", "-INFINITY"),
    )
    cib = audited.cib()
    for node, status, data_status, score in expected:
        assert cib.attribute(node.name, f"{RESOURCE}-status") == status
        assert cib.nodes[node.name].permanent[f"{RESOURCE}-data-status"] == data_status
        assert cib.score(node.name, RESOURCE) == score
    assert primary.sql("show synchronous_standby_names") == [(f'FIRST 1 ("{sync}")',)]
    # A user's location rule on pgsql-status: readers belong on the synchronous standby.
    audited.wait_for(lambda: audited.holder(READER_VIP) == sync, within=30, what=f"{READER_VIP} on {sync}")


def test_primary_left_alone_goes_on_and_says_so(audited: Cluster, writer: Writer) -> None:
    primary = the_primary(audited)
    standbys = audited.others(primary)
    session = writer.open_session(primary)
    for node in standbys:
        primary.run(f"crm_resource --resource {CLONE} --ban --node {node.name}").check()
    try:
        audited.wait_for(
            lambda: all(story.data_status(audited, node) == "DISCONNECT" for node in standbys),
            within=30,
            what="both standbys to be marked",
        )
        writer.wait_for_acks(since=now())
        audited.wait_for(
            lambda: any("no synchronous standby" in line for line in audited.status().failures),
            within=30,
            what="a warning",
        )
        assert {audited.cib().score(node.name, RESOURCE) for node in standbys} == {"-INFINITY"}
    finally:
        story.clear(primary)
    audited.wait_healthy()
    assert (the_primary(audited), story.fail_count(audited, primary)) == (primary, "0")
    writer.assert_open(session)


def test_planned_move_makes_the_old_primary_a_streaming_standby(audited: Cluster, writer: Writer) -> None:
    old, target = the_primary(audited), story.sync_standby(audited)
    timeline = story.timeline(old)
    session = writer.open_session(old)
    audited.move(target)
    served = writer.wait_for_acks(since=now())
    audited.wait_healthy()
    assert the_primary(audited) == target
    assert story.timeline(target) == timeline + 1
    story.assert_recorded(audited, target, timeline)
    assert story.streams(audited, old)
    assert writer.acks(session)[-1].answered < served
    assert_no_failures(audited)


def test_banned_primary_hands_over(audited: Cluster, writer: Writer) -> None:
    old = the_primary(audited)
    story.ban(old)
    try:
        story.new_primary(audited, old)
        writer.wait_for_acks(since=now())
        audited.wait_healthy()
        assert story.streams(audited, old)
    finally:
        story.clear(old)
    assert_no_failures(audited)


def test_orderly_stop_of_the_primarys_node_hands_over(audited: Cluster, writer: Writer) -> None:
    old = the_primary(audited)
    timeline = story.timeline(old)
    with faults.cluster_stopped(old):
        assert not old.processes(POSTGRES)
        primary = story.new_primary(audited, old)
        writer.wait_for_acks(since=now())
        assert story.timeline(primary) == timeline + 1
    audited.wait_healthy()
    assert the_primary(audited) == primary
    assert_no_failures(audited)


def test_orderly_stop_of_a_standby_disturbs_nobody(audited: Cluster, writer: Writer) -> None:
    primary, left = the_primary(audited), story.sync_standby(audited)
    session = writer.open_session(primary)
    with faults.cluster_stopped(left):
        writer.wait_for_acks(since=now())
        audited.wait_for(
            lambda: story.data_status(audited, left) == "DISCONNECT", within=30, what=f"{left} to be marked"
        )
    audited.wait_healthy()
    writer.wait_for_acks(since=now())
    writer.assert_open(session)
    assert the_primary(audited) == primary
    assert_no_failures(audited)


def test_two_nodes_stopped_in_order_leave_one_that_serves_again_with_them(audited: Cluster, writer: Writer) -> None:
    primary = the_primary(audited)
    timeline, record = story.timeline(primary), story.repl_info(audited)
    left = audited.others(primary)
    in_parallel(Node.stop_cluster, left)
    # A minority must not serve: the other two could be a cluster of their own.
    audited.wait_for(lambda: not audited.writable, within=60, what="nobody to accept writes")
    in_parallel(Node.start_cluster, left)
    audited.wait_for(lambda: _all_stay(audited, left), within=150, what="all to be back")
    writer.wait_for_acks(since=now())
    assert (the_primary(audited), story.timeline(primary)) == (primary, timeline)
    assert story.repl_info(audited) == record


def _all_stay(cluster: Cluster, back: Sequence[Node]) -> bool:
    """Whether all is well; a node whose Pacemaker has ended once more is started as its administrator would.

    A designated controller that leaves together with another node may find its own request to shut down when it comes
    back, in what the node that was left has kept of it: then it ends ("unexpected shutdown request").
    """
    for node in back:
        if not node.runs_cluster and not node.processes(COROSYNC):
            node.start_cluster()
    return cluster.is_healthy()


def test_cluster_stop_and_start_keeps_primary_timeline_and_record(audited: Cluster, writer: Writer) -> None:
    primary = the_primary(audited)
    timeline, record = story.timeline(primary), story.repl_info(audited)
    audited.stop()
    assert [node.name for node in audited.nodes if node.processes(POSTGRES)] == []
    audited.start()
    audited.wait_healthy()
    writer.wait_for_acks(since=now())
    assert the_primary(audited) == primary
    assert story.timeline(primary) == timeline
    assert story.repl_info(audited) == record
    assert_no_failures(audited)
