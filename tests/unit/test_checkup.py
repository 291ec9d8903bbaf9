# SPDX-License-Identifier: GPL-2.0-or-later
"""The doctor's facts and findings on their way through JSON."""

from __future__ import annotations

from tests.checkups import a_node

from expgsql_ra.checkup import Starter, as_mapping, from_mapping
from expgsql_ra.rules.findings import Finding, Severity


def test_a_checkup_survives_its_way_through_json() -> None:
    one = a_node(starters=(Starter("u", "d", "1"),), problems=("p",), marks=("m",), pending=("x",), remarks=("r",))
    assert from_mapping(as_mapping(one)) == one


def test_findings_are_plain_for_json() -> None:
    assert Finding("disks", Severity.OK, "there is space")._asdict()["severity"] == "ok"
