"""What the commands read of a cluster."""

from __future__ import annotations

from pathlib import Path

from expgsql_ra.effects.deployed import read_deployment

GOLDEN = Path(__file__).parents[2] / "golden"
CIB = (GOLDEN / "cib/pacemaker-3.0-first-start.xml").read_text(encoding="utf-8")
STATUS = (GOLDEN / "crm_mon/pacemaker-3.0.xml").read_text(encoding="utf-8")
FAILED = 'exitcode="1"'


def test_a_failed_action_comes_with_its_reason() -> None:
    (failure,) = read_deployment(CIB, STATUS, "pgsql", "node2").failures
    assert (failure.node, failure.resource, failure.operation, failure.code) == ("node1", "pgsql", "start", 1)
    assert failure.reason.startswith("data has diverged")


def test_what_was_degraded_once_is_no_failure() -> None:
    assert FAILED in STATUS
    for code in (190, 191):
        answered = STATUS.replace(FAILED, f'exitcode="{code}"')
        assert read_deployment(CIB, answered, "pgsql", "node2").failures == ()
