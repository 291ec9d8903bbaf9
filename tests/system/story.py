"""What the stories ask and do beside the lab's own words: timelines, records, refusals, repairs by hand."""

from __future__ import annotations

import re
from collections.abc import Callable

from tests.lab import processes
from tests.lab.cluster import Cluster
from tests.lab.configuration import CLONE, RESOURCE
from tests.lab.databases import REPLICATION_USER
from tests.lab.node import PGDATA, POSTGRES, Node
from tests.lab.waiting import now, ticks, wait_until

# Pacemaker before 3.0.2 cuts an exit reason here.
REASON_LENGTH = 128
SYSLOG = "/var/log/syslog"
GUARD = r"-m expgsql_ra\.guard "
RETURN_SECONDS = 90.0
SEGMENT = 16 * 1024 * 1024

REFUSED = "refused"
STREAMS = "streams"


def the_primary(cluster: Cluster) -> Node:
    """Return the primary of a healthy cluster."""
    return cluster.wait_for(lambda: cluster.primary, within=30, what="a primary")


def standby_with(cluster: Cluster, data_status: str) -> Node:
    """Return the standby with that data status, waited for: marks follow one monitor behind."""

    def found() -> Node | None:
        cib = cluster.cib()
        return next(
            (node for node in cluster.nodes if cib.attribute(node.name, f"{RESOURCE}-data-status") == data_status),
            None,
        )

    return cluster.wait_for(found, within=30, what=f"a standby with {data_status}")


def sync_standby(cluster: Cluster) -> Node:
    """Return the synchronous standby."""
    return standby_with(cluster, "STREAMING|SYNC")


def spare_standby(cluster: Cluster) -> Node:
    """Return the standby that commits do not wait for."""
    return standby_with(cluster, "STREAMING|ASYNC")


def data_status(cluster: Cluster, node: Node) -> str | None:
    """Return what the cluster holds of a node's data."""
    return cluster.cib().attribute(node.name, f"{RESOURCE}-data-status")


def timeline(primary: Node) -> int:
    """Return the timeline a primary writes on."""
    return int(str(primary.sql("select pg_walfile_name(pg_current_wal_lsn())")[0][0])[:8], 16)


def repl_info(cluster: Cluster) -> str:
    """Return the record of the last promotion."""
    return cluster.cib().properties[f"{RESOURCE}_REPL_INFO"]


def fail_count(cluster: Cluster, node: Node) -> str:
    """Return how many failures Pacemaker counts against the database on a node."""
    return cluster.cib().fail_count(node.name, RESOURCE)


def failures(cluster: Cluster) -> list[str]:
    """Return what failed, as Pacemaker has it on record: a degraded answer is kept there too, and is none."""
    degraded = re.compile(r"\S+ \S+ (promoted \()?degraded\b")
    return [line for line in cluster.status().failures if not degraded.match(line)]


def guards(node: Node) -> list[int]:
    """Return the guards of a node, those included that report the end of a server that is gone."""
    return node.processes(GUARD)


def assert_counted(cluster: Cluster, node: Node, failures: int) -> None:
    """Pacemaker counts that many failures, once whoever reports them has finished."""
    cluster.wait_for(lambda: not _reporting(node), within=20, what=f"guards on {node} to have reported")
    # what they have told the attribute manager last comes to the CIB a moment later
    cluster.wait_for(
        lambda: fail_count(cluster, node) == str(failures),
        within=30,
        what=f"{failures} failures on {node}, not {fail_count(cluster, node)}",
    )


def _reporting(node: Node) -> list[int]:
    server = node.postmaster()
    served = None if server is None else str(processes.pid_inside(server))
    return [guard for guard in guards(node) if processes.arguments(guard)[-1:] != (served,)]


def assert_recorded(cluster: Cluster, primary: Node, parent: int) -> None:
    """The record names the primary, the timeline before its promotion, and the very end of that."""
    forks = [
        line.split() for line in primary.read(f"{PGDATA}/pg_wal/{parent + 1:08X}.history").splitlines() if line.strip()
    ]
    high, low = forks[-1][1].split("/")
    end = (int(high, 16) << 32) | int(low, 16)
    assert int(forks[-1][0]) == parent
    cluster.wait_for(
        lambda: repl_info(cluster) == f"{primary.name}|{parent}|{end:016X}",
        within=15,
        what=f"{RESOURCE}_REPL_INFO {primary.name}|{parent}|{end:016X}",
    )


def new_primary(cluster: Cluster, old: Node, within: float = 60.0) -> Node:
    """Wait until another node than `old` is the only one that accepts writes as far as it can be seen."""

    def found() -> Node | None:
        return next((node for node in cluster.writable if node != old), None)

    return cluster.wait_for(found, within=within, what=f"another primary than {old}")


def stays(condition: Callable[[], bool], seconds: float, what: str, seen: Callable[[], str] = str) -> None:
    """Assert that something holds for as long as it takes to see that it does; else say what was `seen`."""
    begin = now()
    for _ in ticks(0.2, seconds):
        assert condition(), f"{what} held for {now() - begin:.1f} s only\n{seen()}"


def streams(cluster: Cluster, node: Node) -> bool:
    """Whether a node streams from the primary, by the primary's own word."""
    primary = cluster.primary
    if primary is None:
        return False
    rows = primary.sql(
        f"select 1 from pg_stat_replication where state = 'streaming' and application_name = '{node.name}'"
    )
    return bool(rows)


# Data that has diverged


