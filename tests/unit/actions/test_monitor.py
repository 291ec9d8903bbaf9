# SPDX-License-Identifier: GPL-2.0-or-later
"""monitor: the truth about the server first, then what the cluster should know of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from tests.fake_site import ARBITER, Ran, Site, a_running_site

from expgsql_ra.errors import AgentError, NotInstalled, NotPermitted
from expgsql_ra.ocf import Code
from expgsql_ra.rules.replication import CLOSED
from expgsql_ra.snapshot import NoCluster, Orphans, Primary, Standby
from expgsql_ra.values import Lsn, RepMode

PRIMARY, STANDBY = "node1", "node2"
Parameters = Mapping[str, Any]
by = pytest.mark.parametrize("by", [{}, ARBITER], ids=["cluster", "arbiter"])


@pytest.fixture(params=[{}, ARBITER], ids=["cluster", "arbiter"])
def site(request: pytest.FixtureRequest) -> Site:
    """A site in the steady state: node1 is primary, node2 in sync; each authority in its turn."""
    return a_running_site(**request.param)


def member(site: Site, name: str) -> dict[str, object]:
    """A node's entry."""
    found = site.cluster.state.member(name)
    assert found is not None
    return found._asdict()


# --- the truth about the server ---------------------------------------------------------------


def test_the_steady_state_writes_nothing(site: Site) -> None:
    assert [site.run(node, "monitor") for node in site.servers] == [Ran(8, None), Ran(0, None), Ran(0, None)]
    assert site.effects.done == []


@pytest.mark.parametrize("node", [PRIMARY, STANDBY])
@pytest.mark.parametrize("interval", ["0", "3000"])
def test_what_cannot_be_told_is_never_reported_as_stopped_or_well(site: Site, node: str, interval: str) -> None:
    site.servers[node].unreadable = "cannot read postmaster.pid: Permission denied"
    assert site.run(node, "monitor", meta={"interval": interval}) == Ran(
        1, "cannot tell whether PostgreSQL runs: cannot read postmaster.pid: Permission denied"
    )


def test_a_stopped_server_is_not_running(site: Site) -> None:
    site.servers[PRIMARY].crash()
    assert site.run(PRIMARY, "monitor") == Ran(7, None)


@pytest.mark.parametrize(("node", "code"), [(PRIMARY, 9), (STANDBY, 1)])
def test_what_a_dead_postmaster_left_behind_is_a_failure(site: Site, node: str, code: int) -> None:
    site.servers[node].crash(orphans=(71, 72))
    assert site.run(node, "monitor") == Ran(code, "the postmaster died, 2 of its processes still run (pid 71)")
    assert site.servers[node].server(1) == Orphans((71, 72))


@pytest.mark.parametrize(("node", "well", "failed"), [(PRIMARY, 8, 9), (STANDBY, 0, 1)])
def test_a_server_that_stalls_once_is_not_restarted(site: Site, node: str, well: int, failed: int) -> None:
    site.servers[node].frozen = True
    assert [site.run(node, "monitor").code for _ in range(3)] == [well, failed, failed]
    site.servers[node].frozen = False
    assert site.run(node, "monitor").code == well
    assert site.memories[node].kept.stalls == 0


@pytest.mark.parametrize(("node", "code", "old"), [(PRIMARY, 191, 8), (STANDBY, 190, 0)])
def test_a_server_without_a_connection_for_us_is_degraded_and_not_restarted(
    site: Site, node: str, code: int, old: int
) -> None:
    site.servers[node].refuses = "sorry, too many clients already"
    told = Ran(code, "PostgreSQL answers, but not to the agent: sorry, too many clients already")
    assert [site.run(node, "monitor") for _ in range(4)] == [told] * 4
    assert site.run(node, "monitor", meta={"interval": "0"}).code == old


def test_a_probe_looks_and_touches_nothing(site: Site) -> None:
    site.cut |= {"node2", "node3"}
    assert site.run(PRIMARY, "monitor", meta={"interval": "0"}) == Ran(8, None)
    assert site.effects.done == []


@pytest.mark.parametrize(("node", "well", "failed"), [(PRIMARY, 8, 9), (STANDBY, 0, 1)])
def test_an_administrators_check_that_fails_twice_fails_the_monitor(node: str, well: int, failed: int) -> None:
    site = a_running_site(monitor_sql="select 1 from health")
    site.servers[node].failing_query = 'monitor_sql failed: relation "health" does not exist'
    assert [site.run(node, "monitor").code for _ in range(2)] == [well, failed]
    assert site.run(node, "monitor") == Ran(
        failed, 'monitor_sql failed: relation "health" does not exist; 3 probes in a row'
    )
    site.servers[node].failing_query = None
    assert site.run(node, "monitor") == Ran(well, None)
    site.servers[node].failing_query = "monitor_sql: took longer than 5 s"
    assert site.run(node, "monitor").code == well


