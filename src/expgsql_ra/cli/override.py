# SPDX-License-Identifier: GPL-2.0-or-later
"""``expgsql arbiter override``: let one node be promoted without the arbiter, which is gone for good."""

from __future__ import annotations

import json
import os
import syslog
from typing import NamedTuple

import click

from expgsql_ra.cli.common import dry_run_option, operator, resource_option
from expgsql_ra.cli.outcome import Failure, NotNow
from expgsql_ra.effects.authority import chosen_authority
from expgsql_ra.effects.clock import utc_now
from expgsql_ra.effects.cluster import LiveCluster
from expgsql_ra.effects.configured import configured
from expgsql_ra.effects.deployed import deployed
from expgsql_ra.effects.inspection import LiveInspection
from expgsql_ra.effects.installation import Installation
from expgsql_ra.effects.journal import event_of, record_event
from expgsql_ra.effects.keeping import LiveKeeping
from expgsql_ra.effects.override_file import OverrideFile
from expgsql_ra.events import Kind
from expgsql_ra.ocf import read_context
from expgsql_ra.override import Override
from expgsql_ra.parameters import Parameters
from expgsql_ra.record import NOTHING_SEEN, HighWater, Reading, Unreachable
from expgsql_ra.snapshot import Cluster, ClusterView, Primary, Server, Standby, Stopped
from expgsql_ra.values import Status, without


class Circumstances(NamedTuple):
    """What can be seen from this node before an override is given."""

    answer: Reading
    seen: HighWater
    server: Server
    view: Cluster
    others: tuple[tuple[str, str], ...]
    """Each place that a primary might be at, and why none was found there; empty if one was."""


def objection(now: Circumstances) -> str:
    """Why an override must not be given; empty if nothing speaks against it."""
    if not isinstance(now.answer, Unreachable):
        return "the arbiter answers: it decides (expgsql arbiter show)"
    if now.seen == NOTHING_SEEN:
        return "this node has never seen the record, so nobody can tell how old its data is: go to the one last in sync"
    writable = [place for place, why in now.others if not why]
    if writable:
        return f"a server takes writes at {', '.join(writable)}: nothing is to be promoted beside it"
    return _objection_here(now.server) or _objection_elsewhere(now.view)


def _objection_here(server: Server) -> str:
    match server:
        case Primary():
            return "this node's server takes writes already: there is nothing to override"
        case Standby() if server.streams:
            return "this node's server receives WAL: its primary lives, and there is nothing to override"
        case Standby() | Stopped():
            return ""
        case _:
            return f"this node's server is in no clear state ({type(server).__name__}): wait, or stop it"


def _objection_elsewhere(view: Cluster) -> str:
    if not isinstance(view, ClusterView):
        return f"the cluster does not answer: {getattr(view, 'why', 'this node is in none')}"
    if not view.may_decide:
        return "this partition of the cluster has no quorum: nothing would be promoted here"
    promoted = without(view.promoted, view.me)
    primary = [one.name for one in view.members if one.status == Status.PRIMARY and one.online]
    elsewhere = sorted({*promoted, *without(primary, view.me)})
    return f"the cluster has a primary on {', '.join(elsewhere)}: stop it first" if elsewhere else ""


@click.command()
@resource_option
@click.option("--reason", default="", metavar="TEXT", help="Why, for those who come later.")
@click.option("--yes", is_flag=True, help="Do not ask: for scripts that somebody has thought about.")
@click.option("--withdraw", is_flag=True, help="Take an override back that was not used yet.")
@click.option("--show", is_flag=True, help="Print all overrides that were ever given on this node, as JSON.")
@click.option("--timeout", type=click.FloatRange(1.0), default=10.0, show_default=True, help="Seconds for each look.")
@dry_run_option
def override(  # noqa: PLR0913 - an option each
    *, resource: str, reason: str, yes: bool, withdraw: bool, show: bool, timeout: float, dry_run: bool
) -> None:
    """Let THIS node be promoted once although the arbiter does not answer, because it is gone for good.

    Run it on the node that has the newest data. It is refused while the arbiter answers, while a primary can be seen
    anywhere, and on a node that does not know the record. The agent never does this by itself.
    """
    resource = resource or deployed("", os.uname().nodename, timeout).resource
    kept = OverrideFile(resource)
    if show:
        click.echo(json.dumps([one._asdict() for one in kept.history()]))
        return
    if withdraw:
        if dry_run:
            raise click.UsageError("--withdraw has no dry run: --show tells what there is to be withdrawn")
        _withdraw(kept, resource)
        return
    node = os.uname().nodename
    parameters = configured(resource, timeout)
    if not (parameters.enable_distlock and parameters.distlock_conninfo):
        raise NotNow(f"{resource} has no arbiter that keeps its record (distlock_conninfo): nothing to override")
    now = circumstances(parameters, resource, node, timeout)
    why = objection(now)
    if why:
        raise NotNow(why)
    given = _given(resource, Installation(parameters, node), now.seen, reason)
    click.echo(explained(given, now, parameters.distlock_lockname))
    if dry_run:
        click.echo("nothing was changed: this was a dry run")
        return
    if not yes and not click.confirm("Is the old primary off, and is this what you want?"):
        raise Failure("nothing was changed")
    _give(kept, resource, given)


