# SPDX-License-Identifier: GPL-2.0-or-later
"""Starts (rules R4, R13), a standby's word (R2), leaving and being made anew (R10, R12)."""

from __future__ import annotations

from collections.abc import Iterator

from tests.simulation.runs import (
    UNREAD,
    Outcome,
    Seen,
    Setting,
    described,
    goes_on,
    is_own,
    nothing,
    reads,
    with_program,
    writes,
)
from tests.simulation.state import UNSET, Act, Node, Process, Program, plain

from expgsql_ra.record import Lease, rewritten
from expgsql_ra.rules import divergence, succession
from expgsql_ra.rules.succession import Completed
from expgsql_ra.values import Attestation

# --- starting: R4, R13 ------------------------------------------------------------------------


def _begin_standby(seen: Seen) -> Iterator[tuple[Program, str]]:
    if seen.node.process is None and seen.node.directory.whole:
        yield Program("standby", Act("close"), UNREAD), "no server runs"


def _close(seen: Seen, program: Program) -> Iterator[Outcome]:
    """Names that nobody can satisfy, before the server is there; as a standby, the mark that it has strayed."""
    node, at, rules = seen.node, seen.node.directory, seen.setting.rules
    if rules.closes or program.kind == "restart":
        node = node.on_disk(file=None, disk=None)
    if program.kind == "restart":
        yield from goes_on(seen, program, node, program._replace(act=Act("start primary")))
        return
    node = node.on_disk(strayed=at.strayed or rules.strayed(at.was_primary, at.completed, at.timeline))
    yield from goes_on(seen, program, node, program._replace(act=Act("start standby")))


def _start_standby(seen: Seen, program: Program) -> Iterator[Outcome]:
    if seen.node.process is not None:
        return
    names = seen.node.directory.file
    node = seen.node.on_disk(was_primary=False)._replace(process=Process(False, names, names))
    yield from goes_on(seen, program, node, None)


def _begin_in_place(seen: Seen) -> Iterator[tuple[Program, str]]:
    node, record, setting = seen.node, seen.authority.record, seen.setting
    if node.process is not None or not node.directory.whole or not is_own(seen, record):
        return
    act = Act("alone", plain(succession.alone(record, node.me)))
    if setting.rules.narrows_in_place:
        yield Program("restart", act, record), reads(record) + f", decides: {described(act)}"
    else:
        yield Program("restart", Act("start primary"), record), reads(record)
    if setting.fixed and setting.rules.may_keep_names(record, node.me, node.directory.file):
        yield Program("restart", Act("start primary"), record), reads(record) + ", keeps the names of its file"


def _alone(seen: Seen, program: Program) -> Iterator[Outcome]:
    yield from writes(seen, program, lambda record: program._replace(record=record, fresh=True, act=Act("close")))


def _start_primary(seen: Seen, program: Program) -> Iterator[Outcome]:
    """With names that were closed after an accepted write, and are opened then; or with those of the file."""
    if seen.node.process is not None:
        return
    names = seen.node.directory.file
    process = Process(True, names, names if seen.setting.fixed else UNSET)
    node = seen.node.on_disk(was_primary=True)._replace(process=process)
    following = program._replace(act=Act("rename", ())) if program.fresh else None
    yield from goes_on(seen, program, node, following)


# --- leaving and being made anew: R10, R12 ----------------------------------------------------


def _begin_leave(seen: Seen) -> Iterator[tuple[Program, str]]:
    record = seen.authority.record
    if seen.node.process is None or seen.process.primary:
        return
    proposal = succession.leave(record._replace(lease=Lease(record.primary, 1.0)), seen.node.me, True)
    if proposal is not None:
        proposal = plain(proposal)._replace(replaces=record)
        yield Program("leave", Act("leave", proposal), record), reads(record)


def _leave(seen: Seen, program: Program) -> Iterator[Outcome]:
    """The write; the stop after it is the server's death, which may come at any time anyway."""
    yield from writes(seen, program, lambda record: None)  # noqa: ARG005 - the run ends


def _begin_rebuild(seen: Seen) -> Iterator[tuple[Program, str]]:
    node, record, rules = seen.node, seen.authority.record, seen.setting.rules
    if node.process is not None or _copies(node) >= seen.setting.directories:
        return
    if record.primary == node.name and rules.spares_primary:
        return
    if not rules.rebuild_writes or record.primary == node.name:
        yield Program("rebuild", Act("copy"), UNREAD), "no server runs"
        return
    others = tuple(one for one in record.successors if one.node != node.name)
    act = Act("leave out", plain(rewritten(record, others, writer=node.name, reason="")))
    yield Program("rebuild", act, record), reads(record) + f", decides: {described(act)}"


def _copies(node: Node) -> int:
    return int(node.directory.id.rpartition(".")[2])


def _leave_out(seen: Seen, program: Program) -> Iterator[Outcome]:
    yield from writes(seen, program, lambda record: program._replace(record=UNREAD, act=Act("copy")))  # noqa: ARG005


def copied(source: Node, node: Node, setting: Setting) -> Iterator[tuple[str, Node]]:
    """A copy of a running primary's directory takes the place of this one, and is not whole yet.

    With ``older`` it may be one that was made earlier on the same timeline.
    """
    if node.process is not None or not _is_source(source, setting):
        return
    for at, program in enumerate(node.programs):
        if program.act.what != "copy":
            continue
        rest = (*node.programs[:at], *node.programs[at + 1 :])
        own = f"{node.name}.{_copies(node) + 1}" if setting.rules.new_ids else node.directory.id
        following = program._replace(act=Act("finish"))
        whole = source.directory
        begun = whole.forks[-1].end if whole.forks else 0
        for end in range(begun if setting.older else len(whole.wal), len(whole.wal) + 1):
            wal = whole.wal[:end]
            copy = whole._replace(id=own, whole=False, wal=wal, completed=Completed(0, 0), was_primary=False)
            after = with_program(node._replace(directory=copy, programs=rest), following)
            yield f"{node.name} rebuild: copies the directory of {source.name} as it was at place {end}", after


def _is_source(source: Node, setting: Setting) -> bool:
    if source.process is None or not source.process.primary:
        return False
    return not setting.hand or source.directory.completed.timeline >= source.directory.timeline


def _finish(seen: Seen, program: Program) -> Iterator[Outcome]:
    yield from goes_on(seen, program, seen.node.on_disk(whole=True), None)


# --- the standby's word -----------------------------------------------------------------------


def attests(seen: Seen) -> Iterator[Outcome]:
    """A standby that lies on the published history, on its last timeline, says so (R2, step 2).

    One step: nothing else of the agent runs meanwhile (R11), and its word may be old when it is read anyway.
    """
    node, cib = seen.node, seen.cib
    if node.process is None or node.process.primary or node.programs or not cib.complete:
        return
    at = node.directory
    if (
        at.strayed
        or at.timeline != cib.history.current
        or divergence.may_follow(at.local, cib.history) != divergence.Follows()
    ):
        return
    word = Attestation(at.id, at.timeline, cib.history.forks)
    if (node.name, word) not in cib.words:
        text = f"{node.name}: says that {at.id} lies on timeline {at.timeline}"
        yield Outcome(text, node, seen.authority, cib.with_word(node.name, word))


BEGIN = {"standby": _begin_standby, "restart": _begin_in_place, "leave": _begin_leave, "rebuild": _begin_rebuild}
PERFORM = {
    "close": _close,
    "start standby": _start_standby,
    "alone": _alone,
    "start primary": _start_primary,
    "leave": _leave,
    "leave out": _leave_out,
    "copy": nothing,
    "finish": _finish,
}
