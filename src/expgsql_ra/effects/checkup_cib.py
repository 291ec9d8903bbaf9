# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads `Configuration` from a CIB document: operations, meta attributes, leftover bans, fence devices.

Source: Pacemaker Explained, "Resource Operations", "Resource Meta-Attributes", "Moving Resources Manually".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.etree import ElementTree

from expgsql_ra.checkup import Configuration, ConfiguredOperation
from expgsql_ra.effects.cluster import CIB
from expgsql_ra.effects.process import check, run_together
from expgsql_ra.errors import CannotTell

ROLES = {"Master": "Promoted", "Slave": "Unpromoted"}
UNITS = {"us": 1e-6, "usec": 1e-6, "ms": 1e-3, "msec": 1e-3, "": 1.0, "s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0}
HOURS = {"h": 3600.0, "hr": 3600.0}
LEFT_BEHIND = ("cli-ban-", "cli-prefer-")
"""What crm_resource --ban and --move call their constraints."""


def read_configuration(resource: str, clone: str, within: float) -> Configuration:
    """Ask the cluster."""
    (done,) = run_together([CIB], within)
    return understood(check(done, "reading the cluster's configuration").out, resource, clone)


def understood(document: str, resource: str, clone: str) -> Configuration:
    """Understand a CIB document."""
    try:
        cib = ElementTree.fromstring(document)  # noqa: S314 - our own cluster's document
    except ElementTree.ParseError as problem:
        raise CannotTell(f"the cluster's configuration is no XML document: {problem}") from None
    primitive = next((one for one in cib.iter("primitive") if one.get("id") == resource), None)
    around = next((one for one in cib.iter("clone") if clone and one.get("id") == clone), None)
    defaults = cib.find("configuration/rsc_defaults")
    meta = {**_pairs(defaults), **_pairs(around), **_pairs(primitive)}
    timeout = _pairs(cib.find("configuration/op_defaults")).get("timeout")
    return Configuration(
        operations=tuple(_operations(primitive, timeout)) if primitive is not None else (),
        meta=meta,
        bans=tuple(_bans(cib, {resource, clone})),
        fences=tuple(one.get("id", "") for one in cib.iter("primitive") if one.get("class") == "stonith"),
    )


def _pairs(element: ElementTree.Element | None) -> dict[str, str]:
    """The meta attributes of an element itself, not of what is in it."""
    found = [] if element is None else element.findall("meta_attributes/nvpair")
    return {pair.get("name", ""): pair.get("value", "") for pair in found}


def _operations(primitive: ElementTree.Element, default: str | None) -> Iterator[ConfiguredOperation]:
    for one in primitive.iterfind("operations/op"):
        role = one.get("role", "")
        yield ConfiguredOperation(
            name=one.get("name", ""),
            role=ROLES.get(role, role),
            interval=seconds(one.get("interval", "0")),
            timeout=seconds(one.get("timeout") or _pairs(one).get("timeout") or default),
        )


def seconds(text: str | None) -> float | None:
    """A duration as Pacemaker writes it: 10, 10s, 1min, 500ms, PT1M30S; None for what is none."""
    plain = (text or "").strip()
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-zA-Z]*)", plain)
    if found:
        unit = {**UNITS, **HOURS}.get(found[2].lower())
        return None if unit is None else float(found[1]) * unit
    found = re.fullmatch(r"PT(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?", plain)
    if not found or not any(found.groups()):
        return None
    hours, minutes, rest = (int(each or 0) for each in found.groups())
    return hours * 3600.0 + minutes * 60.0 + rest


def _bans(cib: ElementTree.Element, ours: set[str]) -> Iterator[tuple[str, str]]:
    """Those of our resource, and of whatever is placed by it."""
    tied = {one.get("rsc", "") for one in cib.iter("rsc_colocation") if one.get("with-rsc") in ours}
    for one in cib.iter("rsc_location"):
        identity, resource = one.get("id", ""), one.get("rsc", "")
        if identity.startswith(LEFT_BEHIND) and resource in ours | tied:
            yield identity, resource