def _withdraw(kept: OverrideFile, resource: str) -> None:
    taken_back = kept.withdraw()
    if taken_back is None:
        raise NotNow("there is no override that was not used yet")
    record_event(resource, event_of(Kind.OVERRIDE, taken_back.node, "withdrawn", 0, taken_back.node))
    _tell(f"the override for {taken_back.node} is withdrawn")


def _give(kept: OverrideFile, resource: str, given: Override) -> None:
    kept.give(given)
    record_event(resource, event_of(Kind.OVERRIDE, given.node, f"{given.by}: {given.reason}", 0, given.node))
    _tell(
        f"OVERRIDE: {given.by} lets {given.node} be promoted without the arbiter, as epoch {given.epoch + 1}: "
        f"{given.reason}"
    )


def circumstances(parameters: Parameters, resource: str, node: str, timeout: float) -> Circumstances:
    """Look at all that can be seen."""
    from expgsql_ra.effects.bystanders import why_not_writable  # noqa: PLC0415 - it imports the driver

    installation = Installation(parameters, node)
    context = read_context("override", {"OCF_RESOURCE_INSTANCE": resource})
    view = LiveCluster(parameters, context._replace(is_clone=True), node).view(timeout, roles=True)
    nodes = without(view.nodes, node) if isinstance(view, ClusterView) else ()
    places = (*nodes, *([parameters.master_ip] if parameters.master_ip else []))
    return Circumstances(
        answer=chosen_authority(parameters, resource, node).read(timeout),
        seen=LiveKeeping(resource, installation).highest(),
        server=LiveInspection(installation).server(timeout),
        view=view,
        others=tuple((place, why_not_writable(place, parameters, timeout / 3)) for place in places),
    )


def _given(resource: str, installation: Installation, seen: HighWater, reason: str) -> Override:
    return Override(
        system=LiveInspection(installation).control().system,
        epoch=seen.epoch,
        revision=seen.revision,
        node=installation.node,
        directory=LiveKeeping(resource, installation).kept().directory,
        by=operator(installation.node),
        time=utc_now(),
        reason=reason or "the arbiter is gone",
    )


def explained(given: Override, now: Circumstances, lockname: str) -> str:
    """What it means, before somebody agrees."""
    record = given.record
    why = now.answer.why if isinstance(now.answer, Unreachable) else ""
    me = now.view.myself if isinstance(now.view, ClusterView) else None
    seen_of_others = "".join(f"\n    {place}: {reason}" for place, reason in now.others)
    return f"""\
The arbiter does not answer: {why}
This lets {given.node} be promoted WITHOUT it, once, as epoch {record.epoch}. Think before you agree:
  - COMMITS MAY BE LOST. Whether {given.node} has every acknowledged commit, only the arbiter could tell. Its data was
    last known as {(me and me.data_status) or "nothing"}, and it knows epoch {given.epoch}, revision {given.revision}.
  - No primary was found elsewhere, as far as can be seen from here:{seen_of_others or " nobody was asked"}
    Make sure that the old primary is OFF, and rebuild or rewind it before it comes back.
  - The old arbiter must never answer again: give the new one another lock name than {lockname or "the old one"}.
  - {given.node} then serves alone: no standby is waited for, and no other node is promoted, until a new arbiter is
    configured whose record begins above all of this:
    expgsql arbiter init --conninfo ... --lockname ... --primary {given.node} --epoch {record.epoch} \\
      --revision {record.revision + 1}"""


def _tell(text: str) -> None:
    """Loudly: on the terminal and in the system's log."""
    click.echo(text)
    syslog.openlog("expgsql", 0, syslog.LOG_DAEMON)
    syslog.syslog(syslog.LOG_CRIT, text)
