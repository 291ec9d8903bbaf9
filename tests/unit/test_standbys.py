"""``get_active_slaves`` and ``check_active_slave``: the arguments, output and exit codes of old, without a shell."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from expgsql_ra.cli.standbys import check_active_slave, get_active_slaves

CONNINFO = "host=192.0.2.236 dbname=postgres password=secret"


@pytest.fixture
def psql(tmp_path: Path) -> Path:
    """A program that keeps what it was given and answers as it is told by the file ``answer``."""
    program = tmp_path / "psql"
    program.write_text(
        "#!/bin/sh\n"
        f'for word in "$@"; do echo "$word"; done > {tmp_path}/words\n'
        f"cat > {tmp_path}/statement\n"
        f"cat {tmp_path}/answer\n"
    )
    program.chmod(0o755)
    (tmp_path / "answer").write_text("node2\nnode3\n")
    return program


def run(program: Callable[[], None], *arguments: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["program", *arguments])
    with pytest.raises(SystemExit) as ended:
        program()
    return int(str(ended.value.code))


def words(psql: Path) -> list[str]:
    return (psql.parent / "words").read_text().splitlines()


@pytest.mark.parametrize("together", [True, False], ids=["one word", "several words"])
def test_the_standbys_in_one_line(
    psql: Path, together: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [f'{psql} "{CONNINFO}"'] if together else [str(psql), CONNINFO]
    assert run(get_active_slaves, *arguments, monkeypatch=monkeypatch) == 0
    assert capsys.readouterr().out == "node2 node3\n"
    assert words(psql)[0] == CONNINFO
    assert "-X" in words(psql)
    assert "pg_stat_replication" in (psql.parent / "statement").read_text()


@pytest.mark.parametrize(
    "shape",
    [
        lambda psql: [str(psql), CONNINFO, "-h", "node2"],
        lambda psql: [f'{psql} "{CONNINFO}" -h', "node2"],
        lambda psql: [f'{psql} "{CONNINFO}"', "node2"],
    ],
)
def test_whether_a_server_is_a_standby(
    psql: Path,
    shape: Callable[[Path], list[str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (psql.parent / "answer").write_text("t\n")
    assert run(check_active_slave, *shape(psql), monkeypatch=monkeypatch) == 0
    assert capsys.readouterr().out == "t\n"
    assert words(psql)[:3] == [CONNINFO, "-h", "node2"]


@pytest.mark.parametrize(
    ("program", "arguments", "answer", "told"),
    [
        (get_active_slaves, [], "node2 node3\n", {"standbys": ["node2", "node3"]}),
        (check_active_slave, ["node2"], "t\n", {"server": "node2", "standby": True}),
        (check_active_slave, ["node1"], "f\n", {"server": "node1", "standby": False}),
    ],
)
def test_for_programs_it_is_json(  # noqa: PLR0917
    psql: Path,
    program: Callable[[], None],
    arguments: list[str],
    answer: str,
    told: dict[str, object],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (psql.parent / "answer").write_text(answer)
    assert run(program, "--json", f'{psql} "{CONNINFO}"', *arguments, monkeypatch=monkeypatch) == 0
    assert json.loads(capsys.readouterr().out) == told


@pytest.mark.parametrize("program", [get_active_slaves, check_active_slave])
@pytest.mark.parametrize("arguments", [[], ["/nonexistent/psql", "host"], ["psql | sh", "host"], ['psql "', "host"]])
def test_whatever_is_no_answer_is_exit_code_1(
    program: Callable[[], None],
    arguments: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(program, *arguments, monkeypatch=monkeypatch) == 1
    assert capsys.readouterr().out == ""


def test_an_error_of_psql_is_passed_on(
    psql: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    psql.write_text("#!/bin/sh\necho no route to host >&2\nexit 2\n")
    assert run(get_active_slaves, str(psql), CONNINFO, monkeypatch=monkeypatch) == 1
    assert "no route to host" in capsys.readouterr().err
