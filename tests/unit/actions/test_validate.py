# SPDX-License-Identifier: GPL-2.0-or-later
"""validate-all: the parameters by themselves, this node with them where that is asked for."""

from __future__ import annotations

import pytest
from tests.fake_site import Site

from expgsql_ra.actions.validate import validate
from expgsql_ra.errors import BadArguments


@pytest.mark.parametrize(("level", "looks"), [(None, False), ("0", False), ("10", True), ("20", True), ("all", False)])
def test_the_node_is_looked_at_from_level_ten_on(level: str | None, looks: bool) -> None:
    site = Site()
    site.servers["node1"].misconfigured = BadArguments("port 5432 is taken")
    world = site.world("node1", "validate-all")
    environ = {**world.context.environ, **({} if level is None else {"OCF_CHECK_LEVEL": level})}
    world = world._replace(context=world.context._replace(environ=environ))
    if looks:
        with pytest.raises(BadArguments, match="port 5432 is taken"):
            validate(world)
    else:
        assert validate(world).code == 0
    assert site.effects.done == []


def test_doubts_are_told_with_a_success() -> None:
    site = Site(restart_on_promote=True)
    ran = site.run("node1", "validate-all")
    assert ran.code == 0
    assert ran.reason is not None
    assert ran.reason.startswith("restart_on_promote is deprecated")
    assert Site().run("node1", "validate-all").reason is None
