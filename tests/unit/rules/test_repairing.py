# SPDX-License-Identifier: GPL-2.0-or-later
"""When data may be repaired, in which way, and what is said of what is lost."""

from __future__ import annotations

from typing import Any

import pytest
from tests.builders import SYSTEM, a_history, local_wal
from tests.fake_operator import facts_of_primary, facts_of_standby, facts_of_stopped
from tests.fake_workshop import ANCESTRY_SOURCE, NODE, PRIMARY, after_failover

from expgsql_ra.deployment import NodeFacts
from expgsql_ra.record import NO_LEASE, Doubtful, Missing, Record, Successor, Trusted, Unbound, Unreachable
from expgsql_ra.repairs import Folder, Mark, Source
from expgsql_ra.rules import repairing
from expgsql_ra.rules.repairing import Follow, Objection, Renew, Rewind, Scene, Way
from expgsql_ra.snapshot import ControlData, LocalWal
from expgsql_ra.values import Fork, Lsn, RepMode

SEEN = after_failover()
D1, D2 = Successor(NODE, "d1"), Successor(PRIMARY, "d2")
RECORD = Record(SYSTEM, 2, 7, PRIMARY, (D1, D2), NO_LEASE, PRIMARY, "", "")
SCENE = Scene(NODE, SEEN, facts_of_stopped(NODE), facts_of_primary(PRIMARY), Trusted(RECORD))
FOLDER = Folder("/data", present=True, empty=False, free=100 << 30)
HISTORY = a_history("1@0/4000")
DIVERGED = local_wal(1, last_record="0/4800")


def parameters(**changed: Any) -> Any:
    """Those of the deployment, with other values."""
    given = SEEN.parameters
    return type(given).from_environ(
        {
            "OCF_RESKEY_rep_mode": "sync",
            "OCF_RESKEY_master_ip": "192.0.2.100",
            **{f"OCF_RESKEY_{name}": value for name, value in changed.items()},
        }
    )


def test_a_stopped_node_beside_the_records_primary_may_be_repaired() -> None:
    assert repairing.objection(SCENE) is None
    assert repairing.objection(SCENE._replace(record=Unbound(RECORD))) is None
    assert repairing.objection(SCENE._replace(record=None)) is None


@pytest.mark.parametrize(
    ("scene", "words", "inconsistent"),
    [
        (SCENE._replace(seen=SEEN._replace(parameters=parameters(rep_mode="slave"))), "rep_mode=slave", False),
        (SCENE._replace(seen=SEEN._replace(view=SEEN.view._replace(quorate=False))), "no quorum", True),
        (SCENE._replace(node="elsewhere"), "no node elsewhere", False),
        (SCENE._replace(seen=SEEN._replace(roles=())), "no primary to copy from", False),
        (SCENE._replace(node=PRIMARY), "is the primary", False),
        (SCENE._replace(primary=facts_of_standby(PRIMARY)), "no primary that answers", True),
        (SCENE._replace(primary=facts_of_stopped(PRIMARY)), "no primary that answers (stopped)", False),
        (SCENE._replace(record=Missing("no row")), "not to be had: no row", False),
        (SCENE._replace(record=Doubtful("went back")), "went back", False),
        (SCENE._replace(record=Unreachable("no route")), "no route", False),
        (SCENE._replace(record=Trusted(RECORD._replace(primary=NODE))), "names node1 as the primary", True),
        (SCENE._replace(record=Trusted(RECORD._replace(primary="node3"))), "names node3", True),
        (SCENE._replace(here=facts_of_standby(NODE)), "nothing to repair", False),
        (SCENE._replace(here=facts_of_primary(NODE)), "cannot be repaired as it is: primary", False),
        (SCENE._replace(here=NodeFacts(NODE, "stalled", "no answer")), "stalled: no answer", False),
    ],
)
def test_refused_with_what_to_do(scene: Scene, words: str, inconsistent: bool) -> None:
    found = repairing.objection(scene)
    assert found is not None
    assert words in found.why
    assert found.inconsistent is inconsistent


@pytest.mark.parametrize(("server", "passing"), [("unknown", True), ("stalled", False), ("primary", False)])
def test_only_a_server_here_that_was_not_asked_yet_is_waited_for(server: str, passing: bool) -> None:
    found = repairing.objection(SCENE._replace(here=NodeFacts(NODE, server, "no answer")))
    assert found is not None
    assert found.passing is passing


@pytest.mark.parametrize(
    "here",
    [
        facts_of_standby(NODE, receiver=""),
        facts_of_standby(NODE)._replace(marks=(Mark.REPAIRING.value,)),
        NodeFacts(NODE, "starting"),
    ],
)
def test_a_standby_that_does_not_stream_may_be_repaired(here: NodeFacts) -> None:
    assert repairing.objection(SCENE._replace(here=here)) is None


def test_only_where_commits_wait_or_an_arbiter_is_asked_a_record_is_kept() -> None:
    assert repairing.is_recorded(SEEN)
    assert not repairing.is_recorded(SEEN._replace(parameters=parameters(rep_mode="async")))


