# SPDX-License-Identifier: GPL-2.0-or-later
"""`Inspection` and `Control`: the fake server does what PostgreSQL does."""

from __future__ import annotations

import pytest
from tests.contract.subjects import Subject, Waiting

from expgsql_ra.errors import CannotTell, CommandFailed
from expgsql_ra.rules.replication import CLOSED, OPEN
from expgsql_ra.snapshot import Primary, Refusing, Stalled, Standby, Starting, Stopped
from expgsql_ra.world import Shutdown

pytestmark = pytest.mark.timeout(90)


class Server(Subject, Waiting):
    """A subject with everything to wait by; for the type checker alone."""


def test_a_directory_at_rest_has_no_server(subject: Server) -> None:
    assert subject.look.server(5) == Stopped()
    assert subject.look.is_gone()
    assert subject.look.control().state == "shut down"
    assert subject.look.control().clean_primary
    assert subject.look.control().timeline == 1
    wal = subject.look.stopped_wal()
    assert (wal.timeline, wal.forks, wal.end) == (1, (), None)
    assert wal.last_record == subject.look.control().checkpoint


def test_a_standby_that_follows_nobody(subject: Server) -> None:
    found = subject.standby(CLOSED)
    assert (found.names, found.receiver, found.received, found.streams) == (CLOSED, None, None, False)
    assert found.end == found.replayed is not None
    assert subject.look.signalled_standby()
    assert not subject.look.is_connected()
    assert not subject.look.is_gone()


def test_a_standby_is_connected_without_a_restart(subject: Server) -> None:
    before = subject.standby(CLOSED)
    assert subject.control.follow(CLOSED)
    assert subject.look.is_connected()
    after = subject.becomes(Standby)
    assert (after.pid, after.names) == (before.pid, CLOSED)


def test_a_standby_tells_when_it_has_replayed_all_it_has(subject: Server) -> None:
    subject.standby(CLOSED)
    subject.wait_until(lambda: subject.look.replay(5)[1], "the end of its WAL")
    end, _ = subject.look.replay(5)
    assert end is not None
    wal = subject.look.standby_wal(end, 10)
    assert (wal.timeline, wal.forks, wal.end) == (1, (), end)


def test_a_promotion_begins_a_new_timeline_and_keeps_the_names(subject: Server) -> None:
    end = subject.standby(CLOSED).end
    subject.control.promote()
    found = subject.becomes(Primary)
    assert (found.timeline, found.names, found.senders) == (2, CLOSED, ())
    assert not subject.look.signalled_standby()
    assert subject.look.forks(2) == ((1, end),)
    assert subject.look.forks(1) == ()
    assert subject.look.system(5) == subject.look.control().system
    assert found.flushed > (end or 0)


def test_names_change_by_a_reload(subject: Server) -> None:
    before = subject.promoted(CLOSED)
    for names in (OPEN, 'FIRST 1 ("node-2")', 'FIRST 2 ("2nd", "it""s")', CLOSED):
        subject.control.rename(names)

        def has_changed(names: str = names) -> bool:
            server = subject.look.server(5)
            return isinstance(server, Primary) and server.names == names and server.pid == before.pid

        subject.wait_until(has_changed, f"the names {names}")


def test_a_start_in_place_keeps_the_timeline(subject: Server) -> None:
    found = subject.primary('FIRST 1 ("node2")')
    assert (found.timeline, found.names) == (1, 'FIRST 1 ("node2")')
    assert not subject.look.signalled_standby()
    assert subject.look.system(5) == subject.look.control().system


def test_a_start_in_place_can_leave_the_names_of_the_files(subject: Server) -> None:
    subject.promoted(CLOSED)
    subject.control.rename('FIRST 1 ("node2")')
    subject.stop(Shutdown.IMMEDIATE)
    assert subject.look.names_at_rest() == 'FIRST 1 ("node2")'
    subject.control.start_as_primary(None)
    found = subject.becomes(Primary)
    assert (found.timeline, found.names) == (2, 'FIRST 1 ("node2")')
    assert not subject.look.is_connected()


def test_the_names_of_the_files_are_read_whether_the_server_runs_or_not(subject: Server) -> None:
    subject.primary(OPEN)
    for names in ('FIRST 2 ("2nd", "it""s")', CLOSED, OPEN):
        subject.control.rename(names)
        assert subject.look.names_at_rest() == names
    subject.stop()
    assert subject.look.names_at_rest() == OPEN
    subject.standby(CLOSED)
    assert subject.look.names_at_rest() == CLOSED


def test_after_a_checkpoint_the_control_file_tells_the_timeline_of_a_promotion(subject: Server) -> None:
    subject.promoted()
    subject.control.checkpoint(20)
    assert subject.look.control().timeline == 2


