# SPDX-License-Identifier: GPL-2.0-or-later
"""What a configuration changes in a CIB: the changed document, and each difference in words.

Only what is ours is touched: our resources by their names, constraints that say the same or have our ids, and the
properties that the set-up names. Constraints are compared by what they say, not by their ids, so that a configuration
made by hand with pcs or crmsh counts as what it is.

Sources: Pacemaker Explained, "Resources", "Constraints", "Rules"; ids as pcs makes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple, assert_never
from xml.etree import ElementTree as ET

from expgsql_ra.rules.setup_wanted import (
    Clone,
    Colocation,
    Constraint,
    Group,
    Location,
    Operation,
    Order,
    Pairs,
    Primitive,
    Wanted,
)

PROPERTIES = "cib-bootstrap-options"
OLD_ROLES = {"Master": "Promoted", "Slave": "Unpromoted"}
CONSTRAINTS = ("rsc_colocation", "rsc_order", "rsc_location")
SCORES = {"0": "Optional", "INFINITY": "Mandatory"}


class Change(NamedTuple):
    """One difference: ``+``, ``~`` or ``-``, and what."""

    sign: str
    text: str

    def __str__(self) -> str:
        return f"{self.sign} {self.text}"


class Merged(NamedTuple):
    """The outcome."""

    document: ET.Element
    changes: tuple[Change, ...]
    obstacles: tuple[str, ...]
    """Why it cannot be applied; the document is then of no use."""
    left_alone: tuple[str, ...]
    """Constraints on our resources that are not from the set-up."""


def merged(cib: ET.Element, want: Wanted, prefix: str) -> Merged:
    """Change ``cib`` (which is the caller's copy) into what is wanted. ``prefix`` begins the ids that are ours."""
    work = _Work(cib)
    obstacles = (*_obstacles(cib, want),)
    if obstacles:
        return Merged(cib, (), obstacles, ())
    for primitive in want.primitives:
        work.primitive(primitive)
    for clone in want.clones:
        work.enclose(clone, "clone", (clone.member,))
    for group in want.groups:
        work.enclose(group, "group", group.members)
    for constraint in want.constraints:
        work.constraint(constraint)
    work.remove_unwanted(want, prefix)
    for name, value in want.properties:
        work.property(name, value)
    return Merged(cib, tuple(work.changes), (), (*_left_alone(cib, want),))


def _obstacles(cib: ET.Element, want: Wanted) -> Iterator[str]:
    for primitive in want.primitives:
        found = _by_id(cib, primitive.name)
        if found is not None and (found.tag != "primitive" or _agent(found) != primitive.agent):
            what = _agent(found) if found.tag == "primitive" else f"a {found.tag}"
            yield f"{primitive.name} is in the cluster and is {what}: choose another name in [names]"
    for clone in want.clones:
        yield from _in_the_way(cib, clone.name, "clone", (clone.member,))
    for group in want.groups:
        yield from _in_the_way(cib, group.name, "group", group.members)


def _in_the_way(cib: ET.Element, name: str, tag: str, members: Iterable[str]) -> Iterator[str]:
    found = _by_id(cib, name)
    if found is not None and found.tag != tag:
        yield f"{name} is in the cluster and is a {found.tag}: choose another name in [names]"
    for member in members:
        holder = _holder(cib, member)
        if holder is not None and holder.tag != "resources" and holder.get("id") != name:
            yield f"{member} is in {holder.get('id')}: write that as its {tag} in [names], or remove it there"


def _by_id(cib: ET.Element, name: str) -> ET.Element | None:
    return next((one for one in _section(cib, "resources").iter() if one.get("id") == name), None)


def _section(cib: ET.Element, name: str) -> ET.Element:
    configuration = cib if cib.tag == "configuration" else cib.find("configuration")
    assert configuration is not None, "a CIB has a configuration"  # noqa: S101 - its schema says so
    return _child(configuration, name)


def _child(parent: ET.Element, tag: str) -> ET.Element:
    found = parent.find(tag)
    return ET.SubElement(parent, tag) if found is None else found


def _holder(cib: ET.Element, name: str) -> ET.Element | None:
    """What a resource stands in: its clone or group, or the section itself; None if there is no such resource."""
    found = (one for one in _section(cib, "resources").iter() for member in one if member.get("id") == name)
    return next(found, None)


def _agent(primitive: ET.Element) -> str:
    parts = (primitive.get(name, "") for name in ("class", "provider", "type"))
    return ":".join(part for part in parts if part)


class _Work:
    """One document being changed."""

    def __init__(self, cib: ET.Element) -> None:
        self._cib = cib
        self._ids = {one.get("id", "") for one in cib.iter()}
        self.changes: list[Change] = []

    def _say(self, sign: str, text: str) -> None:
        self.changes.append(Change(sign, text))

    def _id(self, proposal: str) -> str:
        """An id that nobody has."""
        candidates = (f"{proposal}{suffix}" for suffix in ("", *(f"-{number}" for number in range(1, 1000))))
        chosen = next(one for one in candidates if one not in self._ids)
        self._ids.add(chosen)
        return chosen

    # --- resources

    def primitive(self, want: Primitive) -> None:
        """A resource with its parameters, meta attributes and operations."""
        found = _by_id(self._cib, want.name)
        is_new = found is None
        if found is None:
            standard, provider, kind = want.agent.split(":")
            names = {"id": want.name, "class": standard, "provider": provider, "type": kind}
            found = ET.SubElement(_section(self._cib, "resources"), "primitive", names)
            self._ids.add(want.name)
            self._say("+", f"resource {want.name} ({want.agent})")
        before = len(self.changes)
        self._pairs(found, "instance_attributes", want.parameters, exactly=True)
        self._pairs(found, "meta_attributes", want.meta, exactly=False)
        self._operations(found, want.operations)
        if is_new:
            self._fold(before, want)

    def _fold(self, before: int, want: Primitive) -> None:
        """A new resource in one line for its parameters and one for its operations."""
        del self.changes[before:]
        for name, value in want.parameters:
            self._say("+", f"  {name}={_shown(name, value)}")
        operations = (f"{_title(one)}={one.timeout}s" for one in want.operations)
        self._say("+", f"  timeouts: {', '.join(operations)}")

    def enclose(self, want: Clone | Group, tag: str, members: Iterable[str]) -> None:
        """A clone or a group, with its members in it."""
        found = _by_id(self._cib, want.name)
        resources = _section(self._cib, "resources")
        if found is None:
            found = ET.SubElement(resources, tag, {"id": want.name})
            self._ids.add(want.name)
            self._say("+", f"{tag} {want.name} of {', '.join(members)}")
        for name in members:
            member, holder = _by_id(self._cib, name), _holder(self._cib, name)
            assert member is not None, "primitives come first"  # noqa: S101
            if holder is not found:
                resources.remove(member)
                # The schema wants a clone's member after its attributes or before: first is allowed for both.
                found.insert(sum(1 for one in found if one.tag == "primitive"), member)
        self._pairs(found, "meta_attributes", want.meta, exactly=False)

    def _pairs(self, owner: ET.Element, tag: str, want: Pairs, *, exactly: bool) -> None:
        """Names and values. What people and commands set besides stays, unless there should be nothing else."""
        if not want:
            return
        name = owner.get("id", "")
        found = owner.find(tag)
        if found is None:
            found = ET.Element(tag, {"id": self._id(f"{name}-{tag}")})
            owner.insert(_place(owner, tag), found)
        for key, value in want:
            self._pair(found, key, value, f"{name}: {key}")
        for extra in [one for one in found.iterfind("nvpair") if exactly and one.get("name") not in dict(want)]:
            found.remove(extra)
            self._say("-", f"{name}: {extra.get('name')}={_shown(extra.get('name', ''), extra.get('value', ''))}")

    def _pair(self, owner: ET.Element, key: str, value: str, what: str) -> None:
        found = next((one for one in owner.iterfind("nvpair") if one.get("name") == key), None)
        if found is None:
            ET.SubElement(owner, "nvpair", {"id": self._id(f"{owner.get('id')}-{key}"), "name": key, "value": value})
            self._say("+", f"{what}={_shown(key, value)}")
        elif found.get("value") != value:
            self._say("~", f"{what}: {_shown(key, found.get('value', ''))} -> {_shown(key, value)}")
            found.set("value", value)

    def _operations(self, owner: ET.Element, want: tuple[Operation, ...]) -> None:
        name = owner.get("id", "")
        found = _child(owner, "operations")
        for one in want:
            there = next((op for op in found.iterfind("op") if _same_operation(op, one)), None)
            if there is None:
                identity = {"id": self._id(f"{name}-{one.name}-interval-{one.interval}s")}
                ET.SubElement(found, "op", identity | _attributes(one))
                self._say("+", f"{name}: operation {_title(one)}")
            else:
                self._operation(there, one, f"{name}: operation {_title(one)}")

    def _operation(self, there: ET.Element, want: Operation, what: str) -> None:
        for key, value in _attributes(want).items():
            old = there.get(key, "")
            if _plain(old) != _plain(value):
                self._say("~" if old else "+", f"{what}: {key} {f'{old} -> ' if old else ''}{value}")
                there.set(key, value)

    # --- constraints and properties

    def constraint(self, want: Constraint) -> None:
        """A constraint that says this, whatever its id."""
        section = _section(self._cib, "constraints")
        new = _element(want)
        if any(_meaning(one) == _meaning(new) for one in section):
            return
        old = next((one for one in section if one.get("id") == want.name or _rivals(one, new)), None)
        if old is None:
            self._say("+", f"constraint {_described(want)}")
        else:
            self._say("~", f"constraint {old.get('id')}: {_described(want)}")
            section.remove(old)
            self._ids -= {one.get("id", "") for one in old.iter()}
            new.set("id", old.get("id", ""))
        for one in new.iter():
            one.set("id", self._id(one.get("id", "")))
        section.append(new)

    def remove_unwanted(self, want: Wanted, prefix: str) -> None:
        """What earlier set-ups made and this one no longer has: constraints by our ids, then what they were for."""
        section = _section(self._cib, "constraints")
        current = {one.name for one in want.constraints}
        meanings = [_meaning(_element(one)) for one in want.constraints]
        gone: set[str] = set()
        for one in list(section):
            ours = one.get("id", "") in _every_id(prefix) or one.get("id", "").startswith(f"{prefix}-never-primary-")
            if ours and one.get("id") not in current and _meaning(one) not in meanings:
                section.remove(one)
                self._say("-", f"constraint {one.get('id')}")
                gone.add(one.get("rsc", one.get("then", "")))
        for name in sorted(gone - want.names):
            self._remove_resource(name)

    def _remove_resource(self, name: str) -> None:
        found, holder = _by_id(self._cib, name), _holder(self._cib, name)
        if found is not None and holder is not None:
            holder.remove(found)
            self._say("-", f"resource {name}")

    def property(self, name: str, value: str) -> None:
        """A property of the cluster."""
        section = _section(self._cib, "crm_config")
        sets = section.findall("cluster_property_set")
        owner = next((one for one in sets if one.get("id") == PROPERTIES), None)
        # Whoever set it elsewhere gets it changed there: of several sets the first counts.
        there = next((one for one in sets if any(pair.get("name") == name for pair in one.iterfind("nvpair"))), owner)
        if there is None:
            there = ET.SubElement(section, "cluster_property_set", {"id": PROPERTIES})
        self._pair(there, name, value, f"property {name}")


def _every_id(prefix: str) -> frozenset[str]:
    names = (
        *("writer-beside-primary", "promote-then-writer", "demote-then-writer"),
        *("reader-sync", "reader-async", "reader-unknown", "reader-other"),
        *("lvsdr-beside-reader", "realsvr-beside-standby", "realsvr-then-lvsdr", "lvsdr-then-reader"),
    )
    return frozenset(f"{prefix}-{name}" for name in names)


def _place(owner: ET.Element, tag: str) -> int:
    """Where in a resource its attributes stand: before the operations, the meta attributes after the others."""
    before = {"instance_attributes": ("primitive",), "meta_attributes": ("primitive", "instance_attributes")}[tag]
    return sum(1 for one in owner if one.tag in before)


def _same_operation(there: ET.Element, want: Operation) -> bool:
    role = there.get("role", "")
    return there.get("name") == want.name and OLD_ROLES.get(role, role) == want.role


def _attributes(one: Operation) -> dict[str, str]:
    optional = {"on-fail": one.on_fail, "role": one.role}
    times = {"name": one.name, "interval": f"{one.interval}s", "timeout": f"{one.timeout}s"}
    return times | {key: value for key, value in optional.items() if value}


def _title(one: Operation) -> str:
    return f"{one.name} {one.role}".strip()


def _plain(value: str) -> str:
    """Times with and without their unit are the same, and so are the old names of roles."""
    return OLD_ROLES.get(value, value.removesuffix("s") if value[:1].isdigit() else value)


def _shown(name: str, value: str) -> str:
    return "***" if value and "password" in f"{name} {value}" else value


def _element(want: Constraint) -> ET.Element:
    match want:
        case Colocation(name, resource, beside, role):
            with_role = {"with-rsc-role": role} if role else {}
            attributes = {"id": name, "rsc": resource, "with-rsc": beside, "score": "INFINITY", **with_role}
            return ET.Element("rsc_colocation", attributes)
        case Order():
            attributes = {
                "id": want.name,
                "first": want.first,
                "first-action": want.first_action,
                "then": want.then,
                "then-action": want.then_action,
                "symmetrical": "false",
                "kind": "Mandatory" if want.mandatory else "Optional",
            }
            return ET.Element("rsc_order", attributes)
        case Location():
            return _location(want)
    assert_never(want)


def _location(want: Location) -> ET.Element:
    location = ET.Element("rsc_location", {"id": want.name, "rsc": want.resource})
    attributes = {"id": f"{want.name}-rule", "score": want.score, "boolean-op": "and"}
    rule = ET.SubElement(location, "rule", {**attributes, **({"role": want.role} if want.role else {})})
    for one in want.expressions:
        value = {"value": one.value} if one.value else {}
        names = {"id": f"{want.name}-rule-expr", "attribute": one.attribute, "operation": one.operation}
        ET.SubElement(rule, "expression", {**names, **value})
    return location


def _meaning(element: ET.Element) -> tuple[object, ...]:
    """What a constraint says, without ids and with the defaults written out; of others nothing that is ever ours."""
    get = element.get
    match element.tag:
        case "rsc_colocation":
            roles = (_role(get("rsc-role", "")), _role(get("with-rsc-role", "")))
            return (element.tag, get("rsc"), get("with-rsc"), get("score"), *roles)
        case "rsc_order":
            first = get("first-action", "start")
            kind = get("kind") or SCORES.get(get("score", "INFINITY"), "Mandatory")
            ends = (get("first"), first, get("then"), get("then-action", first))
            return (element.tag, *ends, kind, get("symmetrical", "true"))
        case "rsc_location":
            return (element.tag, get("rsc"), *(_rule(one) for one in element.iterfind("rule")))
    return (element.tag, get("id"))


def _rule(rule: ET.Element) -> tuple[object, ...]:
    parts = frozenset((one.get("attribute"), one.get("operation"), one.get("value", "")) for one in rule)
    many = rule.get("boolean-op", "and") if len(rule) > 1 else "and"
    return (rule.get("score"), _role(rule.get("role", "")), many, parts)


def _role(role: str) -> str:
    """The role Started is what a colocation means without any."""
    return "" if role == "Started" else OLD_ROLES.get(role, role)


def _rivals(there: ET.Element, new: ET.Element) -> bool:
    """Whether a colocation or an order is about the same things as ours and says something else of them."""
    if there.tag != new.tag or there.tag == "rsc_location":
        return False
    keys = {"rsc_colocation": ("rsc", "with-rsc"), "rsc_order": ("first", "first-action", "then", "then-action")}
    return all(there.get(key) == new.get(key) for key in keys[there.tag])


def _described(want: Constraint) -> str:
    match want:
        case Colocation():
            role = f"the {want.role} " if want.role else ""
            return f"{want.resource} runs beside {role}{want.beside}"
        case Order():
            kind = "" if want.mandatory else " (where both happen)"
            return f"{want.first_action} {want.first}, then {want.then_action} {want.then}{kind}"
        case Location():
            role = f" as {want.role}" if want.role else ""
            return f"{want.resource}{role}: {want.score} where {conditions(want)}"
    assert_never(want)


def conditions(want: Location) -> str:
    """The rule in the words that pcs and crmsh share."""
    parts = (
        f"not_defined {one.attribute}" if not one.value else f"{one.attribute} {one.operation} {one.value}"
        for one in want.expressions
    )
    return " and ".join(parts)


def _left_alone(cib: ET.Element, want: Wanted) -> Iterator[str]:
    meanings = [_meaning(_element(one)) for one in want.constraints]
    for one in _section(cib, "constraints"):
        subjects = {one.get(key, "") for key in ("rsc", "with-rsc", "first", "then")}
        if one.tag in CONSTRAINTS and subjects & want.names and _meaning(one) not in meanings:
            yield f"constraint {one.get('id')} on {', '.join(sorted(subjects & want.names))}"
