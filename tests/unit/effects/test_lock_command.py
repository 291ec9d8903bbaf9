# SPDX-License-Identifier: GPL-2.0-or-later
"""Lock commands of other makers: what counts as an answer, and that nothing is granted without one."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from tests.fake_authority import FakeAuthority, FakeKeeper

from expgsql_ra.effects.lock_command import Answer, LockCommands, LockedAuthority, Verdict, ask, words
from expgsql_ra.record import (
    NO_LEASE,
    Accepted,
    Found,
    Lease,
    LeaseHeld,
    Outdated,
    Proposal,
    Record,
    Successor,
    Unreachable,
    first_record,
    promoted,
    rewritten,
)

WITHIN = 5.0
ONE, TWO = Successor("node1", "d1"), Successor("node2", "d2")
NO_ANSWER = Unreachable("no answer")


# --- the commands -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("lock @owner 9", ["lock", "node1", "9"]),
        ("lock '--who=@owner now'", ["lock", "--who=node1 now"]),
    ],
)
def test_what_is_not_written_for_a_shell_gets_none(command: str, expected: list[str]) -> None:
    assert words(command, "node1") == (expected, {})


@pytest.mark.parametrize("command", ["lock node1; true", "PGPASSWORD=x lock node1", "lock $(hostname)"])
def test_what_a_shell_reads_is_in_no_argument(command: str) -> None:
    assert words(command.replace("node1", "@owner"), "node1") == (
        ["/bin/sh", "-c", 'eval "$EXPGSQL_COMMAND"'],
        {"EXPGSQL_COMMAND": command},
    )


def test_a_password_given_to_a_shell_reaches_the_program() -> None:
    assert ask("SECRET=1 sh -c 'echo $SECRET'", "node1", WITHIN) is Verdict.YES


def test_a_name_is_never_read_by_a_shell() -> None:
    assert ask("echo @owner >/dev/null; echo 1", "$(exit 3)'; exit 4", WITHIN) is Verdict.YES


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("echo 1", Verdict.YES),
        ("echo ' 1 '", Verdict.YES),
        ("echo 0", Verdict.NO),
        ("printf 1; echo noise >&2", Verdict.YES),
    ],
)
def test_one_is_granted_and_zero_is_held(command: str, answer: Answer) -> None:
    assert ask(command, "node1", WITHIN) is answer


@pytest.mark.parametrize(
    "command",
    [
        "true",
        "echo 1; exit 1",
        "echo 0; exit 2",
        "false",
        "echo 11",
        "echo 1; echo 1",
        "echo yes",
        "echo -1",
        "kill -9 $$",
        "/does/not/exist",
        "echo 'unbalanced",
        "",
        "   ",
        "printf '\\377'",
    ],
)
def test_anything_else_is_no_answer(command: str) -> None:
    assert isinstance(ask(command, "node1", WITHIN), Unreachable)


def test_a_command_is_bounded_and_killed_with_its_children(tmp_path: Path) -> None:
    begun = time.monotonic()
    answer = ask(f"sleep 60 & echo $! > {tmp_path}/pid; sleep 60; echo 1", "node1", 0.5)
    assert isinstance(answer, Unreachable)
    assert "0.5 s" in answer.why
    assert time.monotonic() - begun < 20
    child = int((tmp_path / "pid").read_text(encoding="utf-8"))
    for _ in range(50):
        if not Path(f"/proc/{child}").exists() or is_zombie(child):
            return
        time.sleep(0.05)
    raise AssertionError("a child of the command outlived it")


def is_zombie(pid: int) -> bool:
    """Whether a process only waits for somebody to take note of its end."""
    return " Z " in Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")


def test_a_child_that_keeps_the_output_open_does_not_keep_us(tmp_path: Path) -> None:
    begun = time.monotonic()
    ask(f"setsid sleep 60 & echo $! > {tmp_path}/pid; echo 1", "node1", 0.5)
    assert time.monotonic() - begun < 20
    os.kill(int((tmp_path / "pid").read_text(encoding="utf-8")), 9)


def test_the_command_itself_is_not_repeated_in_reasons() -> None:
    answer = ask("false hush @owner", "node1", WITHIN)
    assert isinstance(answer, Unreachable)
    assert "hush" not in answer.why


# --- with a record ----------------------------------------------------------------------------


class Service:
    """A lock service that says what it is told to say."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []

    def ask(self, command: str, owner: str, within: float) -> Answer:
        """Note it and answer."""
        assert within >= 0
        self.asked.append(f"{command} {owner}")
        return self._answers.pop(0)


