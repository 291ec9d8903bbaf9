# SPDX-License-Identifier: GPL-2.0-or-later
"""The agent's entry: which action runs, what is printed, and what it must not cost."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from expgsql_ra.agent import main
from expgsql_ra.effects import role_files
from expgsql_ra.effects.memory import FOLDER
from expgsql_ra.notification import concerns_us
from expgsql_ra.operations import method_names

RESOURCE = f"unit-test-{os.getpid()}"
KEY = "OCF_RESKEY_"
NOTIFY = f"{KEY}CRM_meta_notify_"


@pytest.fixture(autouse=True)
def no_memory_is_left() -> Iterator[None]:
    """What the agent remembers of these calls is removed again."""
    yield
    Path(FOLDER, f"expgsql-{RESOURCE}.json").unlink(missing_ok=True)


def environ(pgdata: str | Path, **parameters: str) -> dict[str, str]:
    """The environment of a call for a server in that directory."""
    given = {KEY + name: value for name, value in {"pgdata": str(pgdata), **parameters}.items()}
    return {**given, "OCF_RESOURCE_INSTANCE": RESOURCE, f"{KEY}CRM_meta_interval": "3000"}


def reasons(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The exit reasons that were printed; nothing else may be on stderr."""
    lines = capsys.readouterr().err.splitlines()
    assert all(line.startswith("ocf-exit-reason:") for line in lines)
    return [line.removeprefix("ocf-exit-reason:") for line in lines]


# --- dispatch ---------------------------------------------------------------------------------


@pytest.mark.parametrize("argv", [["x", "destroy"], ["x", ""], ["x"], ["x", "START"], ["x", "validate"]])
def test_an_unknown_action_is_unimplemented_and_gets_the_usage(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(argv, {}) == 3
    printed = capsys.readouterr()
    assert printed.err == f"usage: expgsql {{{'|'.join(method_names())}}}\n"
    assert printed.out == ""


def test_the_actions_of_the_contract_are_there() -> None:
    contract = "start stop monitor promote demote notify validate-all meta-data methods status"
    assert set(method_names()) == set(contract.split())


def test_methods_are_listed_one_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["x", "methods"], {}) == 0
    assert capsys.readouterr().out.splitlines() == list(method_names())


def test_metadata_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["x", "meta-data"], {}) == 0
    assert capsys.readouterr().out.startswith('<?xml version="1.0"?>')


@pytest.mark.parametrize("action", ["monitor", "status"])
def test_no_server_is_not_running(tmp_path: Path, action: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["x", action], environ(tmp_path)) == 7
    assert reasons(capsys) == []


def test_parameters_alone_are_valid(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["x", "validate-all"], environ(tmp_path)) == 0
    assert reasons(capsys) == []


# --- failures ---------------------------------------------------------------------------------


def test_a_failure_has_its_code_and_one_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["x", "promote"], environ(tmp_path)) == 3
    assert reasons(capsys) == ["there is nothing to promote with rep_mode=none"]


