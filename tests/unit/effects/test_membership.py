# SPDX-License-Identifier: GPL-2.0-or-later
"""The nodes of Corosync's configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from expgsql_ra.effects.deployed import NoClusterHere
from expgsql_ra.effects.membership import configured_nodes

CONF = """
totem {
    version: 2
    interface {
        linknumber: 0
    }
}
# node { name: nobody }
nodelist {
    node {
        ring0_addr: 192.0.2.1
        name: node1   # the first
        nodeid: 1
    }
    node {
        ring0_addr: 192.0.2.2
        nodeid: 2
    }
}
quorum {
    provider: corosync_votequorum
}
"""


def test_nodes_are_called_by_name_or_by_address(tmp_path: Path) -> None:
    path = tmp_path / "corosync.conf"
    path.write_text(CONF)
    assert configured_nodes(str(path)) == ("node1", "192.0.2.2")


@pytest.mark.parametrize(("text", "why"), [(None, "belongs to no cluster"), ("totem {\n}\n", "no list of nodes")])
def test_without_a_list_of_nodes_there_is_no_cluster(tmp_path: Path, text: str | None, why: str) -> None:
    path = tmp_path / "corosync.conf"
    if text is not None:
        path.write_text(text)
    with pytest.raises(NoClusterHere, match=why):
        configured_nodes(str(path))
