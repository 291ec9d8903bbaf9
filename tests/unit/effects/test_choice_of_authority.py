# SPDX-License-Identifier: GPL-2.0-or-later
"""Which authority the parameters choose, and that nobody pays for one that was not chosen."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from tests.builders import some_parameters

from expgsql_ra.effects.arbiter import PostgresArbiter
from expgsql_ra.effects.authority import authority_of, chosen_authority
from expgsql_ra.effects.cluster_record import ClusterRecord
from expgsql_ra.effects.etcd import EtcdAuthority
from expgsql_ra.effects.lock_command import LockedAuthority
from expgsql_ra.effects.relay import RelayedAuthority
from expgsql_ra.errors import BadArguments

ARBITER: dict[str, Any] = {"enable_distlock": True, "distlock_conninfo": "host=arbiter", "distlock_lockname": "cls1"}


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({}, ClusterRecord),
        ({"distlock_conninfo": "host=arbiter"}, ClusterRecord),
        (ARBITER, PostgresArbiter),
        ({**ARBITER, "distlock_conninfo": "etcd://e1:2379/expgsql"}, EtcdAuthority),
        ({**ARBITER, "distlock_lockservice_deadcheck_nodelist": ("node1", "node2")}, RelayedAuthority),
        ({"enable_distlock": True, "distlock_lock_cmd": "lock @owner"}, LockedAuthority),
        ({**ARBITER, "distlock_lock_cmd": "lock @owner"}, PostgresArbiter),
    ],
)
def test_parameters_choose(given: dict[str, Any], kind: type) -> None:
    assert type(chosen_authority(some_parameters(**given), "pgsql", "node1")) is kind


def test_a_lock_that_is_named_nowhere_is_refused() -> None:
    with pytest.raises(BadArguments, match="distlock_conninfo or distlock_lock_cmd"):
        chosen_authority(some_parameters(enable_distlock=True), "pgsql", "node1")


def test_a_connection_string_chooses() -> None:
    assert type(authority_of("cluster:", "pgsql", 1)) is ClusterRecord
    with pytest.raises(BadArguments, match="stands by itself"):
        authority_of("cluster:pgsql", "pgsql", 1)


CODE = """
import sys
from tests.builders import some_parameters
from expgsql_ra.effects.authority import chosen_authority
chosen_authority(some_parameters(**{given}), "pgsql", "node1")
print(*sys.modules)
"""


@pytest.mark.parametrize("given", [{}, ARBITER])
def test_nothing_is_imported_that_was_not_chosen(given: dict[str, Any]) -> None:
    code = CODE.replace("{given}", repr(given))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = set(done.stdout.split())
    assert not modules & {"psycopg", "click", "expgsql_ra.effects.relay", "expgsql_ra.effects.etcd"}
    assert ("expgsql_ra.effects.cluster_record" in modules) == (not given)
