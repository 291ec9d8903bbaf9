# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs inside a node: starts an agent several times and tells what each run cost.

Reads {"argv": [...], "environ": {...}, "runs": N} from standard input and prints a JSON list of
[CPU seconds, exit code]. It is given to the node's own Python as text and uses nothing but the
standard library. As a subreaper it inherits, and so accounts for, whatever the agent leaves behind.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import sys
from contextlib import suppress

PR_SET_CHILD_SUBREAPER = 36


def cpu_of_children() -> float:
    """User and system seconds of every descendant that was waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def run_once(argv: list[str], environ: dict[str, str], null: int) -> tuple[float, int]:
    """Run the agent, collect its orphans, and return what it cost and its exit code."""
    before = cpu_of_children()
    actions = [(os.POSIX_SPAWN_DUP2, null, fd) for fd in (0, 1, 2)]
    pid = os.posix_spawn(argv[0], argv, environ, file_actions=actions)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    return cpu_of_children() - before, code


def main() -> None:
    """Do what standard input says."""
    order = json.load(sys.stdin)
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    null = os.open(os.devnull, os.O_RDWR)
    json.dump([run_once(order["argv"], order["environ"], null) for _ in range(order["runs"])], sys.stdout)


if __name__ == "__main__":
    main()
