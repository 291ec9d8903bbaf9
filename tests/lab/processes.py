"""Finding processes by what the kernel says of them: arguments and namespaces."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from tests.lab.waiting import wait_until

PROC = Path("/proc")
Gone = (FileNotFoundError, ProcessLookupError, PermissionError)


def pids() -> Iterator[int]:
    """Every process of the machine, those inside namespaces included."""
    return (int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit())


def arguments(pid: int) -> tuple[str, ...]:
    """Command line of a process; empty for one that is gone or a zombie."""
    with suppress(*Gone):
        return tuple((PROC / str(pid) / "cmdline").read_text(errors="replace").split("\0")[:-1])
    return ()


def namespace(pid: int, kind: str) -> str | None:
    """Identity of a namespace of a process ("pid", "net", "mnt"), None for a process that is gone."""
    with suppress(*Gone):
        return str((PROC / str(pid) / "ns" / kind).readlink())
    return None


def marked(*mark: str) -> list[int]:
    """Processes with those consecutive words among their arguments."""
    return [pid for pid in pids() if is_marked(pid, *mark)]


def is_marked(pid: int, *mark: str) -> bool:
    """Whether a process has those consecutive words among its arguments."""
    words = arguments(pid)
    return any(words[at : at + len(mark)] == mark for at in range(len(words)))


def in_namespace(kind: str, identity: str) -> list[int]:
    """Processes in the namespace of that identity."""
    return [pid for pid in pids() if namespace(pid, kind) == identity]


def pid_inside(pid: int) -> int | None:
    """Number of a process as its own, innermost namespace counts; None if it is gone."""
    return next((int(word) for word in reversed(_status(pid, "NSpid"))), None)


def parent(pid: int) -> int | None:
    """Parent of a process, as this machine counts."""
    return next((int(word) for word in _status(pid, "PPid")), None)


def _status(pid: int, field: str) -> list[str]:
    with suppress(*Gone):
        text = (PROC / str(pid) / "status").read_text(errors="replace")
        found = re.search(rf"^{field}:\s*(.*)$", text, re.MULTILINE)
        return found.group(1).split() if found else []
    return []


def is_running(pid: int) -> bool:
    """Whether a process exists and is more than a zombie."""
    return next(iter(_status(pid, "State")), "Z") not in {"Z", "X"}


def send(pids: Iterable[int], signal_number: signal.Signals) -> None:
    """Signal each of them that still exists."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal_number)


def kill(targets: Iterable[int], *, within: float = 30.0) -> None:
    """End processes at once and wait until the kernel has done so."""
    victims = [pid for pid in targets if pid != os.getpid()]
    send(victims, signal.SIGKILL)
    wait_until(
        lambda: not any(is_running(pid) for pid in victims),
        within=within,
        what=f"the end of processes {victims}",
        every=0.02,
    )
