"""Repairs by the operator's commands: one command each, also after a kill in the middle of it."""

from __future__ import annotations

import signal
import threading

import pytest
from tests.lab import faults
from tests.lab.cluster import Cluster
from tests.lab.command import Result
from tests.lab.configuration import CLONE, RESOURCE, Config
from tests.lab.node import EXPGSQL, PGDATA, POSTGRES, Node
from tests.lab.waiting import now, wait_until
from tests.lab.writer import Writer
from tests.system import story
from tests.system.shared import lab_config
from tests.system.story import the_primary

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

OWN = "# this node's own line\n"
REPAIRING, REWINDING = f"{PGDATA}/expgsql.repairing", f"{PGDATA}/expgsql.rewinding"
DONE, NOT_NOW = 0, 10


@pytest.fixture(scope="module")
def config() -> Config:
    """Three nodes, as always."""
    return lab_config()


def expgsql(node: Node, *words: str, within: float = 120.0) -> Result:
    """Run a command as root types it on a node."""
    return node.run((EXPGSQL, *words), timeout=within)


def diverge(cluster: Cluster) -> Node:
    """Have the primary write what nobody else gets, and lose its place; it comes back and is refused."""
    old = the_primary(cluster)
    old.unplug()
    old.sql("set synchronous_commit to local; create table alone as select generate_series(1, 100000) as row")
    with faults.powered_off(old, cluster):
        story.new_primary(cluster, old)
    assert story.outcome_of_return(cluster, old) == story.REFUSED
    story.assert_refused_with_remedy(cluster, old)
    return old


def exists(node: Node, path: str) -> bool:
    """Whether there is something of that name on a node."""
    return node.run(("test", "-e", path)).succeeded


def directory_id(node: Node) -> str:
    """What the agent keeps in a data directory."""
    return node.read(f"{PGDATA}/expgsql.state")


def assert_repaired(cluster: Cluster, node: Node) -> None:
    """It streams, nothing is left of the repair, and no failure is remembered."""
    assert story.streams(cluster, node)
    assert story.refusal(cluster, node) is None
    left = node.run(f"ls -d {PGDATA}.* {REPAIRING} {REWINDING} /var/lib/expgsql/*.kept").stdout
    assert left.split() == []
    cluster.wait_healthy()


def kill_in_the_middle(node: Node, command: tuple[str, ...], sign: str) -> None:
    """Run a command and kill it as soon as something of that name is there; its children live on for the moment."""
    thread = threading.Thread(target=lambda: expgsql(node, *command))
    thread.start()
    try:
        wait_until(lambda: node.path(sign).exists(), within=60, what=f"{sign} to be there", every=0.002)
        victims = node.signal(rf"^\S*python\S* {EXPGSQL} {command[0]}", signal.SIGKILL)
    finally:
        thread.join()
    assert victims


def test_diverged_old_primary_is_repaired_by_one_command(audited: Cluster, writer: Writer) -> None:
    old = diverge(audited)
    primary = the_primary(audited)
    hba = old.read(f"{PGDATA}/pg_hba.conf") + OWN
    old.write(f"{PGDATA}/pg_hba.conf", hba, mode=0o600, owner="postgres")
    before = directory_id(old)

    refused = expgsql(primary, "repair", "--yes")
    assert (refused.rc, "is the primary" in refused.stderr) == (NOT_NOW, True)
    told = expgsql(primary, "repair", old.name, "--dry-run")
    assert (told.rc, "this is thrown away" in told.stdout) == (DONE, True), told
    assert story.refusal(audited, old) is not None

    repaired = expgsql(primary, "repair", old.name, "--yes")
    assert repaired.rc == DONE, repaired
    assert_repaired(audited, old)
    assert old.read(f"{PGDATA}/pg_hba.conf") == hba
    assert directory_id(old) != before
    assert '"repair"' in old.read(f"/var/lib/expgsql/{RESOURCE}.history.jsonl")
    assert old.sql("select to_regclass('alone') is null") == [(True,)]
    again = expgsql(old, "repair", "--yes")
    assert (again.rc, "nothing to repair" in again.stderr) == (NOT_NOW, True)
    writer.wait_for_acks(since=now())


def test_rewind_killed_in_the_middle_is_never_started_and_repaired_by_the_next_call(
    audited: Cluster, writer: Writer
) -> None:
    old = diverge(audited)
    kill_in_the_middle(old, ("repair", "--yes"), REWINDING)
    # Pacemaker may be told to try: nothing is started on what is half rewound
    audited.cleanup()
    audited.wait_for(
        lambda: "half rewound" in (story.refusal(audited, old) or ""), within=30, what="a start to be refused anew"
    )
    assert "expgsql rebuild" in (story.refusal(audited, old) or "")
    assert not old.processes(POSTGRES)
    named = expgsql(old, "repair", "--yes")
    assert (named.rc, "run expgsql rebuild" in named.stderr) == (NOT_NOW, True), named
    repaired = expgsql(old, "repair", "--or-rebuild", "--yes")
    assert repaired.rc == DONE, repaired
    assert_repaired(audited, old)
    writer.wait_for_acks(since=now())


def test_lost_directory_is_rebuilt_while_writes_go_on_also_after_a_kill(audited: Cluster, writer: Writer) -> None:
    node = story.spare_standby(audited)
    session = writer.open_session(the_primary(audited))
    node.run(f"crm_resource --resource {CLONE} --ban --node {node.name}").check()
    audited.wait_for(lambda: not node.processes(POSTGRES), within=60, what=f"the server on {node} to stop")
    node.run(("find", PGDATA, "-mindepth", "1", "-delete")).check()
    story.clear(node)
    kill_in_the_middle(node, ("rebuild", "--yes"), f"{PGDATA}.new")
    assert not exists(node, f"{PGDATA}/PG_VERSION")
    rebuilt = expgsql(node, "rebuild", "--yes")
    assert rebuilt.rc == DONE, rebuilt
    assert_repaired(audited, node)
    writer.wait_for_acks(since=now())
    writer.assert_open(session)
