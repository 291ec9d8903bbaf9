# SPDX-License-Identifier: GPL-2.0-or-later
"""An operator's override in the place of an arbiter: one promotion, and nobody else's."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.fake_authority import FakeAuthority, FakeKeeper

from expgsql_ra.effects.durable import SeenFile
from expgsql_ra.effects.overridden import OverriddenAuthority
from expgsql_ra.effects.override_file import OverrideFile
from expgsql_ra.override import Override
from expgsql_ra.record import (
    NO_LEASE,
    Accepted,
    Found,
    Outdated,
    Record,
    Successor,
    Unreachable,
    rewritten,
)
from expgsql_ra.rules import succession

HERE = Successor("node2", "id-node2")
OTHER = Successor("node3", "id-node3")
GIVEN = Override("7", 4, 9, "node2", "id-node2", "root@node2", "now", "the building burnt down")
SECONDS = 1.0


class Site:
    """One node, its arbiter and what it keeps."""

    def __init__(self, folder: Path) -> None:
        self.keeper = FakeKeeper()
        self.keeper.down = True
        self.override = OverrideFile("pgsql", str(folder / "kept"))
        self.seen = SeenFile("pgsql", str(folder / "kept"))
        self.seen.saw(Record("7", 4, 9, "node1", (Successor("node1", "id-node1"),), NO_LEASE, "node1", "", ""))
        self.authority = OverriddenAuthority(
            FakeAuthority(self.keeper, "lock", 10), self.override, lambda: HERE, self.seen.load
        )

    def claimed(self) -> Record:
        """The first write of a promotion, as promote makes it."""
        found = self.authority.read(SECONDS)
        assert isinstance(found, Found)
        claim = succession.claim(found.record, HERE)
        assert isinstance(claim, succession.Claim)
        answer = self.authority.write(claim.proposal, SECONDS)
        assert isinstance(answer, Accepted)
        self.seen.saw(answer.record)
        return answer.record


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_without_an_override_a_silent_arbiter_stays_silent(site: Site) -> None:
    assert isinstance(site.authority.read(SECONDS), Unreachable)


def test_it_allows_one_promotion_with_both_of_its_writes(site: Site) -> None:
    site.override.give(GIVEN)
    record = site.claimed()
    assert (record.epoch, record.primary, record.successors) == (5, "node2", (HERE,))
    assert site.authority.write(succession.confirm(record, HERE), SECONDS) == Accepted(record)
    assert site.authority.read(SECONDS) == Found(record)
    assert site.authority.renew(record, SECONDS) == Accepted(record)


def test_the_old_primary_comes_back_by_the_promotion_too(site: Site) -> None:
    site.override.give(GIVEN)
    found = site.authority.read(SECONDS)
    assert isinstance(found, Found)
    assert not succession.is_its_primary(found.record, HERE, succession.Completed(4, 2), 2)
    assert site.claimed().epoch == 5


def test_nobody_else_may_succeed_by_it(site: Site) -> None:
    site.override.give(GIVEN)
    record = site.claimed()
    wider = rewritten(record, (HERE, OTHER), writer="node2", reason="node3 has caught up")
    assert isinstance(site.authority.write(wider, SECONDS), Unreachable)


def test_before_the_promotion_it_is_no_record_to_be_rewritten(site: Site) -> None:
    site.override.give(GIVEN)
    found = site.authority.read(SECONDS)
    assert isinstance(found, Found)
    early = succession.confirm(found.record._replace(primary="node2"), HERE)
    assert isinstance(site.authority.write(early, SECONDS), Unreachable)
    assert isinstance(site.authority.renew(found.record, SECONDS), Unreachable)


def test_an_arbiter_that_answers_counts(site: Site) -> None:
    site.override.give(GIVEN)
    record = site.claimed()
    site.keeper.down = False
    own = Record("7", 6, 12, "node3", (OTHER,), NO_LEASE, "node3", "", "")
    site.keeper.keep("lock", own)
    found = site.authority.read(SECONDS)
    assert isinstance(found, Found)
    assert found.record.primary == "node3"
    assert isinstance(site.authority.write(succession.confirm(record, HERE), SECONDS), Outdated)


def test_it_ends_with_whatever_was_seen_later(site: Site) -> None:
    site.override.give(GIVEN)
    site.seen.saw(Record("7", 6, 12, "node3", (OTHER,), NO_LEASE, "node3", "", ""))
    assert isinstance(site.authority.read(SECONDS), Unreachable)
