"""What the agent keeps of its own deeds: promotions, returns, degradations, and a primary that stopped itself."""

from __future__ import annotations

from tests.builders import NODES
from tests.fake_site import ARBITER, Site

from expgsql_ra.events import Kind
from expgsql_ra.values import RepMode


def a_running_site(mode: RepMode = RepMode.SYNC, **parameters: object) -> Site:
    site = Site(mode, NODES, **parameters)
    if parameters:
        site.create_record("node1")
    for node in NODES:
        site.must(node, "start")
    site.settle()
    for journal in site.journals.values():
        journal.events.clear()
    return site


def test_a_failover_is_kept_by_the_new_primary() -> None:
    site = a_running_site()
    site.lose("node1")
    site.settle()
    new = next(name for name in NODES if site.servers[name].accepts_writes)
    kind, reason, timeline = site.journals[new].events[0]
    assert (kind, timeline) == (Kind.PROMOTED, site.servers[new].directory.timeline)
    assert reason == f"{new} takes over from node1"


def test_degrading_and_restoring_are_kept_by_the_primary() -> None:
    site = a_running_site()
    (waited_for,) = [node for node in (site.record.nodes if site.record else ()) if node != "node1"]
    site.lose(waited_for)
    site.monitor_all_but(waited_for)
    kinds = [kind for kind, _, _ in site.journals["node1"].events]
    assert kinds == [Kind.DEGRADED, Kind.RESTORED]
    assert site.journals["node1"].events[0][1] == f"{waited_for} may not succeed node1 any more"


def test_a_server_that_comes_back_in_place_is_kept() -> None:
    for mode in (RepMode.SYNC, RepMode.ASYNC):
        site = a_running_site(mode)
        timeline = site.servers["node1"].directory.timeline
        site.servers["node1"].crash()
        site.settle()
        assert [(kind, tli) for kind, _, tli in site.journals["node1"].events if kind == Kind.RETURNED] == [
            (Kind.RETURNED, timeline)
        ]


def test_a_primary_that_lost_its_right_says_so() -> None:
    site = a_running_site(**ARBITER)
    site.cut |= {"node2", "node3"}
    site.outvote("node2")
    site.run("node1", "monitor")
    assert [kind for kind, _, _ in site.journals["node1"].events] == [Kind.STOPPED]
