# SPDX-License-Identifier: GPL-2.0-or-later
"""``expgsql repair`` and ``expgsql rebuild``: a node whose data is of no use as it is becomes a standby again."""

from __future__ import annotations

import os
import sys
import syslog
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import click

from expgsql_ra.cli.common import (
    Terminal,
    dry_run_option,
    resource_option,
    site,
    timeout_option,
    wait_option,
    yes_option,
)
from expgsql_ra.cli.outcome import Exit, Failure
from expgsql_ra.deployment import Deployment
from expgsql_ra.effects import lock
from expgsql_ra.effects.clock import MonotonicClock
from expgsql_ra.effects.folder import DataFolder
from expgsql_ra.effects.hosts import SSH_FAILED, program, ssh
from expgsql_ra.effects.installation import Installation
from expgsql_ra.effects.live import live_world
from expgsql_ra.effects.mending import LiveTools
from expgsql_ra.effects.process import follow
from expgsql_ra.effects.rejoining import BackgroundRepair
from expgsql_ra.errors import AgentError
from expgsql_ra.ocf import read_context
from expgsql_ra.procedures import repair as procedure
from expgsql_ra.procedures.repair_job import Orders
from expgsql_ra.rules.repairing import Way
from expgsql_ra.site import Site
from expgsql_ra.values import same_node
from expgsql_ra.workshop import Workshop
from expgsql_ra.world import Deadline

LOCK_SECONDS = 30.0
LOOK_SECONDS = 60.0
EVERY_SECONDS = 5.0
"""How often progress is told where there is no terminal to draw it on."""

node_argument = click.argument("node", default="", metavar="[NODE]")
keep_old_option = click.option(
    "--keep-old", is_flag=True, help="Keep the old directory (PGDATA.old-...) also when the new one streams."
)
background_option = click.option("--background", is_flag=True, hidden=True)
"""For a start that began it (``rejoin``): nobody is asked, and what comes of it is left for the start and the log."""
limit_option = click.option(
    "--limit",
    type=click.FloatRange(1.0),
    default=86400.0,
    show_default=True,
    help="Seconds that pg_rewind or pg_basebackup may take.",
)


@click.command()
@node_argument
@resource_option
@timeout_option
@wait_option(120.0)
@limit_option
@click.option("--or-rebuild", is_flag=True, help="Make the data anew by a base backup where pg_rewind does not help.")
@keep_old_option
@dry_run_option
@yes_option
@background_option
def repair(*, node: str, or_rebuild: bool, **options: str | float | bool) -> int:
    """Make NODE (this one, if none is named) a standby again whose data has diverged from the primary's.

    pg_rewind takes back what the primary does not have; it is told beforehand. Configuration files stay. Interrupted
    at any moment, the same command goes on, or says that only a new copy helps.
    """
    return _repaired(Way.REWIND_OR_REBUILD if or_rebuild else Way.REWIND, node, options)


@click.command()
@node_argument
@resource_option
@timeout_option
@wait_option(120.0)
@limit_option
@keep_old_option
@dry_run_option
@yes_option
@background_option
def rebuild(*, node: str, **options: str | float | bool) -> int:
    """Make the data of NODE (this one, if none is named) anew, by a base backup of the primary.

    The copy is made beside the old directory and takes its place when it is complete; the old one goes when the new
    one streams. Configuration files stay. Interrupted at any moment, the same command goes on.
    """
    return _repaired(Way.REBUILD, node, options)


def _repaired(way: Way, node: str, options: dict[str, str | float | bool]) -> int:
    me = os.uname().nodename
    if node and not same_node(node, me):
        return _elsewhere(way, node, options)
    resource, timeout, dry_run = str(options["resource"]), float(options["timeout"]), bool(options["dry_run"])
    background = bool(options["background"])
    work = site(resource, timeout, dry_run=dry_run, yes=background or bool(options["yes"]))
    orders = Orders(way, bool(options["keep_old"]), float(options["wait"]), float(options["limit"]), background)
    with _told_afterwards(resource) if background else nullcontext():
        seen = work.read.deployment()
        with _alone(seen, work), _progress() as told:
            procedure.repair(work, _workshop(seen, told), orders)
    return Exit.DONE


@contextmanager
def _told_afterwards(resource: str) -> Iterator[None]:
    """Leave for the start that waits, and in the log, what came of it."""
    syslog.openlog(f"expgsql({resource})", syslog.LOG_PID, syslog.LOG_DAEMON)
    try:
        yield
    except (AgentError, Failure) as problem:
        syslog.syslog(syslog.LOG_ERR, f"ERROR: the repair in the background failed: {problem}")
        BackgroundRepair(resource).end(str(problem))
        raise
    syslog.syslog(syslog.LOG_INFO, "INFO: the repair in the background has succeeded")
    BackgroundRepair(resource).end("")


@contextmanager
def _alone(seen: Deployment, work: Site) -> Iterator[None]:
    """One repair at a time on a node; what a killed one has left behind is ended first."""
    if work.dry_run:
        yield
        return
    with lock.held(f"{seen.resource}.repair", Deadline(work.clock, LOCK_SECONDS)):
        yield


def _workshop(seen: Deployment, told: Progress) -> Workshop:
    names = {"OCF_RESOURCE_INSTANCE": seen.resource, "OCF_RESKEY_CRM_meta_on_node": seen.me}
    world = live_world(read_context("repair", names), seen.parameters)
    at = Installation(seen.parameters, seen.me)
    data = DataFolder(seen.resource, at)
    return Workshop(
        look=world.look,
        server=world.server,
        own=world.own,
        authority=world.authority,
        data=data,
        tools=LiveTools(at, data.new),
        lock=lambda: lock.held(seen.resource, Deadline(MonotonicClock(), LOCK_SECONDS)),
        told=told,
    )


class Progress:
    """Draws the last line of a program on a terminal; elsewhere one line every few seconds."""

    def __init__(self) -> None:
        self._clock = MonotonicClock()
        self._next = 0.0
        self.drawn = False

    def __call__(self, text: str) -> None:
        """One line of progress."""
        if sys.stdout.isatty():
            click.echo(f"\r  {text.strip()}\033[K", nl=False)
            self.drawn = True
        elif self._clock.now() >= self._next:
            click.echo(f"  {text.strip()}")
            self._next = self._clock.now() + EVERY_SECONDS


@contextmanager
def _progress() -> Iterator[Progress]:
    told = Progress()
    try:
        yield told
    finally:
        if told.drawn:
            click.echo()


def _elsewhere(way: Way, node: str, options: dict[str, str | float | bool]) -> int:
    """The same command on another node: what it would do first, then the question here, then the work."""
    words = [program(), *way.value.split()]
    words += [f"--{name}={options[name]}" for name in ("resource", "timeout", "wait", "limit") if options[name]]
    words += ["--keep-old"] if options["keep_old"] else []
    code = _run_there(node, [*words, "--dry-run"], LOOK_SECONDS + float(options["timeout"]))
    if code or options["dry_run"]:
        return code
    Terminal(MonotonicClock(), yes=bool(options["yes"])).confirm(f"Go on, on {node}?")
    return _run_there(node, [*words, "--yes"], 2 * float(options["limit"]) + float(options["wait"]))


def _run_there(node: str, words: list[str], within: float) -> int:
    done = follow(ssh(node, within, words), timeout=within, line=click.echo)
    if done.code == SSH_FAILED:
        raise Failure(f"ssh does not get to {node}: {done.tail}; run expgsql there")
    return done.code
