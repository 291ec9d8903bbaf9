# SPDX-License-Identifier: GPL-2.0-or-later
"""Asking the arbiter through another node, where this node's own way to it is broken.

The other node is told by ssh what to ask, in JSON on standard input (a connection string may have a password, which
arguments would show), and passes on the arbiter's own answer. It adds nothing: without an answer of the arbiter's
there is none.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

from expgsql_ra.effects.clock import MonotonicClock
from expgsql_ra.effects.hosts import program, ssh
from expgsql_ra.effects.lock_command import Answer, Verdict, ask
from expgsql_ra.effects.process import Result, run_with_children
from expgsql_ra.errors import AgentError
from expgsql_ra.record import (
    Accepted,
    Found,
    LeaseHeld,
    Missing,
    Outdated,
    Past,
    Prepared,
    Proposal,
    Reading,
    Record,
    Renewal,
    Successor,
    Unreachable,
    Writing,
    as_mapping,
    from_mapping,
    is_own,
    ordered,
)
from expgsql_ra.values import without
from expgsql_ra.world import Archive, Authority, Deadline

Json = dict[str, Any]
Reply = TypeVar("Reply")
AnyReply = Reading | Writing | Renewal
DIRECT_SHARE = 0.5
"""The part of the time for the own way: whoever is asked after it needs to begin a connection of his own."""
REMOTE_SHARE = 0.8
"""The part of its time that a node asked by ssh gives to the arbiter: its answer has a way to go."""
Open = Callable[[str, str, int, str], Authority]
Run = Callable[[list[str], float, str], Result]


class Place(NamedTuple):
    """Where the record is, as `authority_of` takes it."""

    conninfo: str
    lockname: str
    ttl: int
    passfile: str


class RelayedAuthority:
    """``direct``, and where that does not answer, the same through other nodes, one after the other."""

    def __init__(
        self, direct: Archive, place: Place, nodes: tuple[str, ...], node: str, run: Run = run_with_children
    ) -> None:
        self._direct = direct
        self._run = run
        self._place = place
        self._nodes = without(nodes, node)

    def read(self, within: float) -> Reading:
        """The record as it is."""
        return self._answered(self._direct.read, {"call": "read"}, within, reading_of)

    def write(self, proposal: Proposal, within: float) -> Writing:
        """Replace the record. What was sent directly may still arrive, so that only some answers are final."""

        call = {"call": "write", **_proposal(proposal)}
        deadline = Deadline(MonotonicClock(), within)
        first = self._direct.write(proposal, self._share(deadline))
        if not isinstance(first, Unreachable) or not self._nodes:
            return first
        return after_unknown(proposal, self._through_others(call, first, deadline, writing_of))

    def renew(self, record: Record, within: float) -> Renewal:
        """Renew the lease; a renewal that arrives late renews once more, for the same primary in the same epoch."""
        call = {"call": "renew", "record": as_mapping(record)}
        return self._answered(lambda seconds: self._direct.renew(record, seconds), call, within, renewal_of)

    def release(self, record: Record, within: float) -> Renewal:
        """End the lease."""
        call = {"call": "release", "record": as_mapping(record)}
        return self._answered(lambda seconds: self._direct.release(record, seconds), call, within, renewal_of)

    def prepare(self, within: float) -> Prepared | Unreachable:
        """Directly: an operator can go where the arbiter is reached."""
        return self._direct.prepare(within)

    def create(self, record: Record, within: float) -> Writing:
        """Directly."""
        return self._direct.create(record, within)

    def history(self, newest: int, within: float) -> Past | Unreachable:
        """Directly."""
        return self._direct.history(newest, within)

    def _answered(
        self, act: Callable[[float], Reply], call: Json, within: float, understood: Callable[[Json], Reply]
    ) -> Reply | Unreachable:
        deadline = Deadline(MonotonicClock(), within)
        first = act(self._share(deadline))
        return self._through_others(call, first, deadline, understood) if isinstance(first, Unreachable) else first

    def _share(self, deadline: Deadline) -> float:
        return deadline.left() * (DIRECT_SHARE if self._nodes else 1)

    def _through_others(
        self, call: Json, problem: Unreachable, deadline: Deadline, understood: Callable[[Json], Reply]
    ) -> Reply | Unreachable:
        reasons = [problem.why]
        for number, node in enumerate(self._nodes):
            seconds = deadline.left() / (len(self._nodes) - number)
            answer = _asked(self._run, node, {**call, **self._place._asdict()}, seconds, understood)
            if not isinstance(answer, Unreachable):
                return answer
            reasons.append(f"through {node}: {answer.why}")
        return Unreachable("; ".join(reasons))


def after_unknown(proposal: Proposal, answer: Writing) -> Writing:
    """What the second answer to a write means, where nobody knows what became of the first."""
    match answer:
        case Outdated(record) if is_own(record, proposal):
            # The first was applied. Whatever else names the old revision is dead, as it would be after "accepted".
            return Accepted(record)
        case LeaseHeld(by, seconds_left):
            return Unreachable(f"{by} holds the lease for {seconds_left:.0f} s, and a first try may still arrive")
        case Missing(why):
            return Unreachable(f"{why}, and a first try may still arrive")
        case _:
            return answer


def asking_through(
    nodes: tuple[str, ...], node: str, run: Run = run_with_children
) -> Callable[[str, str, float], Answer]:
    """How to run lock commands: here, and where that is no answer, on the other nodes, for this owner."""

    def asked(command: str, owner: str, within: float) -> Answer:
        deadline = Deadline(MonotonicClock(), within)
        witnesses = without(nodes, node)
        answer = ask(command, owner, deadline.left() * (DIRECT_SHARE if witnesses else 1))
        for number, witness in enumerate(witnesses):
            if not isinstance(answer, Unreachable):
                break
            seconds = deadline.left() / (len(witnesses) - number)
            call = {"call": "lock", "command": command, "owner": owner}
            answer = _asked(run, witness, call, seconds, _verdict_of)
        return answer

    return asked


# --- the node that asks -----------------------------------------------------------------------


def _asked(run: Run, node: str, call: Json, within: float, understood: Callable[[Json], Reply]) -> Reply | Unreachable:
    """What another node says that the arbiter said."""
    if within <= 0:
        return Unreachable("no time left")
    try:
        done = run(
            ssh(node, within, [program(), "arbiter", "relay"]),
            within,
            json.dumps({**call, "within": within * REMOTE_SHARE}),
        )
    except AgentError as problem:
        return Unreachable(str(problem))
    if done.code:
        return Unreachable(f"ssh exited with {done.code}: {done.tail}")
    try:
        return understood(json.loads(done.out))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return Unreachable("what it said is no answer of ours")


# --- the node that is asked -------------------------------------------------------------------


def relayed(request: str, opened: Open) -> str:
    """Do what another node asks for, and say what the arbiter said; ValueError for what is no request."""
    try:
        call = json.loads(request)
        within = float(call["within"])
        if call["call"] == "lock":
            return json.dumps(_verdict(ask(str(call["command"]), str(call["owner"]), within)))
        place = Place(str(call["conninfo"]), str(call["lockname"]), int(call["ttl"]), str(call["passfile"]))
        return json.dumps(reply(_done(opened(*place), call, within)))
    except (KeyError, TypeError, AttributeError, RecursionError) as problem:
        raise ValueError(f"no request: {problem!r}") from None


def _done(authority: Authority, call: Json, within: float) -> AnyReply:
    match call["call"]:
        case "read":
            return authority.read(within)
        case "write":
            return authority.write(_proposal_of(call), within)
        case "renew":
            return authority.renew(from_mapping(call["record"]), within)
        case "release":
            return authority.release(from_mapping(call["record"]), within)
        case other:
            raise ValueError(f"no call {other!r}")


# --- as JSON ----------------------------------------------------------------------------------


def reply(answer: AnyReply) -> Json:
    """An answer for JSON: its name and what it carries."""
    name = type(answer).__name__
    match answer:
        case Found(record) | Accepted(record) | Outdated(record):
            return {"answer": name, "record": as_mapping(record)}
        case LeaseHeld(by, seconds_left):
            return {"answer": name, "by": by, "seconds_left": seconds_left}
        case Missing(why) | Unreachable(why):
            return {"answer": name, "why": why}


def reply_of(given: Json) -> AnyReply:
    """Read what `reply` made; ValueError, KeyError or TypeError for anything else."""
    match given["answer"]:
        case "Found":
            return Found(from_mapping(given["record"]))
        case "Accepted":
            return Accepted(from_mapping(given["record"]))
        case "Outdated":
            return Outdated(from_mapping(given["record"]))
        case "LeaseHeld":
            return LeaseHeld(str(given["by"]), float(given["seconds_left"]))
        case "Missing":
            return Missing(str(given["why"]))
        case "Unreachable":
            return Unreachable(str(given["why"]))
        case other:
            raise ValueError(f"no answer {other!r}")


def reading_of(given: Json) -> Reading:
    """An answer to a read; ValueError for another."""
    answer = reply_of(given)
    if isinstance(answer, Reading):
        return answer
    raise ValueError(f"{answer} answers something else")


def writing_of(given: Json) -> Writing:
    """An answer to a write; ValueError for another."""
    answer = reply_of(given)
    if isinstance(answer, Writing):
        return answer
    raise ValueError(f"{answer} answers something else")


def renewal_of(given: Json) -> Renewal:
    """An answer to a renewal or release; ValueError for another."""
    answer = reply_of(given)
    if isinstance(answer, Renewal):
        return answer
    raise ValueError(f"{answer} answers something else")


def _proposal(proposal: Proposal) -> Json:
    fields: Mapping[str, Any] = proposal._asdict()
    return {
        "proposal": {
            **fields,
            "replaces": as_mapping(proposal.replaces),
            "successors": dict(proposal.successors),
        }
    }


def _proposal_of(call: Json) -> Proposal:
    given = call["proposal"]
    return Proposal(
        replaces=from_mapping(given["replaces"]),
        system=str(given["system"]),
        epoch=int(given["epoch"]),
        primary=str(given["primary"]),
        successors=ordered(tuple(Successor(str(node), str(id_)) for node, id_ in given["successors"].items())),
        writer=str(given["writer"]),
        reason=str(given["reason"]),
        confirms=bool(given["confirms"]),
    )


def _verdict(answer: Answer) -> Json:
    return {"why": answer.why} if isinstance(answer, Unreachable) else {"verdict": answer.name}


def _verdict_of(given: Json) -> Answer:
    return Verdict[given["verdict"]] if "verdict" in given else Unreachable(str(given["why"]))
