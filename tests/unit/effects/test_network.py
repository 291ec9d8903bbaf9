# SPDX-License-Identifier: GPL-2.0-or-later
"""Troubles on the way to an authority: each costs no more than the time given, and no secret."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from expgsql_ra.effects.authority import authority_of
from expgsql_ra.effects.clock import MonotonicClock
from expgsql_ra.effects.network import NoAnswer, Until, addresses, wait
from expgsql_ra.record import Unreachable
from expgsql_ra.world import Deadline

WITHIN = 0.5
AT_ONCE = 60.0
BUSY = 20.0
"""Seconds in which everything has its turn on a machine that is busy with other things."""


@contextlib.contextmanager
def waiting() -> Iterator[Deadline]:
    """A deadline that is waited for, and not much longer, as the kernel would."""
    clock = MonotonicClock()
    begun = clock.now()
    yield Deadline(clock, WITHIN)
    assert WITHIN * 0.8 <= clock.now() - begun < BUSY


@contextlib.contextmanager
def at_once() -> Iterator[Deadline]:
    """A deadline that is not waited for."""
    clock = MonotonicClock()
    begun = clock.now()
    yield Deadline(clock, AT_ONCE)
    assert clock.now() - begun < BUSY


@pytest.fixture
def dropping() -> Iterator[int]:
    """A port whose packets are dropped: its queue of connections is full, and nobody takes one out."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, contextlib.ExitStack() as stack:
        port = int(listener.getsockname()[1])
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        yield port


@pytest.fixture
def silent() -> Iterator[int]:
    """A port that takes connections and never says anything, as a stopped server's."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield int(listener.getsockname()[1])


@pytest.fixture
def closed() -> int:
    """A port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.mark.parametrize("form", ["host=127.0.0.1 port={} dbname=x", "etcd://127.0.0.1:{}/x"])
@pytest.mark.parametrize("trouble", ["dropping", "silent"])
def test_no_answer_costs_the_time_given(form: str, trouble: str, request: pytest.FixtureRequest) -> None:
    authority = authority_of(form.format(request.getfixturevalue(trouble)), "cls1", 30)
    with waiting():
        answer = authority.read(WITHIN)
    assert isinstance(answer, Unreachable)


@pytest.mark.parametrize(
    "form", ["host=127.0.0.1,127.0.0.1 port={0},{1} dbname=x", "etcd://127.0.0.1:{0},127.0.0.1:{1}/x"]
)
def test_each_of_two_gets_its_share(form: str, dropping: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as second:
        with waiting():
            answer = authority_of(form.format(dropping, second.getsockname()[1]), "cls1", 30).read(WITHIN)
        assert isinstance(answer, Unreachable)
        second.settimeout(BUSY)
        second.accept()[0].close()


@pytest.mark.parametrize("form", ["host=127.0.0.1 port={} dbname=x", "etcd://127.0.0.1:{}/x"])
def test_a_refusal_is_known_at_once(form: str, closed: int) -> None:
    with at_once():
        answer = authority_of(form.format(closed), "cls1", 30).read(AT_ONCE)
    assert isinstance(answer, Unreachable)
    assert "refused" in answer.why


def test_a_resolver_that_hangs_is_left_behind() -> None:
    hang = threading.Event()

    def resolver(_host: str) -> tuple[str, ...]:
        hang.wait(2 * BUSY)
        return ("192.0.2.1",)

    with waiting() as deadline, pytest.raises(NoAnswer, match="not resolved in time"):
        addresses("arbiter.example", deadline, resolver)
    hang.set()


def test_a_resolvers_error_is_told() -> None:
    def resolver(_host: str) -> tuple[str, ...]:
        raise socket.gaierror("no such name")

    with at_once() as deadline, pytest.raises(NoAnswer, match=r"arbiter\.example: no such name"):
        addresses("arbiter.example", deadline, resolver)


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1"])
def test_an_address_is_not_looked_up(host: str) -> None:
    def resolver(_host: str) -> tuple[str, ...]:
        raise AssertionError

    with at_once() as deadline:
        assert addresses(host, deadline, resolver) == (host,)


def test_a_name_has_each_address_once() -> None:
    with at_once() as deadline:
        assert addresses("x", deadline, lambda _: ["192.0.2.1", "192.0.2.2", "192.0.2.1"]) == ("192.0.2.1", "192.0.2.2")


def test_a_wait_says_what_for() -> None:
    one, other = socket.socketpair()
    with one, other, waiting() as deadline:
        wait(one.fileno(), Until.WRITABLE, deadline, "room")
        with pytest.raises(NoAnswer, match="waiting for news"):
            wait(one.fileno(), Until.READABLE, deadline, "news")


@pytest.mark.parametrize("text", ["host=x password='s3cret", "postgresql://u:s3cret@[x/"])
def test_a_connection_string_that_is_none_keeps_its_secrets(text: str) -> None:
    answer = authority_of(text, "cls1", 30).read(WITHIN)
    assert isinstance(answer, Unreachable)
    assert "no connection string" in answer.why
    assert "s3cret" not in answer.why
