# SPDX-License-Identifier: GPL-2.0-or-later
"""Telling Pacemaker, with its own tools, which are there whether pcs or crmsh made the configuration.

Sources: crm_resource(8), crm_attribute(8), attrd_updater(8); Pacemaker Explained, "Cluster Options".
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from xml.etree import ElementTree

from expgsql_ra.deployment import move_of
from expgsql_ra.effects.clock import utc_in
from expgsql_ra.effects.cluster import PROPERTY_SET
from expgsql_ra.effects.process import check, run

SHORT_COMMAND = 30.0
FOR_US = ("REPL_INFO", "RECORD", "TIMELINES", "CHANGING")


class LivePacemaker:
    """Runs the tools. ``show`` is called with each command before it is run."""

    def __init__(self, show: Callable[[str], None] = lambda _command: None) -> None:
        self._show = show

    def cleanup(self, resource: str, node: str = "") -> None:
        """Forget failures."""
        self._run(["crm_resource", "--cleanup", "--resource", resource, *_on(node)])

    def refresh(self, resource: str, node: str = "") -> None:
        """Forget the history."""
        self._run(["crm_resource", "--refresh", "--resource", resource, *_on(node)])

    def standby(self, node: str, on: bool) -> None:
        """Let a node run no resources, or again."""
        self._run(["crm_attribute", "--node", node, "--name", "standby", *(["--update", "on"] if on else ["--delete"])])

    def maintenance(self, on: bool, node: str = "") -> None:
        """Of a node an attribute, of the cluster a property."""
        if node:
            change = ["--update", "true"] if on else ["--delete"]
            self._run(["crm_attribute", "--node", node, "--name", "maintenance", *change])
        else:
            self._run(["crm_attribute", "--name", "maintenance-mode", "--update", "true" if on else "false"])

    def enable(self, resource: str, on: bool) -> None:
        """Set or remove the target role."""
        change = ["--delete-parameter", "target-role"] if on else ["--set-parameter", "target-role"]
        value = [] if on else ["--parameter-value", "Stopped"]
        self._run(["crm_resource", "--resource", resource, "--meta", *change, *value])

    def ban(self, resource: str, node: str, promoted: bool) -> None:
        """Lay down a location constraint."""
        role = ["--promoted"] if promoted else []
        self._run(["crm_resource", "--ban", "--resource", resource, "--node", node, *role])

    def clear(self, resource: str) -> None:
        """Remove the location constraints that `ban` makes."""
        self._run(["crm_resource", "--clear", "--resource", resource])

    def move(self, resource: str, node: str, seconds: float, away_from: str = "") -> None:
        """As ``crm_resource --move --promoted --lifetime`` would, under a name that shows whose it is."""
        scores = {node: "INFINITY", **({away_from: "-INFINITY"} if away_from else {})}
        constraint = location(resource, scores, utc_in(seconds))
        self._run(["cibadmin", "--modify", "--allow-create", "--scope", "constraints", "--xml-text", constraint])

    def lift(self, constraint: str) -> None:
        """Nobody minds if it is gone already."""
        self._run(
            ["cibadmin", "--delete", "--scope", "constraints", "--xml-text", f'<rsc_location id="{constraint}"/>']
        )

    def set_property(self, name: str, value: str) -> None:
        """Ours are kept in a set of their own."""
        ours = ["--set-name", PROPERTY_SET] if name.endswith(FOR_US) else []
        change = ["--update", value] if value else ["--delete"]
        self._run(["crm_attribute", "--type", "crm_config", "--name", name, *ours, *change])

    def set_attribute(self, node: str, name: str, value: str, lasting: bool) -> None:
        """Transient ones go to the attribute manager."""
        change = ["--update", value] if value else ["--delete"]
        if lasting:
            self._run(["crm_attribute", "--node", node, "--name", name, *change])
        else:
            self._run(["attrd_updater", "--name", name, "--node", node, *change])

    def _run(self, words: list[str]) -> None:
        self._show(shlex.join(words))
        check(run(words, timeout=SHORT_COMMAND), shlex.join(words))


class ShownPacemaker(LivePacemaker):
    """Shows the commands and runs none (``--dry-run``)."""

    def _run(self, words: list[str]) -> None:
        self._show(shlex.join(words))


def location(resource: str, scores: Mapping[str, str], end: str) -> str:
    """A constraint that gives nodes a score for a role until a moment (Pacemaker Explained, "Rules")."""
    name = move_of(resource)
    place = ElementTree.Element("rsc_location", {"id": name, "rsc": resource})
    for number, (node, score) in enumerate(scores.items(), start=1):
        own = f"{name}-{number}"
        rule = ElementTree.SubElement(
            place, "rule", {"id": own, "score": score, "role": "Promoted", "boolean-op": "and"}
        )
        where = {"id": f"{own}-node", "attribute": "#uname", "operation": "eq", "value": node, "type": "string"}
        ElementTree.SubElement(rule, "expression", where)
        ElementTree.SubElement(rule, "date_expression", {"id": f"{own}-end", "operation": "lt", "end": end})
    return ElementTree.tostring(place, encoding="unicode")


def _on(node: str) -> list[str]:
    return ["--node", node] if node else []
