# SPDX-License-Identifier: GPL-2.0-or-later
"""What only a real server can show: foreign clients, stale pid files, signals, files of other owners."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest
from tests.contract.conftest import USER, a_folder
from tests.contract.subjects import RealSubject

from expgsql_ra.effects import files, proc
from expgsql_ra.effects.installation import Installation
from expgsql_ra.effects.preflight import check_before_start
from expgsql_ra.effects.process import account
from expgsql_ra.errors import AgentError, CannotTell, NotPermitted
from expgsql_ra.rules.replication import CLOSED
from expgsql_ra.snapshot import Orphans, Primary, Refusing, Stalled, Stopped
from expgsql_ra.world import Shutdown

pytestmark = [pytest.mark.lab, pytest.mark.timeout(90)]


def connect(real: RealSubject) -> psycopg.Connection[tuple[object, ...]]:
    """A client's session."""
    p = real.parameters
    return psycopg.connect(
        host=p.socketdir, port=p.pgport, user=USER, dbname="postgres", connect_timeout=5, autocommit=True
    )


# --- walsenders of every kind -----------------------------------------------------------------


@contextmanager
def receiving(real: RealSubject, name: str, folder: Path) -> Iterator[None]:
    """A pg_receivewal under that name: a physical walsender of somebody else."""
    p = real.parameters
    program = real.at.tool("pg_receivewal")
    target = f"host={p.socketdir} port={p.pgport} user={USER} application_name='{name}'"
    process = subprocess.Popen([program, "-D", str(folder), "-d", target, "--no-loop"], stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def senders(real: RealSubject) -> list[tuple[str, str]]:
    """Names and states of the walsenders that are seen."""
    found = real.look.server(5)
    assert isinstance(found, Primary)
    return [(one.name, one.state) for one in found.senders]


@pytest.mark.parametrize("name", ["node2|STREAMING|SYNC x", "it\\'s", 'quo"te', "95% (used)"])
def test_names_of_clients_arrive_as_they_are(real: RealSubject, tmp_path: Path, name: str) -> None:
    real.primary()
    spelled = name.replace("\\'", "'")
    with receiving(real, name, tmp_path):
        real.wait_until(lambda: (spelled, "streaming") in senders(real), f"a walsender called {spelled}")


def test_a_logical_subscriber_is_no_standby_whatever_it_calls_itself(real: RealSubject) -> None:
    real.use(start_opt="-c fsync=off -c wal_level=logical")
    real.primary()
    with connect(real) as session:
        session.execute("select pg_create_logical_replication_slot('s', 'pgoutput')")
        session.execute("create publication p for all tables")
    p = real.parameters
    program = [real.at.tool("pg_recvlogical"), "-S", "s", "--start", "-f", "/dev/null", "--no-loop"]
    options = ["-o", "proto_version=1", "-o", "publication_names=p"]
    target = ["-d", f"host={p.socketdir} port={p.pgport} user={USER} dbname=postgres application_name=node2"]
    process = subprocess.Popen([*program, *options, *target], stderr=subprocess.DEVNULL)
    try:
        with connect(real) as session:
            question = "select count(*) from pg_stat_replication where state = 'streaming'"
            real.wait_until(lambda: session.execute(question).fetchall() == [(1,)], "the subscriber")
        # it is told apart, for PostgreSQL would count it as the standby whose name it bears
        assert senders(real) == [("node2", "logical")]
    finally:
        process.kill()
        process.wait()


# --- a server that answers others -------------------------------------------------------------


def test_no_connection_left_is_refusing_and_not_stalled(real: RealSubject) -> None:
    real.use(
        start_opt="-c fsync=off -c max_connections=2 -c superuser_reserved_connections=0 -c max_wal_senders=0"
        " -c wal_level=minimal"
    )
    real.primary()
    with connect(real), connect(real):
        found = real.look.server(5)
    assert isinstance(found, Refusing)
    assert "too many clients" in found.why


def test_a_wrong_monitor_user_is_refusing_with_the_servers_own_words(real: RealSubject) -> None:
    real.primary()
    real.use(monitor_user="nobody_of_that_name")
    found = real.look.server(5)
    assert isinstance(found, Refusing)
    assert 'role "nobody_of_that_name" does not exist' in found.why
    assert not found.standby


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("select 1", None),
        ("select 1;\nselect 'it''s; \\ \" %s'", None),
        ("select 1/0", "monitor_sql failed: .*division by zero"),
        ("nonsense", "monitor_sql failed: .*syntax error"),
        ("select pg_sleep(30)", "monitor_sql.*"),
    ],
)
def test_an_administrators_check(real: RealSubject, statement: str, reason: str | None) -> None:
    real.primary()
    if reason is None:
        real.look.monitor_query(statement, 5)
        return
    with pytest.raises(CannotTell, match=reason):
        real.look.monitor_query(statement, 1)


