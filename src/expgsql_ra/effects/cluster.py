# SPDX-License-Identifier: GPL-2.0-or-later
"""The cluster's shared knowledge: read with one ``cibadmin --query``, written only where it differs.

Permanent attributes and properties of one batch go to the CIB in one transaction; transient attributes
go to the attribute manager, which knows no transactions. Sources: Pacemaker Explained, "Node
Attributes" and "Cluster-Wide Configuration"; the schema of ``cibadmin --query``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar
from xml.etree import ElementTree

from expgsql_ra.changes import (
    Change,
    ClearWal,
    SetAncestry,
    SetBaseline,
    SetDataStatus,
    SetFollows,
    SetReceiver,
    SetReplInfo,
    SetScore,
    SetStatus,
    SetWal,
    SparePromotion,
)
from expgsql_ra.effects.process import Result, run_together
from expgsql_ra.errors import AgentError, CannotTell
from expgsql_ra.ocf import Context
from expgsql_ra.parameters import Parameters
from expgsql_ra.record import Record
from expgsql_ra.record_line import from_line
from expgsql_ra.snapshot import Cluster, ClusterView, Member, NoCluster, Unknown
from expgsql_ra.values import SWITCHOVER, Ancestry, Attestation, Lsn, ReplInfo, same_node

NOT_CONNECTED = 102
CIB = ("cibadmin", "--query")
ROLES = ("crm_mon", "--one-shot", "--output-as=xml")
PROPERTY_SET = "pgsql_replication"
Attributes = dict[str, str]
Value = TypeVar("Value")


class LiveCluster:
    """The real cluster, through its own command-line tools."""

    def __init__(self, parameters: Parameters, context: Context, node: str) -> None:
        self._parameters = parameters
        self._context = context
        self._node = node
        self._ids: dict[str, str] = {}

    def view(self, within: float, roles: bool = False) -> Cluster:
        """Everything of the cluster that concerns us, read with one program (two at the same time with ``roles``)."""
        commands = [CIB, ROLES] if roles else [CIB]
        try:
            answers = run_together(commands, timeout=within)
            if answers[0].code == NOT_CONNECTED and not self._context.is_clone:
                return NoCluster()
            return self._understood(*[_accepted(answer, "reading the cluster's state") for answer in answers])
        except AgentError as problem:
            return Unknown(str(problem))
        except ValueError as problem:
            return Unknown(f"the cluster's record cannot be read: {problem}")

    def _understood(self, cib: Result, roles: Result | None = None) -> ClusterView:
        resource = self._context.resource
        view = read_cib(cib.out, resource, self._node, self._parameters.node_list)
        self._ids = {member.name: member.id for member in view.members}
        return view._replace(promoted=read_promoted(roles.out, resource)) if roles else view

    def apply(self, changes: tuple[Change, ...], within: float) -> None:
        """Write the permanent ones in one transaction, and the transient ones, all at the same time."""
        lasting = [change for change in changes if isinstance(change, SetDataStatus | SetReplInfo | SetAncestry)]
        commands = [self._transaction(lasting)] if lasting else []
        commands += [
            _update(*update) for change in changes for update in transient_attributes(change, self._context.resource)
        ]
        for command, answer in zip(commands, run_together(commands, timeout=within), strict=True):
            _accepted(answer, f"the cluster did not take: {' '.join(command[1:])}")

    def _transaction(self, changes: list[SetDataStatus | SetReplInfo | SetAncestry]) -> list[str]:
        document = lasting_changes(changes, self._context.resource, self._ids)
        return ["cibadmin", "--modify", "--allow-create", "--scope", "configuration", "--xml-text", document]


def _update(name: str, node: str, value: str) -> list[str]:
    return ["attrd_updater", "--name", name, f"--update={value}" if value else "--delete", "--node", node]


def _accepted(done: Result, what: str) -> Result:
    if done.code:
        raise CannotTell(f"{what} ({done.code}): {done.tail}")
    return done


# --- reading ----------------------------------------------------------------------------------


def read_cib(document: str, resource: str, node: str, node_list: tuple[str, ...]) -> ClusterView:
    """Understand a CIB document.

    ValueError if a record of ours is there and makes no sense: that is not the same as none.
    """
    cib = _document(document)
    properties = read_properties(cib)
    replication = _property_set(cib, resource)
    return ClusterView(
        me=_spelled(cib, node),
        quorate=cib.get("have-quorum") == "1",
        ignores_quorum=properties.get("no-quorum-policy") == "ignore",
        members=tuple(_members(cib, resource, node_list)),
        repl_info=ReplInfo.parse(replication["REPL_INFO"]) if replication.get("REPL_INFO") else None,
        ancestry=Ancestry.parse(replication["TIMELINES"]) if replication.get("TIMELINES") else None,
        nodes=tuple(one.get("uname", "") for one in cib.iterfind("configuration/nodes/node")),
        record=_record(replication.get("RECORD")),
        switchover=any(
            one.get("id", "").startswith(SWITCHOVER) for one in cib.iterfind("configuration/constraints/rsc_location")
        ),
    )


def _record(line: str | None) -> Record | Unknown | None:
    """A damaged one spoils what needs it, and nothing else."""
    try:
        return None if line is None else from_line(line)
    except ValueError as problem:
        return Unknown(f"the cluster's record is damaged: {problem}")


def _document(text: str) -> ElementTree.Element:
    """The root of a document; ValueError if it is none: a parser's own error is another (SyntaxError)."""
    try:
        return ElementTree.fromstring(text)  # noqa: S314 - our own cluster's document
    except ElementTree.ParseError as problem:
        raise ValueError(f"no XML document: {problem}") from None


