# SPDX-License-Identifier: GPL-2.0-or-later
"""What must hold on a site of fake servers after every effect of every action; each function tells what does not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from expgsql_ra.rules.replication import CLOSED, OPEN, named_among
from expgsql_ra.values import RepMode, same_node

if TYPE_CHECKING:
    from tests.fake_postgresql import FakeServer
    from tests.fake_site import Site


def wrongly_open(site: Site) -> Iterator[str]:
    """Nobody but the recorded primary can acknowledge a commit (R13)."""
    for one in site.servers.values():
        if may_acknowledge(site, one) and not site.is_recorded(one.name):
            yield f"{one.name} is not recorded and may acknowledge commits: {one.process}"


def may_acknowledge(site: Site, one: FakeServer) -> bool:
    """Whether there is nobody to wait for, or all who are waited for are connected."""
    if one.process is None or not one.process.primary:
        return False
    named = named_among(one.process.names, site.cluster.state.members)
    streams = site.address_at == one.name and all(site.servers[name].streaming for name in named)
    return one.process.names == OPEN or (bool(named) and streams)


def not_waited_for(site: Site) -> Iterator[str]:
    """Whoever may succeed is waited for (I4 of the safety model)."""
    for one in site.servers.values():
        if one.process is None or not one.process.primary or one.process.names == CLOSED:
            continue
        if not site.is_recorded(one.name):
            continue
        named = named_among(one.process.names, site.cluster.state.members)
        may_succeed = [name for name in site.record.nodes if not same_node(name, one.name)] if site.record else []
        for name in may_succeed:
            if site.parameters.rep_mode is RepMode.SYNC and name not in named:
                yield f"{name} may succeed and {one.name} does not wait for it"


def lost(site: Site) -> Iterator[str]:
    """No acknowledged commit is missing from the recorded primary (I1)."""
    for one in site.servers.values():
        missing = site.acknowledged - one.directory.commits
        if missing and site.is_recorded(one.name) and one.accepts_writes:
            yield f"{one.name} is primary and lacks the acknowledged commits {sorted(missing)}"
