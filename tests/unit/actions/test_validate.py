# SPDX-License-Identifier: GPL-2.0-or-later
"""validate-all: the parameters by themselves, this node with them where that is asked for."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.fake_site import ARBITER, Ran, Site

from expgsql_ra.actions import right
from expgsql_ra.actions.validate import ADVISED_INTERVAL, validate
from expgsql_ra.errors import BadArguments
from expgsql_ra.record import SUSPENDED, WEAKER
from expgsql_ra.rules.succession import STOP_SECONDS
from expgsql_ra.values import RepMode


@pytest.mark.parametrize(("level", "looks"), [(None, False), ("0", False), ("10", True), ("20", True), ("all", False)])
def test_the_node_is_looked_at_from_level_ten_on(level: str | None, looks: bool) -> None:
    site = Site()
    site.servers["node1"].misconfigured = BadArguments("port 5432 is taken")
    world = site.world("node1", "validate-all")
    environ = {**world.context.environ, **({} if level is None else {"OCF_CHECK_LEVEL": level})}
    world = world._replace(context=world.context._replace(environ=environ))
    if looks:
        with pytest.raises(BadArguments, match="port 5432 is taken"):
            validate(world)
    else:
        assert validate(world).code == 0
    assert site.effects.done == []


def said(site: Site, level: str = "0") -> Ran:
    """What validate-all says at that level."""
    world = site.world("node1", "validate-all")
    environ = {**world.context.environ, "OCF_CHECK_LEVEL": level}
    report = validate(world._replace(context=world.context._replace(environ=environ)))
    return Ran(report.code, report.reason)


def test_doubts_are_told_with_a_success() -> None:
    site = Site(RepMode.ASYNC, restart_on_promote=True)
    ran = said(site)
    assert ran.code == 0
    assert ran.reason is not None
    assert ran.reason.startswith("restart_on_promote is deprecated")


@pytest.mark.parametrize(
    "site",
    [lambda: Site(**ARBITER), lambda: Site(RepMode.ASYNC), lambda: Site(RepMode.NONE, ("node1",))],
    ids=["arbiter", "async", "none"],
)
@pytest.mark.parametrize("level", ["0", "10"])
def test_where_all_is_well_nothing_is_said(site: Callable[[], Site], level: str) -> None:
    assert said(site(), level) == Ran(0, None)


def test_what_the_clusters_own_record_is_worth_is_said() -> None:
    assert said(Site()) == Ran(0, WEAKER)


def test_two_nodes_are_told_to_use_an_arbiter() -> None:
    ran = said(Site(nodes=("node1", "node2")))
    assert ran.code == 0
    assert ran.reason is not None
    assert ran.reason.startswith("two nodes and no arbiter that keeps the record")


def test_the_cluster_is_asked_how_many_nodes_there_are_where_node_list_does_not_say() -> None:
    site = Site(nodes=("node1", "node2"))
    site.parameters = site.parameters.replace(node_list=())
    assert said(site) == Ran(0, WEAKER)
    assert (said(site, "10").reason or "").startswith("two nodes and no arbiter")
    site.cluster.unreadable = "no cluster runs here"
    assert said(site, "10") == Ran(0, WEAKER)


def test_a_cluster_that_ignores_quorum_promises_nothing_while_it_is_divided() -> None:
    site = Site()
    site.cluster.state = site.cluster.state._replace(ignores_quorum=True)
    assert said(site, "10") == Ran(0, f"{WEAKER}; {SUSPENDED}")


def test_a_lock_command_knows_no_successors() -> None:
    site = Site(enable_distlock=True, distlock_lock_cmd="lock @owner")
    assert said(site) == Ran(0, f"distlock_lock_cmd knows no successors: use distlock_conninfo where you can; {WEAKER}")


STOP = right.ASK_SECONDS + STOP_SECONDS
LEAST = ADVISED_INTERVAL + STOP


@pytest.mark.parametrize(
    ("ttl", "code", "told"), [(STOP, 2, True), (STOP + 1, 0, True), (LEAST, 0, True), (LEAST + 1, 0, False)]
)
def test_a_lease_in_which_a_primary_cannot_stop_is_refused(ttl: float, code: int, told: bool) -> None:
    ran = Site(**{**ARBITER, "distlock_ttl": int(ttl)}).run("node1", "validate-all")
    begins = f"distlock_ttl={ttl:g} is too short: it must be more than {LEAST:g} s, the monitor interval 3 s, a renewal"
    assert ran.code == code
    assert (ran.reason or "").startswith(begins) is told


def test_without_an_arbiter_no_lease_is_too_short() -> None:
    assert Site(distlock_ttl=1).run("node1", "validate-all") == Ran(0, WEAKER)
