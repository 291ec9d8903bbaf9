"""``rejoin=rewind``: a node whose data has diverged comes back by itself."""

from __future__ import annotations

import pytest
from tests.lab import faults
from tests.lab.cluster import Cluster
from tests.lab.configuration import Config
from tests.lab.waiting import now
from tests.lab.writer import Writer
from tests.system import story
from tests.system.shared import lab_config
from tests.system.story import the_primary

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def config() -> Config:
    """Three nodes that may be rewound."""
    return lab_config(params={"rejoin": "rewind"})


def test_diverged_old_primary_comes_back_by_itself(audited: Cluster, writer: Writer) -> None:
    old = the_primary(audited)
    old.unplug()
    old.sql("set synchronous_commit to local; create table alone as select generate_series(1, 100000) as row")
    with faults.powered_off(old, audited):
        story.new_primary(audited, old)
        writer.wait_for_acks(since=now())
    audited.wait_healthy()
    assert story.streams(audited, old)
    assert old.sql("select to_regclass('alone') is null") == [(True,)]
    assert story.logged(old, "rejoin=rewind allows to repair it")
    assert story.fail_count(audited, old) == "0"
