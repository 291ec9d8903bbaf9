# SPDX-License-Identifier: GPL-2.0-or-later
"""The guard beside a real server: an end that nobody wanted is reported once, and no other."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.contract.guarded import Guarded
from tests.contract.subjects import RealSubject

from expgsql_ra.world import Shutdown

pytestmark = [pytest.mark.lab, pytest.mark.timeout(90)]

REPORT = "crm_resource --fail --resource pgsql --node node1"


@pytest.fixture
def guarded(real: RealSubject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Guarded]:
    """A stopped server with all that a guard needs."""
    found = Guarded(real, tmp_path)
    monkeypatch.setattr(sys, "executable", found.interpreter)
    yield found
    found.clear_away()


def ended(guarded: Guarded) -> None:
    """Wait until the guard has done its work."""
    guarded.wait_for_guards(0)


@pytest.mark.parametrize("how", [Shutdown.FAST, Shutdown.IMMEDIATE, Shutdown.KILL])
def test_a_wanted_stop_is_not_reported_and_leaves_no_guard(guarded: Guarded, how: Shutdown) -> None:
    guarded.serve()
    guarded.real.stop(how)
    ended(guarded)
    assert guarded.calls == []
    assert list((guarded.folder / "run").iterdir()) == []


def test_a_stop_that_overtakes_the_guards_start_is_wanted_all_the_same(guarded: Guarded) -> None:
    guarded.real.primary()
    guarded.begin()
    guarded.real.stop(Shutdown.IMMEDIATE)
    guarded.real.wait_until(lambda: not guarded.is_guarded, "the guard to be gone")
    assert guarded.calls == []


def test_a_death_that_overtakes_the_guards_start_is_reported_all_the_same(guarded: Guarded) -> None:
    guarded.real.primary()
    guarded.begin()
    guarded.real.kill_postmaster()
    guarded.real.wait_until(lambda: bool(guarded.reports), "the report")


@pytest.mark.parametrize("death", ["kill", "by hand"])
def test_an_end_that_nobody_wanted_is_reported_once(guarded: Guarded, death: str) -> None:
    pid = guarded.serve()
    if death == "kill":
        guarded.real.kill_postmaster()
    else:
        guarded.by_hand("stop")
    ended(guarded)
    assert guarded.reports == [REPORT]
    assert f"the guard saw PostgreSQL (pid {pid}) end unexpectedly and reports it to Pacemaker" in guarded.log
    assert not guarded.watch.is_reporting()
    assert list((guarded.folder / "run").iterdir()) == []


@pytest.mark.parametrize("feature_set", ["3.16.2", "3.17.4", ""])
@pytest.mark.parametrize("counted", ["1", "2"])
@pytest.mark.parametrize("before", [None, "2"])
def test_it_counts_as_one_failure(
    real: RealSubject,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    feature_set: str,
    counted: str,
    before: str | None,
) -> None:
    guarded = Guarded(real, tmp_path, feature_set)
    monkeypatch.setattr(sys, "executable", guarded.interpreter)
    guarded.says(counted=counted)
    if before is not None:
        guarded.says(count=before)
    guarded.serve()
    guarded.real.kill_postmaster()
    ended(guarded)
    assert guarded.count == str(int(before or 0) + 1)
    assert len(guarded.reports) == 1


@pytest.mark.parametrize("counted", ["1", "2"])
def test_two_deaths_in_quick_succession_count_as_two(
    real: RealSubject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, counted: str
) -> None:
    guarded = Guarded(real, tmp_path, "3.16.2")
    monkeypatch.setattr(sys, "executable", guarded.interpreter)
    guarded.says(counted=counted)
    for _ in range(2):
        guarded.real.primary()
        guarded.begin()
        before = len(guarded.reports)
        guarded.kill()
        guarded.real.wait_until(lambda before=before: len(guarded.reports) > before, "the report")  # type: ignore[misc]
    ended(guarded)
    assert guarded.count == "2"


def test_each_server_has_one_guard_however_often_it_is_asked_for(guarded: Guarded) -> None:
    guarded.serve()
    for _ in range(5):
        guarded.begin()
    guarded.wait_for_guards(1)
    guarded.begin()
    assert len(guarded.guards) == 1


def test_a_guard_that_was_killed_is_replaced(guarded: Guarded) -> None:
    guarded.serve()
    (first,) = guarded.guards
    os.kill(first, signal.SIGKILL)
    ended(guarded)
    guarded.begin()
    guarded.wait_for_guards(1)
    assert guarded.guards != [first]
    guarded.real.kill_postmaster()
    ended(guarded)
    assert guarded.reports == [REPORT]


def test_two_guards_make_one_report(guarded: Guarded) -> None:
    guarded.serve()
    (one,) = (guarded.folder / "run").iterdir()
    one.unlink()  # and with it the lock that keeps a second one away
    guarded.begin()
    guarded.wait_for_guards(2)
    guarded.real.kill_postmaster()
    ended(guarded)
    assert guarded.reports == [REPORT]


@pytest.mark.parametrize(("code", "why"), [("0", "is not managed just now"), ("102", "does not say")])
def test_it_is_silent_where_the_cluster_does_not_say_that_it_manages_the_server(
    guarded: Guarded, code: str, why: str
) -> None:
    guarded.says(obstacles=code)
    guarded.serve()
    guarded.real.kill_postmaster()
    ended(guarded)
    assert guarded.reports == []
    assert not any(call.startswith("attrd_updater") for call in guarded.calls)
    assert why in guarded.log


def test_a_monitor_that_is_faster_reports_alone(guarded: Guarded) -> None:
    guarded.serve()
    (guard,) = guarded.guards
    guarded.freeze(guard)
    guarded.real.kill_postmaster()
    guarded.watch.release()
    assert not guarded.watch.is_reporting()
    os.kill(guard, signal.SIGCONT)
    ended(guarded)
    assert guarded.calls == []


def test_a_monitor_sees_that_the_guard_reports(guarded: Guarded) -> None:
    guarded.says(hold="")
    guarded.serve()
    guarded.real.kill_postmaster()
    guarded.real.wait_until(lambda: bool(guarded.reports), "the report")
    guarded.watch.release()
    assert guarded.watch.is_reporting()
    (guarded.folder / "hold").unlink()
    ended(guarded)
    assert not guarded.watch.is_reporting()
    assert len(guarded.reports) == 1


def test_a_new_server_has_nothing_to_do_with_the_report_of_the_last_one(guarded: Guarded) -> None:
    guarded.says(hold="")
    guarded.serve()
    guarded.kill()
    guarded.real.wait_until(lambda: bool(guarded.reports), "the report")
    assert guarded.watch.is_reporting()
    guarded.real.primary()
    assert not guarded.watch.is_reporting()


def test_a_report_that_is_refused_is_left_to_the_monitor_at_once(guarded: Guarded) -> None:
    guarded.says(refuse="")
    guarded.serve()
    guarded.real.kill_postmaster()
    ended(guarded)
    assert not guarded.watch.is_reporting()
    assert "the monitor will: crm_resource --fail failed (1)" in guarded.log


def test_a_guard_that_dies_while_it_reports_holds_up_nobody(guarded: Guarded) -> None:
    guarded.says(hold="")
    guarded.serve()
    guarded.real.kill_postmaster()
    guarded.real.wait_until(lambda: bool(guarded.reports), "the report")
    for guard in guarded.guards:
        os.kill(guard, signal.SIGKILL)
    ended(guarded)
    assert not guarded.watch.is_reporting()


def test_the_same_guard_goes_on_after_an_action_that_answered_for_the_server(guarded: Guarded) -> None:
    guarded.serve()
    guard = guarded.guards
    guarded.watch.release()
    guarded.begin()
    assert guarded.guards == guard
    guarded.real.kill_postmaster()
    ended(guarded)
    assert guarded.reports == [REPORT]


def test_what_was_agreed_upon_for_one_server_is_nothing_for_the_next(guarded: Guarded) -> None:
    guarded.serve()
    guarded.real.stop()
    ended(guarded)
    guarded.serve()
    guarded.real.kill_postmaster()
    ended(guarded)
    assert guarded.reports == [REPORT]


def test_a_process_that_is_no_server_of_ours_is_not_guarded(guarded: Guarded) -> None:
    guarded.watch.begin(os.getpid())
    assert guarded.guards == []


def test_where_no_guard_can_be_had_nothing_fails(guarded: Guarded) -> None:
    guarded.real.primary()
    (guarded.folder / "run").write_text("in the way", encoding="utf-8")
    guarded.begin()
    assert guarded.guards == []
    assert "WARNING: no guard waits for the end of PostgreSQL" in guarded.log
    (guarded.folder / "run").unlink()


def test_two_resources_do_not_share_their_watch(guarded: Guarded) -> None:
    folder = guarded.folder / "run"
    folder.mkdir()
    others = ("expgsql-pgsql2.7.watched", "expgsql-pgsql.2.7.watched", "expgsql-pgsql.json", "expgsql-pgsql.x.watched")
    for name in others:
        (folder / name).touch()
    guarded.watch.release()
    guarded.watch.forget()
    assert sorted(one.name for one in folder.iterdir()) == sorted(others)


def test_a_guard_belongs_to_nobody_and_keeps_nothing(guarded: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OCF_RESKEY_monitor_password", "hush")
    guarded.serve()
    (guard,) = guarded.guards
    fallen_asleep(guarded, guard)  # until then it still opens and closes files of its own
    assert os.getsid(guard) == guard
    process = Path(f"/proc/{guard}")
    assert process.joinpath("cwd").readlink() == Path("/")
    assert {process.joinpath(f"fd/{number}").readlink() for number in range(3)} == {Path("/dev/null")}
    names = {one.partition(b"=")[0] for one in process.joinpath("environ").read_bytes().split(b"\0")}
    assert not {name for name in names if b"password" in name}
    kept = {str(one.readlink()) for one in process.joinpath("fd").iterdir()} - {"/dev/null"}
    (watched,) = (guarded.folder / "run").iterdir()
    assert kept == {"anon_inode:[pidfd]", str(watched)}


def test_a_guard_sleeps_until_the_end(guarded: Guarded) -> None:
    guarded.serve()
    (guard,) = guarded.guards
    fallen_asleep(guarded, guard)
    slept, since = switches(guard), time.monotonic()
    guarded.real.freeze()  # what happens to a server that lives is the monitor's business
    guarded.real.wait_until(lambda: time.monotonic() - since > 0.5, "half a second")
    assert switches(guard) == slept


def fallen_asleep(guarded: Guarded, guard: int) -> None:
    """Wait until the guard waits for the server's end."""
    waits = Path(f"/proc/{guard}/wchan")
    guarded.real.wait_until(lambda: "poll" in waits.read_text(encoding="utf-8"), "the guard to fall asleep")


def switches(pid: int) -> list[str]:
    """How often a process has gone to sleep or was made to wait."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if "ctxt_switches" in line]
