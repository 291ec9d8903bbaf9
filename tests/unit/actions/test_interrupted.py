# SPDX-License-Identifier: GPL-2.0-or-later
"""Killed after any of its effects, an action leaves a state from which the next ones go on.

The site checks its promises after every single effect, so these tests also hold the order of the writes:
marks are withdrawn before names, intents recorded before promotions, names closed before starts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import pytest
from tests.fake_site import KILLED, Site, a_running_site

from expgsql_ra.values import RepMode


class Call(NamedTuple):
    """A site, and the action that is about to run on one of its nodes."""

    site: Site
    node: str
    action: str
    meta: Mapping[str, str] = {}

    def run(self, kill_after: int | None = None) -> int:
        """Run it; the code."""
        self.site.effects.done.clear()
        self.site.effects.kill_after = kill_after
        return self.site.run(self.node, self.action, meta=self.meta).code


Scene = Callable[[], Call]
SCENES: dict[str, Scene] = {}


def scene(build: Scene) -> Scene:
    """Register a scene under its own words."""
    SCENES[build.__name__.replace("_", " ")] = build
    return build


@scene
def a_first_start() -> Call:
    site = Site()
    for node in ("node2", "node3"):
        site.must(node, "start")
    return Call(site, "node1", "start")


@scene
def a_first_promotion() -> Call:
    site = Site()
    for node in site.servers:
        site.must(node, "start")
    site.monitor_all(rounds=4)
    return Call(site, "node1", "promote")


@scene
def a_standby_comes_back() -> Call:
    site = a_running_site()
    site.servers["node2"].crash()
    site.commit("node1", 1)
    site.monitor_all_but("node2")
    return Call(site, "node2", "start")


@scene
def a_crashed_primary_starts_again() -> Call:
    site = a_running_site()
    site.commit("node1", 1)
    site.servers["node1"].crash()
    return Call(site, "node1", "start")


@scene
def a_crashed_primary_is_promoted_in_place() -> Call:
    site, node, action, _ = a_crashed_primary_starts_again()
    site.cluster.promoted = ()
    site.must(node, action)
    return Call(site, node, "promote")


@scene
def a_crashed_primary_starts_as_the_primary_that_it_is_about_to_be() -> Call:
    site, node, action, _ = a_crashed_primary_starts_again()
    site.cluster.promoted = ()
    return Call(site, node, action, {"notify_promote_uname": node})


@scene
def a_primary_that_was_started_closed_is_promoted() -> Call:
    call = a_crashed_primary_starts_as_the_primary_that_it_is_about_to_be()
    assert call.run() == 0
    return Call(call.site, call.node, "promote")


@scene
def a_standby_takes_over() -> Call:
    site = a_running_site()
    site.commit("node1", 1)
    site.lose("node1")
    return Call(site, "node2", "promote")


@scene
def an_old_primary_that_did_not_diverge_comes_back() -> Call:
    site = a_running_site()
    site.must("node1", "demote")
    site.must("node1", "stop")
    site.cluster.promoted = ()
    assert site.promote("node2").code == 0
    site.monitor_all_but("node1")
    return Call(site, "node1", "start")


@scene
def a_planned_demotion() -> Call:
    return Call(a_running_site(), "node1", "demote")


@scene
def a_monitor_that_replaces_the_synchronous_standby() -> Call:
    site = a_running_site()
    site.cut.add("node2")
    return Call(site, "node1", "monitor")


@scene
def a_monitor_that_finds_no_standby_left() -> Call:
    site = a_running_site()
    site.cut |= {"node2", "node3"}
    return Call(site, "node1", "monitor")


@scene
def a_monitor_that_finds_its_first_standby() -> Call:
    site = a_running_site()
    site.cut |= {"node2", "node3"}
    site.must("node1", "monitor")
    site.commit("node1", 2)
    site.cut.clear()
    return Call(site, "node1", "monitor")


@scene
def a_monitor_with_two_synchronous_standbys_and_one_lost() -> Call:
    site = a_running_site(sync_standby_count=2)
    site.cut.add("node3")
    return Call(site, "node1", "monitor")


@scene
def a_notification_that_a_standby_has_stopped() -> Call:
    site = a_running_site()
    site.must("node2", "stop")
    return Call(site, "node1", "notify", {"notify_type": "post", "notify_operation": "stop"})


@scene
def a_stop_of_the_primary() -> Call:
    return Call(a_running_site(), "node1", "stop")


@scene
def an_asynchronous_takeover() -> Call:
    site = a_running_site(RepMode.ASYNC)
    site.lose("node1")
    return Call(site, "node3", "promote")


@scene
def slots_are_made() -> Call:
    return Call(a_running_site(replication_slot_name="s"), "node1", "monitor")


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
    call = build()
    call.run()
    count = len(call.site.effects.done)
    after(call.site, call.node, first)
    for number in range(1, count + 1):
        call = build()
        assert call.run(kill_after=number) == KILLED
        after(call.site, call.node, first)


@pytest.mark.parametrize("build", SCENES.values(), ids=SCENES.keys())
def test_an_action_whose_writes_are_refused_breaks_no_promise(build: Scene) -> None:
    call = build()
    call.site.cluster.deaf = "the cluster does not take it"
    call.run()
    call.site.cluster.deaf = None
    after(call.site, call.node, "monitor")