def test_after_its_checkpoints_a_standby_tells_how_far_it_has_replayed(subject: Server) -> None:
    # what a standby's word rests on: where its own replay is, not what it receives
    subject.standby(CLOSED)
    subject.wait_until(lambda: subject.look.replay(5)[1], "the end of its WAL")
    end, _ = subject.look.replay(5)
    subject.look.standby_wal(None, 20)
    control = subject.look.control()
    assert (control.timeline, control.recovered) == (1, end)


def test_the_version_is_told_as_the_program_prints_it(subject: Server) -> None:
    name, product, number = subject.look.version().split()[:3]
    assert (name, product) == ("postgres", "(PostgreSQL)")
    assert number[0].isdigit()


def test_a_standby_that_follows_nobody_receives_no_timeline(subject: Server) -> None:
    assert subject.standby(CLOSED).receives is None


def test_a_primary_shut_down_in_order_is_clean(subject: Server) -> None:
    before = subject.promoted().flushed
    subject.stop()
    control = subject.look.control()
    assert (control.state, control.timeline) == ("shut down", 2)
    wal = subject.look.stopped_wal()
    assert wal.last_record is not None
    assert wal.last_record >= before
    assert [fork.timeline for fork in wal.forks] == [1]


@pytest.mark.parametrize("how", [Shutdown.IMMEDIATE, Shutdown.KILL])
def test_a_primary_that_was_cut_off_does_not_know_its_end(subject: Server, how: Shutdown) -> None:
    subject.primary()
    subject.stop(how)
    assert subject.look.control().state == "in production"
    assert subject.look.stopped_wal().last_record is None
    assert subject.standby(CLOSED).end is not None


def test_a_standby_that_was_stopped_is_no_clean_primary(subject: Server) -> None:
    subject.standby()
    subject.stop()
    assert subject.look.control().state == "shut down in recovery"
    assert subject.look.stopped_wal().last_record is None


def test_a_second_start_leaves_the_server_that_runs_alone(subject: Server) -> None:
    before = subject.standby(CLOSED)
    subject.control.start_as_it_is()
    subject.clock.pause(0.5)
    after = subject.look.server(5)
    assert isinstance(after, Standby)
    assert after.pid == before.pid


def test_a_primary_cannot_be_promoted(subject: Server) -> None:
    subject.primary()
    with pytest.raises(CommandFailed, match="promote"):
        subject.control.promote()


def test_a_frozen_server_stalls_and_is_not_gone(subject: Server) -> None:
    subject.standby()
    subject.freeze()
    found = subject.look.server(2)
    assert isinstance(found, Stalled)
    assert found.standby
    assert not subject.look.is_gone()
    subject.control.shut_down(Shutdown.FAST)
    subject.clock.pause(0.3)
    assert not subject.look.is_gone()
    assert subject.stop(Shutdown.KILL) == Stopped()


def test_a_killed_postmaster_leaves_nothing_behind_for_long(subject: Server) -> None:
    subject.primary()
    subject.kill_postmaster()
    subject.wait_until(subject.look.is_gone, "the end of its children")
    assert subject.look.server(5) == Stopped()


def test_a_server_that_starts_is_not_seen_in_the_first_moment(subject: Server) -> None:
    # why actions wait a little before they take a server that was started for one that has ended
    subject.control.start_as_standby(CLOSED, connected=False)
    seen: list[type[object]] = []
    while not seen or seen[-1] is not Standby:
        seen.append(type(subject.look.server(5)))
        subject.clock.pause(0.01)
    # refusing: it turned psql away and was ready when pg_isready asked a moment later
    assert set(seen) <= {Stopped, Starting, Refusing, Standby}
    first_seen = next(number for number, kind in enumerate(seen) if kind is not Stopped)
    assert Stopped not in seen[first_seen:]


def test_slots_are_made_once_and_dropped_once(subject: Server) -> None:
    subject.primary()
    for _ in range(2):
        subject.control.create_slot("s_node2", 5)
    assert subject.becomes(Primary).slots == ("s_node2",)
    for _ in range(2):
        subject.control.drop_slot("s_node2", 5)
    assert subject.becomes(Primary).slots == ()


def test_a_stopped_server_answers_no_questions(subject: Server) -> None:
    with pytest.raises(CannotTell):
        subject.look.replay(2)
    with pytest.raises(CannotTell):
        subject.look.system(2)
    with pytest.raises(CannotTell):
        subject.control.checkpoint(2)
    subject.control.shut_down(Shutdown.FAST)
    assert subject.look.server(5) == Stopped()
