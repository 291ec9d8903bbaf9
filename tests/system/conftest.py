"""Fixtures of the cluster tests: a shared cluster, a writer, and audits after every test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.lab import evidence
from tests.lab.cluster import Cluster
from tests.lab.configuration import Config
from tests.lab.fixtures import ARTIFACTS, FAILED, audited, file_name, pytest_runtest_makereport, watch, writer
from tests.system.shared import SharedCluster, lab_config

__all__ = ["audited", "pytest_runtest_makereport", "watch", "writer"]


@pytest.fixture(scope="session")
def shared() -> Iterator[SharedCluster]:
    """Hold the cluster that tests share."""
    holder = SharedCluster()
    yield holder
    holder.discard()


@pytest.fixture(scope="module")
def config() -> Config:
    """Say what is built; a module that needs something else defines a fixture of its own."""
    return lab_config()


@pytest.fixture
def cluster(shared: SharedCluster, config: Config, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Give a test a healthy cluster without failures on record; afterwards it must come to rest again."""
    healthy = shared.healthy(config)
    yield healthy
    if request.node.stash.get(FAILED, False):
        shared.spoil()
        return
    try:
        shared.settle()
    except BaseException:
        print(f"evidence: {evidence.collect(healthy, ARTIFACTS / file_name(request.node.nodeid))}")
        raise
