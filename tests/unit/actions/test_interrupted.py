# SPDX-License-Identifier: GPL-2.0-or-later
"""Killed after any of its effects, an action leaves a state from which the next ones go on.

The site checks its promises after every single effect, so these tests also hold the order of the writes: the
record before names that let go, names before a record that lets in, intents before promotions, closed names before
starts. And a write whose sender died may arrive at any later time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import pytest
from tests.fake_site import ARBITER, KILLED, TTL, Site, a_running_site

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


Authority = Mapping[str, Any]
Scene = Callable[[Authority], Call]
SCENES: dict[str, Scene] = {}


def scene(build: Scene) -> Scene:
    """Register a scene under its own words."""
    SCENES[build.__name__.replace("_", " ")] = build
    return build


@scene
def a_first_start(by: Authority) -> Call:
    site = Site(**by)
    site.create_record("node1")
    for node in ("node2", "node3"):
        site.must(node, "start")
    return Call(site, "node1", "start")


@scene
def a_first_promotion(by: Authority) -> Call:
    site = Site(**by)
    site.create_record("node1")
    for node in site.servers:
        site.must(node, "start")
    site.monitor_all(rounds=4)
    return Call(site, "node1", "promote")


@scene
def a_standby_comes_back(by: Authority) -> Call:
    site = a_running_site(**by)
    site.servers["node2"].crash()
    site.commit("node1", 1)
    site.monitor_all_but("node2")
    return Call(site, "node2", "start")


@scene
def a_crashed_primary_starts_again(by: Authority) -> Call:
    site = a_running_site(**by)
    site.commit("node1", 1)
    site.servers["node1"].crash()
    return Call(site, "node1", "start")


@scene
def a_crashed_primary_is_promoted_in_place(by: Authority) -> Call:
    site, node, action, _ = a_crashed_primary_starts_again(by)
    site.cluster.promoted = ()
    site.must(node, action)
    return Call(site, node, "promote")


@scene
def a_crashed_primary_starts_as_the_primary_that_it_is_about_to_be(by: Authority) -> Call:
    site, node, action, _ = a_crashed_primary_starts_again(by)
    site.cluster.promoted = ()
    return Call(site, node, action, {"notify_promote_uname": node})


@scene
def a_primary_that_was_started_closed_is_promoted(by: Authority) -> Call:
    call = a_crashed_primary_starts_as_the_primary_that_it_is_about_to_be(by)
    assert call.run() == 0
    return Call(call.site, call.node, "promote")


@scene
def a_standby_takes_over(by: Authority) -> Call:
    site = a_running_site(**by)
    site.commit("node1", 1)
    site.lose("node1")
    return Call(site, "node2", "promote")


@scene
def an_old_primary_that_did_not_diverge_comes_back(by: Authority) -> Call:
    site = a_running_site(**by)
    site.must("node1", "demote")
    site.must("node1", "stop")
    site.cluster.promoted = ()
    assert site.promote("node2").code == 0
    site.monitor_all_but("node1")
    return Call(site, "node1", "start")


@scene
def a_planned_demotion(by: Authority) -> Call:
    return Call(a_running_site(**by), "node1", "demote")


@scene
def a_monitor_that_replaces_the_synchronous_standby(by: Authority) -> Call:
    site = a_running_site(**by)
    site.cut.add("node2")
    return Call(site, "node1", "monitor")


@scene
def a_monitor_that_finds_no_standby_left(by: Authority) -> Call:
    site = a_running_site(**by)
    site.cut |= {"node2", "node3"}
    return Call(site, "node1", "monitor")


@scene
def a_monitor_that_finds_its_first_standby(by: Authority) -> Call:
    site = a_running_site(**by)
    site.cut |= {"node2", "node3"}
    site.must("node1", "monitor")
    site.commit("node1", 2)
    site.cut.clear()
    return Call(site, "node1", "monitor")


@scene
def a_monitor_with_two_synchronous_standbys_and_one_lost(by: Authority) -> Call:
    site = a_running_site(sync_standby_count=2, **by)
    site.cut.add("node3")
    return Call(site, "node1", "monitor")


@scene
def a_notification_that_a_standby_has_stopped(by: Authority) -> Call:
    site = a_running_site(**by)
    site.must("node2", "stop")
    return Call(site, "node1", "notify", {"notify_type": "post", "notify_operation": "stop"})


@scene
def a_stop_of_the_primary(by: Authority) -> Call:
    return Call(a_running_site(**by), "node1", "stop")


@scene
def an_asynchronous_takeover(by: Authority) -> Call:
    site = a_running_site(RepMode.ASYNC, **by)
    site.lose("node1")
    return Call(site, "node3", "promote")


@scene
def a_standby_leaves(by: Authority) -> Call:
    return Call(a_running_site(**by), "node2", "stop")


@scene
def a_planned_takeover(by: Authority) -> Call:
    site = a_running_site(**by)
    site.commit("node1", 1)
    site.must("node1", "demote")
    site.cluster.promoted = ()
    return Call(site, "node2", "promote")


@scene
def a_second_successor_after_the_first_has_died(by: Authority) -> Call:
    site = a_running_site(sync_standby_count=2, **by)
    site.commit("node1", 1)
    site.lose("node1")
    site.effects.kill_after = len(site.effects.done) + 1
    site.run("node2", "promote")
    site.effects.kill_after = None
    site.lose("node2")
    return Call(site, "node3", "promote")


@scene
def a_strict_takeover(by: Authority) -> Call:
    site = a_running_site(strict_sync=True, **by)
    site.commit("node1", 1)
    site.lose("node1")
    return Call(site, "node2", "promote")


@scene
def a_monitor_that_closes_the_names_between_two_lists(by: Authority) -> Call:
    site = a_running_site(sync_standby_count=2, **by)
    site.cut.add("node3")
    site.must("node1", "monitor")
    site.commit("node1", 1)
    site.cut.clear()
    return Call(site, "node1", "monitor")


@scene
def a_first_record_of_a_running_primary(by: Authority) -> Call:
    site = a_running_site(**by)
    site.forget_record()
    site.create_record("node1")
    return Call(site, "node1", "monitor")


@scene
def slots_are_made(by: Authority) -> Call:
    return Call(a_running_site(replication_slot_name="s", **by), "node1", "monitor")


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


by_both = pytest.mark.parametrize("by", [{}, ARBITER], ids=["cluster", "arbiter"])
every_scene = pytest.mark.parametrize("build", SCENES.values(), ids=SCENES.keys())


@by_both
@pytest.mark.parametrize("first", ["monitor", "stop"])
@every_scene
def test_an_action_killed_after_any_effect_is_repaired(build: Scene, first: str, by: Authority) -> None:
    call = build(by)
    call.run()
    count = len(call.site.effects.done)
    after(call.site, call.node, first)
    for number in range(1, count + 1):
        call = build(by)
        assert call.run(kill_after=number) == KILLED
        after(call.site, call.node, first)


@by_both
@every_scene
def test_an_action_whose_writes_are_refused_breaks_no_promise(build: Scene, by: Authority) -> None:
    call = build(by)
    call.site.cluster.deaf = "the cluster does not take it"
    call.run()
    call.site.cluster.deaf = None
    after(call.site, call.node, "monitor")


def clients_commit(site: Site, beginning: int) -> None:
    """Clients try everywhere; what is acknowledged must never be missing."""
    for number, node in enumerate(site.servers, beginning):
        site.commit(node, number)


def goes_on_alone(site: Site) -> None:
    """Whoever accepts writes loses its standbys and goes on without them, if it may."""
    site.cut |= set(site.servers)
    for node, server in site.servers.items():
        server.settle()
        if server.accepts_writes:
            site.address_at = node
            site.run(node, "monitor")
    clients_commit(site, 400)


def online(site: Site, node: str) -> bool:
    """Whether a node has power."""
    found = site.cluster.state.member(node)
    return found is not None and found.online


def is_succeeded(site: Site) -> None:
    """Whoever accepted writes loses its power, and everybody else tries to take over."""
    for node, server in site.servers.items():
        if server.accepts_writes:
            site.lose(node)
    site.cut.clear()
    site.clock.pause(TTL)
    for node in site.servers:
        if online(site, node):
            site.promote(node)
            clients_commit(site, 500)


@pytest.mark.parametrize("killed", [False, True])
@every_scene
def test_a_write_that_arrives_when_the_primary_has_gone_on_alone_makes_nobody_a_successor(
    build: Scene, killed: bool
) -> None:
    call = build(ARBITER)
    before = call.site.clients[call.node].writes
    call.run()
    for number in range(1, call.site.clients[call.node].writes - before + 1):
        call = build(ARBITER)
        site, client = call.site, call.site.clients[call.node]
        client.delay_write, client.then_killed = client.writes + number, killed
        call.run()
        client.delay_write = None
        goes_on_alone(site)
        client.deliver()
        is_succeeded(site)
        after(site, call.node, "monitor")
        assert not site.lost()


@pytest.mark.parametrize("killed", [False, True])
@pytest.mark.parametrize("arrives", ["at once", "after a round of monitors", "when all is well again"])
@every_scene
def test_a_write_that_arrives_late_breaks_no_promise(build: Scene, arrives: str, killed: bool) -> None:
    call = build(ARBITER)
    client = call.site.clients[call.node]
    before = client.writes
    call.run()
    for number in range(1, client.writes - before + 1):
        call = build(ARBITER)
        site, client = call.site, call.site.clients[call.node]
        client.delay_write, client.then_killed = client.writes + number, killed
        call.run()
        client.delay_write = None
        clients_commit(site, 100)
        if arrives == "after a round of monitors":
            for node in site.servers:
                site.run(node, "monitor")
                clients_commit(site, 200)
        elif arrives == "when all is well again":
            after(site, call.node, "monitor")
        client.deliver()
        clients_commit(site, 300)
        after(site, call.node, "monitor")
        assert not site.lost()
