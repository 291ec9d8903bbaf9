# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads a `Deployment`: one ``cibadmin --query`` and one ``crm_mon --output-as=xml``, at the same time.

Sources: Pacemaker Explained, "Resource Configuration"; the schema of crm_mon's XML output.
"""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree import ElementTree

from expgsql_ra.deployment import ClusterNode, Companion, Constraint, Deployment, Failure
from expgsql_ra.effects.cluster import CIB, ROLES, read_cib, read_properties
from expgsql_ra.effects.configured import read_parameters
from expgsql_ra.effects.process import check, run_together
from expgsql_ra.errors import BadArguments, CannotTell
from expgsql_ra.ocf import Code

STICKINESS = "configuration//nvpair[@name='resource-stickiness']"
AGENT = ("ocf", "heartbeat", "expgsql")
DEGRADED = (Code.DEGRADED, Code.DEGRADED_PROMOTED)
OLD_ROLES = {"Master": "Promoted", "Slave": "Unpromoted"}
"""Before Pacemaker 2.1."""


class NoClusterHere(CannotTell):
    """Pacemaker does not run on this node."""


def deployed(resource: str, node: str, within: float) -> Deployment:
    """Read it. An empty ``resource`` means: the one that there is.

    `NoClusterHere` where Pacemaker does not answer, `BadArguments` where the resource cannot be told.
    """
    cib, status = run_together([CIB, ROLES], within)
    if cib.code:
        raise NoClusterHere(f"no cluster answers on this node ({cib.tail}): start it (expgsql start), or go to another")
    return read_deployment(cib.out, check(status, "crm_mon").out, resource, node)


def read_deployment(cib_text: str, status_text: str, resource: str, node: str) -> Deployment:
    """Understand the two documents."""
    cib, status = _parsed(cib_text), _parsed(status_text)
    name = _chosen(cib, resource)
    parameters = read_parameters(cib_text, name)
    clone = next((one.get("id", "") for one in cib.iter("clone") if _holds(one, name)), "")
    shown = _shown(status, name, clone)
    return Deployment(
        resource=name,
        clone=clone,
        parameters=parameters,
        view=read_cib(cib_text, name, node, parameters.node_list),
        nodes=tuple(_nodes(status)),
        roles=tuple(_roles(status, name)),
        companions=tuple(_companions(cib, status, name, clone)),
        failures=tuple(_failures(status)),
        fail_counts=tuple(_fail_counts(status, name)),
        properties=tuple(read_properties(cib).items()),
        managed=shown is None or shown.get("managed") != "false",
        disabled=any(_is_stopped(one) for one in cib.iter() if one.get("id") in {name, clone}),
        constraints=tuple(_constraints(cib, {name, clone})),
        stuck=any(pair.get("value") == "INFINITY" for pair in cib.iterfind(STICKINESS)),
    )


def _parsed(text: str) -> ElementTree.Element:
    try:
        return ElementTree.fromstring(text)  # noqa: S314 - our own cluster's document
    except ElementTree.ParseError as problem:
        raise CannotTell(f"the cluster's answer is no XML document: {problem}") from None


def _chosen(cib: ElementTree.Element, resource: str) -> str:
    found = [
        one.get("id", "")
        for one in cib.iter("primitive")
        if (one.get("class"), one.get("provider"), one.get("type")) == AGENT
    ]
    if resource:
        if resource not in found:
            raise BadArguments(f"{resource} is no resource of ocf:heartbeat:expgsql; there is: {_listed(found)}")
        return resource
    if len(found) != 1:
        raise BadArguments(
            f"the cluster has {len(found)} resources of ocf:heartbeat:expgsql ({_listed(found)}); "
            + ("name one with --resource" if found else "expgsql setup makes one")
        )
    return found[0]


def _listed(names: list[str]) -> str:
    return ", ".join(names) or "none"


def _holds(element: ElementTree.Element, name: str) -> bool:
    return any(one.get("id") == name for one in element.iter("primitive"))


def _shown(status: ElementTree.Element, name: str, clone: str) -> ElementTree.Element | None:
    wanted = clone or name
    return next((one for one in status.iterfind("resources//*") if one.get("id") == wanted), None)


def _is_stopped(resource: ElementTree.Element) -> bool:
    """By its own meta-attributes: `crm_mon` shows nothing of a resource that runs nowhere."""
    pairs = resource.iterfind("meta_attributes/nvpair")
    return any(pair.get("name") == "target-role" and pair.get("value", "").lower() == "stopped" for pair in pairs)


def _nodes(status: ElementTree.Element) -> Iterator[ClusterNode]:
    for one in status.iterfind("nodes/node"):
        yield ClusterNode(
            name=one.get("name", ""),
            online=one.get("online") == "true",
            standby=one.get("standby") == "true" or one.get("standby_onfail") == "true",
            maintenance=one.get("maintenance") == "true",
            pending=one.get("pending") == "true",
            unclean=one.get("unclean") == "true",
            coordinates=one.get("is_dc") == "true",
        )


def _roles(status: ElementTree.Element, name: str) -> Iterator[tuple[str, str]]:
    for one in status.iter("resource"):
        if one.get("id", "").split(":")[0] == name and one.get("active") == "true":
            role = one.get("role", "")
            yield from ((node.get("name", ""), OLD_ROLES.get(role, role)) for node in one.iterfind("node"))


def _companions(cib: ElementTree.Element, status: ElementTree.Element, name: str, clone: str) -> Iterator[Companion]:
    """Whatever the constraints tie to ours; of a group its members."""
    running = {
        one.get("id", ""): tuple(node.get("name", "") for node in one.iterfind("node"))
        for one in status.iter("resource")
        if one.get("active") == "true"
    }
    for tied, role in _tied(cib, name, clone).items():
        for one in _members(cib, tied):
            agent = ":".join(filter(None, (one.get("class"), one.get("provider"), one.get("type"))))
            pairs = {pair.get("name"): pair.get("value", "") for pair in one.iterfind("instance_attributes/nvpair")}
            identity = one.get("id", "")
            yield Companion(identity, agent, pairs.get("ip", ""), running.get(identity, ()), role)


def _tied(cib: ElementTree.Element, name: str, clone: str) -> dict[str, str]:
    """Each resource or group that a constraint names beside ours, and after which role it goes."""
    ours = {name, clone}
    found: dict[str, str] = {}
    for one in cib.iterfind("configuration/constraints/rsc_colocation"):
        if one.get("with-rsc") in ours and one.get("rsc") not in ours:
            promoted = OLD_ROLES.get(one.get("with-rsc-role", ""), one.get("with-rsc-role")) == "Promoted"
            found[one.get("rsc", "")] = "primary" if promoted else ""
    for one in cib.iterfind("configuration/constraints/rsc_location"):
        attributes = {expression.get("attribute") for expression in one.iter("expression")}
        if f"{name}-status" in attributes and one.get("rsc") not in ours:
            found.setdefault(one.get("rsc", ""), "standby")
    return found


def _constraints(cib: ElementTree.Element, ours: set[str]) -> Iterator[Constraint]:
    """Those that name a node, directly or in a rule of their own (as moves with an end do)."""
    for one in cib.iterfind("configuration/constraints/rsc_location"):
        if one.get("rsc") not in ours:
            continue
        identity = one.get("id", "")
        if one.get("node"):
            yield Constraint(identity, one.get("node", ""), one.get("score", "INFINITY"))
        for rule in one.iterfind("rule"):
            named = [each.get("value", "") for each in rule.iter("expression") if each.get("attribute") == "#uname"]
            yield from (Constraint(identity, node, rule.get("score", "INFINITY")) for node in named)


def _members(cib: ElementTree.Element, name: str) -> Iterator[ElementTree.Element]:
    for one in cib.iterfind("configuration/resources//*"):
        if one.get("id") == name:
            yield from one.iter("primitive")


def _failures(status: ElementTree.Element) -> Iterator[Failure]:
    """Failed actions; `crm_mon` has the agent's exit reason of each.

    It also lists the last answer that told of a weakened promise, however long ago that was: no failure.
    """
    for one in status.iterfind("failures/failure"):
        key = one.get("op_key", "")
        resource = key.rsplit("_", 2)[0].split(":")[0]
        code = int(one.get("exitcode", "1")) if one.get("exitcode", "1").isdigit() else 1
        if code in DEGRADED:
            continue
        yield Failure(
            node=one.get("node", ""),
            resource=resource,
            operation=one.get("task") or key.removeprefix(f"{resource}_").rsplit("_", 1)[0],
            code=code,
            reason=one.get("exitreason", ""),
            time=one.get("last-rc-change", ""),
        )


def _fail_counts(status: ElementTree.Element, name: str) -> Iterator[tuple[str, str]]:
    for node in status.iterfind("node_history/node"):
        for one in node.iterfind("resource_history"):
            count = one.get("fail-count", "0")
            if one.get("id", "").split(":")[0] == name and count != "0":
                yield node.get("name", ""), count
