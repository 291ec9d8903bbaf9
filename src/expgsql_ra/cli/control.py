# SPDX-License-Identifier: GPL-2.0-or-later
"""The commands that change the running cluster: switchover, start, stop, standby, maintenance and the like."""

from __future__ import annotations

import click

from expgsql_ra.cli.common import dry_run_option, resource_option, site, timeout_option, wait_option, yes_option
from expgsql_ra.effects.membership import configured_nodes
from expgsql_ra.procedures import nodes, power, reset
from expgsql_ra.procedures.switchover import switch_over

SWITCHOVER_SECONDS = 60.0
POWER_SECONDS = 120.0
ROLE_SECONDS = 60.0
WITHOUT_HELP = "NODE is off and stays off until it is repaired; what only it has is given up. Once for each."


@click.command()
@click.argument("node", default="")
@resource_option
@timeout_option
@wait_option(SWITCHOVER_SECONDS)
@dry_run_option
def switchover(*, node: str, resource: str, timeout: float, wait: float, dry_run: bool) -> None:
    """Move the primary to NODE, or to the best synchronous standby.

    Looks first whether that would succeed, makes a checkpoint, and moves. The old primary comes back as a standby by
    itself. If the standby cannot be promoted in time, the old primary serves again, and the exit code is 11.
    """
    switch_over(site(resource, timeout, dry_run=dry_run), node, wait)


@click.command()
@timeout_option
@resource_option
@wait_option(POWER_SECONDS)
@dry_run_option
def start(*, resource: str, timeout: float, wait: float, dry_run: bool) -> None:
    """Start the cluster on all nodes, and wait until it serves."""
    power.start(site(resource, timeout, dry_run=dry_run), configured_nodes(), wait)


@click.command()
@resource_option
@timeout_option
@wait_option(POWER_SECONDS)
@dry_run_option
@yes_option
def stop(*, resource: str, timeout: float, wait: float, dry_run: bool, yes: bool) -> None:
    """Stop the cluster on all nodes, in order: nobody is promoted on the way, and nothing counts as a failure."""
    place = site(resource, timeout, dry_run=dry_run, yes=yes)
    everywhere = configured_nodes()
    place.console.confirm(f"Stop the database and the cluster software on {', '.join(everywhere)}?")
    power.stop(place, everywhere, wait)


@click.group()
def standby() -> None:
    """Let a node run nothing for a while, or take part again."""


@standby.command("on")
@click.argument("node")
@resource_option
@timeout_option
@wait_option(ROLE_SECONDS)
@dry_run_option
@yes_option
def standby_on(*, node: str, resource: str, timeout: float, wait: float, dry_run: bool, yes: bool) -> None:
    """Move everything off NODE; a primary hands over first."""
    nodes.standby_on(site(resource, timeout, dry_run=dry_run, yes=yes), node, wait)


@standby.command("off")
@click.argument("node")
@resource_option
@timeout_option
@wait_option(ROLE_SECONDS)
@dry_run_option
def standby_off(*, node: str, resource: str, timeout: float, wait: float, dry_run: bool) -> None:
    """Let NODE take part again."""
    nodes.standby_off(site(resource, timeout, dry_run=dry_run), node, wait)


@click.group()
def maintenance() -> None:
    """Have Pacemaker leave the servers alone, or manage them again."""


@maintenance.command("on")
@click.argument("node", default="")
@resource_option
@timeout_option
@dry_run_option
def maintenance_on(*, node: str, resource: str, timeout: float, dry_run: bool) -> None:
    """Leave the servers of NODE, or of all nodes, as they are: nothing is watched, stopped or started."""
    nodes.maintenance_on(site(resource, timeout, dry_run=dry_run), node)


@maintenance.command("off")
@click.argument("node", default="")
@resource_option
@timeout_option
@wait_option(ROLE_SECONDS)
@dry_run_option
def maintenance_off(*, node: str, resource: str, timeout: float, wait: float, dry_run: bool) -> None:
    """Manage NODE, or all nodes, again."""
    nodes.maintenance_off(site(resource, timeout, dry_run=dry_run), node, wait)


@click.command()
@click.argument("node", default="")
@resource_option
@timeout_option
@dry_run_option
def cleanup(*, node: str, resource: str, timeout: float, dry_run: bool) -> None:
    """Forget failures on NODE, or on all nodes, and what an interrupted command has left behind."""
    nodes.cleanup(site(resource, timeout, dry_run=dry_run), node)


@click.command("reset-master")
@click.option("--primary", default="", metavar="NODE", help="The node to be named; whoever has most if not given.")
@click.option("--without", multiple=True, metavar="NODE", help=WITHOUT_HELP)
@resource_option
@timeout_option
@wait_option(POWER_SECONDS)
@dry_run_option
@yes_option
def reset_master(  # noqa: PLR0913 - an option each
    *,
    primary: str,
    without: tuple[str, ...],
    resource: str,
    timeout: float,
    wait: float,
    dry_run: bool,
    yes: bool,
) -> None:
    """Name a primary by hand, where the rules let nobody be promoted: COMMITS MAY BE LOST.

    Refused while a primary answers anywhere, and while a node does not tell what it has. Says what would be lost,
    and asks.
    """
    reset.name_primary(site(resource, timeout, dry_run=dry_run, yes=yes), primary, without, wait)
