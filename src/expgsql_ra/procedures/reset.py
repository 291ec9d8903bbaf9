# SPDX-License-Identifier: GPL-2.0-or-later
"""Naming a primary by hand where nobody may be promoted: the last resort.

The order of the writes makes an interrupted call harmless: first nobody else may succeed, then the named node is
recorded, and only then the old record goes, without which the named node makes a new one by the rules. Until then
nobody is promoted, as before; the next call goes on.
"""

from __future__ import annotations

from expgsql_ra.deployment import Deployment, NodeFacts
from expgsql_ra.errors import DeadlineExceeded, Refused
from expgsql_ra.events import Kind
from expgsql_ra.procedures import common
from expgsql_ra.rules import resetting
from expgsql_ra.rules.resetting import Naming, Outside
from expgsql_ra.rules.switching import Already, Refusal
from expgsql_ra.site import Site
from expgsql_ra.values import DataStatus, same_node


def name_primary(site: Site, primary: str, without: tuple[str, ...], within: float) -> str:
    """Name ``primary``, or whoever has most, and wait until it serves; the node."""
    seen = site.read.deployment()
    found, facts = _weighed(site, seen, primary, without)
    if isinstance(found, Already):
        site.console.say(f"{found.node} is the primary already")
        if not site.dry_run:
            _await(site, found.node, within)
        return found.node
    _explain(site, facts, found, without)
    instead = resetting.with_arbiter(seen, found.node)
    if instead:
        raise Refused(instead)
    site.console.confirm(
        f"Make {found.node} the primary? What it lacks is lost, and nobody knows whether commits are among it."
    )
    common.lift_own_constraints(site, seen)
    _rewrite(site, seen, found)
    if not site.dry_run:
        site.journal.record(seen.resource, Kind.RESET, found.node, "named by hand", found.info.timeline)
        _await(site, found.node, within)
    return found.node


def _weighed(
    site: Site, seen: Deployment, primary: str, without: tuple[str, ...]
) -> tuple[Naming | Already, tuple[NodeFacts, ...]]:
    members = tuple(member.name for member in seen.view.members)
    address = seen.parameters.master_ip
    places = (address,) if address else ()
    writable = site.read.writable(seen.parameters, (*members, *places))
    answering = site.read.answering(seen.parameters, (*without, *places))
    # asked last: who was found to accept writes says so himself by now, also one that is just being promoted
    facts = site.read.facts(members)
    found = resetting.named(seen, facts, primary, without, Outside(writable, answering))
    if isinstance(found, Refusal):
        raise common.refuse(found)
    return found, facts


def _explain(site: Site, facts: tuple[NodeFacts, ...], found: Naming, without: tuple[str, ...]) -> None:
    for line in resetting.compared(facts):
        site.console.say(line)
    site.console.say(f"{found.node} is to be the primary, on a new timeline")
    for one in found.lost:
        site.console.warn(f"lost: {one}")
    for name in without:
        site.console.warn(f"lost: whatever only {name} has. It must stay off until it is repaired or rebuilt")


def _rewrite(site: Site, seen: Deployment, found: Naming) -> None:
    manager, resource = site.manager, seen.resource
    for member in seen.view.members:
        if not same_node(member.name, found.node):
            manager.set_attribute(member.name, f"{resource}-data-status", DataStatus.DISCONNECT, True)
    manager.set_attribute(found.node, f"{resource}-data-status", DataStatus.LATEST, True)
    manager.set_property(f"{resource}_REPL_INFO", str(found.info))
    manager.set_property(f"{resource}_RECORD", "")
    manager.cleanup(seen.subject)


def _await(site: Site, node: str, within: float) -> None:
    def serves() -> str | None:
        seen = common.look(site)
        return seen.promoted or None if seen else None

    now = site.console.wait(f"{node} to be the primary", serves, within)
    if not now:
        raise DeadlineExceeded(f"{node} is named, but not yet the primary after {within:.0f} s: expgsql why {node}")
    site.console.say(f"{now} is the primary")
