"""Watches the command lines and environments of a lab's processes for words that must not be there.

A process of its own, which gets the words through standard input: it must not find itself. It looks at each process
again and again while that is young, since a process changes its command line when it becomes another program.
"""

from __future__ import annotations

import json
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.lab import processes
from tests.lab.machine import Machine

YOUNG_SECONDS = 1.0
PAUSE_SECONDS = 0.001


@dataclass
class Overheard:
    """What was seen when the watching was over."""

    programs: list[str] = field(default_factory=list)
    """The name of every program of the lab that was seen."""
    found: list[str] = field(default_factory=list)
    """Where a word was seen: the source, and the program."""


@contextmanager
def overhearing(machines: Sequence[Machine], words: Sequence[str]) -> Iterator[Overheard]:
    """Watch until the end of the block; the result is filled then."""
    spaces = [processes.namespace(machine.init_pid or 0, "pid") for machine in machines]
    seen = Overheard()
    watcher = subprocess.Popen(
        [sys.executable, "-m", "tests.lab.eavesdropper"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert watcher.stdin is not None
    assert watcher.stdout is not None
    watcher.stdin.write(json.dumps({"spaces": spaces, "words": list(words)}) + "\n")
    watcher.stdin.flush()
    try:
        assert watcher.stdout.readline() == "watching\n"
        yield seen
    finally:
        out, _ = watcher.communicate(timeout=30)
        told = json.loads(out)
        seen.programs, seen.found = told["programs"], told["found"]


def _text(path: str) -> str:
    with suppress(OSError):
        return Path(path).read_bytes().decode(errors="replace")
    return ""


def _watch(spaces: set[str], words: list[str]) -> tuple[set[str], set[str]]:
    programs: set[str] = set()
    found: set[str] = set()
    born: dict[int, float] = {}
    while not select.select([sys.stdin], [], [], PAUSE_SECONDS)[0]:
        now = time.monotonic()
        alive = set(processes.pids())
        born = {pid: born.get(pid, now) for pid in alive}
        for pid in alive:
            if now - born[pid] < YOUNG_SECONDS and processes.namespace(pid, "pid") in spaces:
                _look(pid, words, programs, found)
    return programs, found


def _look(pid: int, words: list[str], programs: set[str], found: set[str]) -> None:
    arguments = _text(f"/proc/{pid}/cmdline").replace("\0", " ")
    program = Path(arguments.split(" ")[0]).name
    programs.add(program)
    for source, text in (("arguments", arguments), ("environment", _text(f"/proc/{pid}/environ"))):
        if any(word in text for word in words):
            found.add(f"{source} of {program}: {arguments[:200]}")


def main() -> None:
    """Watch until standard input ends."""
    asked = json.loads(sys.stdin.readline())
    print("watching", flush=True)
    programs, found = _watch(set(asked["spaces"]), asked["words"])
    print(json.dumps({"programs": sorted(programs), "found": sorted(found)}))


if __name__ == "__main__":
    main()
