"""Going through a cell on a lab that stays up, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field

from tests.lab import audits, faults
from tests.lab.cluster import Cluster
from tests.lab.links import Links
from tests.lab.machine import Machine
from tests.lab.node import Node
from tests.lab.waiting import now, ticks
from tests.lab.watch import Watch
from tests.lab.watch_record import RecordWatch
from tests.lab.writer import Writer
from tests.matrix.cells import POWER, Cell
from tests.system import safety, story

# Commits after the links broke that tell a primary which goes on alone.
ALONE = 10
# Before that, what was under way when they broke may still have been acknowledged.
MOMENT = 1.5
STEP_SECONDS = 3.0
TRY_SECONDS = 3.0


@dataclass(frozen=True)
class Outcome:
    """What a cell showed."""

    cell: Cell
    acknowledged: int
    lost: int
    # From the end of healing to the first commit of a client.
    seconds: float
    # Whether the standby took over.
    succeeded: bool
    comparisons: int
    complaints: tuple[str, ...] = field(default=())

    def __str__(self) -> str:
        """Render a line of the table."""
        who = "standby" if self.succeeded else "primary"
        said = f"  {'; '.join(self.complaints)}" if self.complaints else ""
        return f"{self.cell!s:<38}{self.acknowledged:>8}{self.lost:>6}{self.seconds:>9.1f}  {who:<8}{said}"


HEADER = f"{'links / healing':<38}{'acks':>8}{'lost':>6}{'service':>9}  serves"


def run_cell(cluster: Cluster, cell: Cell) -> Outcome:
    """Break, wait, heal, count; the cluster is whole before and after."""
    primary, standby = safety.pair(cluster)
    with Writer.running(cluster) as writer, Watch.running(cluster) as watch, RecordWatch.running(cluster) as records:
        writer.open_session(primary)
        _go_through(cluster, cell, (primary, standby), watch)
        healed = now()
        seconds = safety.wait_service(writer, healed)
        audit = writer.look_up()
        succeeded = cluster.primary == standby
        complaints = [*watch.complaints(), *records.wrong, *_banned(cluster)]
    story.wait_whole(cluster)
    complaints += audits.one_writer(cluster)
    return Outcome(cell, audit.acknowledged, audit.lost, seconds, succeeded, records.comparisons, tuple(complaints))


def _go_through(cluster: Cluster, cell: Cell, pair: tuple[Node, Node], watch: Watch) -> None:
    primary, standby = pair
    ends = dict(zip("PSA", (primary, standby, safety.arbiter_of(cluster).machine), strict=True))
    links = Links(cluster.config.places)
    with ExitStack() as at_last:
        at_last.callback(faults.heal_all, cluster)
        for name, state in cell.broken.items():
            links.cut(*_ends(name, ends), state.direction)
        _let_it_act(cell, watch, primary)
        primary.power_off()
        _let_it_try(watch, standby)
        for step in cell.healing:
            if step == POWER:
                cluster.boot(primary)
            else:
                links.mend(*_ends(step, ends), cell.broken[step].direction)
            if step != cell.healing[-1]:
                _observe(STEP_SECONDS)
        at_last.pop_all()


def _ends(name: str, ends: Mapping[str, Machine]) -> tuple[list[Machine], list[Machine]]:
    return [ends[name[0]]], [ends[name[1]]]


def _let_it_act(cell: Cell, watch: Watch, primary: Node) -> None:
    """Give the primary time to go on alone; without the arbiter, time for its lease to run out."""
    if not cell.broken:
        return
    cut = now()
    for _ in ticks(0.2, safety.LEASE + MOMENT):
        alone = watch.told(primary, since=cut + MOMENT)
        if "PA" not in cell.broken and len(alone) >= ALONE:
            return


def _let_it_try(watch: Watch, standby: Node) -> None:
    """Give the standby until after the lease to take over."""
    for _ in ticks(0.2, safety.LEASE + TRY_SECONDS):
        if watch.told(standby):
            return


def _observe(seconds: float) -> None:
    for _ in ticks(0.5, seconds):
        pass


def _banned(cluster: Cluster) -> list[str]:
    """Nodes that are banned, but for one whose data has diverged: that one waits for its administrator."""
    banned = audits.not_banned(cluster)  # first: whoever is refused between the two has its reason by then
    diverged = {node.name for node in cluster.nodes if story.refusal(cluster, node) is not None}
    return [each for each in banned if each.split()[0] not in diverged]
