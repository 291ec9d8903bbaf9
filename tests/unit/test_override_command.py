# SPDX-License-Identifier: GPL-2.0-or-later
"""``expgsql arbiter override``: when it is refused, and what it says before it is given."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.builders import a_member, a_primary, a_standby, a_view

from expgsql_ra.cli.override import Circumstances, explained, objection, override
from expgsql_ra.effects.configured import read_parameters
from expgsql_ra.errors import BadArguments, CannotTell
from expgsql_ra.override import Override
from expgsql_ra.record import NOTHING_SEEN, Found, HighWater, Missing, Successor, Unreachable, first_record
from expgsql_ra.snapshot import NoCluster, Orphans, Refusing, Stalled, Starting, Stopped, Unknown
from expgsql_ra.values import RepMode

CIB = Path(__file__).parents[1] / "golden/cib/pacemaker-2.1-first-start.xml"
VIEW = a_view("node1", a_member("node2", data_status="STREAMING|SYNC"), a_member("node3", online=False), me="node2")
NOW = Circumstances(
    answer=Unreachable("no route to host"),
    seen=HighWater(3, 17),
    server=Stopped(),
    view=VIEW,
    others=(("node1", "connection refused"), ("192.0.2.100", "no answer in time")),
)
RECORD = first_record("7", Successor("node1", "d1"), (3, 17), "root", "created")


@pytest.mark.parametrize("server", [Stopped(), a_standby(receiver=None), a_standby(receiver="waiting")])
def test_where_no_primary_is_seen_nothing_speaks_against_it(server: Stopped) -> None:
    assert objection(NOW._replace(server=server)) == ""


@pytest.mark.parametrize(
    ("now", "why"),
    [
        (NOW._replace(answer=Found(RECORD)), "the arbiter answers"),
        (NOW._replace(answer=Missing("no row")), "the arbiter answers"),
        (NOW._replace(seen=NOTHING_SEEN), "never seen"),
        (NOW._replace(others=(("node1", "refused"), ("node3", ""))), "takes writes at node3"),
        (NOW._replace(server=a_primary()), "takes writes already"),
        (NOW._replace(server=a_standby(receiver="streaming")), "its primary lives"),
        (NOW._replace(server=Starting(5)), "Starting"),
        (NOW._replace(server=Orphans((5,))), "Orphans"),
        (NOW._replace(server=Stalled(5, True, "")), "Stalled"),
        (NOW._replace(server=Refusing(5, True, "")), "Refusing"),
        (NOW._replace(server=Unknown("")), "Unknown"),
        (NOW._replace(view=Unknown("no CIB")), "no CIB"),
        (NOW._replace(view=NoCluster()), "in none"),
        (NOW._replace(view=VIEW._replace(quorate=False)), "no quorum"),
        (NOW._replace(view=VIEW._replace(promoted=("node1",))), "primary on node1"),
        (NOW._replace(view=a_view(a_member("node1", status="PRI"), "node2", me="node2")), "primary on node1"),
    ],
)
def test_it_is_refused(now: Circumstances, why: str) -> None:
    assert why in objection(now)


def test_what_a_dead_primary_left_in_the_cluster_does_not_count() -> None:
    view = a_view(a_member("node1", status="PRI", online=False), a_member("node2", status="PRI"), me="node2")
    assert objection(NOW._replace(view=view._replace(promoted=("NODE2",)))) == ""


def test_it_says_what_it_means() -> None:
    given = Override("7", 3, 17, "node2", "d2", "dba@node2", "2025-06-01T10:00:00Z", "burnt down")
    text = explained(given, NOW, "cls1")
    for part in (
        "no route to host",
        "COMMITS MAY BE LOST",
        "STREAMING|SYNC",
        "node1: connection refused",
        "than cls1",
        "--primary node2 --epoch 4",
        "--revision 19",
    ):
        assert part in text
    alone = explained(given, NOW._replace(view=NoCluster(), others=()), "")
    assert "last known as nothing" in alone
    assert "nobody was asked" in alone


@pytest.mark.parametrize("arguments", [["--timeout", "0"], ["--nonsense"], ["node2"]])
def test_wrong_arguments_are_refused(arguments: list[str]) -> None:
    assert CliRunner().invoke(override, arguments).exit_code == 2


# --- the parameters of a resource -------------------------------------------------------------

PRIMITIVE = """<primitive id="{name}"><instance_attributes>
<nvpair id="a" name="rep_mode" value="sync"/><nvpair id="b" name="master_ip" value="192.0.2.100"/>
<nvpair id="c" name="pgport" value="{port}"/></instance_attributes></primitive>"""


def with_primitive(name: str = "pgsql", port: str = "5433") -> str:
    """A cluster with one resource more."""
    document = CIB.read_text(encoding="utf-8")
    return document.replace("<resources>", "<resources>" + PRIMITIVE.format(name=name, port=port), 1)


def test_parameters_are_read_from_the_configuration() -> None:
    found = read_parameters(with_primitive("other"), "other")
    assert (found.rep_mode, found.master_ip, found.pgport) == (RepMode.SYNC, "192.0.2.100", 5433)


def test_parameters_of_nobody_or_no_use_are_refused() -> None:
    with pytest.raises(BadArguments, match="no resource nobody"):
        read_parameters(with_primitive(), "nobody")
    with pytest.raises(BadArguments, match="pgport=many"):
        read_parameters(with_primitive("other", "many"), "other")
    with pytest.raises(CannotTell, match="no XML"):
        read_parameters("<cib", "pgsql")