@pytest.mark.parametrize("action", ["start", "promote", "demote", "validate-all", "notify"])
def test_bad_parameters_are_all_told_in_one_reason(
    tmp_path: Path, action: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = environ(tmp_path, pgport="many", rep_mode="asinc")
    given |= {f"{NOTIFY}type": "post", f"{NOTIFY}operation": "stop"}
    assert main(["x", action], given) == 2
    assert reasons(capsys) == [
        "pgport=many: must be a whole number, without a unit; rep_mode=asinc: must be one of none, async, sync, slave"
    ]


@pytest.mark.parametrize(("action", "code"), [("stop", 0), ("monitor", 7), ("status", 7)])
@pytest.mark.parametrize("bad", [{"pgport": "many"}, {"rep_mode": "sync"}, {"stop_escalate": "-5", "psql": "psql"}])
def test_with_bad_parameters_stop_and_monitor_still_tell_the_truth(
    tmp_path: Path, action: str, code: int, bad: Mapping[str, str]
) -> None:
    assert main(["x", action], environ(tmp_path, **bad)) == code


@pytest.mark.parametrize("action", ["stop", "monitor", "status"])
def test_without_a_data_directory_nobody_can_tell(action: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["x", action], environ("relative/path")) not in {0, 7, 8}
    assert reasons(capsys) == ["pgdata=relative/path: must be an absolute path, beginning with /"]


@pytest.mark.parametrize("action", ["stop", "monitor", "start", "demote"])
def test_a_defect_of_the_agent_is_a_failure_that_says_so(action: str, capsys: pytest.CaptureFixture[str]) -> None:
    given = environ("/srv/\0", rep_mode="sync", master_ip="192.0.2.1")
    assert main(["x", action], given) == 1
    assert reasons(capsys) == ["defect in the agent: ValueError: embedded null byte; please report it with the log"]


def test_a_secret_does_not_leave_by_the_exit_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = environ(tmp_path, primary_conninfo_opt="password=hush host=elsewhere")
    assert main(["x", "validate-all"], given) == 2
    assert "hush" not in "".join(reasons(capsys))


# --- the end of a call ------------------------------------------------------------------------


@pytest.mark.parametrize(("action", "code", "said"), [("meta-data", 0, "</resource-agent>"), ("destroy", 3, "usage:")])
def test_a_call_ends_with_the_code_and_whatever_it_had_to_say(action: str, code: int, said: str) -> None:
    argv = [sys.executable, "-I", "-c", f"from expgsql_ra.agent import call; call(['x', {action!r}], {{}})"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert (said in done.stdout, said in done.stderr) == (not code, code == 3)


def test_a_call_without_standard_streams_ends_with_its_code() -> None:
    code = "from expgsql_ra.agent import call; call(['x', 'notify'], {})"
    argv = ["sh", "-c", 'exec "$@" >&- 2>&-', "sh", sys.executable, "-I", "-c", code]
    assert subprocess.run(argv, check=False).returncode == 0


# --- cost -------------------------------------------------------------------------------------

HEAVY = {"typing", "subprocess", "json", "re", "argparse", "xml", "psycopg", "dataclasses", "pathlib", "logging"}


def loaded_by(action: str, given: Mapping[str, str]) -> set[str]:
    """The modules that a call has loaded, in an interpreter of its own."""
    code = (
        "import sys; from expgsql_ra.agent import main; "
        f"main(['x', {action!r}], {dict(given)!r}); sys.stderr.write(' '.join(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


@pytest.mark.parametrize(
    ("kind", "operation"),
    [
        ("pre", "start"),
        ("post", "start"),
        ("pre", "stop"),
        ("pre", "demote"),
        ("post", "demote"),
        ("pre", "promote"),
        ("", ""),
    ],
)
def test_a_notification_that_concerns_nobody_costs_a_start_of_python(kind: str, operation: str) -> None:
    given = {f"{NOTIFY}type": kind, f"{NOTIFY}operation": operation, f"{KEY}rep_mode": "sync"}
    loaded = loaded_by("notify", given)
    assert not HEAVY & loaded
    assert "expgsql_ra.actions" not in loaded


def notification(moment: str, folder: Path, **parameters: str) -> dict[str, str]:
    """The environment of one whose server's files lie in that folder."""
    kind, operation = moment.split("-")
    given = environ(folder, tmpdir=str(folder), rep_mode="sync", **parameters)
    return {**given, f"{NOTIFY}type": kind, f"{NOTIFY}operation": operation}


def is_answered_at_once(given: Mapping[str, str]) -> bool:
    """Whether nothing was imported for it."""
    return not (HEAVY | {"expgsql_ra.actions.notify"}) & loaded_by("notify", given)


def test_a_standby_does_not_care_who_stopped_nor_a_primary_who_was_promoted(tmp_path: Path) -> None:
    assert is_answered_at_once(notification("post-promote", tmp_path))
    (tmp_path / "standby.signal").touch()
    assert is_answered_at_once(notification("post-stop", tmp_path))


@pytest.mark.parametrize(("signal", "settings"), [("standby.signal", "rep_mode.conf"), ("recovery.conf",) * 2])
def test_a_standby_that_is_connected_does_not_keep_a_new_primary_waiting(
    tmp_path: Path, signal: str, settings: str
) -> None:
    (tmp_path / signal).touch()
    (tmp_path / settings).write_text("primary_conninfo = 'host=192.0.2.1'\n")
    assert is_answered_at_once(notification("post-promote", tmp_path))


@pytest.mark.parametrize("settings", ["primary_conninfo = ''\n", "", None])
def test_one_that_follows_nobody_yet_connects_to_it(tmp_path: Path, settings: str | None) -> None:
    (tmp_path / "standby.signal").touch()
    if settings is not None:
        (tmp_path / "rep_mode.conf").write_text(settings)
    given = notification("post-promote", tmp_path, master_ip="192.0.2.1")
    assert "expgsql_ra.actions.notify" in loaded_by("notify", given)


def test_settings_that_cannot_be_read_are_left_to_the_action(tmp_path: Path) -> None:
    (tmp_path / "standby.signal").touch()
    (tmp_path / "rep_mode.conf").mkdir()
    assert not is_answered_at_once(notification("post-promote", tmp_path, master_ip="192.0.2.1"))
    (tmp_path / "rep_mode.conf").rmdir()
    (tmp_path / "rep_mode.conf").symlink_to("elsewhere")
    assert not is_answered_at_once(notification("post-promote", tmp_path, master_ip="192.0.2.1"))


@pytest.mark.parametrize("mode", ["async", "ASYNC", " async "])
def test_an_asynchronous_standby_hears_of_a_promotion_however_the_mode_is_spelled(tmp_path: Path, mode: str) -> None:
    given = environ(tmp_path, rep_mode=mode, master_ip="192.0.2.1")
    given |= {f"{NOTIFY}type": "pre", f"{NOTIFY}operation": "promote"}
    assert "expgsql_ra.actions.notify" in loaded_by("notify", given)


def test_the_default_directories_are_looked_at_when_none_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def standby(pgdata: str) -> bool:
        asked.append(pgdata)
        return True

    def unconnected(pgdata: str, tmpdir: str) -> bool:
        asked.extend((pgdata, tmpdir))
        return False

    monkeypatch.setattr(role_files, "signals_standby", standby)
    monkeypatch.setattr(role_files, "is_seen_connected", unconnected)
    assert concerns_us({f"{NOTIFY}type": "post", f"{NOTIFY}operation": "promote", f"{KEY}pgdata": " "})
    assert asked == ["/var/lib/pgsql/data", "/var/lib/pgsql/data", "/var/lib/pgsql/tmp"]


@pytest.mark.parametrize("action", ["meta-data", "monitor", "validate-all"])
def test_no_action_of_these_needs_the_driver(tmp_path: Path, action: str) -> None:
    assert not {"psycopg", "click", "dataclasses"} & loaded_by(action, environ(tmp_path))
