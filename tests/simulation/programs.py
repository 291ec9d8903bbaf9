# SPDX-License-Identifier: GPL-2.0-or-later
"""All programs of the agent together: who may begin, go on or end now."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tests.simulation import keeping, promoting, starting
from tests.simulation.runs import Outcome, Seen, described, same, with_program
from tests.simulation.state import Program

Begin = Callable[[Seen], Iterator[tuple[Program, str]]]
Perform = Callable[[Seen, Program], Iterator[Outcome]]
BEGIN: dict[str, Begin] = {**keeping.BEGIN, **promoting.BEGIN, **starting.BEGIN}
PERFORM: dict[str, Perform] = {**keeping.PERFORM, **promoting.PERFORM, **starting.PERFORM}


def steps(seen: Seen) -> Iterator[Outcome]:
    """Everything that the agents of one node may do next, and the end of each of them."""
    node, setting = seen.node, seen.setting
    if len(node.programs) < (1 if setting.rules.one_hand else 2):
        for kind in sorted(setting.programs):
            for program, text in BEGIN[kind](seen):
                yield same(seen, f"{node.name} {kind}: begins, {text}", with_program(node, program))
    yield from starting.attests(seen)
    for at, program in enumerate(node.programs):
        others = (*node.programs[:at], *node.programs[at + 1 :])
        rest = seen._replace(node=node._replace(programs=others))
        yield same(rest, f"{node.name} {program.kind}: ends before it {described(program.act)}", rest.node)
        yield from PERFORM[program.act.what](rest, program)