def last_record(node: Node) -> int:
    """Return where the last record of a stopped node's WAL begins, by PostgreSQL's own tool."""
    control = node.run(("env", "LC_ALL=C", f"{node.bindir}/pg_controldata", PGDATA)).check().stdout
    redo = _field(control, "Latest checkpoint's REDO location")
    line = _field(control, "Latest checkpoint's TimeLineID")
    recovered = _field(control, "Min recovery ending loc's timeline")
    known = max(int(line), int(recovered))
    # Named, as pg_waldump learns the size of a segment from whichever it finds first, also one that is still empty.
    high, low = (int(part, 16) for part in redo.split("/"))
    first = f"{known:08X}{high:08X}{low // SEGMENT:08X}"
    segments = re.findall(rf"^{known:08X}[0-9A-F]{{16}}$", node.run(("ls", f"{PGDATA}/pg_wal")).stdout, re.MULTILINE)
    dump = node.run((f"{node.bindir}/pg_waldump", "-p", f"{PGDATA}/pg_wal", "-s", redo, first, max(segments)))
    records = re.findall(r"lsn: ([0-9A-F]+)/([0-9A-F]+)", dump.stdout)
    assert records, f"pg_waldump on {node}: {dump.stderr}"
    last = records[-1]
    return (int(last[0], 16) << 32) | int(last[1], 16)


def _field(text: str, label: str) -> str:
    found = re.search(rf"^{re.escape(label)}:\s*(\S+)$", text, re.MULTILINE)
    assert found, label
    return found.group(1)


def refusal(cluster: Cluster, node: Node) -> str | None:
    """Return why Pacemaker says that the database did not start on a node."""
    marks = f"{RESOURCE}_start_0 {node.name} "
    return next((line.removeprefix(marks) for line in cluster.status().failures if line.startswith(marks)), None)


def outcome_of_return(cluster: Cluster, node: Node) -> str:
    """Wait until a former primary streams, or was refused."""

    def found() -> str | None:
        if streams(cluster, node):
            return STREAMS
        return REFUSED if refusal(cluster, node) is not None else None

    return cluster.wait_for(found, within=RETURN_SECONDS, what=f"{node} to stream or to be refused")


def assert_refused_with_remedy(cluster: Cluster, node: Node) -> None:
    """The reason, as far as Pacemaker shows it, says that the data diverged and what to do."""
    reason = refusal(cluster, node)
    assert reason is not None
    words = reason.removeprefix("error ")
    assert "diverged" in words[:REASON_LENGTH], words
    assert "expgsql repair" in words[:REASON_LENGTH], words
    assert "expgsql rebuild" in words[:REASON_LENGTH], words
    assert not node.processes(POSTGRES)


def rewind(node: Node) -> None:
    """Repair a diverged data directory as its administrator would."""
    source = f"host={node.places.writer_ip} user={REPLICATION_USER} dbname=postgres"
    # Until the first checkpoint after a promotion, the source's control file names the timeline before it, and
    # pg_rewind of PostgreSQL 15 and older takes its word: the target would end on the wrong one.
    node.run((f"{node.bindir}/psql", "-X", "-q", "-w", "-c", "checkpoint", source), user="postgres").check()
    words = (f"{node.bindir}/pg_rewind", f"--target-pgdata={PGDATA}", f"--source-server={source}", "--no-sync")
    node.run(words, user="postgres", timeout=120).check()


def comes_back(cluster: Cluster, node: Node, fork: int) -> str:
    """See a former primary return as it must: by itself if all of its WAL became history, else by repair.

    `fork` is where the new primary's timeline begins; what happens is judged by PostgreSQL's own tools.
    """
    outcome = outcome_of_return(cluster, node)
    if outcome == REFUSED:
        assert last_record(node) >= fork, f"{node} was refused although its WAL is part of history"
        assert_refused_with_remedy(cluster, node)
        rewind(node)
        cluster.cleanup(node=node)
    wait_whole(cluster)
    return outcome


def wait_whole(cluster: Cluster, within: float = 120.0) -> None:
    """Wait for a healthy cluster after a failover, and repair whoever else was refused, as its refusal says.

    A standby that commits do not wait for may have got records which the promoted one had not.
    """

    def whole() -> bool:
        primary = cluster.promoted()
        if primary is None or cluster.holder() != primary or not primary.accepts_writes():
            return False  # nobody yet to rewind from: links that break one after the other move the primary twice
        for node in cluster.nodes:
            if refusal(cluster, node) is not None:
                assert last_record(node) >= recorded_fork(cluster), f"{node} was refused although it may follow"
                assert_refused_with_remedy(cluster, node)
                rewind(node)
                cluster.cleanup(node=node)
                cluster.wait_for(
                    lambda node=node: refusal(cluster, node) is None,  # type: ignore[misc]
                    within=30,
                    what=f"the refusal of {node} to be forgotten",
                )
        return cluster.is_healthy()

    cluster.wait_for(whole, within=within, what="every node to be back")


def recorded_fork(cluster: Cluster) -> int:
    """Return where the present timeline begins, as the cluster records it."""
    return int(repl_info(cluster).split("|")[2], 16)


def logged(node: Node, pattern: str) -> list[str]:
    """Return the agent's lines of log that match."""
    return [line for line in node.read(SYSLOG).splitlines() if "expgsql(" in line and re.search(pattern, line)]


def wait_logged(node: Node, pattern: str, seen: int, within: float) -> None:
    """Wait for one more such line than were `seen` before."""
    wait_until(
        lambda: len(logged(node, pattern)) > seen, within=within, what=f"{pattern!r} in the log of {node}", every=0.05
    )


def ban(node: Node) -> None:
    """Forbid a node the promoted role, the way a user does."""
    node.run(f"crm_resource --resource {CLONE} --ban --promoted --node {node.name}").check()


def clear(node: Node) -> None:
    """Take such constraints back."""
    node.run(f"crm_resource --resource {CLONE} --clear").check()
