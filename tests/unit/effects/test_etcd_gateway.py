# SPDX-License-Identifier: GPL-2.0-or-later
"""The addresses of etcd."""

from __future__ import annotations

import pytest

from expgsql_ra.effects.etcd_gateway import Endpoints, endpoints
from expgsql_ra.errors import BadArguments


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