# --- the plan ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("way", "folder", "local", "state", "wanted"),
    [
        (Way.REBUILD, FOLDER, DIVERGED, "shut down", Renew),
        (Way.REWIND, FOLDER, DIVERGED, "shut down", Rewind),
        (Way.REWIND, FOLDER, local_wal(2, "1@0/4000"), "shut down", Follow),
        (Way.REWIND, FOLDER, local_wal(1), "in production", Rewind),
        (Way.REWIND, FOLDER._replace(present=False), None, "", Objection),
        (Way.REWIND_OR_REBUILD, FOLDER._replace(present=False), None, "", Renew),
        (Way.REWIND, FOLDER._replace(marks=(Mark.REWINDING, Mark.REPAIRING)), DIVERGED, "shut down", Objection),
        (Way.REWIND_OR_REBUILD, FOLDER._replace(marks=(Mark.REWINDING,)), DIVERGED, "shut down", Renew),
        (Way.REWIND, FOLDER._replace(marks=(Mark.REPAIRING,)), DIVERGED, "shut down", Rewind),
        (Way.REWIND, FOLDER, local_wal(1, system="1"), "shut down", Objection),
    ],
)
def test_what_is_done(way: Way, folder: Folder, local: LocalWal | None, state: str, wanted: type) -> None:
    assert isinstance(repairing.plan(way, folder, local, state, HISTORY), wanted)


def test_without_the_primarys_history_nothing_is_decided() -> None:
    assert isinstance(repairing.plan(Way.REWIND, FOLDER, DIVERGED, "shut down", None), Objection)


def test_only_after_a_clean_end_it_is_certain_that_data_has_diverged() -> None:
    certain = repairing.plan(Way.REWIND, FOLDER, DIVERGED, "shut down", HISTORY)
    crashed = repairing.plan(Way.REWIND, FOLDER, local_wal(1, reached="0/4800"), "in production", HISTORY)
    assert isinstance(certain, Rewind)
    assert isinstance(crashed, Rewind)
    assert (certain.certain, crashed.certain) == (True, False)


@pytest.mark.parametrize(
    ("local", "history", "wanted"),
    [
        (local_wal(1), HISTORY, Fork(1, Lsn.parse("0/4000"))),
        (local_wal(2, "1@0/3000"), HISTORY, Fork(1, Lsn.parse("0/3000"))),
        (local_wal(3, "1@0/4000", "2@0/4400"), HISTORY, Fork(2, Lsn.parse("0/4400"))),
        (local_wal(3, "1@0/4000"), HISTORY, Fork(1, Lsn.parse("0/4000"))),
        (local_wal(2, "1@0/4000"), HISTORY, None),
        (local_wal(7), HISTORY, None),
    ],
)
def test_where_two_histories_parted(local: LocalWal, history: Any, wanted: Fork | None) -> None:
    assert repairing.parting(local, history) == wanted


@pytest.mark.parametrize(
    ("local", "words"),
    [
        (DIVERGED, "up to 0/4800 at least (2,048 bytes or more)"),
        (local_wal(1), "known after the crash recovery"),
        (local_wal(1, end="0/3000"), "known after the crash recovery"),
        (local_wal(7), "whatever lies beyond"),
    ],
)
def test_what_is_thrown_away_is_said(local: LocalWal, words: str) -> None:
    assert words in repairing.loss(local, HISTORY)


def test_what_a_loss_means_depends_on_the_mode() -> None:
    assert "nobody was told" in repairing.promise(RepMode.SYNC)
    assert "may be in it" in repairing.promise(RepMode.ASYNC)


@pytest.mark.parametrize(
    ("state", "wanted"), [("shut down", False), ("shut down in recovery", False), ("in production", True)]
)
def test_a_server_that_did_not_end_in_order_is_recovered_first(state: str, wanted: bool) -> None:
    control = ControlData(SYSTEM, state, Lsn(1), 1, 0, Lsn(0))
    assert repairing.needs_recovery(control) is wanted


# --- R12 --------------------------------------------------------------------------------------


def test_the_record_is_written_without_the_directory_listed_or_not() -> None:
    listed = repairing.dismissal(RECORD, "NODE1", "rebuild")
    assert listed.successors == (D2,)
    unlisted = repairing.dismissal(RECORD._replace(successors=(D2,)), NODE, "rebuild")
    assert (unlisted.successors, unlisted.replaces.revision, unlisted.writer) == ((D2,), 7, NODE)


def test_the_records_primary_is_never_dismissed() -> None:
    with pytest.raises(ValueError, match="record's primary"):
        repairing.dismissal(RECORD, "NODE2", "rebuild")


# --- the source and the room ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (ANCESTRY_SOURCE, ""),
        (ANCESTRY_SOURCE._replace(in_recovery=True), "is a standby"),
        (ANCESTRY_SOURCE._replace(system="1"), "another database system"),
        (ANCESTRY_SOURCE._replace(timeline=3), "timeline 3"),
    ],
)
def test_who_is_copied(source: Source, words: str) -> None:
    found = repairing.source_objection(source, HISTORY)
    assert words in (found.why if found else "")
    assert bool(found) is bool(words)


@pytest.mark.parametrize(
    ("folder", "size", "words"),
    [
        (FOLDER, 1 << 30, ""),
        (FOLDER._replace(free=0), None, ""),
        (FOLDER._replace(is_mount_point=True), 1, "mount point"),
        (FOLDER._replace(occupied=("/ts",)), 1, "/ts; move them"),
        (FOLDER._replace(free=1 << 20), 1, "rm -rf /data)"),
        (FOLDER._replace(free=1 << 20, olds=("/data.old-1",)), 1, "rm -rf /data.old-1)"),
        (FOLDER._replace(free=1 << 20, present=False), 1, "make room, or"),
    ],
)
def test_room_for_a_copy(folder: Folder, size: int | None, words: str) -> None:
    found = repairing.no_room(folder, ANCESTRY_SOURCE._replace(size=size))
    assert words in found
    assert bool(found) is bool(words)


def test_sizes_are_for_people() -> None:
    assert [repairing.size(one) for one in (7, 3 << 20, 5 << 30)] == ["7 bytes", "3.0 MB", "5.0 GB"]


def test_every_mark_names_its_remedy() -> None:
    assert all("expgsql rebuild" in mark.meaning for mark in Mark)
