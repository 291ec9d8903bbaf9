# SPDX-License-Identifier: GPL-2.0-or-later
"""The tables, and the page docs/bench.md around them: all of it is rendered from one run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.bench.figures import ARMS, FLOOR, GROUPS, NODE_LOSSES, OURS, PROMISES, Figure, Medians, Promise
from tests.bench.machine import Machine
from tests.bench.outages import INTERRUPTION, INTERVAL, TAIL
from tests.bench.results import Outage, Results
from tests.bench.rounds import SEVEN, Plan, told
from tests.lab.writer_process import RECONNECT_EVERY, WRITE_EVERY

from expgsql_ra.setup_model import Timing

NONE = "-"
UNPAUSED, PAUSED = ", unpaused", ", paused"
HEADERS = {FLOOR: "floor (`null`)"}

Row = Sequence[str]


# Tables of Markdown, aligned so that they can be read as they are


def table(rows: Sequence[Row]) -> str:
    """Render rows, the first one as their titles."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = ["| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |" for row in rows]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


@dataclass(frozen=True)
class Line:
    """A line of the tables of medians: a figure, over all its values or over some of them."""

    figure: Figure
    title: str
    median: Medians

    @property
    def promise(self) -> Promise:
        """What is promised of the figure."""
        return PROMISES[self.figure]

    def cell(self, agent: str) -> str:
        """Return the median with an agent."""
        value = self.median(self.figure, agent)
        return NONE if value is None else self.promise.told(value)


def _lines(plan: Plan, results: Results) -> Iterator[Line]:
    for figure in _shown(plan):
        title = PROMISES[figure].title
        yield Line(figure, title, results.median)
        if figure in NODE_LOSSES:
            yield Line(figure, f"{title}{UNPAUSED}", results.unpaused_median)
            yield Line(figure, f"{title}{PAUSED}", results.paused_median)


def _titles(first: str, agents: Sequence[str]) -> Row:
    return (first, *(HEADERS.get(agent, f"`{agent}`") for agent in agents))


def medians(plan: Plan, results: Results) -> str:
    """Render the median of each figure with each agent."""
    agents = [agent for agent in ARMS if agent in plan.agents]
    rows = [_titles("median", agents)]
    rows += [(line.title, *(line.cell(agent) for agent in agents)) for line in _lines(plan, results)]
    return table(rows)


def verdicts(plan: Plan, results: Results) -> str:
    """Render what is promised of each figure and whether it holds."""
    rows: list[Row] = [("ours", "median", "ratio", "required at most", "verdict", "aimed at", "reached")]
    rows += [_verdict(line, line.promise) for line in _lines(plan, results)]
    return table(rows)


def _verdict(line: Line, promise: Promise) -> Row:
    ours = line.median(line.figure, OURS)
    required, aimed = (bound.limit(line.figure, line.median) for bound in (promise.required, promise.aimed))
    base = promise.required.base
    other = None if base is None else base.value_for(line.figure, line.median)
    return (
        line.title,
        line.cell(OURS),
        f"{ours / other:.2f}" if ours is not None and other else NONE,
        f"{promise.required}{_told(promise, required)}",
        _holds(promise, ours, required, ("holds", "does not hold")),
        f"{promise.aimed}{_told(promise, aimed) if promise.aimed.base else ''}",
        _holds(promise, ours, aimed, ("yes", "no")),
    )


def _told(promise: Promise, limit: float | None) -> str:
    return "" if limit is None else f" = {promise.told(limit)}"


def _holds(promise: Promise, ours: float | None, limit: float | None, words: tuple[str, str]) -> str:
    """Compare what is told, so that nobody can find a verdict at odds with its figures."""
    if ours is None or limit is None:
        return NONE
    return words[0] if promise.rounded(ours) <= promise.rounded(limit) else words[1]


def totals(plan: Plan, results: Results) -> str:
    """Render how long writes were interrupted altogether, which may be in several pieces."""
    agents = [agent for agent in ARMS if agent in plan.agents]
    lines = [Line(figure, PROMISES[figure].title, results.total_median) for figure in plan.faults]
    rows = [_titles("all interruptions together", agents)]
    rows += [(line.title, *(line.cell(agent) for agent in agents)) for line in lines]
    return table(rows)


def losses(plan: Plan, results: Results) -> str:
    """Render the acknowledged commits that were lost, of how many."""
    agents = [agent for agent in ARMS if agent in plan.agents and agent != FLOOR]
    rows = [_titles("acknowledged commits lost", agents)]
    rows += [(PROMISES[figure].title, *(_lost(results, figure, agent) for agent in agents)) for figure in plan.faults]
    return table(rows)


