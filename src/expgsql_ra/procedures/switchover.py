# SPDX-License-Identifier: GPL-2.0-or-later
"""Moving the primary on purpose.

The move is asked of Pacemaker by a constraint that ends by itself, so that a command which is killed at any moment
leaves nothing that lasts. Whether the target may be promoted, the agent decides there and then: by the record, and by
the end of the old primary's WAL (`actions.promote`). What is seen here only saves a switchover that would not succeed.
"""

from __future__ import annotations

from expgsql_ra.deployment import Deployment, move_of
from expgsql_ra.errors import AgentError, DeadlineExceeded, Refused
from expgsql_ra.events import Kind
from expgsql_ra.procedures import common
from expgsql_ra.rules import switching
from expgsql_ra.rules.switching import Already, Ended, Handover, Refusal
from expgsql_ra.site import Site

LINGER = 30.0
"""Seconds for which the constraint outlasts a command that was killed."""
CHECKPOINT_SECONDS = 300.0
RETURN_SECONDS = 60.0


def switch_over(site: Site, target: str, within: float) -> str:
    """Move the primary to ``target``, or to the best standby where it is empty; the node that is primary then.

    `Refused` and `Inconsistent` if nothing was begun, `DeadlineExceeded` if it was tried in vain.
    """
    seen = site.read.deployment()
    if not site.dry_run:
        common.lift_own_constraints(site, seen)
    found = _planned(site, seen, target)
    if isinstance(found, Already):
        site.console.say(f"{found.node} is the primary already")
        return found.node
    site.console.say(f"the primary moves from {found.old} to {found.target}")
    hand_over(site, found, within)
    return found.target


def hand_over(site: Site, handover: Handover, within: float) -> None:
    """Do it, see that the old primary comes back as a standby, and leave nothing behind."""
    _shorten(site, handover)
    before = site.read.deployment()
    if not site.dry_run:
        again = _planned(site, before, handover.target)  # the checkpoint may have taken its time
        if isinstance(again, Already):
            return
    try:
        away = handover.old if before.stuck else ""
        site.manager.move(before.subject, handover.target, within + LINGER, away)
        ended = None if site.dry_run else _await(site, before, handover, within)
    finally:
        _lift(site, before)
    if site.dry_run:
        return
    if ended is None or ended.objection:
        _settle(site, before, handover, ended)
    reason = f"switchover from {handover.old}"
    site.journal.record(before.resource, Kind.SWITCHOVER, handover.target, reason)
    site.console.say(f"{handover.target} is the primary")
    _await_return(site, handover)


def _planned(site: Site, seen: Deployment, target: str) -> Handover | Already:
    found = switching.plan(seen, site.read.facts(common.online(seen)), target)
    if isinstance(found, Refusal):
        raise common.refuse(found)
    return found


def _shorten(site: Site, handover: Handover) -> None:
    """Checkpoint both servers now: what is written then need not be written while nobody serves."""
    nodes = (handover.old, handover.target)
    words = site.hosts.ours("local", "checkpoint", "--timeout", f"{CHECKPOINT_SECONDS:.0f}")
    if site.dry_run:
        site.console.say(f"would checkpoint {' and '.join(nodes)}")
        return
    site.console.say(f"checkpointing {' and '.join(nodes)}, so that the shutdown is short")
    answers = site.hosts.everywhere(nodes, words, CHECKPOINT_SECONDS)
    failed = [(node, why) for node, why in zip(nodes, answers, strict=True) if why]
    if failed:
        told = "; ".join(f"{node}: {why}" for node, why in failed)
        raise Refused(f"no checkpoint beforehand, so the shutdown may take long; nothing was changed ({told})")


def _await(site: Site, before: Deployment, handover: Handover, within: float) -> Ended | None:
    def look() -> Ended | None:
        seen = common.look(site)
        return switching.outcome(before, seen, handover.target) if seen else None

    return site.console.wait(f"{handover.target} to be the primary", look, within)


def _lift(site: Site, before: Deployment) -> None:
    """Whatever happened. What cannot be lifted now ends by itself, and the next call lifts it."""
    constraint = move_of(before.subject)
    try:
        site.manager.lift(constraint)
    except AgentError as problem:
        site.console.warn(f"the constraint {constraint} could not be lifted and ends by itself: {problem}")


def _settle(site: Site, before: Deployment, handover: Handover, ended: Ended | None) -> None:
    """Without the constraint Pacemaker promotes whoever may be promoted, usually the old primary.

    `DeadlineExceeded` unless that is the target after all.
    """
    why = ended.objection if ended else "it was not promoted in time"
    told = f"{handover.target} did not become the primary: {why}"

    def somebody() -> str | None:
        seen = common.look(site)
        return seen.promoted or None if seen else None

    now = site.console.wait("a primary", somebody, RETURN_SECONDS)
    if not now:
        raise DeadlineExceeded(f"{told}; NO PRIMARY after {RETURN_SECONDS:.0f} s: expgsql why")
    if now == handover.target:
        return
    if ended:
        _forget(site, before.subject, handover.target)
    back = " again" if now == handover.old else ""
    raise DeadlineExceeded(f"{told}; {now} is the primary{back}. Look with: expgsql why {handover.target}")


def _forget(site: Site, resource: str, node: str) -> None:
    """The failed promotion was this command's, and has been told."""
    try:
        site.manager.cleanup(resource, node)
    except AgentError as problem:
        site.console.warn(f"the failure is still on record (expgsql cleanup {node}): {problem}")


def _await_return(site: Site, handover: Handover) -> None:
    def streams() -> bool | None:
        facts = site.read.facts((handover.old, handover.target))
        return any(one.server == "standby" and one.receiver == "streaming" for one in facts[:1]) or None

    if not site.console.wait(f"{handover.old} to stream as a standby", streams, RETURN_SECONDS):
        raise DeadlineExceeded(
            f"{handover.target} is the primary, but {handover.old} does not stream from it yet: "
            f"expgsql why {handover.old}"
        )
    site.console.say(f"{handover.old} is a standby and streams")
