# SPDX-License-Identifier: GPL-2.0-or-later
"""Asking through another node: the arbiter's own answer or none, and no certainty about what was sent before."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from tests.fake_authority import FakeAuthority, FakeKeeper

from expgsql_ra.effects.authority import authority_of
from expgsql_ra.effects.lock_command import Verdict
from expgsql_ra.effects.process import Result
from expgsql_ra.effects.relay import (
    Place,
    RelayedAuthority,
    asking_through,
    relayed,
    reply,
    reply_of,
)
from expgsql_ra.errors import DeadlineExceeded
from expgsql_ra.record import (
    Accepted,
    Found,
    Lease,
    LeaseHeld,
    Missing,
    Outdated,
    Proposal,
    Reading,
    Record,
    Renewal,
    Successor,
    Unreachable,
    Writing,
    first_record,
    promoted,
    rewritten,
)

WITHIN = 5.0
CUT = Unreachable("the cable is cut")
ONE, TWO = Successor("node1", "d1"), Successor("node2", "d2")
PLACE = Place("host=arbiter password=hush", "cls1", 30, "/root/.pgpass")


class OwnWay(FakeAuthority):
    """An arbiter over a line that can be cut; `lose_replies` and `delay_writes` are for the line too."""

    cut = False

    def read(self, within: float) -> Reading:
        """Over the line."""
        return CUT if self.cut else super().read(within)

    def write(self, proposal: Proposal, within: float) -> Writing:
        """Over the line."""
        return CUT if self.cut else super().write(proposal, within)

    def renew(self, record: Record, within: float) -> Renewal:
        """Over the line."""
        return CUT if self.cut else super().renew(record, within)

    def release(self, record: Record, within: float) -> Renewal:
        """Over the line."""
        return CUT if self.cut else super().release(record, within)


class Site:
    """An arbiter, this node's way to it, and other nodes' ways."""

    def __init__(self, *reaching: str, nodes: tuple[str, ...] = ("node1", "node2", "node3")) -> None:
        self.keeper = FakeKeeper()
        self.direct = OwnWay(self.keeper, "cls1", 30)
        self.direct.create(first_record("7", ONE, (1, 1), "root", "created"), WITHIN)
        self.reaching = reaching
        self.asked: list[str] = []
        self.requests: list[str] = []
        self.argv: list[str] = []
        self.authority = RelayedAuthority(self.direct, PLACE, nodes, "node1", self.run)

    def run(self, argv: list[str], _timeout: float, stdin: str) -> Result:
        """An ssh whose other end is here."""
        node = argv[argv.index("--") + 1]
        self.asked.append(node)
        self.argv, self.requests = argv, [*self.requests, stdin]
        if node not in self.reaching:
            return Result(0, json.dumps(reply(Unreachable("not from here either"))), "")
        return Result(0, relayed(stdin, lambda *_: FakeAuthority(self.keeper, "cls1", 30)), "")

    @property
    def record(self) -> Record:
        """What the arbiter has."""
        found = FakeAuthority(self.keeper, "cls1", 30).read(WITHIN)
        assert isinstance(found, Found)
        return found.record


def widening(record: Record, reason: str = "caught up") -> Proposal:
    """Node 1 adds node 2."""
    return rewritten(record, (ONE, TWO), writer="node1", reason=reason)


def test_who_is_answered_asks_nobody_else() -> None:
    site = Site("node2")
    assert site.authority.read(WITHIN) == Found(site.record)
    assert isinstance(site.authority.write(widening(site.record), WITHIN), Accepted)
    assert site.asked == []


def test_all_calls_go_through_the_first_node_that_reaches_the_arbiter() -> None:
    site = Site("node3")
    site.direct.cut = True
    assert site.authority.read(WITHIN) == Found(site.record)
    written = site.authority.write(widening(site.record), WITHIN)
    assert isinstance(written, Accepted)
    assert written.record.lease.holder == "node1"
    assert isinstance(site.authority.renew(written.record, WITHIN), Accepted)
    assert isinstance(site.authority.release(written.record, WITHIN), Accepted)
    assert site.asked == ["node2", "node3"] * 4
    assert site.record.successors == (ONE, TWO)


def test_nobody_asks_himself_however_he_is_spelled() -> None:
    site = Site("NODE1", nodes=("NODE1",))
    site.direct.cut = True
    assert site.authority.read(WITHIN) == CUT
    assert isinstance(site.authority.write(widening(site.record), WITHIN), Unreachable)
    assert site.asked == []


def test_where_nobody_reaches_it_nothing_is_granted() -> None:
    site = Site()
    site.direct.cut = True
    answer = site.authority.renew(site.record, WITHIN)
    assert isinstance(answer, Unreachable)
    assert "the cable is cut; through node2: not from here either; through node3" in answer.why


def test_a_password_is_no_argument() -> None:
    site = Site("node2")
    site.direct.cut = True
    site.authority.read(WITHIN)
    assert "hush" not in " ".join(site.argv)
    assert "hush" in site.requests[0]
    assert "BatchMode=yes" in site.argv


def test_a_refusal_is_passed_on() -> None:
    site = Site("node2")
    old = site.record
    site.direct.write(widening(old), WITHIN)
    site.direct.cut = True
    assert isinstance(site.authority.renew(old._replace(epoch=2), WITHIN), Outdated)
    assert isinstance(site.authority.write(widening(old, "another reason"), WITHIN), Outdated)


# --- a write of which nobody knows what became ------------------------------------------------


def test_a_write_that_was_applied_without_a_reply_is_recognised() -> None:
    site = Site("node2")
    site.direct.lose_replies = True
    answer = site.authority.write(widening(site.record), WITHIN)
    assert isinstance(answer, Accepted)
    assert answer.record == site.record
    assert answer.record.revision == 2


def test_a_write_that_arrives_after_the_second_one_is_dead() -> None:
    site = Site("node2")
    site.direct.delay_writes = True
    answer = site.authority.write(widening(site.record), WITHIN)
    assert isinstance(answer, Accepted)
    site.direct.deliver()
    assert site.record == answer.record


@pytest.mark.parametrize(
    "other",
    [
        {"writer": "node2"},
        {"reason": "degraded"},
        {"successors": (ONE, Successor("node2", "d9"))},
    ],
)
def test_what_another_wrote_is_not_taken_for_ours(other: dict[str, object]) -> None:
    site = Site("node2")
    proposal = widening(site.record)
    theirs = proposal._replace(**other)  # type: ignore[arg-type]
    site.direct.write(theirs, WITHIN)
    site.direct.cut = True
    assert isinstance(site.authority.write(proposal, WITHIN), Outdated)


def test_what_was_written_since_is_not_taken_for_ours() -> None:
    site = Site("node2")
    proposal = widening(site.record)
    site.direct.write(proposal, WITHIN)
    site.direct.write(rewritten(site.record, (ONE, TWO), writer="node1", reason="caught up"), WITHIN)
    site.direct.cut = True
    assert isinstance(site.authority.write(proposal, WITHIN), Outdated)


def test_a_refusal_that_does_not_kill_the_first_try_is_none() -> None:
    site = Site("node2")
    site.direct.write(widening(site.record), WITHIN)
    site.direct.cut = True
    answer = site.authority.write(promoted(site.record, TWO, reason="too early"), WITHIN)
    assert isinstance(answer, Unreachable)
    assert "may still arrive" in answer.why
    site.keeper.records.clear()
    missing = site.authority.write(widening(first_record("7", ONE, (1, 1), "", "")), WITHIN)
    assert isinstance(missing, Unreachable)
    assert "may still arrive" in missing.why


# --- what goes wrong on the way ---------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        "",
        "Welcome to node2\n",
        "[]",
        "null",
        "{}",
        '{"answer": "Accepted"}',
        '{"answer": "Accepted", "record": {}}',
        '{"answer": "Granted"}',
        '{"answer": "LeaseHeld", "by": "node1"}',
        json.dumps(reply(LeaseHeld("node1", 3.0))),
        "[" * 100_000,
    ],
)
def test_what_is_no_answer_to_the_question_grants_nothing(said: str) -> None:
    direct = Site().direct
    direct.cut = True
    authority = RelayedAuthority(direct, PLACE, ("node2",), "node1", lambda *_: Result(0, said, ""))
    assert isinstance(authority.read(WITHIN), Unreachable)
    assert isinstance(authority.renew(first_record("7", ONE, (1, 1), "", ""), WITHIN), Unreachable)


def failing(_argv: list[str], _timeout: float, _stdin: str) -> Result:
    """A way that takes too long."""
    raise DeadlineExceeded("ssh did not end")


@pytest.mark.parametrize("run", [failing, lambda *_: Result(255, "1", "Host key verification failed.")])
def test_a_broken_way_grants_nothing(run: Callable[[list[str], float, str], Result]) -> None:
    site = Site()
    site.direct.cut = True
    authority = RelayedAuthority(site.direct, PLACE, ("node2",), "node1", run)
    assert isinstance(authority.read(WITHIN), Unreachable)


def test_without_time_nobody_is_asked() -> None:
    site = Site("node2")
    site.direct.cut = True
    assert isinstance(site.authority.read(0), Unreachable)
    assert site.asked == []


@pytest.mark.parametrize(
    "answer",
    [
        Found(first_record("7", ONE, (3, 4), "root", "é")),
        Accepted(first_record("7", ONE, (3, 4), "", "")._replace(lease=Lease("node1", 3.5))),
        Outdated(first_record("", ONE, (3, 4), "", "")),
        LeaseHeld("node1", 3.5),
        Missing("no row"),
        Unreachable("down"),
    ],
)
def test_answers_travel_unchanged(answer: Found | Accepted | Outdated | LeaseHeld | Missing | Unreachable) -> None:
    assert reply_of(json.loads(json.dumps(reply(answer)))) == answer


@pytest.mark.parametrize(
    "request_",
    [
        "",
        "[]",
        "{}",
        '{"call": "read"}',
        '{"call": "read", "within": 1}',
        json.dumps({"call": "drop", "within": 1, **PLACE._asdict()}),
        json.dumps({"call": "write", "within": 1, **PLACE._asdict()}),
        json.dumps({"call": "write", "within": 1, "proposal": {"replaces": {}}, **PLACE._asdict()}),
        json.dumps({"call": "renew", "within": 1, "record": {"epoch": 1}, **PLACE._asdict()}),
    ],
)
def test_what_is_no_request_is_refused(request_: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        relayed(request_, lambda *_: FakeAuthority(FakeKeeper(), "cls1", 30))


# --- lock commands ----------------------------------------------------------------------------


def test_a_lock_is_asked_for_through_another_node_where_this_one_gets_no_answer() -> None:
    site = Site("node3")
    answers = {"node2": Result(0, '{"why": "down"}', ""), "node3": Result(0, '{"verdict": "NO"}', "")}

    def run(argv: list[str], _timeout: float, stdin: str) -> Result:
        node = argv[argv.index("--") + 1]
        site.asked.append(node)
        call = json.loads(stdin)
        assert (call["command"], call["owner"]) == ("exit 3; @owner", "node1")
        return answers[node]

    asked = asking_through(("node1", "node2", "node3"), "node1", run)
    assert asked("exit 3; @owner", "node1", WITHIN) is Verdict.NO
    assert site.asked == ["node2", "node3"]


@pytest.mark.parametrize(("command", "said"), [("echo 1", "YES"), ("echo 0", "NO")])
def test_the_other_node_runs_the_command_for_the_same_owner(command: str, said: str) -> None:
    call = {"call": "lock", "command": f"test @owner = node1 && {command}", "owner": "node1", "within": WITHIN}
    assert json.loads(relayed(json.dumps(call), authority_of)) == {"verdict": said}


def test_an_answer_of_this_node_is_enough() -> None:
    asked = asking_through(("node2",), "node1", failing)
    assert asked("echo 0", "node1", WITHIN) is Verdict.NO
    assert isinstance(asked("echo 2", "node1", WITHIN), Unreachable)
