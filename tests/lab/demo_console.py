"""What a person sees of a demonstration: headings, commands, progress and a table.

Nothing is silent for long: on a terminal a line with a spinner says what is waited for, elsewhere
(a log, a pipe) a plain line comes every few seconds.
"""

from __future__ import annotations

import shlex
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle
from typing import TextIO

from tests.lab.waiting import Timeout, now, ticks

WIDTH = 110
SPIN_SECONDS = 0.1
PLAIN_SECONDS = (2.0, 4.0)
CLEAR_LINE = "\r\x1b[K"
BOLD, PLAIN = "\x1b[1m", "\x1b[0m"


class Busy:
    """Something that takes a while, told of by a thread until it is over."""

    def __init__(self, what: str, out: TextIO) -> None:
        self.what = what
        self.detail = ""
        self._out = out
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._started = now()
        self._thread = threading.Thread(target=self._spin if out.isatty() else self._repeat, daemon=True)

    def begin(self) -> None:
        """Let the thread speak."""
        self._thread.start()

    def end(self) -> None:
        """Be quiet; on a terminal leave no trace."""
        self._over.set()
        self._thread.join()
        if self._out.isatty():
            self.write(CLEAR_LINE)

    def write(self, text: str) -> None:
        """Write in one piece."""
        with self._lock:
            self._out.write(text)
            self._out.flush()

    def _line(self) -> str:
        told = f"{self.what}: {self.detail}" if self.detail else self.what
        return f"{now() - self._started:.0f} s, {told}"[:WIDTH]

    def _spin(self) -> None:
        for mark in cycle("|/-\\"):
            self.write(f"{CLEAR_LINE}  {mark} {self._line()}")
            if self._over.wait(SPIN_SECONDS):
                return

    def _repeat(self) -> None:
        """Speak soon of what is not over at once, then now and then."""
        first, later = PLAIN_SECONDS
        pause = first
        while not self._over.wait(pause):
            self.write(f"    ... {self._line()}\n")
            pause = later


class Console:
    """Where the demonstration speaks."""

    def __init__(self, out: TextIO = sys.stdout) -> None:
        self._out = out
        self._busy: Busy | None = None

    def say(self, text: str = "") -> None:
        """Print a line, in place of the spinner's if there is one."""
        prefix = CLEAR_LINE if self._busy is not None and self._out.isatty() else ""
        (self._busy.write if self._busy is not None else self._write)(f"{prefix}{text}\n")

    def heading(self, text: str) -> None:
        """Begin a part."""
        bold, plain = (BOLD, PLAIN) if self._out.isatty() else ("", "")
        self.say(f"\n{bold}== {text}{plain}")

    def quote(self, text: str) -> None:
        """Print what a program said."""
        for line in text.strip("\n").splitlines():
            self.say(f"    {line}".rstrip())

    def command(self, where: str, words: Sequence[str]) -> None:
        """Print a command as a person would type it there."""
        first, *rest = fill([shlex.quote(word) for word in words], WIDTH - len(where) - 4)
        self.say("\n".join([f"  {where} {first}", *(f"      {line}" for line in rest)]))

    @contextmanager
    def busy(self, what: str) -> Iterator[Busy]:
        """Say that something is going on for as long as the block lasts."""
        self._busy = Busy(what, self._out)
        self._busy.begin()
        try:
            yield self._busy
        finally:
            busy, self._busy = self._busy, None
            busy.end()

    def wait(self, what: str, missing: Callable[[], Sequence[str]], *, within: float) -> None:
        """Wait until nothing is missing, and show what still is."""
        found: Sequence[str] = ()
        with self.busy(f"waiting for {what}") as busy:
            for _ in ticks(0.1, within):
                found = missing()
                if not found:
                    return
                busy.detail = found[0]
        raise Timeout(what, within, "\n".join(found))

    def table(self, rows: Sequence[Sequence[str]]) -> None:
        """Print rows in columns, the first one as their titles."""
        widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
        lines.insert(1, "  ".join("-" * width for width in widths))
        for line in lines:
            self.say(f"  {line.rstrip()}")

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()


def fill(words: Sequence[str], width: int) -> list[str]:
    """Break a command into lines that the shell reads as one."""
    lines = [""]
    for word in words:
        if lines[-1] and len(lines[-1]) + len(word) >= width:
            lines[-1] += " \\"
            lines.append(word)
        else:
            lines[-1] += f" {word}" if lines[-1] else word
    return lines
