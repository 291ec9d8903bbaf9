# SPDX-License-Identifier: GPL-2.0-or-later
"""Killed after any of its effects, an action leaves a state from which the next ones go on.

The site checks its promises after every single effect, so these tests also hold the order of the writes:
marks are withdrawn before names, intents recorded before promotions, names closed before starts.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.fake_site import KILLED, Site, a_running_site

from expgsql_ra.values import RepMode

Scene = Callable[[], tuple[Site, str, str]]
SCENES: dict[str, Scene] = {}


def scene(build: Scene) -> Scene:
    """Register a scene under its own words."""
    SCENES[build.__name__.replace("_", " ")] = build
    return build


@scene
def a_first_start() -> tuple[Site, str, str]:
    site = Site()
    for node in ("node2", "node3"):
        site.must(node, "start")
    return site, "node1", "start"


@scene
def a_first_promotion() -> tuple[Site, str, str]:
    site = Site()
    for node in site.servers:
        site.must(node, "start")
    site.monitor_all(rounds=4)
    return site, "node1", "promote"


@scene
def a_standby_comes_back() -> tuple[Site, str, str]:
    site = a_running_site()
    site.servers["node2"].crash()
    site.commit("node1", 1)
    site.monitor_all_but("node2")
    return site, "node2", "start"


@scene
def a_crashed_primary_starts_again() -> tuple[Site, str, str]:
    site = a_running_site()
    site.commit("node1", 1)
    site.servers["node1"].crash()
    return site, "node1", "start"


@scene
def a_crashed_primary_is_promoted_in_place() -> tuple[Site, str, str]:
    site, node, action = a_crashed_primary_starts_again()
    site.cluster.promoted = ()
    site.must(node, action)
    return site, node, "promote"


@scene
def a_crashed_primary_is_started_and_promoted_in_one_transition() -> tuple[Site, str, str]:
    site, node, action = a_crashed_primary_starts_again()
    site.cluster.promoted = ()
    site.promotes_next(node)
    return site, node, action


@scene
def a_primary_that_was_started_closed_is_opened() -> tuple[Site, str, str]:
    site, node, action = a_crashed_primary_is_started_and_promoted_in_one_transition()
    site.must(node, action)
    return site, node, "promote"


@scene
def a_standby_takes_over() -> tuple[Site, str, str]:
    site = a_running_site()
    site.commit("node1", 1)
    site.lose("node1")
    return site, "node2", "promote"


@scene
def an_old_primary_that_did_not_diverge_comes_back() -> tuple[Site, str, str]:
    site = a_running_site()
    site.must("node1", "demote")
    site.must("node1", "stop")
    site.cluster.promoted = ()
    assert site.promote("node2").code == 0
    site.monitor_all_but("node1")
    return site, "node1", "start"


@scene
def a_planned_demotion() -> tuple[Site, str, str]:
    return a_running_site(), "node1", "demote"


@scene
def a_monitor_that_replaces_the_synchronous_standby() -> tuple[Site, str, str]:
    site = a_running_site()
    site.cut.add("node2")
    return site, "node1", "monitor"


@scene
def a_monitor_that_finds_no_standby_left() -> tuple[Site, str, str]:
    site = a_running_site()
    site.cut |= {"node2", "node3"}
    return site, "node1", "monitor"


@scene
def a_monitor_that_finds_its_first_standby() -> tuple[Site, str, str]:
    site = a_running_site()
    site.cut |= {"node2", "node3"}
    site.must("node1", "monitor")
    site.commit("node1", 2)
    site.cut.clear()
    return site, "node1", "monitor"


@scene
def a_monitor_with_two_synchronous_standbys_and_one_lost() -> tuple[Site, str, str]:
    site = a_running_site(sync_standby_count=2)
    site.cut.add("node3")
    return site, "node1", "monitor"


@scene
def a_notification_that_a_standby_has_stopped() -> tuple[Site, str, str]:
    site = a_running_site()
    site.must("node2", "stop")
    return site, "node1", "notify"


@scene
def a_stop_of_the_primary() -> tuple[Site, str, str]:
    return a_running_site(), "node1", "stop"


@scene
def an_asynchronous_takeover() -> tuple[Site, str, str]:
    site = a_running_site(RepMode.ASYNC)
    site.lose("node1")
    return site, "node3", "promote"


@scene
def slots_are_made() -> tuple[Site, str, str]:
    return a_running_site(replication_slot_name="s"), "node1", "monitor"


META = {"notify": {"notify_type": "post", "notify_operation": "stop"}}


def after(site: Site, node: str, first: str) -> None:
    """What follows the kill of an action: a gentle monitor, or a stop and a start; then all heals."""
    site.effects.kill_after = None
    site.cut.clear()
    if first == "stop":
        site.must(node, "stop")
        site.cluster.promoted = tuple(name for name in site.cluster.promoted if name != node)
    for one in site.cluster.state.members:
        site.cluster.change(one.name, online=True)
    site.settle()


@pytest.mark.parametrize("first", ["monitor", "stop"])
@pytest.mark.parametrize("build", SCENES.values(), ids=SCENES.keys())
def test_an_action_killed_after_any_effect_is_repaired(build: Scene, first: str) -> None:
    site, node, action = build()
    site.effects.done.clear()
    site.run(node, action, meta=META.get(action, {}))
    count = len(site.effects.done)
    after(site, node, first)
    for number in range(1, count + 1):
        site, node, action = build()
        site.effects.done.clear()
        site.effects.kill_after = number
        assert site.run(node, action, meta=META.get(action, {})).code == KILLED
        after(site, node, first)


@pytest.mark.parametrize("build", SCENES.values(), ids=SCENES.keys())
def test_an_action_whose_writes_are_refused_breaks_no_promise(build: Scene) -> None:
    site, node, action = build()
    site.cluster.deaf = "the cluster does not take it"
    site.run(node, action, meta=META.get(action, {}))
    site.cluster.deaf = None
    after(site, node, "monitor")
