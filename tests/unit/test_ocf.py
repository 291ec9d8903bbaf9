# SPDX-License-Identifier: GPL-2.0-or-later
"""The OCF side: what a call's environment says, the exit reason, the log."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.builders import a_context

from expgsql_ra.ocf import Context, Log, exit_reason, read_context

META = "OCF_RESKEY_CRM_meta_"


def call(action: str = "monitor", **meta: str) -> Context:
    """A call with these ``CRM_meta_`` variables alone."""
    return read_context(action, {META + name: value for name, value in meta.items()})


def test_an_empty_environment_has_sane_defaults() -> None:
    found = read_context("monitor", {})
    assert found == Context("monitor", "pgsql", None, 19.0, False, True, False, True, "-", {})


def test_the_resource_is_named_without_its_instance() -> None:
    assert read_context("start", {"OCF_RESOURCE_INSTANCE": "pg-main:2"}).resource == "pg-main"
    assert read_context("start", {"OCF_RESOURCE_INSTANCE": "pg-main"}).resource == "pg-main"


@pytest.mark.parametrize(
    ("timeout", "budget"),
    [
        ("60000", 57.0),
        ("20000", 19.0),
        ("2000", 1.5),
        ("", 19.0),
        ("0", 19.0),
        ("20s", 19.0),
    ],
)
def test_the_agent_reports_by_itself_shortly_before_the_timeout(timeout: str, budget: float) -> None:
    assert call("stop", timeout=timeout).budget == budget
    assert call("stop").budget == 19.0


@pytest.mark.parametrize(
    ("action", "interval", "probe"),
    [("monitor", "0", True), ("monitor", None, True), ("monitor", "3000", False), ("start", "0", False)],
)
def test_a_monitor_without_interval_is_a_probe(action: str, interval: str | None, probe: bool) -> None:
    meta = {} if interval is None else {"interval": interval}
    assert call(action, **meta).is_probe is probe


@pytest.mark.parametrize("name", ["clone", "clone_max"])
def test_clones_are_known_by_their_meta_attributes(name: str) -> None:
    assert call(**{name: "0"}).is_clone
    assert not call().is_clone


@pytest.mark.parametrize(
    ("feature_set", "understands"),
    [
        ("3.6.1", True),
        ("3.16.1", True),
        ("3.19.7", True),
        ("4.0", True),
        ("3.6.0", False),
        ("3.6", False),
        ("3.0.14", False),
        ("", False),
        ("3.16.1-rc1", False),
    ],
)
def test_who_understands_degraded_codes(feature_set: str, understands: bool) -> None:
    environ = {"OCF_RESKEY_crm_feature_set": feature_set}
    assert read_context("monitor", environ).understands_degraded is understands


@pytest.mark.parametrize(
    ("value", "names"),
    [(" ", ()), ("", ()), ("node1", ("node1",)), ("node1 Node-2.example ", ("node1", "Node-2.example"))],
)
def test_lists_of_a_notification(value: str, names: tuple[str, ...]) -> None:
    assert call("notify", notify_promote_uname=value).names("promote_uname") == names
    assert call("notify").names("promote_uname") == ()


def test_the_moment_of_a_notification() -> None:
    assert call("notify", notify_type="post", notify_operation="stop").notify == "post-stop"
    assert call("notify").notify == "-"


# --- exit reason ------------------------------------------------------------------------------


@given(st.text(max_size=200))
def test_an_exit_reason_is_one_line(text: str) -> None:
    with contextlib.redirect_stderr(io.StringIO()) as stream:
        exit_reason(text, {})
    line = stream.getvalue()
    assert line.startswith("ocf-exit-reason:")
    assert line.endswith("\n")
    assert len(line.splitlines()) == 1


def test_the_prefix_of_an_exit_reason_is_pacemakers_to_choose(capsys: pytest.CaptureFixture[str]) -> None:
    exit_reason("wrong\n  thing", {"OCF_EXIT_REASON_PREFIX": "because:"})
    assert capsys.readouterr().err == "because:wrong thing\n"


# --- log --------------------------------------------------------------------------------------


def log_into(path: Path, **environ: str) -> Log:
    """A log that also writes to that file."""
    context = a_context()
    return Log(context._replace(environ={**context.environ, "HA_LOGFILE": str(path), **environ}))


def test_the_log_file_takes_one_line_for_each_message(tmp_path: Path) -> None:
    path = tmp_path / "ha.log"
    log = log_into(path, HA_debug="1")
    for write in (log.info, log.warning, log.error, log.debug):
        write("first\nsecond")
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [line.partition("]: ")[2] for line in lines] == [
        f"{word}: first second" for word in ("INFO", "WARNING", "ERROR", "DEBUG")
    ]
    assert all(" node1 expgsql(pgsql)[" in line for line in lines)


@pytest.mark.parametrize("debug", ["", "0"])
def test_debugging_is_off_unless_asked_for(tmp_path: Path, debug: str) -> None:
    log_into(tmp_path / "ha.log", HA_debug=debug).debug("detail")
    assert not (tmp_path / "ha.log").exists()


def test_a_log_file_that_cannot_be_written_fails_nothing(tmp_path: Path) -> None:
    log_into(tmp_path / "missing" / "ha.log", HA_LOGFACILITY="no such facility").info("text")
    log_into(Path("/dev/null")).info("text")


@pytest.mark.parametrize(("text", "seconds"), [("3000", 3.0), ("0", 0.0), ("", 0.0), ("soon", 0.0)])
def test_how_often_an_action_is_repeated(text: str, seconds: float) -> None:
    assert call(interval=text).interval == seconds