def pauses(plan: Plan, results: Results) -> str:
    """Render how often Pacemaker's controller slept, of how many losses of a node."""
    agents = [agent for agent in ARMS if agent in plan.agents]
    figures = [figure for figure in NODE_LOSSES if figure in plan.figures]
    rows = [_titles("Pacemaker paused for a second", agents)]
    rows += [(PROMISES[figure].title, *(_paused(results, figure, agent) for agent in agents)) for figure in figures]
    return table(rows)


def _paused(results: Results, figure: Figure, agent: str) -> str:
    outages = results.outages.get((figure, agent), [])
    return f"{sum(outage.paused for outage in outages)} of {len(outages)}" if outages else NONE


def _lost(results: Results, figure: Figure, agent: str) -> str:
    outages = results.outages.get((figure, agent), [])
    total = sum(outage.acknowledged for outage in outages)
    return f"{results.lost(figure, agent)} of {total:,}" if outages else NONE


def values(plan: Plan, results: Results) -> str:
    """Render every write gap, and the spread of the monitors' costs."""
    rows: list[Row] = [("figure", "agent", "values in the order of measuring")]
    for figure in _shown(plan):
        for agent in plan.agents:
            found = results.values.get((figure, agent))
            if found:
                outages = results.outages.get((figure, agent), [])
                rows.append((PROMISES[figure].title, f"`{agent}`", _values(PROMISES[figure], outages, found)))
    return table(rows)


def _values(promise: Promise, outages: Sequence[Outage], found: Sequence[float]) -> str:
    if outages:
        return ", ".join(told(promise, outage) for outage in outages)
    return f"{len(found)} from {promise.told(min(found))} to {promise.told(max(found))}"


def _shown(plan: Plan) -> list[Figure]:
    return [figure for figure in PROMISES if figure in plan.figures]


def summary(plan: Plan, results: Results) -> str:
    """Return the tables for a terminal."""
    return "\n\n".join(_tables(plan, results))


def _tables(plan: Plan, results: Results) -> Iterator[str]:
    yield medians(plan, results)
    if OURS in plan.agents:
        yield verdicts(plan, results)
    if plan.faults:
        yield totals(plan, results)
    if plan.faults and plan.agents != (FLOOR,):
        yield losses(plan, results)
    if set(NODE_LOSSES) & plan.figures:
        yield pauses(plan, results)


# The page


def page(machine: Machine, plan: Plan, results: Results) -> str:
    """Return docs/bench.md."""
    parts = [
        "# Figures" if plan.timing is Timing.DEFAULT else f"# Figures with Corosync's timing `{plan.timing}`",
        f"{_who(plan)} wrote this page, all of it. What counts are the ratios within the run; the seconds are this\n"
        "machine's.",
        *_tables(plan, results),
        "## The run",
        _description(machine),
        *_breaks(results),
        "## How it was measured",
        _method(plan),
        "## Every value",
        values(plan, results),
        "## Again",
        AGAIN if plan.timing is Timing.DEFAULT else _again(plan),
    ]
    return "\n\n".join(parts) + "\n"


def _description(machine: Machine) -> str:
    lines = [
        f"- {machine.cores} cores, {machine.memory_gib} GiB of memory, {machine.system}; the nodes' disks are memory",
        f"- PostgreSQL {machine.server}",
        *(f"- {name} {version}" for name, version in machine.versions.items()),
        f"- other work on the machine just before the run: {machine.busy:.0%} of its CPU time"
        + ("" if machine.is_quiet else ": **not a quiet machine**"),
    ]
    return "\n".join(lines)


def _breaks(results: Results) -> list[str]:
    if not results.breaks:
        return []
    return ["**Not everything could be measured:**", "\n".join(f"- {found}" for found in results.breaks)]


def _method(plan: Plan) -> str:
    return METHOD.format(
        order="; ".join(PROMISES[figure].title for figure in plan.faults) or "nothing else",
        rounds=f"{plan.rounds} rounds" if plan.rounds > 1 else "1 round",
        draws=plan.draws,
        interval=INTERVAL,
        tail=TAIL,
        interruption=INTERRUPTION,
        write=WRITE_EVERY * 1000,
        reconnect=RECONNECT_EVERY * 1000,
        monitors=plan.monitors_per_round * plan.rounds,
        seven=SEVEN,
        timing=plan.timing,
    )


