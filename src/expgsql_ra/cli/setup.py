# SPDX-License-Identifier: GPL-2.0-or-later
"""``expgsql setup``: from one file to a cluster; see docs/setup.md."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable

import click

from expgsql_ra.cli.common import (
    Command,
    as_json,
    dry_run_option,
    operator,
    resource_option,
    site,
    timeout_option,
    wait_option,
    yes_option,
)
from expgsql_ra.cli.outcome import Exit, Failure
from expgsql_ra.deployment import Deployment
from expgsql_ra.effects.arbiter import PostgresArbiter
from expgsql_ra.effects.authority import authority_of
from expgsql_ra.effects.deployed import NoClusterHere, deployed
from expgsql_ra.effects.setup_cluster import (
    ConfigurationFile,
    LiveConfiguration,
    has_crmsh,
    pcs_version,
    read_setup_file,
)
from expgsql_ra.effects.setup_server import LiveServer
from expgsql_ra.errors import BadArguments
from expgsql_ra.procedures import setup_cluster, setup_nodes, setup_server
from expgsql_ra.record import Prepared, Unreachable
from expgsql_ra.rules.setup_commands import Tool, crm_script, pcs_script
from expgsql_ra.rules.setup_example import example as example_file
from expgsql_ra.rules.setup_membership import corosync_conf, pcs_setup, pcs_update
from expgsql_ra.rules.setup_wanted import wanted
from expgsql_ra.setup_files import read_setup
from expgsql_ra.setup_model import SECRETS, InvalidSetup, Setup
from expgsql_ra.setup_site import Work
from expgsql_ra.values import same_node
from expgsql_ra.world import Archive

NO_TERM = 1
NEWEST_PCS = (0, 12)
LOOK_SECONDS = 10.0

file_argument = click.argument("file", type=click.Path())
no_arbiter_option = click.option(
    "--accept-no-arbiter", is_flag=True, help="Two nodes without an arbiter: a failover may lose data."
)
with_option = click.option(
    "--with",
    "tool",
    type=click.Choice([one.value for one in Tool]),
    default=None,
    help="How to spell it; by default what is installed.",
)
primary_option = click.option(
    "--primary", default="", metavar="NODE", help="Whom a new record on the arbiter names; by default the first node."
)


class InvalidFile(Failure):
    """The file is wrong."""

    code = Exit.BAD_ARGUMENTS


def file_options(command: Command) -> Command:
    """What all commands have that read the file."""
    return file_argument(no_arbiter_option(command))


@click.group()
def setup() -> None:
    """Configure a cluster and its servers from one file."""


@setup.command()
def example() -> None:
    """Print an expgsql.toml to begin with: every key with its default and what it means."""
    click.echo(example_file(), nl=False)


def read(file: str, accept_no_arbiter: bool) -> Setup:
    """Understand a file; `InvalidFile` with everything that is wrong in it."""
    text, open_to_others = read_setup_file(file)
    try:
        found = read_setup(text, is_toml=file.endswith(".toml"), accept_no_arbiter=accept_no_arbiter)
    except InvalidSetup as problem:
        listed = "".join(f"\n  {one}" for one in problem.errors)
        raise InvalidFile(f"{file} cannot be used:{listed}") from None
    for remark in found.remarks:
        click.echo(f"note: {remark}", err=True)
    if open_to_others and any(getattr(getattr(found, table), key) for table, key in SECRETS):
        click.secho(f"Warning: {file} has a password and others may read it: chmod 600 {file}", err=True, fg="yellow")
    return found


@setup.command()
@file_options
@with_option
@click.option("--cib", default="", metavar="XML", help="Compare with a CIB in a file, in place of the cluster's.")
@click.option("--json", "in_json", is_flag=True, help="For programs.")
def plan(*, file: str, accept_no_arbiter: bool, tool: str | None, cib: str, in_json: bool) -> None:
    """Show what apply would change, and the commands for the same."""
    given = read(file, accept_no_arbiter)
    made = setup_cluster.plan(given, ConfigurationFile(cib) if cib else LiveConfiguration())
    if in_json:
        changes = [{"sign": one.sign, "text": one.text} for one in made.outcome.changes]
        left = list(made.outcome.left_alone)
        as_json({"changes": changes, "obstacles": list(made.obstacles), "left_alone": left})
        return
    setup_cluster.print_plan(made, lambda: spelled(given, tool), site("", LOOK_SECONDS).console)


def spelled(given: Setup, tool: str | None) -> str:
    """The configuration in a tool's words; for cibadmin there are none: the differences are its patch."""
    version = pcs_version()
    chosen = tool or (Tool.PCS if version else Tool.CRMSH if has_crmsh() else Tool.CIBADMIN)
    if chosen == Tool.PCS:
        return pcs_script(wanted(given), version or NEWEST_PCS)
    return crm_script(wanted(given)) if chosen == Tool.CRMSH else ""


@setup.command()
@file_options
@primary_option
@dry_run_option
@yes_option
def apply(*, file: str, accept_no_arbiter: bool, primary: str, dry_run: bool, yes: bool) -> None:
    """Configure the cluster as the file says: the difference, as one transaction."""
    given = read(file, accept_no_arbiter)
    cluster = LiveConfiguration()
    made = setup_cluster.plan(given, cluster)
    console = site("", LOOK_SECONDS, yes=yes, dry_run=dry_run).console
    setup_cluster.print_plan(made, str, console)
    if dry_run:
        return
    if made.outcome.changes and not made.obstacles:
        console.confirm("Apply this?")
    setup_cluster.apply(given, made, cluster, _arbiter(given, primary), console)