def test_no_statement_outlives_the_agent_even_when_its_time_was_over_before(real: RealSubject) -> None:
    # a statement_timeout of zero milliseconds would be none
    real.primary()
    with pytest.raises(CannotTell):
        real.look.monitor_query("select pg_sleep(60)", 0.0)
    with connect(real) as session:
        question = "select count(*) from pg_stat_activity where query like '%pg_sleep%' and pid <> pg_backend_pid()"
        real.wait_until(lambda: session.execute(question).fetchall() == [(0,)], "the end of the statement")


def test_a_psqlrc_does_not_matter(real: RealSubject, monkeypatch: pytest.MonkeyPatch) -> None:
    with a_folder() as home:
        (home / ".psqlrc").write_text("\\timing on\n\\x on\nselect 'noise';\n", encoding="utf-8")
        monkeypatch.setattr(real.at, "environ", {**real.at.environ, "PSQLRC": str(home / ".psqlrc"), "HOME": str(home)})
        real.primary()
        assert real.look.system(5).isdigit()


# --- processes --------------------------------------------------------------------------------


def test_a_stale_pid_file_with_another_process_fools_nobody(real: RealSubject) -> None:
    pid_file = Path(real.parameters.pgdata, "postmaster.pid")
    pid_file.write_text(f"{os.getpid()}\n{real.parameters.pgdata}\n1700000000\n5432\n\n\n\nready\n", encoding="utf-8")
    assert real.look.server(5) == Stopped()
    assert real.look.is_gone()
    pid_file.unlink()


def test_a_server_whose_pid_file_was_removed_is_still_seen_and_stopped(real: RealSubject) -> None:
    real.primary()
    pid = real.pid
    Path(real.parameters.pgdata, "postmaster.pid").unlink()
    assert not real.look.is_gone()
    assert real.pid == pid
    real.control.shut_down(Shutdown.FAST)
    real.wait_until(real.look.is_gone, "the end of the server")


def test_children_that_outlive_their_postmaster_are_orphans_until_they_are_killed(real: RealSubject) -> None:
    real.primary()
    children = [pid for pid in proc.processes_of(real.at.folder) if pid != real.pid]
    for pid in children:
        with suppress(ProcessLookupError):  # a backend of the look before this one
            os.kill(pid, signal.SIGSTOP)
    real.kill_postmaster()
    real.wait_until(lambda: isinstance(real.look.server(5), Orphans), "orphans alone")
    assert not real.look.is_gone()
    real.control.shut_down(Shutdown.FAST)
    assert not real.look.is_gone()
    real.control.shut_down(Shutdown.KILL)
    real.wait_until(real.look.is_gone, "the end of the orphans")


def test_a_frozen_server_is_told_within_the_bound(real: RealSubject) -> None:
    real.primary()
    real.freeze()
    begun = time.monotonic()
    found = real.look.server(2)
    assert isinstance(found, Stalled)
    assert time.monotonic() - begun < 20
    assert not found.standby


def test_an_unreadable_pid_file_is_unknown_and_not_stopped(real: RealSubject) -> None:
    real.primary()
    pid_file = Path(real.parameters.pgdata, "postmaster.pid")
    kept = pid_file.rename(pid_file.with_suffix(".kept"))
    pid_file.symlink_to(kept)
    assert type(real.look.server(5)).__name__ == "Unknown"
    with pytest.raises(CannotTell):
        real.look.is_gone()
    pid_file.unlink()
    kept.rename(pid_file)


# --- files of the server's user ---------------------------------------------------------------


def test_a_link_planted_by_the_servers_user_is_not_followed() -> None:
    user = account(USER)
    with a_folder() as folder:
        secret = folder / "roots"
        secret.write_text("precious", encoding="utf-8")
        secret.chmod(0o600)
        os.chown(secret, 0, 0)
        for name in ("conf", "conf.new"):
            (folder / name).symlink_to(secret)
        files.as_user(user, lambda: files.write(str(folder / "conf"), "ours"))
        assert secret.read_text(encoding="utf-8") == "precious"
        assert (folder / "conf").stat().st_uid == user.uid
    assert os.geteuid() == 0


