"""The faults and works of the demonstration, each with what it cost the clients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import psycopg
from tests.lab import audits, faults
from tests.lab.cluster import Cluster
from tests.lab.configuration import READER_VIP, RESOURCE
from tests.lab.demo_console import Console
from tests.lab.node import EXPGSQL, Node
from tests.lab.waiting import now
from tests.lab.writer import Writer

PATIENCE = 120.0
DIVERGED = "diverged"
SYNCHRONOUS = "HS:sync"
TITLES = ("step", "primary", "timeline", "write gap", "acknowledged", "lost")


class DemoFailed(Exception):
    """Something was lost or did not come back as it should have."""


@dataclass(frozen=True)
class Outcome:
    """What a step did to the cluster and to its clients."""

    step: str
    primaries: tuple[str, str]
    timelines: tuple[int, int]
    gap: float
    acknowledged: int
    lost: int

    def cells(self) -> tuple[str, ...]:
        """Return the row of the table."""
        return (
            self.step,
            change(*self.primaries),
            change(*self.timelines),
            f"{self.gap:.2f} s",
            f"{self.acknowledged:,}",
            f"{self.lost}",
        )


def missing(cluster: Cluster) -> list[str]:
    """Return what keeps the cluster from being whole, and from saying so."""
    try:
        return cluster.complaints() or audits.agreement(cluster) or _reader_complaints(cluster)
    except psycopg.OperationalError as problem:
        return [" ".join(str(problem).split())]


def _reader_complaints(cluster: Cluster) -> list[str]:
    reader, synchronous = cluster.holder(READER_VIP), synchronous_standby(cluster)
    if synchronous is None:
        return [f"nobody is {SYNCHRONOUS}"]
    return [] if reader == synchronous else [f"{READER_VIP} is on {reader or 'no node'}, not yet on {synchronous}"]


def synchronous_standby(cluster: Cluster) -> Node | None:
    """Return the standby that holds every acknowledged commit, as the cluster's attributes say."""
    cib = cluster.cib()
    found = (node for node in cluster.nodes if cib.attribute(node.name, f"{RESOURCE}-status") == SYNCHRONOUS)
    return next(found, None)


def change(old: object, new: object) -> str:
    """Return both, or the one that stayed."""
    return f"{old} -> {new}" if old != new else f"{old}, stays"


