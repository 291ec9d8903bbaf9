# SPDX-License-Identifier: GPL-2.0-or-later
"""The agent's real actions on servers in memory: short sequences, killed after every effect, with late writes.

The site checks its promises after each single effect (tests/fake_site.py). Here an adversary calls any action on any
node, in any order, lets servers die, time pass and writes arrive late; sites that are alike are looked at once.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import NamedTuple

from tests.fake_promises import lost, may_acknowledge, not_waited_for
from tests.fake_site import KILLED, LOCK, PromiseBroken, Site

from expgsql_ra.record import Kept
from expgsql_ra.rules.replication import named_among

CALLS = ("monitor", "start", "stop", "promote", "demote")
MORE_THAN_A_LEASE = 60.0


class Exposed(Site):
    """A site whose Pacemaker may call anything: a node may be recorded while the server of before it still runs."""

    def audit(self) -> None:
        """Raise if a promise is broken now."""
        broken = [found for promise in (wrongly_open, not_waited_for, lost) for found in promise(self)]
        if broken:
            raise PromiseBroken("; ".join(broken) + f" after {self.effects.done}")


def wrongly_open(site: Site) -> Iterator[str]:
    """Until such a server is stopped, the new primary itself must be among those that it waits for."""
    for one in site.servers.values():
        if one.process is None or site.record is None or site.is_recorded(one.name):
            continue
        waited_for = named_among(one.process.names, site.cluster.state.members)
        if may_acknowledge(site, one) and site.record.primary not in waited_for:
            yield f"{one.name} is not recorded and may acknowledge commits: {one.process}"


class Call(NamedTuple):
    """An action on a node; how many effects it has before it is killed, and which of its writes arrives late."""

    node: str
    action: str
    kill_after: int | None = None
    late: int | None = None
    then_killed: bool = False

    def __str__(self) -> str:
        killed = f", killed after effect {self.kill_after}" if self.kill_after else ""
        late = f", its write {self.late} arrives late" if self.late else ""
        return f"{self.action} on {self.node}{killed}{late}{' and it is killed then' if self.then_killed else ''}"


class Reached(NamedTuple):
    """A site, and how it was reached."""

    site: Site
    story: tuple[str, ...]


class Broken(Exception):
    """A promise that an action broke, with the story."""


def explored(first: Site, depth: int) -> Iterator[Reached]:
    """Every different site that sequences of so many steps lead to; `Broken` with the first story."""
    seen = {fingerprint(first)}
    edge = [Reached(first, ())]
    yield edge[0]
    for _ in range(depth):
        following = []
        for after in (after for reached in edge for after in steps(reached)):
            mark = fingerprint(after.site)
            if mark not in seen:
                seen.add(mark)
                following.append(after)
                yield after
        edge = following


def healed(reached: Reached) -> Site:
    """The same site once nothing fails any more; AssertionError if service does not return.

    What has diverged is made anew, as the agent asks for.
    """
    site = copy.deepcopy(reached.site)
    site.cut.clear()
    for client in site.clients.values():
        client.deliver()
    try:
        site.settle()
    except AssertionError:
        _remake(site)
        site.settle()
    return site


def _remake(site: Site) -> None:
    primary = next(one for one in site.servers.values() if site.is_recorded(one.name))
    for one in site.servers.values():
        if one is not primary and not one.directory.lies_on(primary.directory):
            one.crash()
            one.directory = copy.deepcopy(primary.directory)
            one.directory.kept = Kept(f"made anew for {one.name}", 0, 0)
            one.directory.standby, one.directory.begun = True, False
            one.directory.checkpointed()


def steps(reached: Reached) -> Iterator[Reached]:
    """Everything that may happen next."""
    yield from _world(reached)
    for node in reached.site.servers:
        for action in CALLS:
            yield from _calls(reached, Call(node, action))


def _calls(reached: Reached, call: Call) -> Iterator[Reached]:
    """One action: undisturbed, killed after each of its effects, and with each of its writes late."""
    whole, effects, writes = _called(reached, call)
    yield whole
    for number in range(1, effects):
        yield _called(reached, call._replace(kill_after=number))[0]
    for number in range(1, writes + 1):
        for killed in (False, True):
            yield _called(reached, call._replace(late=number, then_killed=killed))[0]


def _called(reached: Reached, call: Call) -> tuple[Reached, int, int]:
    """After a call: what was reached, and how many effects and writes it had."""
    site = copy.deepcopy(reached.site)
    client = site.clients[call.node]
    site.effects.done.clear()
    site.effects.kill_after, client.writes = call.kill_after, 0
    client.delay_write, client.then_killed = call.late, call.then_killed
    story = (*reached.story, str(call))
    try:
        ran = site.promote(call.node) if call.action == "promote" else site.run(call.node, call.action)
    except PromiseBroken as broken:
        raise Broken("\n".join([str(broken), *story])) from broken
    if call.action in {"demote", "stop"} and ran.code == 0:
        _unpromoted(site, call.node)
    counted = len(site.effects.done), client.writes
    site.effects.kill_after, client.delay_write, client.then_killed = None, None, False
    site.log.clear()
    return Reached(site, (*story[:-1], f"{story[-1]}: {_outcome(ran.code)}")), *counted


def _outcome(code: int) -> str:
    return "killed" if code == KILLED else f"code {code}"


def _unpromoted(site: Site, node: str) -> None:
    site.cluster.promoted = tuple(name for name in site.cluster.promoted if name != node)
    if site.address_at == node:
        site.address_at = None


# --- what is no action ------------------------------------------------------------------------


class Event(NamedTuple):
    """Something that happens to a node, or to all of them."""

    words: str
    may_happen: Callable[[Site, str], bool]
    happens: Callable[[Site, str], object]


def _commit(site: Site, name: str) -> None:
    """A commit with a number that nobody has had."""
    known = [number for one in site.servers.values() for number in one.directory.commits]
    site.commit(name, max([0, *known]) + 1)


def _forget(site: Site, name: str) -> None:
    del name
    site.cluster.promoted = ()


EVENTS = (
    Event(
        "the server of {} dies",
        lambda site, name: site.servers[name].process is not None,
        lambda site, name: site.servers[name].crash(),
    ),
    Event("a client commits on {}", lambda site, name: site.servers[name].accepts_writes, _commit),
    Event(
        "the late writes of {} arrive",
        lambda site, name: site.clients[name].is_owing,
        lambda site, name: site.clients[name].deliver(),
    ),
    Event(
        "{} has its link again",
        lambda site, name: name in site.cut,
        lambda site, name: site.cut.discard(name),
    ),
    Event(
        "{} loses its link",
        lambda site, name: name not in site.cut and name != site.address_at,
        lambda site, name: site.cut.add(name),
    ),
    Event("{} is not promoted any more, for the cluster", lambda site, name: name in site.cluster.promoted, _forget),
    Event(
        "the lease of {} runs out",
        lambda site, name: site.keeper.holders.get(LOCK, ("", 0.0))[0] == name,
        lambda site, name: site.clock.pause(MORE_THAN_A_LEASE),  # noqa: ARG005 - one signature for all
    ),
)


def _world(reached: Reached) -> Iterator[Reached]:
    for name in reached.site.servers:
        for event in EVENTS:
            if event.may_happen(reached.site, name):
                yield _happened(reached, event, name)


def _happened(reached: Reached, event: Event, name: str) -> Reached:
    site = copy.deepcopy(reached.site)
    story = (*reached.story, event.words.format(name))
    event.happens(site, name)
    site.replicate()
    try:
        site.audit()
    except PromiseBroken as broken:
        raise Broken("\n".join([str(broken), *story])) from broken
    return Reached(site, story)


# --- sites that are alike ---------------------------------------------------------------------


def fingerprint(site: Site) -> str:
    """What makes a difference, without the hour."""
    now = site.clock.now()
    parts: list[object] = [site.record, site.cluster.state, site.cluster.promoted, site.address_at, sorted(site.cut)]
    for name, server in site.servers.items():
        process = server.process and server.process._replace(begun_at=0.0 if server.is_ready else 1.0)
        memory = site.memories[name].kept
        memory = memory._replace(stop_at=round(memory.stop_at - now) if memory.stop_at else 0)
        parts += [sorted(vars(server.directory).items()), process, server.orphans, memory, site.keepings[name].seen]
        parts.append(site.clients[name].is_owing)
    return repr([*parts, sorted(site.acknowledged)])
