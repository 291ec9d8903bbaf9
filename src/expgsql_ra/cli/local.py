# SPDX-License-Identifier: GPL-2.0-or-later
"""``expgsql local``: what a node does or tells of itself when a command on another node asks it. Not for people."""

from __future__ import annotations

import os

import click

from expgsql_ra.checkup import as_mapping
from expgsql_ra.cli.common import as_json, resource_option, timeout_option
from expgsql_ra.deployment import facts_as_mapping
from expgsql_ra.effects.checkup import checkup_here
from expgsql_ra.effects.deployed import deployed
from expgsql_ra.effects.inquiry import facts_here
from expgsql_ra.effects.installation import Installation
from expgsql_ra.effects.journal import JournalFile
from expgsql_ra.events import event_as_mapping


@click.group(hidden=True)
def local() -> None:
    """For commands on other nodes."""


@local.command()
@resource_option
@timeout_option
def facts(*, resource: str, timeout: float) -> None:
    """What this node's server is and has, as JSON."""
    seen = deployed(resource, os.uname().nodename, timeout)
    as_json(facts_as_mapping(facts_here(seen.resource, seen.parameters, seen.me, timeout)))


@local.command()
@resource_option
@timeout_option
def checkpoint(*, resource: str, timeout: float) -> None:
    """Have this node's server make a checkpoint, or a standby its restart point, so that a shutdown is short."""
    seen = deployed(resource, os.uname().nodename, timeout)
    Installation(seen.parameters, seen.me).ask("CHECKPOINT", timeout)


@local.command()
@click.option("--resource", required=True, metavar="NAME", help="The resource.")
def history(*, resource: str) -> None:
    """What this node has kept of what happened, as JSON; the cluster is not asked."""
    as_json([event_as_mapping(one) for one in JournalFile(resource).events()])


@local.command()
@resource_option
@timeout_option
def checkup(*, resource: str, timeout: float) -> None:
    """What this node says of its own health and of its ways to the others, as JSON."""
    as_json(as_mapping(checkup_here(deployed(resource, os.uname().nodename, timeout), timeout)))
