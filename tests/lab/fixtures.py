"""For pytest: a fixture that audits a cluster after each test and keeps evidence when one fails.

A conftest.py takes them over by importing them::

    from tests.lab.fixtures import audited, pytest_runtest_makereport

and defines a fixture `cluster` of its own, which says what is built and for how long it stays.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from tests.lab import audits, evidence, faults
from tests.lab.cluster import Cluster
from tests.lab.watch import Watch
from tests.lab.watch_record import RecordWatch
from tests.lab.writer import Writer

ARTIFACTS = Path(__file__).with_name("artifacts")
FAILED = pytest.StashKey[bool]()
WRITER = pytest.StashKey[Writer]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember for the fixtures whether the test itself failed."""
    report = yield
    item.stash[FAILED] = item.stash.get(FAILED, False) or report.failed
    return report


@pytest.fixture
def audited(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Give a test the cluster; afterwards all invariants must hold, and faults are healed."""
    yield cluster
    failed = request.node.stash.get(FAILED, False)
    try:
        audits.audit(cluster, request.node.stash.get(WRITER, None))
    except Exception:
        failed = True
        raise
    finally:
        if failed:
            print(f"evidence: {evidence.collect(cluster, ARTIFACTS / file_name(request.node.nodeid))}")
        faults.heal_all(cluster)


@pytest.fixture
def writer(audited: Cluster, request: pytest.FixtureRequest) -> Iterator[Writer]:
    """Write through the primary's address during a test; the audit reads every row back."""
    with Writer.running(audited) as running:
        request.node.stash[WRITER] = running
        yield running


@pytest.fixture
def watch(audited: Cluster) -> Iterator[Watch]:
    """Watch who acknowledges commits, and whom they wait for; afterwards nothing forbidden must have been seen."""
    with Watch.running(audited) as seen, RecordWatch.running(audited) as records:
        yield seen
    found = [*seen.complaints(), *records.wrong, *audits.not_banned(audited)]
    if found:
        raise audits.AuditFailed("\n".join(found))


def file_name(nodeid: str) -> str:
    return re.sub(r"[^\w.-]+", "-", nodeid).strip("-")