def read_promoted(document: str, resource: str) -> tuple[str, ...]:
    """The nodes on which ``crm_mon --output-as=xml`` shows the resource promoted (Master, before 2.1)."""
    root = _document(document)
    return tuple(
        node.get("name", "")
        for one in root.iter("resource")
        if one.get("id", "").split(":")[0] == resource and one.get("role") in {"Promoted", "Master"}
        for node in one.iterfind("node")
    )


def _spelled(cib: ElementTree.Element, node: str) -> str:
    names = [one.get("uname", "") for one in cib.iterfind("configuration/nodes/node")]
    return next((name for name in names if same_node(name, node)), node)


def read_properties(cib: ElementTree.Element) -> Attributes:
    """The cluster's options, and what is kept beside them."""
    return {
        pair.get("name", ""): pair.get("value", "")
        for pair in cib.iterfind("configuration/crm_config/cluster_property_set/nvpair")
    }


def _property_set(cib: ElementTree.Element, resource: str) -> Attributes:
    """Our own properties, without the resource's name in front."""
    prefix = f"{resource}_"
    return {name.removeprefix(prefix): value for name, value in read_properties(cib).items() if name.startswith(prefix)}


def _members(cib: ElementTree.Element, resource: str, node_list: tuple[str, ...]) -> Iterator[Member]:
    """The nodes that replication is for, in the order of ``node_list``, which decides a draw."""
    states = {state.get("uname", ""): state for state in cib.iterfind("status/node_state")}
    found = {one.get("uname", ""): one for one in cib.iterfind("configuration/nodes/node")}
    wanted = node_list or tuple(sorted(found))
    for listed in wanted:
        name = next((one for one in found if same_node(one, listed)), None)
        if name is not None:
            yield _member(name, found[name], states.get(name), resource)


def _member(name: str, node: ElementTree.Element, state: ElementTree.Element | None, resource: str) -> Member:
    lasting = _nvpairs(node, "instance_attributes")
    transient = _nvpairs(state, "transient_attributes/instance_attributes") if state is not None else {}
    timeline = transient.get(f"{resource}-timeline")
    return Member(
        name=name,
        id=node.get("id", ""),
        online=state is not None and _is_online(state),
        status=transient.get(f"{resource}-status") or None,
        data_status=lasting.get(f"{resource}-data-status") or None,
        score=transient.get(f"master-{resource}") or None,
        wal=_parsed(Lsn.from_digits, transient.get(f"{resource}-xlog-loc")),
        timeline=int(timeline) if timeline and timeline.isdigit() else None,
        receiver=transient.get(f"{resource}-receiver-status") or None,
        follows=_parsed(Attestation.parse, transient.get(f"{resource}-follows")),
    )


