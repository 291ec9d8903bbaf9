# SPDX-License-Identifier: GPL-2.0-or-later
"""Once nothing fails any more, service returns: from a state, the programs reach one with a new acknowledged commit.

What Pacemaker and the agents would do next is tried first: servers do their work, runs go on, what stands still is
started, a server that nobody recorded is stopped, a node that may is promoted, and a directory that cannot follow is
made anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from tests.simulation.model import ALL_PROGRAMS, CLIENTS, NODES, Model, State
from tests.simulation.state import Authority, Node

PATIENCE = 20_000
FIRST_TO_LAST = (
    "at once",
    "releases",
    "takes the names",
    "reloads",
    "receives",
    "follows",
    "reports to",
    "connects",
    "late write",
    "says that",
    "commit ",
    "keep: begins",
    "restart: begins",
    "promote: begins",
    "standby: begins",
    "rebuild: begins",
    "the server dies",
    "ends before",
)


class Healed(NamedTuple):
    """Whether service came back, and by which steps."""

    returned: bool
    story: tuple[str, ...]


def healing(model: Model) -> Model:
    """The same world with room for what healing takes."""
    bounds = replace(
        model.bounds,
        commits=model.bounds.commits + 2,
        epochs=model.bounds.epochs + 3,
        timelines=model.bounds.timelines + 3,
        directories=model.bounds.directories + 2,
        programs=ALL_PROGRAMS | {"rebuild"},
        hand=False,
        older=False,
    )
    return Model(bounds, model.rules, model.parts)


def heal(model: Model, state: State, lost: frozenset[str] = frozenset()) -> Healed:
    """Search depth-first in the order of what is sensible; ``lost`` nodes never come back."""
    acknowledged = model.parts.values[state[CLIENTS]].acknowledged
    stack: list[tuple[State, tuple[str, ...]]] = [(state, ())]
    seen = {state}
    while stack and len(seen) < PATIENCE:
        present, story = stack.pop()
        for text, after in sorted(sensible(model, present, lost), key=_late):
            if model.parts.values[after[CLIENTS]].acknowledged != acknowledged:
                return Healed(True, (*story, text))
            if after not in seen:
                seen.add(after)
                stack.append((after, (*story, text)))
    return Healed(False, ())


def _late(step: tuple[str, State]) -> int:
    """The most sensible step comes last, where the stack takes from."""
    return -next(
        (place for place, words in enumerate(FIRST_TO_LAST) if words in step[0]), FIRST_TO_LAST.index("commit ")
    )


def sensible(model: Model, state: State, lost: frozenset[str]) -> Iterator[tuple[str, State]]:
    """The steps that are no faults."""
    authority: Authority = model.parts.values[state[0]]
    nodes: dict[str, Node] = {node.name: node for node in model.told(state)[NODES:]}
    for text, after in model.after(state):
        if any(text.startswith(name) for name in lost) or "loses the link" in text or "no answer" in text:
            continue
        if ": commit " in text and not _is_served(authority, nodes[text.split(":")[0]]):
            continue
        if "the server dies" in text and not _has_to_stop(authority, nodes, text.split(":")[0]):
            continue
        yield text, after


def _is_served(authority: Authority, node: Node) -> bool:
    """Whether clients would turn to this server, and none of them waits yet."""
    return authority.record.primary == node.name and node.process is not None and not node.process.waiting


def _has_to_stop(authority: Authority, nodes: dict[str, Node], name: str) -> bool:
    """Whether a server runs that the record does not know as primary, or a standby that cannot follow."""
    node, primary = nodes[name], nodes[authority.record.primary]
    if node.process is not None and node.process.primary:
        return authority.record.primary != name
    mine, theirs = node.directory, primary.directory
    return theirs.wal[: len(mine.wal)] != mine.wal or mine.timeline > theirs.timeline
