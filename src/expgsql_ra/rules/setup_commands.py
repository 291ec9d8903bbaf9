# SPDX-License-Identifier: GPL-2.0-or-later
"""A configuration spelled for pcs 0.11, pcs 0.12 and crmsh: what a person would type to get the same.

Sources: pcs(8) of both versions; crm(8), "configure". pcs 0.12 wants a rule as one word and the score by its name,
which 0.11 does not understand.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from enum import StrEnum
from typing import assert_never

from expgsql_ra.rules.setup_cib import conditions
from expgsql_ra.rules.setup_wanted import Clone, Colocation, Constraint, Location, Operation, Order, Primitive, Wanted


class Tool(StrEnum):
    """Who configures clusters here."""

    PCS = "pcs"
    CRMSH = "crmsh"
    CIBADMIN = "cibadmin"


FILE = "pgsql.xml"
NEW_PCS = (0, 12)
CRM_SCORES = {"INFINITY": "inf", "-INFINITY": "-inf"}


def pcs_commands(want: Wanted, version: tuple[int, ...]) -> list[list[str]]:
    """The words after ``pcs -f FILE`` of each call, in order."""
    new = version >= NEW_PCS
    enclosed = {clone.member: clone for clone in want.clones}
    calls = [["property", "set", *(f"{name}={value}" for name, value in want.properties)]]
    for primitive in want.primitives:
        calls.append(_pcs_primitive(primitive))
        if primitive.name in enclosed:
            calls.append(_pcs_clone(enclosed[primitive.name]))
    for group in want.groups:
        calls.append(["resource", "group", "add", group.name, *group.members])
        calls.append(["resource", "meta", group.name, *_words(group.meta)])
    return [*calls, *(_pcs_constraint(one, new=new) for one in want.constraints)]


def pcs_script(want: Wanted, version: tuple[int, ...]) -> str:
    """The commands as a person would type them, the loading of the result included."""
    calls = (shlex.join(["pcs", "-f", FILE, *words]) for words in pcs_commands(want, version))
    return "\n".join([f"pcs cluster cib {FILE}", *calls, f"pcs cluster cib-push {FILE}"]) + "\n"


def _words(pairs: tuple[tuple[str, str], ...]) -> list[str]:
    return [f"{name}={value}" for name, value in pairs]


def _pcs_primitive(one: Primitive) -> list[str]:
    operations = [word for operation in one.operations for word in ("op", *_pcs_operation(operation))]
    meta = ["meta", *_words(one.meta)] if one.meta else []
    return ["resource", "create", one.name, one.agent, *_words(one.parameters), *operations, *meta]


def _pcs_operation(one: Operation) -> list[str]:
    optional = [f"{name}={value}" for name, value in (("on-fail", one.on_fail), ("role", one.role)) if value]
    return [one.name, f"interval={one.interval}s", f"timeout={one.timeout}s", *optional]


def _pcs_clone(one: Clone) -> list[str]:
    given = dict(one.meta)
    kind = "promotable" if given.pop("promotable", "") == "true" else "clone"
    return ["resource", kind, one.member, one.name, "meta", *_words(tuple(given.items()))]


def _pcs_constraint(one: Constraint, *, new: bool) -> list[str]:
    match one:
        case Colocation(name, resource, beside, role):
            score = "score=INFINITY" if new else "INFINITY"
            with_role = [role] if role else []
            return ["constraint", "colocation", "add", resource, "with", *with_role, beside, score, f"id={name}"]
        case Order():
            ends = [one.first_action, one.first, "then", one.then_action, one.then]
            kind = "Mandatory" if one.mandatory else "Optional"
            return ["constraint", "order", *ends, f"kind={kind}", "symmetrical=false", f"id={one.name}"]
        case Location():
            for_role = [f"role={one.role}"] if one.role else []
            rule = [conditions(one)] if new else conditions(one).split()
            options = [f"constraint-id={one.name}", f"id={one.name}-rule", *for_role, f"score={one.score}"]
            return ["constraint", "location", one.resource, "rule", *options, *rule]
    assert_never(one)


def crm_script(want: Wanted) -> str:
    """What ``crm configure load update FILE`` takes."""
    return "".join(f"{line}\n" for line in _crm_lines(want))


def _crm_lines(want: Wanted) -> Iterator[str]:
    for one in want.primitives:
        parts = [f"primitive {one.name} {one.agent}", f"params {_quoted(one.parameters)}"]
        parts += [f"op {_crm_operation(operation)}" for operation in one.operations]
        parts += [f"meta {_quoted(one.meta)}"] if one.meta else []
        yield " \\\n    ".join(parts)
    for clone in want.clones:
        yield f"clone {clone.name} {clone.member} \\\n    meta {_quoted(clone.meta)}"
    for group in want.groups:
        yield f"group {group.name} {' '.join(group.members)} \\\n    meta {_quoted(group.meta)}"
    yield from (_crm_constraint(one) for one in want.constraints)
    yield f"property {_quoted(want.properties)}"


def _quoted(pairs: tuple[tuple[str, str], ...]) -> str:
    return " ".join(f'{name}="{_escaped(value)}"' for name, value in pairs)


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')


def _crm_operation(one: Operation) -> str:
    optional = [f"{name}={value}" for name, value in (("on-fail", one.on_fail), ("role", one.role)) if value]
    return " ".join([one.name, f"interval={one.interval}s", f"timeout={one.timeout}s", *optional])


def _crm_constraint(one: Constraint) -> str:
    match one:
        case Colocation(name, resource, beside, role):
            return f"colocation {name} inf: {resource} {beside}{f':{role}' if role else ''}"
        case Order():
            kind = "Mandatory" if one.mandatory else "Optional"
            ends = f"{one.first}:{one.first_action} {one.then}:{one.then_action}"
            return f"order {one.name} {kind}: {ends} symmetrical=false"
        case Location():
            role = f"$role={one.role} " if one.role else ""
            score = CRM_SCORES.get(one.score, one.score)
            return f"location {one.name} {one.resource} rule {role}{score}: {conditions(one)}"
    assert_never(one)
