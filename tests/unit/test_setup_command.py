# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line of the set-up: what it prints, and what it says of a file that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from expgsql_ra.cli import expgsql, run
from expgsql_ra.cli.outcome import Exit
from expgsql_ra.cli.setup import read, spelled

GOLDEN = Path(__file__).parents[1] / "golden/setup"


def test_the_example_begins_a_set_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(expgsql, ["setup", "example"]) == Exit.DONE
    file = tmp_path / "expgsql.toml"
    file.write_text(capsys.readouterr().out)
    assert run(expgsql, ["setup", "corosync", str(file)]) == Exit.DONE
    assert "cluster_name: pgcluster" in capsys.readouterr().out


def test_corosync_for_pcs(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(expgsql, ["setup", "corosync", str(GOLDEN / "two.toml"), "--with", "pcs"]) == Exit.DONE
    assert capsys.readouterr().out.startswith("pcs cluster setup pgcluster node1 addr=192.0.2.1 ")


def test_a_wrong_file_is_told_with_all_that_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "expgsql.toml"
    file.write_text('[cluster]\ntiming = "x"\n[addresses]\nnetmask = 0\n')
    assert run(expgsql, ["setup", "plan", str(file)]) == Exit.BAD_ARGUMENTS
    assert "[cluster] timing=x" in (said := capsys.readouterr().err)
    assert "[addresses] netmask=0" in said
    assert run(expgsql, ["setup", "plan", str(tmp_path / "none")]) == Exit.BAD_ARGUMENTS
    assert "expgsql setup example" in capsys.readouterr().err


@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o644, True)])
def test_a_password_that_others_may_read_is_told(
    tmp_path: Path, mode: int, warned: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "config.ini"
    file.write_text((GOLDEN / "dual.ini").read_text())
    file.chmod(mode)
    read(str(file), accept_no_arbiter=False)
    said = capsys.readouterr().err
    assert ("chmod 600" in said) == warned
    assert said.count("note: ") == 4


def test_this_node_has_to_be_one_of_the_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(expgsql, ["setup", "standby", str(GOLDEN / "three.toml")]) == Exit.BAD_ARGUMENTS
    assert "which is none of node1, node2, node3" in capsys.readouterr().err


def test_a_new_record_names_a_node_of_the_file() -> None:
    from expgsql_ra.cli.setup import _arbiter  # noqa: PLC0415
    from expgsql_ra.errors import BadArguments  # noqa: PLC0415

    two = read((str(GOLDEN / "two.toml")), accept_no_arbiter=False)
    made = _arbiter(two, "")
    assert made is not None
    assert made.primary == "node1"
    with pytest.raises(BadArguments, match="is none of node1, node2"):
        _arbiter(two, "node9")
    assert _arbiter(read(str(GOLDEN / "three.toml"), accept_no_arbiter=False), "") is None


def test_the_tool_can_be_chosen() -> None:
    three = read(str(GOLDEN / "three.toml"), accept_no_arbiter=False)
    assert spelled(three, "crmsh").startswith("primitive pgsql")
    assert spelled(three, "cibadmin") == ""
    assert spelled(three, "pcs").startswith("pcs cluster cib")
