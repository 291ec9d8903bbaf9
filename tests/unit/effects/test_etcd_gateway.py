# SPDX-License-Identifier: GPL-2.0-or-later
"""The addresses of etcd, and members that are none or do not come to an end."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

import pytest

from expgsql_ra.effects.clock import MonotonicClock
from expgsql_ra.effects.etcd_gateway import Endpoints, Gateway, endpoints
from expgsql_ra.effects.network import NoAnswer
from expgsql_ra.errors import BadArguments
from expgsql_ra.world import Deadline


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("etcd://e1:2379,e2:12379/ha", Endpoints((("e1", 2379), ("e2", 12379)), "/ha")),
        ("etcd://e1", Endpoints((("e1", 2379),), "/")),
        ("etcd://[2001:db8::1]:4001/a/b/", Endpoints((("2001:db8::1", 4001),), "/a/b")),
        (
            "etcds://e1/ha?cacert=/ca.pem&cert=/c.pem&key=/k.pem",
            Endpoints((("e1", 2379),), "/ha", True, (("cacert", "/ca.pem"), ("cert", "/c.pem"), ("key", "/k.pem"))),
        ),
    ],
)
def test_addresses_that_are_understood(url: str, expected: Endpoints) -> None:
    assert endpoints(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "etcd://",
        "etcd:///ha",
        "etcd://e1,/ha",
        "etcd://e1:port/ha",
        "etcd://e1:70000/ha",
        "etcd://user:password@e1/ha",
        "etcd://e1/ha?cacert=/ca.pem",
        "etcds://e1/ha?insecure=1",
        "etcd://e1/ha#x",
        "http://e1/ha",
    ],
)
def test_addresses_that_are_not(url: str) -> None:
    with pytest.raises(BadArguments, match="not etcd://HOST:PORT"):
        endpoints(url)


def drip(server: socket.socket, pieces: Iterable[bytes], pause: Callable[[], object]) -> None:
    """Take one request and answer piece by piece."""
    link, _ = server.accept()
    with link, suppress(OSError):
        link.recv(65536)
        for piece in pieces:
            link.sendall(piece)
            pause()


@contextmanager
def member(*pieces: bytes, pause: float = 0.0) -> Iterator[Gateway]:
    """Something that takes a request and answers with these pieces, a pause after each."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        worker = threading.Thread(target=drip, args=(server, pieces, lambda: over.wait(pause)))
        worker.start()
        try:
            yield Gateway(endpoints(f"etcd://127.0.0.1:{server.getsockname()[1]}"), Deadline(MonotonicClock(), 1.0))
        finally:
            over.set()
            worker.join()


@pytest.mark.parametrize("content", [b"[]", b"null", b'"x"', b"x", b""])
def test_what_is_no_etcd_gives_no_answer(content: bytes) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(content)
    with member(head + content) as gateway, pytest.raises(NoAnswer):
        gateway.post("/v3/kv/range", {})


def test_an_answer_that_drips_ends_at_the_deadline() -> None:
    clock = MonotonicClock()
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
    with member(head, *[b" "] * 1000, pause=0.3) as gateway:
        begun = clock.now()
        with pytest.raises(NoAnswer):
            gateway.post("/v3/kv/range", {})
        assert clock.now() - begun < 20, "all of it would take 300 s"
