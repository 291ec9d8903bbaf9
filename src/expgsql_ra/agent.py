# SPDX-License-Identifier: GPL-2.0-or-later
"""The agent's entry: understand the call, run one action, turn what comes of it into a code and a reason.

This is the only place where an error becomes an exit code and an ``ocf-exit-reason``. It imports late:
a notification that concerns nobody must not cost more than starting Python.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Mapping, Sequence

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from expgsql_ra.ocf import Context
    from expgsql_ra.parameters import Parameters
    from expgsql_ra.rules.health import Report
    from expgsql_ra.world import World

MODULES = {"validate-all": "validate", "glance": "monitor"}
LOCK_SHARE = 0.25
"""The part of an action's time that it may wait for another run of the agent to end."""
SURVIVES_BAD_PARAMETERS = frozenset({"stop", "monitor", "status"})


def call(argv: Sequence[str], environ: Mapping[str, str]) -> NoReturn:
    """Run the action and end the process with its code.

    A call lives for a tenth of a second, a fifth of which Python would spend on looking for garbage and on taking
    itself apart: neither happens (docs/decisions/002-cheap-imports.md).
    """
    gc.disable()
    code = main(argv, environ)
    for stream in (sys.stdout, sys.stderr):
        if stream:
            stream.flush()
    os._exit(code)


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run the action named in ``argv`` and return the OCF code."""
    action = argv[1] if len(argv) > 1 else ""
    if action == "notify":
        from expgsql_ra.notification import concerns_us

        if not concerns_us(environ):
            return 0
    if action == "meta-data":
        from expgsql_ra.metadata import render

        sys.stdout.write(render(environ))
        return 0
    from expgsql_ra.operations import method_names

    if action == "methods":
        sys.stdout.write("\n".join(method_names()) + "\n")
        return 0
    if action not in method_names():
        sys.stderr.write(f"usage: expgsql {{{'|'.join(method_names())}}}\n")
        return 3
    return _run(action, environ)


def _run(action: str, environ: Mapping[str, str]) -> int:
    from expgsql_ra import ocf
    from expgsql_ra.errors import AgentError

    context = ocf.read_context("monitor" if action == "status" else action, environ)
    try:
        parameters = _parameters(context)
    except AgentError as problem:
        return _failed(action, context, problem, problem.code)
    try:
        report = _perform(context, parameters)
    except AgentError as problem:
        from expgsql_ra.rules import health

        return _failed(action, context, problem, health.failure_code(context.action, problem.code))
    except Exception as problem:  # noqa: BLE001 - the last resort: a defect of ours must still be reported
        return _defect(action, context, problem)
    if report.reason:
        ocf.exit_reason(report.reason, environ)
    return report.code


def _failed(action: str, context: Context, problem: Exception, code: int) -> int:
    from expgsql_ra import ocf

    ocf.Log(context).error(f"{action} failed: {problem}")
    ocf.exit_reason(str(problem), context.environ)
    return code


def _defect(action: str, context: Context, problem: Exception) -> int:
    import traceback

    from expgsql_ra import ocf

    ocf.Log(context).error(f"{action} met a defect of the agent: {''.join(traceback.format_exception(problem))}")
    ocf.exit_reason(
        f"defect in the agent: {type(problem).__name__}: {problem}; please report it with the log",
        context.environ,
    )
    return ocf.Code.ERR_GENERIC


def _perform(context: Context, parameters: Parameters) -> Report:
    from expgsql_ra.effects.live import live_world

    world = live_world(context, parameters)
    act = _action(context.action)
    if context.action == "validate-all" or context.is_probe:
        return act(world)
    from expgsql_ra.effects import lock

    try:
        with lock.held(context.resource, world.deadline.within(world.deadline.left() * LOCK_SHARE)):
            return act(world)
    except lock.Busy as problem:
        if context.action != "monitor":
            raise
        world.log.warning(f"{problem}; nothing but the server is looked at")
        return _action("glance")(world)


def _parameters(context: Context) -> Parameters:
    """The parameters. Stop and monitor must tell the truth with wrong ones too, as long as pgdata is right."""
    from expgsql_ra.errors import BadArguments
    from expgsql_ra.parameter_kinds import InvalidParameters
    from expgsql_ra.parameters import Parameters

    try:
        return Parameters.from_environ(context.environ)
    except InvalidParameters as problem:
        if context.action in SURVIVES_BAD_PARAMETERS:
            salvaged = Parameters.salvaged(context.environ, "pgdata")
            if salvaged is not None:
                return salvaged
        raise BadArguments(str(problem)) from None


def _action(name: str) -> Callable[[World], Report]:
    import importlib

    module = MODULES.get(name, name)
    found = importlib.import_module(f"expgsql_ra.actions.{module}")
    action: Callable[[World], Report] = getattr(found, name.partition("-")[0])
    return action