def test_a_single_servers_stall_is_forgotten_when_it_has_answered() -> None:
    site = a_single_server()
    for _ in range(3):
        site.servers["node1"].frozen = True
        assert site.run("node1", "monitor").code == 0
        site.servers["node1"].frozen = False
        assert site.run("node1", "monitor") == Ran(0, None)


@pytest.mark.parametrize("trouble", [NotPermitted("no space left on device"), NotInstalled("cannot run ssh")])
@pytest.mark.parametrize("by", [{}, ARBITER], ids=["cluster", "arbiter"])
def test_a_full_disk_beside_a_server_that_serves_is_no_failure(by: Mapping[str, Any], trouble: AgentError) -> None:
    site = a_running_site(**by)
    for node, code in ((PRIMARY, 8), (STANDBY, 0)):
        site.keepings[node].trouble = trouble
        site.cut.add(STANDBY)
        assert [site.run(node, "monitor").code for _ in range(2)] == [code, code]


# --- a single server --------------------------------------------------------------------------


def a_single_server() -> Site:
    """A server without replication, running."""
    site = Site(RepMode.NONE, ("node1",))
    site.must("node1", "start")
    return site


def test_a_single_server_is_running_and_never_promoted() -> None:
    site = a_single_server()
    assert site.run("node1", "monitor") == Ran(0, None)
    assert site.run("node1", "monitor", meta={"interval": "0"}) == Ran(0, None)
    site.servers["node1"].crash()
    assert site.run("node1", "monitor") == Ran(7, None)


@pytest.mark.parametrize("mode", [RepMode.NONE, RepMode.SLAVE])
@pytest.mark.parametrize("trouble", ["frozen", "refuses", "orphans"])
def test_a_resource_that_cannot_be_promoted_never_says_it_is(mode: RepMode, trouble: str) -> None:
    site = Site(mode, ("node1",))
    site.must("node1", "start")
    server = site.servers["node1"]
    server.directory.standby = False
    if trouble == "orphans":
        server.crash(orphans=(7,))
    else:
        setattr(server, trouble, True)
    codes = [site.run("node1", "monitor").code for _ in range(3)]
    assert not {Code.RUNNING_PROMOTED, Code.FAILED_PROMOTED, Code.DEGRADED_PROMOTED} & set(codes)


# --- a standby and its cluster ----------------------------------------------------------------


def test_a_standby_that_does_not_stream_beside_a_primary_is_told_when_it_lasts(site: Site) -> None:
    site.cut.add(STANDBY)
    reason = "does not stream from node1; PostgreSQL's log says why"
    assert [site.run(STANDBY, "monitor") for _ in range(3)] == [Ran(0, None), Ran(0, None), Ran(190, reason)]


def test_a_standby_that_turns_out_to_have_diverged_is_a_failure(site: Site) -> None:
    site.servers[STANDBY].crash()
    site.servers[STANDBY].directory.forks = ()
    site.servers[STANDBY].directory.timeline = 1
    site.servers[STANDBY].directory.end += 0x5000  # type: ignore[assignment]
    site.cluster.unreadable, view = None, site.cluster.state
    site.cluster.state = view._replace(ancestry=None)
    site.must(STANDBY, "start")
    site.cluster.state = view
    ran = site.run(STANDBY, "monitor")
    assert ran.code == 1
    assert ran.reason is not None
    assert ran.reason.startswith("data has diverged: run expgsql repair")


def test_a_standby_that_is_connected_in_vain_because_it_has_diverged_is_a_failure(site: Site) -> None:
    site.cut.add(STANDBY)
    away = site.servers[STANDBY].directory
    away.end = Lsn(away.end + 0x5000)
    site.must(PRIMARY, "monitor")
    site.must(PRIMARY, "demote")
    site.cluster.promoted = ()
    assert site.promote("node3").code == 0
    site.cut.clear()
    assert site.servers[STANDBY].is_connected()
    ran = site.run(STANDBY, "monitor")
    assert ran.code == 1
    assert ran.reason is not None
    assert ran.reason.startswith("data has diverged: run expgsql repair")


@pytest.mark.parametrize("trouble", ["unreadable", "deaf"])
def test_a_cluster_that_does_not_answer_costs_no_standby(site: Site, trouble: str) -> None:
    site.cut.add(STANDBY)
    setattr(site.cluster, trouble, "attrd_updater does not end")
    assert site.run(STANDBY, "monitor").code == 0


def test_by_hand_without_a_cluster_the_server_alone_is_reported(site: Site) -> None:
    site.cluster.absent = NoCluster()
    site.cut.add(STANDBY)
    assert site.run(STANDBY, "monitor") == Ran(0, None)
    assert site.run(PRIMARY, "monitor") == Ran(8, None)
    assert site.effects.done == []


