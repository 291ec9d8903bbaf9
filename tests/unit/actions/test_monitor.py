# SPDX-License-Identifier: GPL-2.0-or-later
"""monitor: the truth about the server first, then what the cluster should know of it."""

from __future__ import annotations

import pytest
from tests.builders import a_history
from tests.fake_site import Ran, Site, a_running_site

from expgsql_ra.ocf import Code
from expgsql_ra.rules.replication import CLOSED
from expgsql_ra.snapshot import NoCluster, Orphans
from expgsql_ra.values import Lsn, ReplInfo, RepMode
from expgsql_ra.world import Memory

PRIMARY, STANDBY = "node1", "node2"


@pytest.fixture
def site() -> Site:
    """A site in the steady state: node1 is primary, node2 in sync."""
    return a_running_site()


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


def test_an_administrators_check_that_fails_fails_the_monitor() -> None:
    site = a_running_site(monitor_sql="select 1 from health")
    site.servers[PRIMARY].failing_query = 'monitor_sql failed: relation "health" does not exist'
    assert site.run(PRIMARY, "monitor") == Ran(1, 'monitor_sql failed: relation "health" does not exist')


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


# --- a primary and its cluster ----------------------------------------------------------------


def test_a_usurper_is_a_failed_primary(site: Site) -> None:
    site.cluster.state = site.cluster.state._replace(
        repl_info=ReplInfo("node2", 2, site.servers[PRIMARY].directory.end)
    )
    ran = site.run(PRIMARY, "monitor")
    assert ran.code == Code.FAILED_PROMOTED
    assert ran.reason is not None
    assert ran.reason.startswith("the cluster records node2 as the primary, not this node")
    assert site.effects.done == []


def test_without_quorum_a_primary_changes_nothing(site: Site) -> None:
    site.cluster.state = site.cluster.state._replace(quorate=False)
    site.cut |= {"node2", "node3"}
    assert [site.run(PRIMARY, "monitor").code for _ in range(3)] == [8, 8, 191]
    assert site.effects.done == []
    assert not site.commit(PRIMARY, 1)


@pytest.mark.parametrize("trouble", ["unreadable", "deaf"])
def test_a_cluster_that_does_not_answer_costs_no_primary(site: Site, trouble: str) -> None:
    site.cut |= {"node2", "node3"}
    setattr(site.cluster, trouble, "cibadmin does not end")
    assert site.run(PRIMARY, "monitor") == Ran(8, None)
    assert "reload" not in " ".join(site.effects.done)
    assert any(line.startswith("WARNING") and "cibadmin does not end" in line for line in site.log)


def test_marks_are_withdrawn_before_postgresql_stops_waiting(site: Site) -> None:
    site.cut.add("node2")
    site.must(PRIMARY, "monitor")
    done = " | ".join(site.effects.done)
    assert 0 <= done.index("SetDataStatus(node='node2', value='DISCONNECT')") < done.index("reload to 'FIRST 1")
    assert done.index("reload") < done.index("SetDataStatus(node='node3', value='STREAMING|SYNC')")
    assert member(site, "node3")["score"] == "100"


def test_a_promise_that_stays_weakened_is_told(site: Site) -> None:
    site.cut |= {"node2", "node3"}
    reason = "no synchronous standby: commits are on this node only"
    assert [site.run(PRIMARY, "monitor") for _ in range(3)] == [Ran(8, None), Ran(8, None), Ran(191, reason)]
    assert site.commit(PRIMARY, 1)
    site.cut.clear()
    assert site.run(PRIMARY, "monitor") == Ran(8, None)


def test_a_promise_that_stays_weakened_is_not_told_to_an_old_pacemaker(site: Site) -> None:
    site.cut |= {"node2", "node3"}
    world = site.world(PRIMARY, "monitor")
    assert world.context.understands_degraded
    site.memories[PRIMARY].save(Memory(weak=5))
    assert site.run(PRIMARY, "monitor", meta={"interval": "0"}).code == 8


def test_a_commit_is_acknowledged_alone_only_after_the_record_says_so(site: Site) -> None:
    site.cut |= {"node2", "node3"}
    assert not site.commit(PRIMARY, 1)
    site.must(PRIMARY, "monitor")
    assert site.commit(PRIMARY, 2)
    assert [one.data_status for one in site.cluster.state.members] == ["LATEST", "DISCONNECT", "DISCONNECT"]


def test_a_standby_is_marked_only_once_it_has_passed_what_was_committed_without_it(site: Site) -> None:
    site.cut |= {"node2", "node3"}
    site.must(PRIMARY, "monitor")
    assert site.commit(PRIMARY, 1)
    site.cut.discard("node2")
    site.must(PRIMARY, "monitor")
    assert member(site, "node2")["data_status"] == "STREAMING|SYNC"
    assert 1 in site.servers["node2"].directory.commits


def test_a_standby_that_still_lags_is_waited_for_and_not_marked(site: Site) -> None:
    site.cut |= {"node2", "node3"}
    site.must(PRIMARY, "monitor")
    assert site.commit(PRIMARY, 1)
    site.cut.discard("node2")
    site.lagging.add("node2")
    for _ in range(2):
        site.must(PRIMARY, "monitor")
        assert member(site, "node2")["data_status"] == "STREAMING|POTENTIAL"
        assert not site.commit(PRIMARY, 2)
    site.lagging.clear()
    site.must(PRIMARY, "monitor")
    assert member(site, "node2")["data_status"] == "STREAMING|SYNC"
    assert site.commit(PRIMARY, 3)


def test_a_missing_slot_is_made() -> None:
    site = a_running_site(replication_slot_name="s")
    assert set(site.servers[PRIMARY].slots) == {"s_node2", "s_node3"}


def test_a_lost_record_of_the_history_is_written_again(site: Site) -> None:
    wanted = site.cluster.state.ancestry
    assert wanted == a_history("1@0/1000")
    site.cluster.state = site.cluster.state._replace(ancestry=None)
    site.must(PRIMARY, "monitor")
    assert site.cluster.state.ancestry == wanted


def test_receivers_are_published_where_asked_for() -> None:
    site = a_running_site(check_wal_receiver=True)
    assert [one.receiver for one in site.cluster.state.members] == ["normal (master)", "normal", "normal"]
    site.cut.add("node3")
    site.must("node3", "monitor")
    assert member(site, "node3")["receiver"] == "ERROR"


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
    assert ran.reason.startswith("data has diverged: run pg_rewind")


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
    assert ran.reason.startswith("data has diverged: run pg_rewind")


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
