# SPDX-License-Identifier: GPL-2.0-or-later
"""A candidate (rules R3 and R6): two writes, the intent between them, the promotion, and what is kept of it."""

from __future__ import annotations

from collections.abc import Iterator

from tests.simulation.postgresql import promoted
from tests.simulation.runs import Outcome, Seen, described, goes_on, is_own, reads, with_program, writes
from tests.simulation.state import Act, Program, plain

from expgsql_ra.rules import succession
from expgsql_ra.rules.succession import Claim, Completed
from expgsql_ra.values import Ancestry, Fork, Lsn


def _begin_promote(seen: Seen) -> Iterator[tuple[Program, str]]:
    record, at = seen.authority.record, seen.node.directory
    if seen.node.process is None or record.epoch >= seen.setting.epochs or _writable_and_own(seen):
        return
    if (seen.process.primary and seen.process.shown is not None) or at.timeline >= seen.setting.timelines:
        return
    verdict = seen.setting.rules.claim(record, seen.node.me)
    if isinstance(verdict, Claim):
        act = Act("claim", plain(verdict.proposal))
        yield Program("promote", act, record), reads(record) + f", decides: {described(act)}"


def _writable_and_own(seen: Seen) -> bool:
    return seen.process.primary and is_own(seen, seen.authority.record)


def _claim(seen: Seen, program: Program) -> Iterator[Outcome]:
    what = "intend" if seen.setting.rules.intent_first else "trigger"
    if seen.setting.rules.intent_first:
        yield from writes(seen, program, lambda record: program._replace(record=record, act=Act(what)))
    else:
        yield from writes(seen, program, lambda record: _to_confirm(seen, program._replace(record=record)))


def _to_confirm(seen: Seen, program: Program) -> Program:
    if not seen.setting.rules.confirms:
        return program._replace(act=Act("trigger"))
    return program._replace(act=Act("confirm", plain(succession.confirm(program.record, seen.node.me))))


def _intend(seen: Seen, program: Program) -> Iterator[Outcome]:
    """Publish the expected history before anything is begun."""
    at = seen.node.directory
    expected = Ancestry(at.history.system, (*at.forks, Fork(at.timeline, Lsn(len(at.wal)))), at.timeline + 1)
    cib = seen.cib._replace(history=expected, complete=False)
    text = f"{seen.node.name} promote: publishes its intent"
    yield Outcome(text, with_program(seen.node, _to_confirm(seen, program)), seen.authority, cib)


def _confirm(seen: Seen, program: Program) -> Iterator[Outcome]:
    yield from writes(seen, program, lambda record: program._replace(record=record, act=Act("trigger")))


def _trigger(seen: Seen, program: Program) -> Iterator[Outcome]:
    """``pg_promote`` has returned; a server that is writable already is left as it is."""
    if seen.node.process is None:
        return
    node = seen.node if seen.process.primary else promoted(seen.node)
    yield from goes_on(seen, program, node, program._replace(act=Act("complete")))


def _complete(seen: Seen, program: Program) -> Iterator[Outcome]:
    """What was completed is written into the directory; then the names are opened, if that was confirmed."""
    completed = Completed(program.record.epoch, seen.node.directory.timeline)
    confirmed = seen.setting.rules.confirms
    following = program._replace(act=Act("rename", ()) if confirmed else Act("publish"))
    yield from goes_on(seen, program, seen.node.on_disk(completed=completed, strayed=False), following)


BEGIN = {"promote": _begin_promote}
PERFORM = {
    "claim": _claim,
    "intend": _intend,
    "confirm": _confirm,
    "trigger": _trigger,
    "complete": _complete,
}
