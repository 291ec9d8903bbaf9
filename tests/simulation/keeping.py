# SPDX-License-Identifier: GPL-2.0-or-later
"""What a primary does at each monitor (rules R1 and R2): the product's decisions, one step at a time."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from tests.simulation.runs import Outcome, Seen, described, goes_on, is_own, nothing, reads, writes
from tests.simulation.state import Act, Directory, Process, Program, plain

from expgsql_ra.rules import replication, succession
from expgsql_ra.rules.succession import Choice, Duty, Narrow, Rename, Widen
from expgsql_ra.snapshot import Primary, Sender
from expgsql_ra.values import Lsn


def _begin_keep(seen: Seen) -> Iterator[tuple[Program, str]]:
    if seen.node.process is None or not seen.node.process.primary:
        return
    record = seen.authority.record
    if not is_own(seen, record):
        return
    program = decided(seen, Program("keep", Act(""), record))
    if program is not None and program.act.what != "settled":
        yield program, reads(record) + f", decides: {described(program.act)}"


def decided(seen: Seen, program: Program) -> Program | None:
    """The next step of the primary from what is so now; None where it has to give up."""
    node, rules = seen.node, seen.setting.rules
    if node.process is None or not node.process.primary:
        return None
    names, at = node.process.shown, node.directory
    server = observed(node.process, at)
    choice = rules.choose(rules.candidates(server, seen.cib.view(node.name)), names, seen.setting.wanted, False)
    assert isinstance(choice, Choice)
    step = rules.next_step(
        Duty(
            record=program.record,
            me=node.me,
            names=names,
            written=node.directory.file,
            target=choice.target,
            fresh=program.fresh,
            effective=node.process.proved,
            taken=rules.all_took(server.senders, names or ()),
            noted=None if program.noted is None else Lsn(program.noted),
            passed=_passed(node.process, server, program.noted),
        )
    )
    act = tagged(step)
    if act.what == "settled" and (at.history, True) != (seen.cib.history, seen.cib.complete):
        act = Act("publish")
    return program._replace(act=act)


@cache
def observed(process: Process, directory: Directory) -> Primary:
    """What a session on the primary shows."""
    senders = tuple(
        Sender(one.node, "streaming", "sync" if one.priority else "async", one.priority, Lsn(one.flushed))
        for one in process.senders
    )
    return Primary(1, 170000, directory.timeline, Lsn(len(directory.wal)), "", senders, ())


def _passed(process: Process, server: Primary, noted: int | None) -> frozenset[str]:
    """Who has flushed beyond the position noted, and was heard of since: that WAL was written after all others."""
    if noted is None:
        return frozenset()
    heard = (one.node for one in process.senders if one.live)
    return frozenset(node for node in heard if replication.has_passed(server, node, Lsn(noted)))


def tagged(step: succession.Step) -> Act:
    """A step of the rules as the model keeps it."""
    what = type(step).__name__.lower()
    match step:
        case Narrow(proposal=proposal) | Widen(proposal=proposal):
            return Act(what, plain(proposal))
        case Rename(nodes=nodes):
            return Act(what, nodes)
    return Act(what)


def _write_of_primary(seen: Seen, program: Program) -> Iterator[Outcome]:
    fresh = program.act.what == "narrow"
    yield from writes(seen, program, lambda record: decided(seen, program._replace(record=record, fresh=fresh)))


def _rename(seen: Seen, program: Program) -> Iterator[Outcome]:
    """The file is renamed into place; what is remembered of the flag is forgotten before."""
    names = program.act.load
    node = seen.node.on_disk(file=names)
    if seen.setting.rules.syncs_names:
        node = node.on_disk(disk=names)
    if node.process is not None:
        node = node.running(proved=node.process.proved and names != ())
    following = program._replace(act=Act("reload", names))
    yield from goes_on(seen, program, node, following)


def _reload(seen: Seen, program: Program) -> Iterator[Outcome]:
    if seen.node.process is None:
        return
    node = seen.node.running(shown=seen.node.directory.file)
    after = program._replace(fresh=False, noted=None)
    own = program.kind == "keep"
    following = decided(seen._replace(node=node), after) if own else program._replace(act=Act("publish"))
    yield from goes_on(seen, program, node, following)


def _prove(seen: Seen, program: Program) -> Iterator[Outcome]:
    """A new session shows the names, and two checkpoints have completed since."""
    if seen.node.process is None:
        return
    names = seen.process.shown
    node = seen.node.running(flag=names, proved=names != ())
    yield from goes_on(seen, program, node, decided(seen._replace(node=node), program))


def _note(seen: Seen, program: Program) -> Iterator[Outcome]:
    if seen.node.process is None:
        return
    noted = program._replace(noted=len(seen.node.directory.wal))
    node = seen.node
    if seen.setting.rules.fresh_reports:
        node = node.running(senders=tuple(one._replace(live=False) for one in seen.process.senders))
    yield from goes_on(seen, program, node, decided(seen._replace(node=node), noted))


def _again(seen: Seen, program: Program) -> Iterator[Outcome]:
    yield from goes_on(seen, program, seen.node, decided(seen, program))


def _publish(seen: Seen, program: Program) -> Iterator[Outcome]:
    """Tell the cluster the history of this primary."""
    cib = seen.cib._replace(history=seen.node.directory.history, complete=True)
    yield Outcome(f"{seen.node.name} {program.kind}: publishes its history", seen.node, seen.authority, cib)


BEGIN = {"keep": _begin_keep}
PERFORM = {
    "narrow": _write_of_primary,
    "widen": _write_of_primary,
    "rename": _rename,
    "reload": _reload,
    "prove": _prove,
    "note": _note,
    "await": _again,
    "publish": _publish,
    "settled": nothing,
}
