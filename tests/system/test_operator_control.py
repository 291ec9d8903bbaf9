# SPDX-License-Identifier: GPL-2.0-or-later
"""The commands that change a running cluster, as the transcripts of old have them: same names, same outcome."""

from __future__ import annotations

import signal

import pytest
from tests.lab.cluster import Cluster
from tests.lab.node import COROSYNC, POSTGRES
from tests.lab.waiting import now
from tests.lab.writer import Writer
from tests.system import story
from tests.system.operating import BIN, OURS, assert_nothing_left, done, ran, ready, refused, through
from tests.system.story import the_primary

pytestmark = [pytest.mark.lab, pytest.mark.timeout(400)]

COMMAND = r"expgsql.* switchover"


def test_switchover_moves_the_primary_and_the_old_one_streams(audited: Cluster, writer: Writer) -> None:
    old, target = ready(audited)
    parent = story.timeline(old)
    said = done(audited.others(old, target)[0], "cls_online_switch")
    assert f"{target} is the primary\n" in said
    assert f"{old} is a standby and streams" in said
    writer.wait_for_acks(since=now())
    assert the_primary(audited) == target
    story.assert_recorded(audited, target, parent)
    ready(audited)
    assert_nothing_left(audited)


def test_what_would_not_succeed_is_refused_and_changes_nothing(audited: Cluster, writer: Writer) -> None:
    primary, standby = ready(audited)
    spare = story.spare_standby(audited)
    session = writer.open_session(primary)
    assert "it may lack commits" in refused(primary, 10, "expgsql", "switchover", spare.name)
    assert "no node node9" in refused(primary, 100, "expgsql", "switchover", "node9")
    assert "No such option" in refused(primary, 100, "cls_online_switch", "--nonsense")
    assert "there is a primary" in refused(standby, 10, "cls_reset_master")
    assert "--yes" in refused(standby, 1, "expgsql", "stop")
    assert "usage" in refused(standby, 100, "cls_standby_node")
    assert "already" in done(standby, "expgsql", "switchover", primary.name)
    assert f"moves from {primary} to {standby}" in done(standby, "expgsql", "switchover", "--dry-run")
    assert_nothing_left(audited)
    writer.wait_for_acks(since=now())
    writer.assert_open(session)


def test_switchover_killed_in_the_middle_leaves_nothing_that_lasts(audited: Cluster, writer: Writer) -> None:
    old, target = ready(audited)
    old.start((f"{BIN}/expgsql", "switchover", target.name), log="/tmp/switchover.log")

    def constraint() -> bool:
        return OURS in old.run("cibadmin --query --scope constraints").stdout

    audited.wait_for(constraint, within=30, what="the constraint of the switchover")
    assert old.signal(COMMAND, signal.SIGKILL)
    audited.wait_for(lambda: audited.promoted() == target, within=60, what=f"{target} to be promoted all the same")
    assert constraint(), "the command was killed too late to show anything"
    done(target, "cls_cleanup")
    writer.wait_for_acks(since=now())
    ready(audited)
    assert_nothing_left(audited)


def test_node_in_standby_hands_over_and_comes_back(audited: Cluster, writer: Writer) -> None:
    old, target = ready(audited)
    done(old, "cls_standby_node", old.name)
    assert not old.processes(POSTGRES)
    assert the_primary(audited) == target
    writer.wait_for_acks(since=now())
    done(target, "cls_unstandby_node", old.name)
    ready(audited)
    assert the_primary(audited) == target
    assert_nothing_left(audited)


def test_cluster_software_restarts_in_maintenance_and_the_servers_stay(audited: Cluster, writer: Writer) -> None:
    primary, _ = ready(audited)
    servers = {node.name: node.postmaster() for node in audited.nodes}
    session = writer.open_session(primary)
    done(primary, "cls_maintenance")
    assert "in maintenance" in ran(primary, "cls_stop").stderr
    assert not [node for node in audited.nodes if node.processes(COROSYNC)]
    assert "no cluster answers" in refused(primary, 101, "expgsql", "switchover")
    done(primary, "cls_start")
    done(primary, "cls_unmaintenance")
    ready(audited)
    assert {node.name: node.postmaster() for node in audited.nodes} == servers
    writer.assert_open(session)
    assert_nothing_left(audited)


def test_stopped_cluster_starts_again_with_the_same_primary(audited: Cluster, writer: Writer) -> None:
    primary, standby = ready(audited)
    timeline, record = story.timeline(primary), story.repl_info(audited)
    done(standby, "cls_stop")
    assert [node.name for node in audited.nodes if node.processes(POSTGRES) or node.processes(COROSYNC)] == []
    done(standby, "cls_start")
    writer.wait_for_acks(since=now())
    assert (the_primary(audited), story.timeline(primary)) == (primary, timeline)
    assert story.repl_info(audited) == record
    ready(audited)
    assert_nothing_left(audited)


def test_primary_is_named_by_hand_where_nobody_may_be_promoted(audited: Cluster) -> None:
    lost, _ = ready(audited)
    others = audited.others(lost)
    for node in others:
        done(lost, "expgsql", "standby", "on", node.name, "--yes")
    audited.wait_for(
        lambda: all(story.data_status(audited, node) == "DISCONNECT" for node in others), within=60, what="marks"
    )
    assert lost.sql("create table named (of int)") == []
    lost.power_off()
    try:
        one, other = others
        for node in others:
            ran(one, "expgsql", "standby", "off", node.name)
        audited.wait_for(lambda: None not in {node.in_recovery() for node in others}, within=60, what="standbys")
        assert f"--without {lost}" in refused(one, 10, "expgsql", "reset-master")
        words = ("expgsql", "reset-master", "--primary", other.name, "--without", lost.name)
        assert f"whatever only {lost} has" in refused(one, 1, *words)
        assert audited.primary is None
        # Without its first word, which "through" says itself; killed before one effect after the other.
        through(one, *words[1:], "--yes")
        assert the_primary(audited) == other
        audited.wait_for(lambda: story.streams(audited, one), within=60, what=f"{one} to stream")
    finally:
        audited.boot(lost)
    audited.wait_for(lambda: story.refusal(audited, lost), within=90, what=f"the refusal of {lost}, which diverged")
    audited.rebuild(lost)
    ready(audited)
