# SPDX-License-Identifier: GPL-2.0-or-later
"""What commands have in common: their options, the console, and the site they work on."""

from __future__ import annotations

import itertools
import json
import os
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from expgsql_ra.cli.outcome import Failure
from expgsql_ra.effects.clock import MonotonicClock
from expgsql_ra.effects.hosts import LiveHosts
from expgsql_ra.effects.journals import LiveJournal
from expgsql_ra.effects.pacemaker import LivePacemaker, ShownPacemaker
from expgsql_ra.effects.reader import LiveReader
from expgsql_ra.effects.records import LiveRecords
from expgsql_ra.site import NoJournal, Site
from expgsql_ra.world import Clock, Deadline

Command = TypeVar("Command", bound=Callable[..., Any])
Found = TypeVar("Found")
LOOK_EVERY = 0.25
SPINNER = "|/-\\"

resource_option = click.option(
    "--resource", default="", metavar="NAME", help="The resource (its primitive); needed only where there are several."
)
timeout_option = click.option(
    "--timeout", type=click.FloatRange(1.0), default=10.0, show_default=True, help="Seconds that one look may take."
)
json_option = click.option("--json", "as_json", is_flag=True, help="For programs.")
dry_run_option = click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
yes_option = click.option("-y", "--yes", is_flag=True, help="Do not ask: for scripts that somebody has thought about.")


def wait_option(seconds: float) -> Callable[[Command], Command]:
    """How long a changing command waits for what it began."""
    return click.option(
        "--wait", type=click.FloatRange(0), default=seconds, show_default=True, help="Seconds to wait for the outcome."
    )


class Terminal:
    """The person at the terminal, or a log file: progress is drawn on a terminal and told line by line elsewhere."""

    def __init__(self, clock: Clock, *, yes: bool = False, quiet: bool = False) -> None:
        self._clock = clock
        self._yes = yes
        self._quiet = quiet

    def say(self, text: str) -> None:
        """Nothing where JSON is printed."""
        if not self._quiet:
            click.echo(text)

    def warn(self, text: str) -> None:
        """On standard error, always."""
        click.secho(f"Warning: {text}", err=True, fg="yellow")

    def confirm(self, question: str) -> None:
        """Asked on a terminal only: a script says --yes."""
        if self._yes:
            return
        if not sys.stdin.isatty():
            raise Failure(f"{question} Nobody is there to answer: nothing was changed; give --yes if you mean it")
        if not click.confirm(question):
            raise Failure("nothing was changed")

    def wait(self, what: str, look: Callable[[], Found | None], within: float) -> Found | None:
        """Look four times a second; one line in all where there is no terminal."""
        deadline = Deadline(self._clock, within)
        drawn = sys.stdout.isatty() and not self._quiet
        if not drawn:
            self.say(f"waiting for {what} (at most {within:.0f} s)")
        try:
            for turn in itertools.cycle(SPINNER):
                found = look()
                if found is not None or deadline.left() <= 0:
                    return found
                if drawn:
                    click.echo(f"\r{turn} waiting for {what} ({within - deadline.left():.0f} s) ", nl=False)
                self._clock.pause(min(LOOK_EVERY, deadline.left()))
        finally:
            if drawn:
                click.echo("\r\033[K", nl=False)
        return None


def site(resource: str, timeout: float, *, dry_run: bool = False, yes: bool = False, quiet: bool = False) -> Site:
    """The real cluster, from this node."""
    clock, me = MonotonicClock(), os.uname().nodename
    console = Terminal(clock, yes=yes or dry_run, quiet=quiet)
    manager = ShownPacemaker(lambda command: console.say(f"would run: {command}")) if dry_run else LivePacemaker()
    return Site(
        read=LiveReader(resource, timeout),
        hosts=LiveHosts(me),
        manager=manager,
        console=console,
        clock=clock,
        dry_run=dry_run,
        journal=NoJournal() if dry_run else LiveJournal(me, timeout),
        records=LiveRecords(timeout),
    )


def as_json(value: object) -> None:
    """Print one document."""
    click.echo(json.dumps(value))


def operator(node: str) -> str:
    """Who gives this command, for the history: the person behind sudo, and where."""
    return f"{os.environ.get('SUDO_USER') or os.environ.get('USER') or 'root'}@{node}"
