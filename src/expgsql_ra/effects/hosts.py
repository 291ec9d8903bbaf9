# SPDX-License-Identifier: GPL-2.0-or-later
"""Running a program on a node of the cluster: here directly, elsewhere through ssh in batch mode, with a bound.

The seeds of this product ask for ssh trust between the nodes; nothing else is needed. Secrets go through standard
input, never through arguments.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from expgsql_ra.effects.process import Result, run_with_children
from expgsql_ra.errors import AgentError
from expgsql_ra.values import same_node

LONGEST_CONNECT = 5
SSH_FAILED = 255
"""ssh's own exit code for "no connection" (ssh(1), "EXIT STATUS")."""


def program() -> str:
    """The command line of this installation: all nodes have it in the same place."""
    return os.path.join(sys.prefix, "bin", "expgsql")


def ssh(node: str, within: float, words: Sequence[str], patience: float = LONGEST_CONNECT) -> list[str]:
    """The arguments that run ``words`` on another node: no question is asked, and no terminal made."""
    connect = max(1, int(min(LONGEST_CONNECT, patience, within)))
    options = ("BatchMode=yes", f"ConnectTimeout={connect}", "ConnectionAttempts=1", "ServerAliveInterval=5")
    flags = [word for option in options for word in ("-o", option)]
    return ["ssh", "-T", *flags, "--", node, shlex.join(words)]


class LiveHosts:
    """The nodes, as seen from this one; ``patience``: seconds to wait for one to answer at all."""

    def __init__(self, me: str, patience: float = LONGEST_CONNECT) -> None:
        self._me = me
        self._patience = patience

    def run(self, node: str, words: Sequence[str], within: float, stdin: str = "") -> Result:
        """Run a program on a node, as root; its exit code is the caller's to judge (255: ssh did not get there).

        `DeadlineExceeded` if it took longer than ``within`` seconds.
        """
        here = same_node(node, self._me)
        return run_with_children(list(words) if here else ssh(node, within, words, self._patience), within, stdin)

    def ours(self, *words: str) -> list[str]:
        """The words that run our own program, which is in the same place on all nodes."""
        return [program(), *words]

    def everywhere(self, nodes: Sequence[str], words: Sequence[str], within: float) -> tuple[str, ...]:
        """Run a program on several nodes at the same time; for each, in their order, why it failed, or nothing."""

        def complaint(node: str) -> str:
            try:
                done = self.run(node, words, within)
            except AgentError as problem:
                return str(problem)
            return f"{shlex.join(words)} ended with {done.code}: {done.tail}" if done.code else ""

        with ThreadPoolExecutor(max(1, len(nodes))) as several:
            return tuple(several.map(complaint, nodes))
