# SPDX-License-Identifier: GPL-2.0-or-later
"""The cluster's configuration from a set-up: what it would change, and changing it."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import NamedTuple
from xml.etree import ElementTree

from expgsql_ra.errors import CannotTell, Refused
from expgsql_ra.record import (
    Accepted,
    Found,
    LeaseHeld,
    Missing,
    Outdated,
    Prepared,
    Successor,
    Unreachable,
    Writing,
    first_record,
)
from expgsql_ra.rules.setup_cib import Merged, merged
from expgsql_ra.rules.setup_wanted import needs_fencing, objections, wanted
from expgsql_ra.setup_model import Setup
from expgsql_ra.setup_site import ClusterConfiguration
from expgsql_ra.site import Console
from expgsql_ra.world import Archive

ARBITER_SECONDS = 10.0


class Plan(NamedTuple):
    """What a set-up makes of the configuration that is there."""

    before: str
    after: str
    outcome: Merged
    obstacles: tuple[str, ...]
    """Why it is not to be applied."""


class Arbiter(NamedTuple):
    """The record of a set-up, as the nodes reach it and as the one who may create it does."""

    as_node: Archive
    as_owner: Archive
    admit: Callable[[float], Prepared | Unreachable]
    """Gives the nodes' role its rights on what the owner has made."""
    primary: str
    """Whom a new record names."""
    writer: str


def plan(setup: Setup, cluster: ClusterConfiguration) -> Plan:
    """Compare; nothing is changed. ``before`` is the CIB that was looked at."""
    before = cluster.text()
    try:
        cib = ElementTree.fromstring(before)  # noqa: S314 - our own cluster's document
    except ElementTree.ParseError as problem:
        raise CannotTell(f"the cluster's configuration is no XML document: {problem}") from None
    want = wanted(setup)
    outcome = merged(deepcopy(cib), want, setup.names.resource)
    obstacles = [*objections(setup), *outcome.obstacles]
    if needs_fencing(setup) and not _has_fence_device(cib):
        obstacles.append(
            "no fence device is configured: make one (pcs stonith create ..., crm configure primitive ...), "
            'or accept a cluster without: [cluster] fencing = "none"'
        )
    missing = [agent for agent in want.agents if not cluster.has_agent(agent)]
    obstacles += [f'{agent} is not installed on this node: see README.md, "Install"' for agent in missing]
    return Plan(before, ElementTree.tostring(outcome.document, encoding="unicode"), outcome, tuple(obstacles))


def _has_fence_device(cib: ElementTree.Element) -> bool:
    return any(one.get("class") == "stonith" for one in cib.iter("primitive"))


def apply(setup: Setup, made: Plan, cluster: ClusterConfiguration, arbiter: Arbiter | None, console: Console) -> None:
    """Make the record if there is none, then push the difference as one transaction."""
    if made.obstacles:
        raise Refused("; ".join(made.obstacles))
    complaints = _new_complaints(made, cluster) if made.outcome.changes else ""
    if complaints:
        raise Refused(f"Pacemaker would not take this configuration ({complaints}); nothing was changed")
    if arbiter is not None:
        prepare_record(setup, arbiter, console)
    if not made.outcome.changes:
        console.say("the cluster is configured as the file says: nothing to do")
        return
    cluster.push(made.before, made.after)
    console.say(f"applied {len(made.outcome.changes)} differences as one transaction")


def _new_complaints(made: Plan, cluster: ClusterConfiguration) -> str:
    """What the set-up adds; a fresh cluster has complaints of its own (no fencing), which do not matter here."""
    after = cluster.complaints(made.after)
    known = cluster.complaints(made.before).splitlines() if after else []
    return "; ".join(line.strip() for line in after.splitlines() if line not in known)


def prepare_record(setup: Setup, arbiter: Arbiter, console: Console) -> None:
    """A record that is there stays as it is, and then nothing else is asked for."""
    match arbiter.as_node.read(ARBITER_SECONDS):
        case Found(record):
            console.say(
                f"arbiter: the record {setup.arbiter.lockname} names {record.primary} as primary; left as it is"
            )
            return
        case _:
            pass
    answer = arbiter.as_owner.prepare(ARBITER_SECONDS)
    if isinstance(answer, Unreachable):
        raise Refused(f"{answer.why}; nothing was changed (docs/arbiter.md has the roles and rights)")
    for remark in answer.remarks:
        console.warn(f"arbiter: {remark}")
    admitted = arbiter.admit(ARBITER_SECONDS)
    if isinstance(admitted, Unreachable):
        raise Refused(f"{admitted.why}; no record was made (docs/arbiter.md has the roles and rights)")
    reason = "created by a command"
    new = first_record("", Successor(arbiter.primary, ""), (1, 1), arbiter.writer, reason)
    console.say(f"arbiter: {_created(arbiter.as_owner.create(new, ARBITER_SECONDS), setup.arbiter.lockname)}")
    match arbiter.as_node.read(ARBITER_SECONDS):
        case Found():
            pass
        case Missing(why) | Unreachable(why):
            raise Refused(f"the nodes cannot use the record: {why}; the cluster was not configured")


def _created(answer: Writing, name: str) -> str:
    match answer:
        case Accepted(record):
            return f"the record {name} is made, with {record.primary} as primary"
        case Outdated(record):
            return f"the record {name} was there, with {record.primary} as primary"
        case LeaseHeld(by, seconds_left):
            raise Refused(f"{by} holds the lock for another {seconds_left:.0f} s: name it with --primary, or wait")
        case Missing(why):
            raise Refused(why)
        case Unreachable(why):
            raise Refused(f"{why}; whether the record was created is not known: call the command again")


def print_plan(made: Plan, script: Callable[[], str], console: Console) -> None:
    """For people: the differences, what is in the way, and the commands for the same."""
    if not made.outcome.changes and not made.obstacles:
        console.say("the cluster is configured as the file says: no difference")
    for change in made.outcome.changes:
        console.say(str(change))
    for name in made.outcome.left_alone:
        console.say(f"  {name} is not from this file: left as it is")
    for obstacle in made.obstacles:
        console.warn(obstacle)
    text = script()
    if text:
        console.say(f"\n# the whole configuration, for doing it by hand:\n{text.rstrip()}")
