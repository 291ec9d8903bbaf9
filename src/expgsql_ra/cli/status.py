# SPDX-License-Identifier: GPL-2.0-or-later
"""``expgsql status``, ``why`` and ``master``: looking, and nothing else."""

from __future__ import annotations

import itertools
import json
import os
import sys
from collections.abc import Callable

import click

from expgsql_ra.cli import documents
from expgsql_ra.cli.common import as_json as print_json
from expgsql_ra.cli.common import json_option, resource_option, site
from expgsql_ra.cli.outcome import Exit, Failure, Inconsistent
from expgsql_ra.cli.screen import screen
from expgsql_ra.effects.clock import MonotonicClock, utc_now
from expgsql_ra.effects.deployed import NoClusterHere
from expgsql_ra.errors import AgentError, BadArguments
from expgsql_ra.overview import Overview
from expgsql_ra.procedures.look import look
from expgsql_ra.rules import condition
from expgsql_ra.rules.explanation import Answer, explain
from expgsql_ra.values import same_node

EVERY = 2.0
HOME_AND_CLEAR = "\033[H\033[2J"

timeout_option = click.option(
    "--timeout", type=click.FloatRange(1.0), default=3.0, show_default=True, help="Seconds to wait for each answer."
)
FORMATS: dict[str, Callable[[Overview], str]] = {
    "text": screen,
    "json": lambda overview: json.dumps(documents.document(overview)),
    "prometheus": lambda overview: documents.metrics(overview).rstrip("\n"),
}


@click.command()
@resource_option
@timeout_option
@json_option
@click.option("--format", "form", type=click.Choice(list(FORMATS)), default="text", help="How it is printed.")
@click.option(
    "--watch",
    type=click.FloatRange(0.5),
    is_flag=False,
    flag_value=EVERY,
    metavar="[SECONDS]",
    help="Look again and again until interrupted; every 2 seconds, or as given.",
)
def status(*, resource: str, timeout: float, as_json: bool, form: str, watch: float | None) -> int:
    """How the nodes, the primary and its standbys, the record and the addresses are; what is wrong comes first.

    Exit code 0: healthy. 1: something needs somebody. 101: no cluster answers here. 102: no quorum here.
    """
    form = "json" if as_json else form
    if watch is not None:
        return _watched(resource, timeout, form, watch)
    overview = _looked(resource, timeout, form)
    _show(FORMATS[form](overview))
    return _code(overview)


def _looked(resource: str, timeout: float, form: str) -> Overview:
    try:
        return look(site(resource, timeout, quiet=True))._replace(time=utc_now())
    except NoClusterHere:
        if form == "prometheus":
            click.echo(documents.down(), nl=False)
        raise


def _watched(resource: str, timeout: float, form: str, every: float) -> int:
    """Until interrupted; a look that fails is shown and not the last."""
    clock, clears = MonotonicClock(), form == "text" and sys.stdout.isatty()
    try:
        for turn in itertools.count():
            if turn:
                clock.pause(every)
            try:
                shown = FORMATS[form](_looked(resource, timeout, form))
            except BadArguments:
                raise
            except AgentError as problem:
                shown = json.dumps({"error": str(problem)}) if form == "json" else f"{utc_now()}: {problem}"
            _show(f"{HOME_AND_CLEAR if clears else ''}{shown}")
    except KeyboardInterrupt:
        pass
    return Exit.DONE


def _show(text: str) -> None:
    """With colours on a terminal only, and not where somebody asked for none (https://no-color.org)."""
    click.echo(text, color=False if os.environ.get("NO_COLOR") else None)


def _code(overview: Overview) -> Exit:
    if not overview.seen.view.may_decide:
        return Exit.INCONSISTENT
    return Exit.DONE if condition.is_healthy(condition.findings(overview)) else Exit.ERROR


@click.command()
@resource_option
@timeout_option
@json_option
@click.argument("node", required=False)
def why(*, resource: str, timeout: float, as_json: bool, node: str | None) -> None:
    """Why a node (or each of them) is or is not primary, promotable, streaming, and what would change it."""
    overview = look(site(resource, timeout, quiet=True))
    names = [member.name for member in overview.seen.view.members]
    wanted = [name for name in names if node is None or same_node(name, node)]
    if not wanted:
        raise BadArguments(f"{node} is no node of {overview.seen.resource}; there are: {', '.join(names)}")
    found = [explain(overview, name) for name in wanted]
    if as_json:
        print_json([{key: _answer(value) for key, value in one._asdict().items()} for one in found])
        return
    for one in found:
        click.echo(click.style(one.node, bold=True))
        for question in ("primary", "promotable", "streams"):
            _say(question, getattr(one, question))


def _answer(value: object) -> object:
    return value._asdict() if isinstance(value, Answer) else value


def _say(question: str, answer: Answer) -> None:
    word = {True: "yes", False: "no", None: "-"}[answer.holds]
    colour = {True: "green", False: "yellow", None: None}[answer.holds]
    click.echo(f"  {question:<12}{click.style(f'{word:<5}', fg=colour)}{answer.reason}")
    if answer.change:
        click.echo(f"{'':19}-> {answer.change}")


@click.command()
@resource_option
@timeout_option
@json_option
def master(*, resource: str, timeout: float, as_json: bool) -> None:
    """Print the name of the primary's node.

    Exit code 1: there is none. 101: no cluster answers here. 102: no quorum here, so nobody knows.
    """
    seen = site(resource, timeout, quiet=True).read.deployment()
    if not seen.view.may_decide:
        raise Inconsistent("this partition has no quorum: ask on another node")
    if as_json:
        print_json({"resource": seen.resource, "primary": seen.promoted or None})
    elif seen.promoted:
        click.echo(seen.promoted)
    if not seen.promoted:
        raise Failure("there is no primary; expgsql why says why")