def test_the_successor_stops_waiting_for_a_primary_that_stays_away(site: Site) -> None:
    site.lose(PRIMARY)
    site.cluster.change(STANDBY, score=None)
    scores = []
    for _ in range(4):
        site.must(STANDBY, "monitor")
        scores.append(member(site, STANDBY)["score"])
    assert scores == ["-INFINITY", "-INFINITY", "100", "100"]


def test_the_election_of_the_first_start_waits_for_equal_readings() -> None:
    site = Site()
    for node in site.servers:
        site.must(node, "start")
    for _ in range(6):
        end = site.servers["node2"].directory.end
        site.servers["node2"].directory.end = type(end)(end + 0x100)  # still replaying
        site.monitor_all()
    assert "110" not in [one.score for one in site.cluster.state.members]
    site.monitor_all(rounds=4)
    assert [one.score for one in site.cluster.state.members] == ["-INFINITY", "110", "-INFINITY"]


def test_no_server_has_open_names_before_the_first_promotion() -> None:
    site = Site()
    for node in site.servers:
        site.must(node, "start")
    site.monitor_all(rounds=4)
    assert {one.process.names for one in site.servers.values() if one.process} == {CLOSED}


@pytest.mark.parametrize("recorded", [True, False])
def test_a_standby_whose_history_cannot_be_told_just_now_is_not_restarted(recorded: bool) -> None:
    # CHECKPOINT, which makes the control file tell the timeline, takes long on a busy disk
    site = a_running_site() if recorded else Site()
    if not recorded:
        site.must(STANDBY, "start")
    site.cut.add(STANDBY)
    site.servers[STANDBY].slow_checkpoint = True
    assert site.run(STANDBY, "monitor") == Ran(0, None)
    assert any("CHECKPOINT" in line for line in site.log)


def test_an_old_postgresql_that_ends_while_it_is_reconnected_is_told_to_be_stopped(site: Site) -> None:
    server = site.servers[STANDBY]
    server.crash()
    view = site.cluster.state
    site.cluster.state = view._replace(ancestry=None)
    site.must(STANDBY, "start")
    site.cluster.state = view
    server.reloads, server.dies_at_start = False, True
    assert site.run(STANDBY, "monitor").code == 7


# --- the guard --------------------------------------------------------------------------------


def test_a_monitor_has_a_server_that_serves_guarded(site: Site) -> None:
    for node, server in site.servers.items():
        site.must(node, "monitor")
        seen = server.server(1)
        assert isinstance(seen, Primary | Standby)
        assert site.watches[node].watched == seen.pid


@pytest.mark.parametrize("trouble", ["frozen", "refuses"])
def test_a_server_that_is_not_well_keeps_the_guard_it_has(site: Site, trouble: str) -> None:
    guarded = site.watches[PRIMARY].watched
    setattr(site.servers[PRIMARY], trouble, True)
    site.run(PRIMARY, "monitor")
    assert site.watches[PRIMARY].watched == guarded


def test_a_probe_and_a_monitor_by_hand_start_no_guard(site: Site) -> None:
    site.watches[PRIMARY].watched = None
    site.run(PRIMARY, "monitor", meta={"interval": "0"})
    assert site.watches[PRIMARY].watched is None


def test_a_monitor_that_reports_a_failure_does_so_alone(site: Site) -> None:
    site.servers[PRIMARY].crash()
    assert site.run(PRIMARY, "monitor") == Ran(7, None)
    assert site.watches[PRIMARY].watched is None


TOLD = "PostgreSQL ended; its guard has reported that to Pacemaker"


@pytest.mark.parametrize(("node", "code"), [(PRIMARY, 191), (STANDBY, 190)])
def test_a_failure_that_the_guard_reports_is_not_reported_twice(site: Site, node: str, code: int) -> None:
    site.servers[node].crash()
    watch = site.watches[node]
    watch.reporting = True
    assert site.run(node, "monitor") == Ran(code, TOLD)
    assert site.run(node, "monitor", meta={"interval": "0"}) == Ran(7, None)
    watch.reporting = False
    assert site.run(node, "monitor") == Ran(7, None)


def test_a_check_that_fails_with_the_server_is_the_same_failure() -> None:
    site = a_running_site(monitor_sql="select 1 from health")
    site.servers[PRIMARY].failing_query = "monitor_sql failed: server closed the connection"
    site.must(PRIMARY, "monitor")
    site.watches[PRIMARY].reporting = True
    assert site.run(PRIMARY, "monitor") == Ran(191, TOLD)


def test_a_server_without_a_role_is_degraded_without_one() -> None:
    site = a_single_server()
    site.servers["node1"].crash()
    site.watches["node1"].reporting = True
    assert site.run("node1", "monitor") == Ran(190, TOLD)