def _who(plan: Plan) -> str:
    return "`make bench`" if plan.timing is Timing.DEFAULT else "The command at its end"


def _again(plan: Plan) -> str:
    groups = [name for name, figures in GROUPS.items() if set(figures) <= plan.figures]
    return (
        f"    .venv/bin/python -m tests.bench --timing {plan.timing} --rounds {plan.rounds} --draws {plan.draws} \\\n"
        f"        --only {','.join(groups)} --agents {','.join(plan.agents)} --output docs/bench-{plan.timing}.md"
    )


METHOD = """\
Each cluster has three nodes, which are namespaces of one machine with real Corosync, Pacemaker and PostgreSQL
(`tests/lab/README.md`), and the same configuration apart from the agent: Corosync's timing `{timing}`
([setup.md](setup.md#timing)), monitors every 3 s promoted and every 4 s unpromoted, migration-threshold 3, no
fencing. `expgsql` and `pgsql` replicate synchronously, `pgsqlms` (PAF) asynchronously. `pgsql` runs with a repaired
helper: that of resource-agents 4.12 cannot set a score with Pacemaker 2.1.5. `null` keeps a role and does nothing,
its servers run on their own: what it takes is Corosync's and Pacemaker's own share, the floor.

**Order.** {rounds}; in each, all agents have their turn one after the other, so that drift of the machine hits all
alike. A turn builds a cluster anew and takes it down again; no other cluster is up meanwhile. What a turn measures, in
this order: cost of monitors; {order}.
Between two faults everything is repaired: a node that lost its part as primary to a fault gets the new primary's data,
whatever its agent might have made of it, and so does one that its agent refuses to start. A fault comes when all nodes
do their part, Pacemaker is idle, and the primary's node is not the DC (losing that one costs every agent an election
more).

**Write gap.** The longest time between two acknowledged commits of a client outside the nodes that writes every
{write:.0f} ms through the virtual address and connects again every {reconnect:.0f} ms (connect_timeout 2 s,
tcp_user_timeout 2 s), from the fault until {tail:.0f} s after writes have come back, so that a second interruption
counts. "All interruptions together" adds up whatever was longer than {interruption:.1f} s: PAF, for one, starts a
killed primary and then stops it again for its recovery. The planned switchover is `crm_resource --move --promoted` to
a synchronous standby (`pgsqlms`: one that streams), and `--clear` when everything is in its place again. At the end of
each, every acknowledged row is looked up.

**Moment of the fault.** A killed server is noticed by the next monitor, so the time since the last one decides much.
Pacemaker starts a monitor {interval:.0f} s after the end of the one before. A fault waits for the end of a monitor of
the primary and comes at a fixed distance after it, which is the same for every agent. All rounds together use the
middles of equal parts of the interval.

**Steps of a second.** A client whose packets nobody answers connects again after 2 s, and within an attempt its kernel
repeats the first packet after 1 s. So after the loss of a node writes come back at about 4.5, 5.5 or 6.5 s and not in
between; and in a switchover, a client that asks while no node has the address waits for a second, however soon the
address is back. This hits all agents alike, but small differences between them vanish, or count for a second. So each
round loses a node {draws} times to each fault: a median of fewer would be a matter of luck.

**Paused and unpaused.** After the loss of a node, Pacemaker's controller now and then sleeps for one second, because it
finds updates of its own under way: "paused" below, seen in the DC's log. That is a race between daemons of Pacemaker,
before any agent is called; who has drawn it more often looks a second slower. So the lines "unpaused" and "paused"
compare like with like. How often it comes about may have to do with how much the cluster's record holds, which is more
where an agent publishes what its servers do (`expgsql`, `pgsql`).

**CPU of a monitor.** User and system time of the agent's whole process tree, orphans included, as the kernel accounts
them to a parent that runs the agent in the node with the environment that Pacemaker gave to a real monitor; the
server's own backends are not in it. {monitors} runs each, some in every round, right after a real monitor so that the
two do not meet; the median counts. With {seven} nodes: as many on a cluster of {seven}, all in the middle round,
against ours with 3."""

AGAIN = """\
    make bench                                          # all of it; writes this page
    .venv/bin/python -m tests.bench --quick             # one round; prints the tables
    .venv/bin/python -m tests.bench --only kill,cpu --agents expgsql,pgsqlms

As root, on a machine with nothing else to do. The command fails if something breaks or `expgsql` loses a commit, not
because of a figure."""
