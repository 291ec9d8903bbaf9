# SPDX-License-Identifier: GPL-2.0-or-later
"""Real output of ``pg_controldata``, recorded from PostgreSQL 15 and 17, and what is made of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from expgsql_ra.effects.inspection import CONTROL_LABELS, read_control_data
from expgsql_ra.errors import CannotTell
from expgsql_ra.snapshot import ControlData
from expgsql_ra.values import Lsn

FOLDER = Path(__file__).parent / "controldata"
EXPECTED = {
    "postgresql-15-in-production": ControlData("7710261410848821320", "in production", Lsn(0x17536A8), 2, 0, Lsn(0)),
    "postgresql-15-in-archive-recovery": ControlData(
        "7710261410848821320", "in archive recovery", Lsn(0x1753590), 1, 2, Lsn(0x1753670)
    ),
    "postgresql-15-shut-down-in-recovery": ControlData(
        "7710261410848821320", "shut down in recovery", Lsn(0x17536A8), 2, 2, Lsn(0x1753720)
    ),
    "postgresql-15-shut-down": ControlData("7710263199647713368", "shut down", Lsn(0x1511B00), 1, 0, Lsn(0)),
    "postgresql-15-crashed": ControlData("7710263199647713368", "in production", Lsn(0x1511B00), 1, 0, Lsn(0)),
    "postgresql-17-in-production": ControlData("7710262411884408902", "in production", Lsn(0x173A7B0), 2, 0, Lsn(0)),
    "postgresql-17-in-archive-recovery": ControlData(
        "7710262411884408902", "in archive recovery", Lsn(0x173A670), 1, 2, Lsn(0x173A758)
    ),
    "postgresql-17-shut-down-in-recovery": ControlData(
        "7710262411884408902", "shut down in recovery", Lsn(0x173A7B0), 2, 2, Lsn(0x173A828)
    ),
    "postgresql-17-shut-down": ControlData("7710263182969169758", "shut down", Lsn(0x14EE9D8), 1, 0, Lsn(0)),
    "postgresql-17-crashed": ControlData("7710263182969169758", "in production", Lsn(0x14EE9D8), 1, 0, Lsn(0)),
}


def text(name: str) -> str:
    """A recorded output."""
    return (FOLDER / f"{name}.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize(("name", "expected"), EXPECTED.items(), ids=EXPECTED.keys())
def test_what_is_read(name: str, expected: ControlData) -> None:
    assert read_control_data(text(name)) == expected


def test_every_recording_is_expected() -> None:
    assert {path.stem for path in FOLDER.glob("*.txt")} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_only_a_primary_shut_down_in_order_is_clean(name: str) -> None:
    assert read_control_data(text(name)).clean_primary is name.endswith("-shut-down")


@pytest.mark.parametrize("version", ["15", "17"])
def test_a_running_standby_is_known_to_have_reached_the_new_timeline(version: str) -> None:
    assert read_control_data(text(f"postgresql-{version}-in-archive-recovery")).timeline == 2


@pytest.mark.parametrize("label", CONTROL_LABELS)
@pytest.mark.parametrize("version", ["15", "17"])
def test_a_missing_field_is_told_by_its_name(version: str, label: str) -> None:
    lines = [line for line in text(f"postgresql-{version}-shut-down").splitlines() if not line.startswith(f"{label}:")]
    with pytest.raises(CannotTell, match=f"^pg_controldata does not tell: {label}$"):
        read_control_data("\n".join(lines))


@pytest.mark.parametrize(
    "translated",
    [
        "Datenbanksystemidentifikation: 7710263199647713368\nDatenbank-Cluster-Status: heruntergefahren\n",
        "数据库系统标识符:                       7710263199647713368\n数据库簇状态:                           关闭\n",
        "",
    ],
)
def test_another_language_is_never_mistaken_for_facts(translated: str) -> None:
    with pytest.raises(CannotTell):
        read_control_data(translated)
