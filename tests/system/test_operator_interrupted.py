# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands that change the cluster, killed or interrupted before one effect after the other: the next call repairs."""

from __future__ import annotations

import pytest
from tests.lab.cluster import Cluster
from tests.lab.node import COROSYNC, POSTGRES
from tests.lab.waiting import now
from tests.lab.writer import Writer
from tests.system import story
from tests.system.operating import assert_nothing_left, ready, through
from tests.system.story import the_primary

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]


def test_cluster_software_stops_and_starts_in_maintenance(audited: Cluster, writer: Writer) -> None:
    primary, _ = ready(audited)
    servers = {node.name: node.postmaster() for node in audited.nodes}
    through(primary, "maintenance", "on")
    through(primary, "stop", "--yes")
    assert not [node for node in audited.nodes if node.processes(COROSYNC)]
    through(primary, "start")
    through(primary, "maintenance", "off")
    ready(audited)
    assert {node.name: node.postmaster() for node in audited.nodes} == servers
    writer.wait_for_acks(since=now())
    assert_nothing_left(audited)


def test_everything_stops_and_starts(audited: Cluster, writer: Writer) -> None:
    primary, standby = ready(audited)
    timeline = story.timeline(primary)
    through(standby, "stop", "--yes")
    assert not [node for node in audited.nodes if node.processes(POSTGRES) or node.processes(COROSYNC)]
    through(standby, "start")
    ready(audited)
    writer.wait_for_acks(since=now())
    assert (the_primary(audited), story.timeline(primary)) == (primary, timeline)


def test_the_primary_moves_and_its_node_is_emptied(audited: Cluster, writer: Writer) -> None:
    old, target = ready(audited)
    through(old, "switchover", target.name)
    ready(audited)
    assert the_primary(audited) == target
    through(old, "standby", "on", target.name, "--yes")
    assert not target.processes(POSTGRES)
    through(old, "standby", "off", target.name)
    ready(audited)
    writer.wait_for_acks(since=now())
    assert_nothing_left(audited)


def test_failures_are_forgotten(audited: Cluster) -> None:
    primary, _ = ready(audited)
    primary.kill_postgres()
    audited.wait_for(lambda: story.fail_count(audited, primary) == "1", within=60, what="the failure to be counted")
    ready(audited)
    through(primary, "cleanup")
    assert_nothing_left(audited)


def test_a_node_goes_and_comes(audited: Cluster, writer: Writer) -> None:
    primary, _ = ready(audited)
    leaving = story.spare_standby(audited)
    through(primary, "setup", "remove-node", leaving.name, "--keep-member", "--yes")
    assert leaving.postmaster() is None
    through(primary, "setup", "add-node", leaving.name, "--yes")
    ready(audited)
    writer.wait_for_acks(since=now())
    assert_nothing_left(audited)
