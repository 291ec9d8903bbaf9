# SPDX-License-Identifier: GPL-2.0-or-later
"""Processes stopped where they are, or as soon as they exist, or held at a function; what the kernel says of them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from tests.lab.processes import PROC, is_running
from tests.lab.waiting import Timeout, now
from tests.postgresql.server import until

# Behind the name of a function: hold where it has just returned.
RETURN = " returned"
SIGHUP_BIT = 1 << (signal.SIGHUP - 1)


def status(pid: int) -> dict[str, str]:
    """What the kernel says of a process (proc_pid_status(5))."""
    lines = (PROC / str(pid) / "status").read_text(encoding="utf-8").splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def is_stopped(pid: int) -> bool:
    """Whether it was stopped by a signal."""
    return status(pid)["State"].startswith("T")


def hangup_pending(pid: int) -> bool:
    """Whether it was sent SIGHUP and has not taken it."""
    seen = status(pid)
    return bool((int(seen["SigPnd"], 16) | int(seen["ShdPnd"], 16)) & SIGHUP_BIT)


def blocks_hangup(pid: int) -> bool:
    """Whether it does not take SIGHUP yet: PostgreSQL's processes begin so and unblock it before their first work."""
    return bool(int(status(pid)["SigBlk"], 16) & SIGHUP_BIT)


def freeze(pid: int) -> None:
    """Stop it and wait until the kernel has done so."""
    os.kill(pid, signal.SIGSTOP)
    until(lambda: is_stopped(pid), f"process {pid} to be stopped")


def thaw(pid: int) -> None:
    """Let it go on."""
    os.kill(pid, signal.SIGCONT)


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """Stop it for a while."""
    freeze(pid)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            thaw(pid)


def stop_first_child(pid: int, within: float = 10.0) -> int | None:
    """Stop a process's first child as soon as it exists; its number, or None if there was none in time."""
    listed = PROC / str(pid) / "task" / str(pid) / "children"
    deadline = now() + within
    while now() < deadline and is_running(pid):
        # No pause: the child needs milliseconds from its birth to the point before which it has to be stopped.
        for _ in range(1000):
            if found := listed.read_text(encoding="ascii").split():
                freeze(int(found[0]))
                return int(found[0])
    return None


# --- a debugger -------------------------------------------------------------------------------


class Held:
    """A process that a debugger lets run from one function to the next."""

    def __init__(self, pid: int, functions: tuple[str, ...], folder: Path) -> None:
        self._folder = folder
        self._functions = functions
        for number, _ in enumerate(functions):
            self._hold(number).touch()
        script = folder / "script.gdb"
        script.write_text("\n".join(self._script(pid)), encoding="utf-8")
        with (folder / "gdb.log").open("wb") as log:
            self.debugger = subprocess.Popen(
                ["gdb", "-nx", "-batch", "-x", script], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self._wait_for("ready")

    def _script(self, pid: int) -> Iterator[str]:
        yield from ("set confirm off", "set pagination off", "set auto-solib-add off", "set breakpoint pending off")
        yield f"attach {pid}"
        yield from ("handle all nostop noprint pass", "handle SIGINT nostop noprint pass")
        for number, function in enumerate(self._functions):
            yield f"tbreak {function.removesuffix(RETURN)}"
            if number == 0:
                yield f"shell touch {self._folder}/ready"
            yield "continue"
            if function.endswith(RETURN):
                yield "finish"
            yield f"shell touch {self._folder}/at{number}; while [ -e {self._hold(number)} ]; do sleep 0.02; done"
        yield "detach"

    def _hold(self, number: int) -> Path:
        return self._folder / f"hold{number}"

    def _wait_for(self, mark: str) -> None:
        try:
            until(lambda: (self._folder / mark).exists() or self.debugger.poll() is not None, f"the debugger: {mark}")
            assert (self._folder / mark).exists(), "the debugger has ended"
        except (AssertionError, Timeout) as error:
            raise AssertionError(f"{error}\n{(self._folder / 'gdb.log').read_text(encoding='utf-8')[-2000:]}") from None

    def wait_at(self, number: int) -> None:
        """Wait until it has come to that function."""
        self._wait_for(f"at{number}")

    def release(self, number: int) -> None:
        """Let it go on from that function."""
        self._hold(number).unlink()
        if number == len(self._functions) - 1:
            self.debugger.wait(30)


@contextmanager
def held(pid: int, *functions: str, folder: Path) -> Iterator[Held]:
    """Have a process stop at these functions, one after the other."""
    if not shutil.which("gdb"):
        pytest.fail("no gdb on this machine, which holds a process between two of its instructions: run 'make deps'")
    place = folder / f"gdb-{pid}-{len(list(folder.glob('gdb-*')))}"
    place.mkdir()
    debugged = Held(pid, functions, place)
    try:
        yield debugged
    finally:
        for mark in place.glob("hold*"):
            mark.unlink()
        if debugged.debugger.poll() is None:
            debugged.debugger.kill()
            debugged.debugger.wait(30)