def _nvpairs(element: ElementTree.Element, path: str) -> Attributes:
    return {pair.get("name", ""): pair.get("value", "") for pair in element.iterfind(f"{path}/nvpair")}


def _is_online(state: ElementTree.Element) -> bool:
    """A member that also takes part in the cluster's process group.

    Pacemaker 2 says "true" and "online"; later ones say since when, as seconds, and 0 for "not".
    """
    return _since(state.get("in_ccm"), "true") and _since(state.get("crmd"), "online")


def _since(value: str | None, word: str) -> bool:
    return value == word or (value is not None and value.isdigit() and int(value) > 0)


def _parsed(parse: Callable[[str], Value], text: str | None) -> Value | None:
    try:
        return parse(text) if text else None
    except ValueError:
        return None


# --- writing ----------------------------------------------------------------------------------


PLAIN = {SetStatus: "{}-status", SetScore: "master-{}", SetReceiver: "{}-receiver-status"}


def transient_attributes(change: Change, res: str) -> Iterator[tuple[str, str, str]]:
    """The attributes of resource ``res`` that a change sets: name, node and value; without a value it is removed."""
    match change:
        case SetStatus() | SetScore() | SetReceiver():
            yield PLAIN[type(change)].format(res), change.node, change.value
        case SetFollows(node=node, value=attestation):
            yield f"{res}-follows", node, str(attestation)
        case SetBaseline(node=node, value=lsn):
            yield f"{res}-master-baseline", node, lsn.digits
        case SparePromotion(node=node):
            # the attribute manager adds to the number that it has, as the controller does for each failure
            yield f"fail-count-{res}#promote_0", node, "value+=-1"
        case ClearWal(node=node):
            yield f"{res}-timeline", node, ""
            yield f"{res}-xlog-loc", node, ""
        case SetWal(node=node, timeline=timeline, end=end):
            yield f"{res}-timeline", node, str(timeline)
            yield f"{res}-xlog-loc", node, end.digits


def lasting_changes(
    changes: list[SetDataStatus | SetReplInfo | SetAncestry], resource: str, ids: dict[str, str]
) -> str:
    """One document with all lasting changes; the same identifiers as ``crm_attribute`` gives."""
    root = ElementTree.Element("configuration")
    properties = [change for change in changes if not isinstance(change, SetDataStatus)]
    if properties:
        holder = ElementTree.SubElement(root, "crm_config")
        holder = ElementTree.SubElement(holder, "cluster_property_set", id=PROPERTY_SET)
        for change in properties:
            suffix = "REPL_INFO" if isinstance(change, SetReplInfo) else "TIMELINES"
            _nvpair(holder, PROPERTY_SET, f"{resource}_{suffix}", str(change.value))
    marks = [change for change in changes if isinstance(change, SetDataStatus)]
    unknown = [mark.node for mark in marks if mark.node not in ids]
    if unknown:
        raise CannotTell(f"the cluster has not told the id of {', '.join(unknown)}; nothing was written")
    if marks:
        nodes = ElementTree.SubElement(root, "nodes")
        for mark in marks:
            _mark(nodes, mark, resource, ids[mark.node])
    return ElementTree.tostring(root, encoding="unicode")


def _mark(nodes: ElementTree.Element, mark: SetDataStatus, resource: str, identifier: str) -> None:
    node = ElementTree.SubElement(nodes, "node", id=identifier, uname=mark.node)
    holder = ElementTree.SubElement(node, "instance_attributes", id=f"nodes-{identifier}")
    _nvpair(holder, f"nodes-{identifier}", f"{resource}-data-status", mark.value)


def _nvpair(holder: ElementTree.Element, prefix: str, name: str, value: str) -> None:
    ElementTree.SubElement(holder, "nvpair", id=f"{prefix}-{name}", name=name, value=value)