def _arbiter(given: Setup, primary: str) -> setup_cluster.Arbiter | None:
    named = given.arbiter
    if not named.conninfo:
        return None
    if primary and not any(same_node(primary, node) for node in given.nodes):
        raise BadArguments(f"--primary {primary}: is none of {', '.join(given.nodes)}")
    who = operator(os.uname().nodename)
    as_node = authority_of(named.conninfo, named.lockname, NO_TERM, given.replication.passfile)
    owner = (named.conninfo, given.replication.passfile)
    if named.owner_conninfo:
        owner = (named.owner_conninfo, named.owner_passfile)
    as_owner = authority_of(owner[0], named.lockname, NO_TERM, owner[1])
    return setup_cluster.Arbiter(as_node, as_owner, _admission(given, as_owner), primary or given.nodes[0], who)


def _admission(given: Setup, owner: Archive) -> Callable[[float], Prepared | Unreachable]:
    """What gives the nodes' role its rights; nothing is to be given where the nodes own the record themselves."""
    named = given.arbiter
    if not named.owner_conninfo or not isinstance(owner, PostgresArbiter):
        return lambda _: Prepared(())
    from expgsql_ra.effects.libpq import user_of  # noqa: PLC0415 - it imports the driver

    role = user_of(named.conninfo)
    if not role:
        raise BadArguments("[arbiter] conninfo names no user for the nodes: add user=ROLE")
    return lambda within: owner.admit(role, within)


@setup.command()
@file_options
@dry_run_option
@yes_option
def postgres(*, file: str, accept_no_arbiter: bool, dry_run: bool, yes: bool) -> None:
    """Set up this node's server: settings, pg_hba.conf, roles, password file."""
    given = read(file, accept_no_arbiter)
    setup_server.prepare_primary(given, _work(given, dry_run=dry_run, yes=yes))


@setup.command()
@file_options
@click.option("--from", "source", default="", metavar="NODE", help="Whose data to copy; by default the first node's.")
@wait_option(6 * 3600.0)
@dry_run_option
@yes_option
def standby(*, file: str, accept_no_arbiter: bool, source: str, wait: float, dry_run: bool, yes: bool) -> None:
    """Make this node's data directory a copy of the first node's."""
    given = read(file, accept_no_arbiter)
    setup_server.make_standby(given, _work(given, dry_run=dry_run, yes=yes), source or given.nodes[0], wait)


def _work(given: Setup, *, dry_run: bool, yes: bool) -> Work:
    me = os.uname().nodename
    node = next((one for one in given.nodes if same_node(one, me)), "")
    if not node:
        raise BadArguments(f"this is {me}, which is none of {', '.join(given.nodes)}: correct [cluster] nodes")
    at = site("", LOOK_SECONDS, dry_run=dry_run, yes=yes)
    return Work(LiveServer(given), at.hosts, at.console, node, _managed(given, me), dry_run)


def _managed(given: Setup, me: str) -> bool:
    """Whether Pacemaker has a database here: it then is the one who starts and stops it."""
    try:
        seen: Deployment = deployed(given.names.resource, me, LOOK_SECONDS)
    except (NoClusterHere, BadArguments):
        return False
    nodes = seen.parameters.node_list or seen.view.nodes
    return any(same_node(one, me) for one in nodes)


@setup.command()
@file_options
@click.option("--with", "tool", type=click.Choice(["corosync", "pcs"]), default="corosync", help="What to print.")
def corosync(*, file: str, accept_no_arbiter: bool, tool: str) -> None:
    """Print corosync.conf, or the commands with which pcs makes it (and changes the timing of one that is there)."""
    given = read(file, accept_no_arbiter)
    if tool == "pcs":
        click.echo(f"{shlex.join(pcs_setup(given))}\n# of a cluster that is there, the timing alone:")
        click.echo(f"# {shlex.join(pcs_update(given))}")
    else:
        click.echo(corosync_conf(given), nl=False)


def node_options(command: Callable[..., None]) -> Callable[..., None]:
    """What both commands have."""
    for option in (resource_option, timeout_option, dry_run_option, yes_option, click.argument("node")):
        command = option(command)
    return command


@setup.command("add-node")
@node_options
@click.option("--address", default="", help="Its address for Corosync, where its name does not resolve to it.")
def add_node(*, node: str, address: str, resource: str, timeout: float, dry_run: bool, yes: bool) -> None:
    """Take a node into the running cluster, after expgsql setup standby on it."""
    at = site(resource, timeout, dry_run=dry_run, yes=yes)
    setup_nodes.add_node(at, node, setup_nodes.Members(bool(pcs_version()), address))


@setup.command("remove-node")
@node_options
@click.option("--keep-member", is_flag=True, help="Take the database from it, and leave it in the cluster.")
def remove_node(*, node: str, keep_member: bool, resource: str, timeout: float, dry_run: bool, yes: bool) -> None:
    """Take a node out of the running cluster, alive or dead."""
    at = site(resource, timeout, dry_run=dry_run, yes=yes)
    setup_nodes.remove_node(at, node, setup_nodes.Members(bool(pcs_version()), keep=keep_member))