class Site:
    """A record kept somewhere, and a node with lock commands."""

    def __init__(self, *answers: Answer, node: str = "node2") -> None:
        self.keeper = FakeAuthority(FakeKeeper(), "pgsql", 30)
        self.keeper.create(first_record("7", ONE, (1, 1), "root", "created"), WITHIN)
        wide = self.write(rewritten(self.record, (ONE, TWO), writer="node1", reason="caught up"))
        self.keeper.release(wide, WITHIN)
        self.service = Service(*answers)
        self.authority = LockedAuthority(self.keeper, LockCommands("lock", "unlock", 9), node, self.service.ask)

    def write(self, proposal: Proposal) -> Record:
        """Write past the commands."""
        answer = self.keeper.write(proposal, WITHIN)
        assert isinstance(answer, Accepted)
        return answer.record

    @property
    def record(self) -> Record:
        """What is kept."""
        found = self.keeper.read(WITHIN)
        assert isinstance(found, Found)
        return found.record

    @property
    def takes_over(self) -> Proposal:
        """The promotion of node2."""
        return promoted(self.record, TWO, reason="node1 is gone")


def test_a_promotion_needs_the_lock() -> None:
    site = Site(Verdict.YES)
    answer = site.authority.write(site.takes_over, WITHIN)
    assert isinstance(answer, Accepted)
    assert answer.record.lease == Lease("node2", 9.0)
    assert site.service.asked == ["lock node2"]


@pytest.mark.parametrize(("said", "answer"), [(Verdict.NO, LeaseHeld("another node", 0.0)), (NO_ANSWER, NO_ANSWER)])
def test_without_the_lock_nothing_is_written(said: Answer, answer: object) -> None:
    site = Site(said)
    before = site.record
    assert site.authority.write(site.takes_over, WITHIN) == answer
    assert site.record == before


def test_a_promotion_that_was_refused_gives_the_lock_back() -> None:
    site = Site(Verdict.YES, Verdict.YES)
    proposal = site.takes_over
    site.write(rewritten(site.record, (ONE,), writer="node1", reason="degraded"))
    assert isinstance(site.authority.write(proposal, WITHIN), Outdated)
    assert site.service.asked == ["lock node2", "unlock node2"]


def test_a_primary_that_is_behind_keeps_its_lock() -> None:
    site = Site(Verdict.YES, node="NODE1")
    old = site.record
    site.write(rewritten(old, (ONE,), writer="node2", reason="stopped in order"))
    degrade = rewritten(old, (ONE,), writer="node1", reason="degraded")
    assert isinstance(site.authority.write(degrade, WITHIN), Outdated)
    assert site.service.asked == ["lock NODE1"]


def test_a_write_whose_fate_is_not_known_keeps_the_lock() -> None:
    site = Site(Verdict.YES)
    proposal = site.takes_over
    site.keeper.lose_replies = True
    assert isinstance(site.authority.write(proposal, WITHIN), Unreachable)
    assert site.service.asked == ["lock node2"]


def test_a_standby_leaves_without_the_lock() -> None:
    site = Site()
    leave = rewritten(site.record, (ONE,), writer="node2", reason="stopped in order")
    assert isinstance(site.authority.write(leave, WITHIN), Accepted)


def test_a_renewal_takes_the_lock_again() -> None:
    site = Site(Verdict.YES, node="node1")
    answer = site.authority.renew(site.record, WITHIN)
    assert isinstance(answer, Accepted)
    assert answer.record.lease == Lease("node1", 9.0)


def test_a_lock_that_another_has_is_not_renewed() -> None:
    site = Site(Verdict.NO, node="node1")
    answer = site.authority.renew(site.record, WITHIN)
    assert isinstance(answer, Outdated)
    assert answer.record.lease == Lease("another node", 9.0)


def test_a_renewal_without_an_answer_is_none() -> None:
    assert Site(NO_ANSWER, node="node1").authority.renew(Site().record, WITHIN) == NO_ANSWER


def test_a_renewal_for_a_record_that_is_gone_asks_nobody() -> None:
    site = Site(node="node1")
    old = site.record
    site.write(site.takes_over)
    assert isinstance(site.authority.renew(old, WITHIN), Outdated)
    assert site.service.asked == []


@pytest.mark.parametrize("said", [Verdict.YES, Verdict.NO])
def test_what_is_released_or_anothers_is_not_ours(said: Verdict) -> None:
    site = Site(said)
    assert site.authority.release(site.record, WITHIN) == Accepted(site.record._replace(lease=NO_LEASE))
    assert site.service.asked == ["unlock node2"]


def test_a_release_without_an_answer_is_none() -> None:
    site = Site(NO_ANSWER)
    assert site.authority.release(site.record, WITHIN) == NO_ANSWER


def test_a_lock_cannot_be_read_without_being_taken() -> None:
    site = Site()
    assert site.authority.read(WITHIN) == Found(site.record)