@dataclass
class Steps:
    """The demonstration's hands."""

    cluster: Cluster
    writer: Writer
    console: Console
    outcomes: list[Outcome] = field(default_factory=list)
    began: float = 0.0

    # The four steps

    def kill_server(self) -> None:
        """Kill the server under the cluster's feet: it comes back in its place."""
        primary = self._primary()
        self.console.heading(f"1. The primary's server is killed: kill -9 of every process of it on {primary}")

        def act() -> None:
            faults.kill_server(primary, self.cluster)
            self._resumes(now(), f"Pacemaker to find it and to start the server on {primary} again")

        outcome = self._measure("server killed", act, lambda: missing(self.cluster))
        self._expect(outcome, moved=False, new_timeline=False)

    def lose_power(self) -> Node:
        """Take the primary's node away: a synchronous standby takes over. Return the node."""
        primary = self._primary()
        self.console.heading(f"2. The primary's node loses its power: everything on {primary} is gone at once")

        def act() -> None:
            primary.power_off()
            self._resumes(now(), "a synchronous standby to take over")

        outcome = self._measure("node without power", act, lambda: self._missing_without(primary))
        self._expect(outcome, moved=True, new_timeline=True)
        return primary

    def repair(self, node: Node) -> None:
        """Bring the node back as a standby."""
        self.console.heading(f"3. {node} has power again and becomes a standby")
        outcome = self._measure("node repaired", lambda: self._return(node), lambda: missing(self.cluster))
        self._expect(outcome, moved=False, new_timeline=False)

    def switch_over(self) -> None:
        """Move the primary on purpose."""
        target = self._synchronous()
        self.console.heading(f"4. Planned switchover to {target}, which is the synchronous standby")

        def act() -> None:
            self._run(target, EXPGSQL, "switchover", target.name)
            self._resumes(now(), f"writes on {target}")

        outcome = self._measure("switchover", act, lambda: missing(self.cluster))
        self._expect(outcome, moved=True, new_timeline=True)

    # Measuring

    def _measure(self, step: str, act: Callable[[], None], lacking: Callable[[], Sequence[str]]) -> Outcome:
        old = (self._primary().name, self._timeline())
        self.began = since = now()
        act()
        self._settle(lacking)
        self.writer.wait_for_acks(since=now())
        gap, audit = self.writer.longest_gap(since), self.writer.look_up()
        primaries, timelines = (old[0], self._primary().name), (old[1], self._timeline())
        outcome = Outcome(step, primaries, timelines, gap, audit.acknowledged, audit.lost)
        self.outcomes.append(outcome)
        self._tell(outcome, now() - since)
        return outcome

    def _settle(self, lacking: Callable[[], Sequence[str]]) -> None:
        """Wait until nothing lacks. A standby that no commit waited for may have got more than the new primary had."""
        self._wait("everything to be in its place", lambda: [] if self._refused() else lacking())
        for node in self._refused():
            self._rewind(node, self._refusal(node))
            self._wait(f"{node} to be started again", lambda: [self._refusal(one) for one in self._refused()])
        self._wait("everything to be in its place", lacking)

    def _refused(self) -> list[Node]:
        return [node for node in self.cluster.nodes if node.is_on and self._refusal(node)]

    def _tell(self, outcome: Outcome, seconds: float) -> None:
        self.console.say(f"  all in place after {seconds:.1f} s")
        self.console.say(f"  longest time without an acknowledged commit: {outcome.gap:.2f} s")
        self.console.say(f"  acknowledged commits so far: {outcome.acknowledged:,}, lost: {outcome.lost}")
        self.console.say(f"  primary: {change(*outcome.primaries)}; timeline: {change(*outcome.timelines)}")

    def _expect(self, outcome: Outcome, *, moved: bool, new_timeline: bool) -> None:
        """Hold the step to what it promised; losses first."""
        primary, timeline = change(*outcome.primaries), change(*outcome.timelines)
        grown = outcome.timelines[1] - outcome.timelines[0]
        if outcome.lost:
            raise DemoFailed(f"{outcome.lost} of {outcome.acknowledged} acknowledged commits are lost")
        if (outcome.primaries[0] != outcome.primaries[1]) != moved:
            raise DemoFailed(f"primary {primary}; it should have {'moved' if moved else 'stayed'}")
        if grown != int(new_timeline):
            raise DemoFailed(f"timeline {timeline}; it should have {'grown by 1' if new_timeline else 'stayed'}")

    def _resumes(self, since: float, what: str) -> None:
        """Wait for the first commit that was asked for after a moment."""
        with self.console.busy(f"waiting for {what}"):
            first = self.writer.wait_for_acks(since=since, count=1, within=PATIENCE)
        self.console.say(f"  +{first - self.began:.1f} s: clients write again, on {self._primary()}")

    # Repair

    def _return(self, node: Node) -> None:
        with self.console.busy(f"waiting for {node} to boot and to start Corosync and Pacemaker"):
            self.cluster.boot(node)
        self._wait(f"{node} to stream from the primary", lambda: [] if self._refusal(node) else missing(self.cluster))
        reason = self._refusal(node)
        if reason:
            self._rewind(node, reason)

    def _refusal(self, node: Node) -> str:
        """Return why the agent does not start the node's server, if its data has diverged."""
        failures = self.cluster.status().failures
        return next((one for one in failures if f" {node} " in one and DIVERGED in one), "")

    def _rewind(self, node: Node, reason: str) -> None:
        """Repair as its refusal says."""
        self.console.say("  It had written WAL that no other node got, as the agent says:")
        self.console.quote(reason)
        self.console.say("  Nobody was told that this was committed, so it may go (docs/repair.md):")
        self._run(node, EXPGSQL, "repair", "--yes", "--wait", "40")

    # Looking

    def _missing_without(self, absent: Node) -> list[str]:
        """The same with a node away: one standby has to be synchronous again."""
        promoted = self.cluster.promoted()
        if promoted is None or promoted == absent:
            return ["nobody is promoted"]
        states = self._cell(promoted, "select coalesce(string_agg(sync_state, ', '), '-') from pg_stat_replication")
        return [] if states == "sync" else [f"standbys of {promoted}: {states}"]

    def _primary(self) -> Node:
        primary = self.cluster.primary
        if primary is None:
            raise DemoFailed(f"no server accepts writes\n{self.cluster.describe()}")
        return primary

    def _synchronous(self) -> Node:
        found = synchronous_standby(self.cluster)
        if found is None:
            raise DemoFailed(f"no standby is synchronous\n{self.cluster.describe()}")
        return found

    def _timeline(self) -> int:
        """Return the primary's timeline: the first eight digits of a WAL file's name."""
        return int(str(self._cell(self._primary(), "select pg_walfile_name(pg_current_wal_insert_lsn())"))[:8], 16)

    def _cell(self, node: Node, query: str) -> object:
        try:
            return node.sql(query)[0][0]
        except psycopg.OperationalError as problem:
            return " ".join(str(problem).split())

    # Acting

    def _wait(self, what: str, lacking: Callable[[], Sequence[str]]) -> None:
        self.console.wait(what, lacking, within=PATIENCE)

    def _run(self, node: Node, *words: str, user: str = "root") -> None:
        """Run a command on a node, shown as it is typed there."""
        self.console.command(f"{user}@{node}#", words)
        with self.console.busy(f"waiting for {words[0]}"):
            result = node.run(words, user=user).check()
        self.console.quote(result.stdout + result.stderr)
