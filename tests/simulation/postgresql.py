# SPDX-License-Identifier: GPL-2.0-or-later
"""What PostgreSQL does by itself, and what may happen to it: steps of one server, and of two with a link.

Every process of a server takes new names when it likes once they are in the file; that is more than the real
ones can do, who wait for a signal. `SyncRepGetCandidateStandbys` and `SyncRepReleaseWaiters` of PostgreSQL 13 and
later are the model of `releases`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import NamedTuple

from tests.simulation.state import UNSET, Clients, Directory, Names, Node, Process, Walsender

from expgsql_ra.values import Fork, Lsn


class Done(NamedTuple):
    """A step of one server."""

    story: str
    node: Node
    clients: Clients


class Linked(NamedTuple):
    """A step of a primary and a standby."""

    story: str
    primary: Node
    standby: Node


class Limits(NamedTuple):
    """What bounds the steps of servers."""

    commits: int
    timelines: int
    hand: bool
    spares: bool
    """Names are `FIRST 1` of several."""
    synced: bool


def steps(node: Node, clients: Clients, limits: Limits) -> Iterator[Done]:
    """Everything that one server may do next, and what may be done to it."""
    process = node.process
    if not limits.synced:
        yield from _disk(node, clients)
    if process is None:
        return
    yield Done(f"{node.name}: the server dies", node._replace(process=None), clients)
    if limits.hand and not process.primary and node.directory.timeline < limits.timelines:
        yield Done(f"{node.name}: a left-over promote takes effect", promoted(node), clients)
    if process.shown != node.directory.file:
        yield Done(f"{node.name}: somebody reloads", node.running(shown=node.directory.file), clients)
    if process.primary:
        yield from _as_primary(node, process, clients, limits)


def _disk(node: Node, clients: Clients) -> Iterator[Done]:
    at = node.directory
    if at.file != at.disk:
        yield Done(f"{node.name}: the names reach the disk", node.on_disk(disk=at.file), clients)
    lost = node._replace(process=None, programs=()).on_disk(file=at.disk)
    if lost != node:
        yield Done(f"{node.name}: power loss; the file has names {shown(at.disk)}", lost, clients)


def shown(names: Names | str) -> str:
    """Names for people."""
    if names is None:
        return "closed"
    return names if isinstance(names, str) else "(" + ", ".join(names) + ")"


def promoted(node: Node) -> Node:
    """A standby that became writable on a new timeline."""
    at, process = node.directory, node.process
    assert process is not None
    fork = (at.timeline, len(at.wal))
    flag = at.file if process.flag == UNSET else process.flag
    node = node._replace(process=Process(True, process.shown, flag))
    return node.on_disk(timeline=at.timeline + 1, forks=(*at.forks, _fork(*fork)), was_primary=True)


def _fork(timeline: int, end: int) -> Fork:
    return Fork(timeline, Lsn(end))


def _as_primary(node: Node, process: Process, clients: Clients, limits: Limits) -> Iterator[Done]:
    if clients.made < limits.commits:
        yield _commit(node, process, clients)
    if process.flag != node.directory.file:
        yield _look(node, process, clients)
    for sender in process.senders:
        left = tuple(one for one in process.senders if one != sender)
        yield Done(f"{node.name}: loses the link to {sender.node}", node.running(senders=left), clients)
        if sender.names != node.directory.file:
            taken = process.with_sender(sender._replace(names=node.directory.file))
            text = f"{node.name}: the walsender of {sender.node} takes the names {shown(node.directory.file)}"
            yield Done(text, node._replace(process=taken), clients)
        yield from _releases(node, process, sender, clients, limits)


def _commit(node: Node, process: Process, clients: Clients) -> Done:
    number = clients.made
    at = node.directory
    end = len(at.wal) + 1
    node = node.on_disk(wal=(*at.wal, number))
    clients = Clients(number + 1, clients.acknowledged)
    if process.acknowledges_alone or end <= process.released:
        node = node.running(released=process.released if process.released > end else 0)
        text = f"{node.name}: commit {number} is acknowledged at once"
        return Done(text, node, clients._replace(acknowledged=clients.acknowledged | 1 << number))
    node = node.running(waiting=(*process.waiting, end))
    return Done(f"{node.name}: commit {number} waits", node, clients)


def _look(node: Node, process: Process, clients: Clients) -> Done:
    """The checkpointer takes the file; it wakes all who wait if nobody is to be waited for any more."""
    names = node.directory.file
    text = f"{node.name}: the checkpointer takes the names {shown(names)}"
    if names == () and process.flag not in ((), UNSET):
        acknowledged = clients.acknowledged | _bits(node.directory, process.waiting)
        return Done(text, node.running(flag=names, waiting=()), clients._replace(acknowledged=acknowledged))
    return Done(text, node.running(flag=names), clients)


def _bits(directory: Directory, positions: tuple[int, ...]) -> int:
    return sum(1 << directory.wal[position - 1] for position in positions)


def releasing(process: Process, sender: Walsender, wanted: int) -> Iterator[tuple[Walsender, ...]]:
    """The walsenders that, by one of them, must all have flushed a commit: the first ``wanted`` by their places.

    Each shows the place that it has by its own configuration. Among equals the place in shared memory decides.
    """
    candidates = sorted((one for one in process.senders if one.priority), key=lambda one: one.priority)
    if not sender.priority or len(candidates) < wanted:
        return
    last = candidates[wanted - 1].priority
    sure = tuple(one for one in candidates if one.priority < last)
    tied = tuple(one for one in candidates if one.priority == last)
    for some in combinations(tied, wanted - len(sure)):
        if sender in (*sure, *some):
            yield (*sure, *some)


def _releases(node: Node, process: Process, sender: Walsender, clients: Clients, limits: Limits) -> Iterator[Done]:
    """A reply arrives: the walsender releases what, by its own configuration, all have flushed."""
    for chosen in releasing(process, sender, 1 if limits.spares else len(sender.names or ())):
        yield from _released(node, process, sender.node, clients, min(one.flushed for one in chosen))


def _released(node: Node, process: Process, by: str, clients: Clients, end: int) -> Iterator[Done]:
    freed = tuple(position for position in process.waiting if position <= end)
    beyond = max(process.released, end if end > len(node.directory.wal) else 0)
    if not freed and beyond == process.released:
        return
    waiting = tuple(position for position in process.waiting if position > end)
    acknowledged = clients.acknowledged | _bits(node.directory, freed)
    commits = ", ".join(str(node.directory.wal[position - 1]) for position in freed) or f"all up to place {end}"
    text = f"{node.name}: the walsender of {by} releases {commits}"
    yield Done(text, node.running(waiting=waiting, released=beyond), clients._replace(acknowledged=acknowledged))


# --- two servers ------------------------------------------------------------------------------


def between(primary: Node, standby: Node, limits: Limits) -> Iterator[Linked]:
    """Everything that a primary and a standby may do together.

    Where a promotion may come from a hand, standbys are taken to know the address of promoted servers alone: one that
    receives a timeline that nobody confirmed cannot be told from one that receives the confirmed one of its number.
    """
    if limits.hand and primary.directory.completed.timeline < primary.directory.timeline:
        return
    if primary.process is None or standby.process is None or not primary.process.primary or standby.process.primary:
        return
    sender = primary.process.sender(standby.name)
    if sender is None or standby.process.upstream != primary.name:
        yield from _connects(primary, primary.process, standby)
    else:
        yield from _receives(primary, primary.process, standby, sender)


def _connects(primary: Node, process: Process, standby: Node) -> Iterator[Linked]:
    """Only numbers are compared: a standby of a higher timeline is refused, one that has diverged is not.

    It reports its replay position as flushed.
    """
    if standby.directory.timeline > primary.directory.timeline:
        return
    end = len(standby.directory.wal)
    process = process.with_sender(Walsender(standby.name, process.shown, end))
    yield Linked(
        f"{standby.name}: connects to {primary.name} and reports place {end} as flushed",
        primary._replace(process=process),
        standby.running(upstream=primary.name),
    )


def _receives(primary: Node, process: Process, standby: Node, sender: Walsender) -> Iterator[Linked]:
    source, target = primary.directory, standby.directory
    end = len(target.wal)
    left = len(source.wal) if source.timeline == target.timeline else source.history.end_of(target.timeline)
    if left is None or end > left:
        return
    if end < left:
        received = standby.on_disk(wal=(*target.wal, source.wal[end]))
        process = process.with_sender(sender._replace(flushed=end + 1, live=True))
        text = f"{standby.name}: receives commit {source.wal[end]} from {primary.name}"
        yield Linked(text, primary._replace(process=process), received)
    elif source.timeline != target.timeline:
        yield Linked(f"{standby.name}: follows {primary.name} to its next timeline", primary, _next(source, standby))
    elif not sender.live:
        process = process.with_sender(sender._replace(live=True))
        yield Linked(f"{standby.name}: reports to {primary.name}", primary._replace(process=process), standby)


def _next(source: Directory, standby: Node) -> Node:
    """A standby on the timeline that its primary's history goes to next."""
    known = [fork.timeline for fork in source.forks]
    place = known.index(standby.directory.timeline) + 1
    timeline = known[place] if place < len(known) else source.timeline
    return standby.on_disk(timeline=timeline, forks=source.forks[:place])
