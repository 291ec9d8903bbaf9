# SPDX-License-Identifier: GPL-2.0-or-later
"""A resource's parameters, as the cluster's configuration has them: for commands, which Pacemaker does not start."""

from __future__ import annotations

from xml.etree import ElementTree

from expgsql_ra.effects.cluster import CIB
from expgsql_ra.effects.process import check, run_together
from expgsql_ra.errors import BadArguments, CannotTell
from expgsql_ra.parameter_kinds import PREFIX, InvalidParameters
from expgsql_ra.parameters import Parameters


def configured(resource: str, within: float) -> Parameters:
    """The parameters of a resource; `BadArguments` if there is none of that name, or they are wrong."""
    (done,) = run_together([CIB], within)
    return read_parameters(check(done, "reading the cluster's configuration").out, resource)


def read_parameters(document: str, resource: str) -> Parameters:
    """Understand a CIB document."""
    try:
        cib = ElementTree.fromstring(document)  # noqa: S314 - our own cluster's document
    except ElementTree.ParseError as problem:
        raise CannotTell(f"the cluster's configuration is no XML document: {problem}") from None
    found = [one for one in cib.iter("primitive") if one.get("id") == resource]
    if not found:
        raise BadArguments(f"the cluster has no resource {resource}: name the primitive, not its clone")
    pairs = [pair for one in found for pair in one.iterfind("instance_attributes/nvpair")]
    try:
        return Parameters.from_environ({PREFIX + pair.get("name", ""): pair.get("value", "") for pair in pairs})
    except InvalidParameters as problem:
        raise BadArguments(f"the parameters of {resource}: {problem}") from None
