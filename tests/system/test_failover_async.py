"""rep_mode=async: nothing is promised, but the data that goes furthest must win."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.lab import faults
from tests.lab.cluster import Cluster
from tests.lab.configuration import RESOURCE, Config
from tests.lab.node import Node
from tests.lab.waiting import now
from tests.lab.writer import Writer
from tests.system import story
from tests.system.shared import lab_config
from tests.system.story import the_primary

pytestmark = [pytest.mark.lab, pytest.mark.timeout(400)]

ROWS = 1000
# The name is one that the lab heals, too.
TABLE = "lab_cut_wal"
NO_WAL = f"""
table inet {TABLE} {{
    chain input {{
        type filter hook input priority 0; policy accept;
        tcp sport 5432 drop
    }}
}}
"""


@pytest.fixture(scope="module")
def config() -> Config:
    """Build a cluster whose commits wait for nobody."""
    return lab_config(rep_mode="async")


@contextmanager
def deaf(node: Node) -> Iterator[None]:
    """Keep WAL from reaching a standby, and nothing else: as a member of the cluster it stays well."""
    node.run("nft -f -", stdin=NO_WAL).check()
    try:
        yield
    finally:
        node.run(f"nft delete table inet {TABLE}").check()


def favourite(cluster: Cluster, primary: Node) -> Node:
    """Return the standby that Pacemaker would promote if the primary's node were gone and nobody objected."""
    told = primary.run(f"crm_simulate --live-check --simulate --node-down={primary.name}").check().stdout
    found = re.search(r"Promote\s+\S+\s+\(\s*Unpromoted -> Promoted (\S+)\s*\)", told)
    assert found, told
    return cluster.node(found.group(1))


def has_table(node: Node) -> bool:
    """Whether the table has reached a standby."""
    return node.sql("select to_regclass('furthest') is not null") == [(True,)]


def count(node: Node) -> object:
    """Count the rows that only the better standby received."""
    return node.sql("select count(*) from furthest")[0][0]


def wait_until_all_may_succeed(cluster: Cluster, primary: Node) -> None:
    """Wait until every standby is marked: that follows one monitor behind."""
    for node in cluster.others(primary):
        cluster.wait_for(lambda node=node: may_succeed(cluster, node), within=30, what=f"{node} to be marked")  # type: ignore[misc]


def may_succeed(cluster: Cluster, node: Node) -> bool:
    """Whether a standby carries all marks of a possible successor."""
    cib = cluster.cib()
    marks = tuple(cib.attribute(node.name, f"{RESOURCE}-{name}") for name in ("status", "data-status"))
    return marks == ("HS:async", "STREAMING|ASYNC") and cib.score(node.name, RESOURCE) == "100"


def test_all_standbys_may_succeed(audited: Cluster, writer: Writer) -> None:
    primary = the_primary(audited)
    wait_until_all_may_succeed(audited, primary)
    writer.wait_for_acks(since=now())


def test_primary_killed_once_starts_in_place(audited: Cluster, writer: Writer) -> None:
    primary = the_primary(audited)
    timeline = story.timeline(primary)
    faults.kill_server(primary, audited)
    killed = now()
    writer.wait_for_acks(since=killed)
    story.wait_whole(audited)
    assert (the_primary(audited), story.timeline(primary)) == (primary, timeline)
    story.assert_counted(audited, primary, 1)


def test_power_loss_promotes_the_standby_with_the_newest_data(audited: Cluster) -> None:
    old = the_primary(audited)
    timeline = story.timeline(old)
    old.sql("create table if not exists furthest (row int); truncate furthest")
    for node in audited.others(old):
        audited.wait_for(lambda node=node: has_table(node) and count(node) == 0, within=30, what=f"a table on {node}")  # type: ignore[misc]
    wait_until_all_may_succeed(audited, old)
    behind = favourite(audited, old)
    ahead = next(node for node in audited.others(old) if node != behind)
    with deaf(behind):
        old.sql(f"insert into furthest select generate_series(1, {ROWS})")
        audited.wait_for(lambda: count(ahead) == ROWS, within=30, what=f"all rows on {ahead}")
        assert count(behind) == 0
        assert audited.cib().score(behind.name, RESOURCE) == "100", "too late: the primary has noticed"
        old.power_off()
    primary = story.new_primary(audited, old)
    assert primary == ahead
    assert count(primary) == ROWS
    assert story.timeline(primary) == timeline + 1
    audited.boot(old)
    story.comes_back(audited, old, story.recorded_fork(audited))
    assert count(behind) == ROWS
    assert the_primary(audited) == primary
