# SPDX-License-Identifier: GPL-2.0-or-later
"""start and data that has to be repaired: never started half repaired; repaired unattended where that is allowed."""

from __future__ import annotations

import pytest
from tests.fake_site import Ran, Site, running

from expgsql_ra.parameters import Rejoin
from expgsql_ra.repairs import Mark
from expgsql_ra.values import Lsn


def diverged(rejoin: Rejoin = Rejoin.MANUAL) -> Site:
    """node1, the old primary, holds WAL that nobody else has; node2 is the primary."""
    site = running(Site(rejoin=rejoin))
    site.commit("node1", 1)
    site.lose("node1")
    assert site.promote("node2").code == 0
    site.monitor_all(rounds=3)
    site.cluster.change("node1", online=True)
    old = site.servers["node1"].directory
    old.end = old.checkpoint = Lsn(old.end + 0x1000)
    site.effects.done.clear()
    return site


def repaired_in(site: Site, looks: int) -> None:
    """The repair puts its mark at once, and after so many looks the data is the primary's."""
    server, count = site.servers["node1"], iter(range(1000))

    def passing() -> None:
        server.marked = (Mark.REPAIRING,)
        if next(count) >= looks:
            server.marked = ()
            server.directory.follow(site.servers["node2"].directory)

    site.rejoinings["node1"].passing = passing


@pytest.mark.parametrize("marks", [(Mark.REWINDING, Mark.REPAIRING), (Mark.REPAIRING,)])
def test_a_directory_that_is_being_repaired_or_half_repaired_is_never_started(marks: tuple[Mark, ...]) -> None:
    site = diverged()
    site.servers["node1"].marked = marks
    assert site.run("node1", "start") == Ran(1, marks[0].meaning)
    assert site.effects.done == []
    assert site.rejoinings["node1"].begun == []


@pytest.mark.parametrize(("rejoin", "command"), [(Rejoin.REWIND, "repair"), (Rejoin.REBUILD, "rebuild")])
def test_diverged_data_is_repaired_within_the_start_where_that_is_allowed(rejoin: Rejoin, command: str) -> None:
    site = diverged(rejoin)
    repaired_in(site, 10)
    assert site.run("node1", "start") == Ran(0, None)
    assert site.rejoinings["node1"].begun == [command]
    assert site.servers["node1"].server(1).streams  # type: ignore[union-attr]


def test_a_repair_that_takes_longer_goes_on_in_the_background_and_the_start_says_so() -> None:
    site = diverged(Rejoin.REWIND)
    repaired_in(site, 10_000)
    ran = site.run("node1", "start")
    assert ran.code == 1
    assert ran.reason is not None
    assert ran.reason.startswith("the data is being repaired in the background (rejoin=rewind)")
    assert site.servers["node1"].is_gone()
    site.rejoinings["node1"].passing = lambda: None
    site.servers["node1"].marked = ()
    site.servers["node1"].directory.follow(site.servers["node2"].directory)
    assert site.run("node1", "start") == Ran(0, None)


def test_a_repair_that_cannot_begin_yet_does_not_hold_up_the_start() -> None:
    """Pacemaker may start the primary's address, which the repair waits for, only when the start has ended."""
    site = diverged(Rejoin.REBUILD)
    before = site.clock.now()
    ran = site.run("node1", "start")
    assert ran.reason is not None
    assert ran.reason.startswith("the repair of the data (rejoin=rebuild) waits in the background for the primary")
    assert site.clock.now() - before < 10


def test_nor_does_one_that_goes_on_after_a_power_loss() -> None:
    """The mark of the repair that was interrupted does not tell that this one has begun."""
    site = diverged(Rejoin.REBUILD)
    site.servers["node1"].marked = (Mark.REPAIRING,)
    before = site.clock.now()
    ran = site.run("node1", "start")
    assert ran.reason is not None
    assert ran.reason.startswith("the data is being repaired in the background (rejoin=rebuild)")
    assert site.clock.now() - before < 10


def test_why_a_repair_could_not_begin_is_told_in_its_last_moment_too() -> None:
    site = diverged(Rejoin.REBUILD)
    begun = site.clock.now()
    repair = site.rejoinings["node1"]

    def passing() -> None:
        if site.clock.now() - begun >= 5:
            repair.reason = "the record names another"

    repair.passing = passing
    ran = site.run("node1", "start")
    assert ran.reason == "rejoin=rebuild did not repair the data: the record names another"


def test_a_repair_that_fails_is_the_reason_of_the_failed_start() -> None:
    site = diverged(Rejoin.REWIND)
    site.rejoinings["node1"].reason = "ssh does not get there"
    ran = site.run("node1", "start")
    assert ran.reason == "rejoin=rewind did not repair the data: ssh does not get there"


def test_a_repair_that_a_power_loss_interrupted_is_begun_again() -> None:
    site = diverged(Rejoin.REBUILD)
    site.servers["node1"].marked = (Mark.REWINDING,)
    repaired_in(site, 3)
    assert site.run("node1", "start") == Ran(0, None)
    assert site.rejoinings["node1"].begun == ["rebuild"]
