# SPDX-License-Identifier: GPL-2.0-or-later
"""What talking to another machine has in common: names turned into addresses, and waits that end."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Callable, Iterable
from enum import Enum

from expgsql_ra.world import Deadline


class NoAnswer(Exception):
    """Nobody answered, or not in time. The message says who and why, without secrets."""


class Rejected(NoAnswer):
    """The server answered with an error: what was asked for did not happen. ``state`` is its code for that."""

    def __init__(self, why: str, state: str) -> None:
        super().__init__(why)
        self.state = state


class Until(Enum):
    """What a socket is waited for."""

    READABLE = "readable"
    WRITABLE = "writable"
    EITHER = "either"


Resolver = Callable[[str], Iterable[str]]


def _resolved(host: str) -> Iterable[str]:
    """The system's resolver."""
    return (str(address[0]) for *_, address in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM))


def addresses(host: str, deadline: Deadline, resolver: Resolver = _resolved) -> tuple[str, ...]:
    """The numeric addresses of a host; raises `NoAnswer`.

    The resolver knows no time limit, so it works in a thread that is left behind when the time is over.
    """
    answers: list[tuple[str, ...]] = []
    problems: list[str] = []

    def resolve() -> None:
        try:
            answers.append(tuple(dict.fromkeys(resolver(host))))
        except (OSError, UnicodeError) as problem:
            problems.append(str(problem))

    if _is_numeric(host):
        return (host,)
    worker = threading.Thread(target=resolve, daemon=True)
    worker.start()
    worker.join(deadline.left())
    if answers:
        return answers[0]
    raise NoAnswer(f"{host}: {problems[0] if problems else 'its name was not resolved in time'}")


def _is_numeric(host: str) -> bool:
    try:
        socket.getaddrinfo(host, None, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return False
    return True


def wait(descriptor: int, until: Until, deadline: Deadline, what: str) -> None:
    """Wait for a socket; raises `NoAnswer` naming ``what`` it was waited for when the time is over."""
    events = {
        Until.READABLE: select.POLLIN,
        Until.WRITABLE: select.POLLOUT,
        Until.EITHER: select.POLLIN | select.POLLOUT,
    }
    poll = select.poll()
    poll.register(descriptor, events[until])
    if not poll.poll(deadline.left() * 1000):
        raise NoAnswer(f"no answer in time while waiting for {what}")
