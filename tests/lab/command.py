"""Running programs on the machine itself: one place, argv only, always bounded."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# A program that says nothing more for this long is stuck: the lab's slowest step on an idle
# machine takes a tenth of it.
PATIENCE = 60.0


@dataclass(frozen=True)
class Result:
    """What a program answered."""

    argv: tuple[str, ...]
    rc: int
    stdout: str
    stderr: str

    @property
    def succeeded(self) -> bool:
        """Whether the program exited with 0."""
        return self.rc == 0

    def check(self) -> Result:
        """Return the result, or raise what went wrong."""
        if not self.succeeded:
            raise CommandFailed(self)
        return self


class CommandFailed(Exception):
    """A program exited with something else than 0."""

    def __init__(self, result: Result) -> None:
        tail = (result.stderr.strip() or result.stdout.strip())[-2000:]
        super().__init__(f"{shlex.join(result.argv)} exited with {result.rc}: {tail}")
        self.result = result


def attempt(
    *argv: str,
    stdin: str = "",
    timeout: float = PATIENCE,
    env: Mapping[str, str] | None = None,
) -> Result:
    """Run a program and return its answer, whatever it is."""
    done = subprocess.run(
        argv,
        input=stdin,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout,
        check=False,
        env=None if env is None else {**os.environ, **env},
    )
    return Result(tuple(argv), done.returncode, done.stdout, done.stderr)


def run(
    *argv: str,
    stdin: str = "",
    timeout: float = PATIENCE,
    env: Mapping[str, str] | None = None,
) -> str:
    """Run a program that must succeed and return its standard output."""
    return attempt(*argv, stdin=stdin, timeout=timeout, env=env).check().stdout


def detach(argv: Sequence[str], *, log: int, pass_fds: Sequence[int] = ()) -> None:
    """Start a program that outlives this one and is nobody's child."""
    words = ("setsid", "--fork", *argv)
    subprocess.run(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=tuple(pass_fds), check=True)


def spawn(
    argv: Sequence[str],
    *,
    stdin: int = subprocess.DEVNULL,
    log: int = subprocess.DEVNULL,
    env: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own, so that Ctrl-C at the terminal spares it.

    Its output goes to a file: an undrained pipe would block it sooner or later.
    """
    return subprocess.Popen(
        argv,
        stdin=stdin,
        stdout=log,
        stderr=log,
        start_new_session=True,
        env=None if env is None else dict(env),
    )