def test_where_the_servers_user_may_not_write_neither_do_we() -> None:
    with a_folder() as folder:
        (folder / "conf").write_text("before", encoding="utf-8")
        os.chown(folder, 0, 0)
        with pytest.raises(NotPermitted, match="Permission denied"):
            files.as_user(account(USER), lambda: files.write(str(folder / "conf"), "after"))
        assert (folder / "conf").read_text(encoding="utf-8") == "before"
    assert os.geteuid() == 0


@contextmanager
def a_full_disk() -> Iterator[Path]:
    """A small file system of the server's user that has no room left."""
    with a_folder() as folder:
        owner = account(USER)
        options = f"size=64k,uid={owner.uid},gid={owner.gid},mode=700"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True)
        try:
            yield folder
        finally:
            subprocess.run(["umount", folder], check=True)


def test_a_full_disk_leaves_the_old_file_and_no_other() -> None:
    with a_full_disk() as folder:
        path = folder / "conf"
        files.as_user(account(USER), lambda: files.write(str(path), "before"))
        (folder / "filler").write_bytes(b"x" * 59_000)
        with pytest.raises(NotPermitted, match="No space left on device; free space"):
            files.as_user(account(USER), lambda: files.write(str(path), "after" * 4000))
        assert path.read_text(encoding="utf-8") == "before"
        assert sorted(one.name for one in folder.iterdir()) == ["conf", "filler"]


# --- what a start is refused for --------------------------------------------------------------


def refusal(at: Installation) -> AgentError:
    """Why a start would be refused."""
    with pytest.raises(AgentError) as caught:
        check_before_start(at)
    return caught.value


def test_a_real_host_is_fit(real: RealSubject) -> None:
    check_before_start(real.at)


def test_a_data_directory_of_somebody_else(real: RealSubject) -> None:
    os.chown(real.parameters.pgdata, 0, 0)
    assert "does not belong to postgres; chown it or correct pgdba" in str(refusal(real.at))


def test_a_read_only_data_directory(real: RealSubject) -> None:
    pgdata = real.parameters.pgdata
    subprocess.run(["mount", "--bind", pgdata, pgdata], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", pgdata], check=True)
        problem = refusal(real.at)
    finally:
        subprocess.run(["umount", pgdata], check=True)
    assert isinstance(problem, NotPermitted)
    assert "Read-only file system" in str(problem)


def test_names_set_by_alter_system_are_noticed(real: RealSubject) -> None:
    real.primary()
    with connect(real) as session:
        session.execute("alter system set synchronous_standby_names = 'x'")
    real.stop()
    assert "was set by ALTER SYSTEM" in str(refusal(real.at))


def test_a_running_servers_own_pid_file_and_port_are_no_obstacle(real: RealSubject) -> None:
    real.primary()
    check_before_start(real.at)


# --- our settings in the server's configuration -----------------------------------------------


def test_the_include_line_is_added_once_and_keeps_what_was_there(real: RealSubject) -> None:
    config = Path(real.parameters.pgdata, "postgresql.conf")
    comment = "# 数据库 für alle\n".encode("gbk", errors="replace") + b"# \xff\n"
    config.write_bytes(comment + config.read_bytes())
    mode = config.stat().st_mode
    for _ in range(2):
        real.standby(CLOSED)
        real.stop()
    content = config.read_bytes()
    assert content.startswith(comment)
    assert content.count(b"rep_mode.conf") == 1
    assert (config.stat().st_mode, config.stat().st_uid) == (mode, account(USER).uid)
    folder = Path(real.parameters.tmpdir).stat()
    assert (folder.st_uid, folder.st_mode & 0o777) == (account(USER).uid, 0o700)


def test_the_server_inherits_nothing_of_the_callers_environment(real: RealSubject) -> None:
    real.primary()
    environ = Path(f"/proc/{real.pid}/environ").read_bytes().split(b"\0")
    names = {one.partition(b"=")[0].decode() for one in environ if one}
    assert not {name for name in names if name.startswith(("OCF_", "HA_", "PGPASSWORD", "PYTEST"))}
    assert b"LC_ALL=C" in environ
