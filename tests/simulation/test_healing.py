# SPDX-License-Identifier: GPL-2.0-or-later
"""After any faults service returns once they are over; and two rules that are there for nothing else."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from tests.simulation.healing import heal, healing
from tests.simulation.model import ALL_PROGRAMS, Bounds, Model, State
from tests.simulation.rules import BY_THE_BOOK
from tests.simulation.walk import WORLDS

from expgsql_ra.record import NO_LEASE, Record, Successor
from expgsql_ra.rules import succession
from expgsql_ra.rules.succession import AwaitLease, Claim, NoClaim

pytestmark = [pytest.mark.simulation, pytest.mark.timeout(300)]
RUNS, LENGTHS, SEED = 200, (10, 150), 7
NODE_1 = frozenset({"node1"})
NODE_2 = frozenset({"node2"})


@pytest.mark.parametrize("bounds", WORLDS, ids=lambda bounds: f"{bounds.nodes} nodes, {bounds.count}, {bounds.fixed}")
def test_service_returns_from_wherever_the_faults_have_led(bounds: Bounds) -> None:
    chance, model = random.Random(SEED), Model(bounds)
    healed = healing(model)
    for _ in range(RUNS):
        state, story = model.initial(), []
        for _ in range(chance.randint(*LENGTHS)):
            move = chance.choice(tuple(model.moves(state)))
            state = model.apply(state, move)
            story.append(move.story)
        assert heal(healed, state).returned, "\n".join(story)


def _after(model: Model, *words: str) -> State:
    """The state after the steps whose stories contain these words, one after the other."""
    state = model.initial()
    for word in words:
        state = next(after for text, after in model.after(state) if word in text)
    return state


def _dead_winner(model: Model) -> State:
    """The standby has claimed the epoch and dies before it is promoted."""
    return _after(model, "node2 promote: begins", "node2 promote: writes (claim)", "ends before", "node2: the server")


def test_a_winner_that_dies_blocks_nobody() -> None:  # H16
    model = Model(Bounds(late=0))
    assert heal(healing(model), _dead_winner(model), lost=NODE_2).returned


def test_a_claim_that_narrows_at_once_blocks_everybody_else() -> None:
    def narrows(record: Record, me: Successor) -> Claim | AwaitLease | NoClaim:
        verdict = succession.claim(record, me)
        return Claim(verdict.proposal._replace(successors=(me,))) if isinstance(verdict, Claim) else verdict

    model = Model(Bounds(late=0), replace(BY_THE_BOOK, claim=narrows))
    assert not heal(healing(model), _dead_winner(model), lost=NODE_2).returned


def test_a_standby_that_leaves_a_dead_primary_leaves_nobody() -> None:  # R10
    model = Model(Bounds(late=0, programs=ALL_PROGRAMS | {"leave"}))
    left = _after(model, "node1: the server dies", "node2 leave: begins", "node2 leave: writes", "node2: the server")
    assert not heal(healing(model), left, lost=NODE_1).returned
    stayed = _after(model, "node1: the server dies", "node2: the server")
    assert heal(healing(model), stayed, lost=NODE_1).returned


def test_so_it_leaves_only_while_the_primary_lives() -> None:
    record = Record("7", 1, 1, "node1", (Successor("node1", "d1"), Successor("node2", "d2")), NO_LEASE, "", "", "")
    assert succession.leave(record, Successor("node2", "d2"), primary_lives=False) is None
