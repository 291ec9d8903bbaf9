# SPDX-License-Identifier: GPL-2.0-or-later
"""Corosync's configuration that a set-up asks for, and its timing.

A node is given up after the token's time (``token`` plus ``token_coefficient`` for each node beyond two) and the
consensus' (corosync.conf(5), "totem"). Sources: corosync.conf(5), votequorum(5), pcs(8) "cluster setup".
"""

from __future__ import annotations

from typing import NamedTuple

from expgsql_ra.setup_model import Setup, Timing


class Profile(NamedTuple):
    """Milliseconds."""

    token: int
    token_coefficient: int

    def run_time_token(self, nodes: int) -> int:
        """How long a node may be silent."""
        return self.token + self.token_coefficient * max(0, nodes - 2)

    def consensus(self, nodes: int) -> int:
        """How long the others then take to agree: Corosync wants 1.2 times the token."""
        return -(-self.run_time_token(nodes) * 6 // 5)

    def options(self, nodes: int) -> dict[str, int]:
        """Corosync's, in its totem section."""
        return self._asdict() | {"consensus": self.consensus(nodes)}

    def given_up_after(self, nodes: int) -> int:
        """Until a silent node is out of the membership."""
        return self.run_time_token(nodes) + self.consensus(nodes)


PROFILES = {Timing.DEFAULT: Profile(1000, 650), Timing.FAST: Profile(400, 100)}


def totem(setup: Setup) -> dict[str, int]:
    """The timing, as Corosync's options."""
    return PROFILES[setup.cluster.timing].options(len(setup.nodes))


def corosync_conf(setup: Setup) -> str:
    """The whole file, without encryption keys: pcs cluster setup makes those, too."""
    names = {"version": "2", "cluster_name": setup.cluster.name, "transport": "knet"}
    quorum = {"provider": "corosync_votequorum", **({"two_node": "1"} if len(setup.nodes) == 2 else {})}
    members = "".join(_section("    node", _member(setup, number), "    ") for number in range(len(setup.nodes)))
    return "".join(
        [
            _section("totem", names | {key: str(value) for key, value in totem(setup).items()}),
            f"nodelist {{\n{members}}}\n",
            _section("quorum", quorum),
            _section("logging", {"to_syslog": "yes", "to_stderr": "no"}),
        ]
    )


def _section(name: str, values: dict[str, str], indent: str = "") -> str:
    lines = "".join(f"{indent}    {key}: {value}\n" for key, value in values.items())
    return f"{name} {{\n{lines}{indent}}}\n"


def _member(setup: Setup, number: int) -> dict[str, str]:
    return {"ring0_addr": _address(setup, number), "name": setup.nodes[number], "nodeid": str(number + 1)}


def _address(setup: Setup, number: int) -> str:
    return setup.cluster.addresses[number] if setup.cluster.addresses else setup.nodes[number]


def pcs_setup(setup: Setup) -> list[str]:
    """The command that makes the cluster with pcs; a second node's vote and encryption are its own affair."""
    members = [
        word
        for number, name in enumerate(setup.nodes)
        for word in (name, *([f"addr={_address(setup, number)}"] if setup.cluster.addresses else []))
    ]
    return ["pcs", "cluster", "setup", setup.cluster.name, *members, "totem", *_options(setup)]


def pcs_update(setup: Setup) -> list[str]:
    """The command that changes the timing of a cluster that is stopped or running."""
    return ["pcs", "cluster", "config", "update", "totem", *_options(setup)]


def _options(setup: Setup) -> list[str]:
    return [f"{key}={value}" for key, value in totem(setup).items()]
