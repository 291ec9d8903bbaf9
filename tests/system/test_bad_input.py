"""Bad input: a clear reason, the right code, nothing changed; and no mistake makes stop or monitor lie.

All on one node without a cluster, except for what only a cluster can tell.
"""

from __future__ import annotations

import hashlib
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tests.lab import configuration, faults, processes
from tests.lab.cluster import Cluster
from tests.lab.command import run
from tests.lab.databases import start_server, stop_server
from tests.lab.node import PGDATA, POSTGRES, Node
from tests.system.agent import ARGS, NOT_RUNNING, PERM, SUCCESS, Agent, Answer
from tests.system.shared import LAB, SharedCluster, lab_config
from tests.system.wrong import ANYWHERE, HERE, PREPARATION, Wrong

pytestmark = [pytest.mark.lab, pytest.mark.timeout(400)]

NODES = "node1 node2 node3"
HOST_LEVEL = 10
# Of Pacemaker 2.1.5: one that knows degraded states.
FEATURE_SET = "3.16.1"


# The node


@dataclass(frozen=True)
class Bench:
    """A node without a cluster, whose database was in use before, and the agent there."""

    cluster: Cluster
    pristine: Path

    @property
    def node(self) -> Node:
        """The node."""
        return self.cluster.nodes[0]

    @property
    def agent(self) -> Agent:
        """The agent as a correct configuration runs it."""
        parameters = configuration.parameters(self.cluster.config, self.node.bindir)
        return Agent(self.node, {**parameters, "node_list": NODES})

    @property
    def monitoring(self) -> Agent:
        """The agent in its recurring monitor, which does more than a probe."""
        return replace(self.agent, meta={"interval": "4000", "crm_feature_set": FEATURE_SET})

    @property
    def server(self) -> list[int]:
        """The processes of PostgreSQL."""
        return self.node.processes(POSTGRES)

    def contents(self) -> dict[str, object]:
        """Everything on the data disk but times: names, owners, modes, contents."""
        root = self.node.disks.data
        found = (path for path in sorted(root.rglob("*")) if path.name != faults.FILLER)
        return {str(path.relative_to(root)): _state(path) for path in found}

    def restore(self) -> None:
        """End what runs, and put the data disk back as it was."""
        processes.kill(self.server)
        data = self.node.disks.data
        run("find", str(data), "-mindepth", "1", "-delete")
        run("cp", "--archive", f"{self.pristine}/.", str(data))


def _state(path: Path) -> object:
    seen = path.lstat()
    content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
    return (oct(seen.st_mode), seen.st_uid, seen.st_gid, content)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, shared: SharedCluster) -> Iterator[Bench]:
    """One node; the agent has started and stopped the database there."""
    shared.discard()  # two labs of one worker would starve each other
    cluster = Cluster.build(lab_config(lab=f"{LAB}one", nodes=1), configured=False)
    cluster.stop()
    made = Bench(cluster, tmp_path_factory.mktemp("pristine"))
    assert made.agent.act("start").code == SUCCESS
    assert made.agent.act("stop").code == SUCCESS
    assert made.server == []
    made.node.run(PREPARATION).check()
    run("cp", "--archive", f"{made.node.disks.data}/.", str(made.pristine))
    yield made
    cluster.down()


@pytest.fixture
def stopped(bench: Bench) -> Iterator[Bench]:
    """The node with its database stopped; whatever a test changes is put back."""
    before = bench.contents()
    yield bench
    if bench.server or bench.contents() != before:
        bench.restore()


@pytest.fixture
def running(bench: Bench) -> Iterator[Bench]:
    """The node with its database running as a standby."""
    assert bench.agent.act("start").code == SUCCESS
    yield bench
    bench.restore()


def assert_told(answer: Answer, code: int, says: tuple[str, ...]) -> None:
    """One reason, with everything in it that helps, and the code that fits."""
    assert len(answer.reasons) == 1, answer
    (reason,) = answer.reasons
    assert "defect" not in reason
    assert [word for word in says if word not in reason] == [], reason
    assert answer.code == code, reason


def assert_refused(bench: Bench, wrong: Wrong, action: str, level: int | None = None) -> None:
    """An action tells what is wrong and changes nothing."""
    before = bench.contents()
    answer = bench.agent.act(action, wrong.parameters, level=level)
    assert_told(answer, wrong.code, wrong.says)
    assert bench.server == []
    assert bench.contents() == before


# Parameters


@pytest.mark.parametrize("wrong", ANYWHERE, ids=str)
def test_value_that_is_wrong_anywhere(stopped: Bench, wrong: Wrong) -> None:
    assert_refused(stopped, wrong, "validate-all")
    assert_refused(stopped, wrong, "start")


@pytest.mark.parametrize("wrong", HERE, ids=str)
def test_value_that_is_wrong_on_this_node(stopped: Bench, wrong: Wrong) -> None:
    assert stopped.agent.act("validate-all", wrong.parameters).code == SUCCESS, "level 0 looks at no host"
    assert_refused(stopped, wrong, "validate-all", HOST_LEVEL)
    assert_refused(stopped, wrong, "start")


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"restart_on_promote": "true"}, ("restart_on_promote", "remove it")),
        ({"primary_conninfo_opt": "password=x"}, ("primary_conninfo_opt", "passfile")),
        ({"pgdate": "/x"}, ("pgdate", "no parameter")),
    ],
    ids=str,
)
def test_what_works_but_should_be_changed_is_told(
    stopped: Bench, parameters: dict[str, str], says: tuple[str, ...]
) -> None:
    assert_told(stopped.agent.act("validate-all", parameters), SUCCESS, says)


@pytest.mark.parametrize(
    "parameters",
    [
        {"monitor_password": "tops3cret\nline"},
        {"primary_conninfo_opt": "password=tops3cret host=elsewhere"},
        {"distlock_conninfo": "password=tops3cret\nline"},
        {"distlock_lock_cmd": "lock --password tops3cret\nline"},
    ],
    ids=lambda parameters: next(iter(parameters)),
)
def test_secrets_are_not_repeated(stopped: Bench, parameters: dict[str, str]) -> None:
    for action in ("validate-all", "start", "monitor"):
        answer = stopped.agent.act(action, parameters)
        assert "tops3cret" not in answer.stderr + answer.stdout
    assert "tops3cret" not in stopped.node.read("/var/log/syslog")


def test_stopped_server_is_stopped_whatever_the_parameters_are(stopped: Bench) -> None:
    for wrong in (*ANYWHERE, *HERE):
        if "pgdata" not in wrong.parameters:
            answers = [stopped.agent.act(action, wrong.parameters) for action in ("monitor", "stop")]
            assert [answer.code for answer in answers] == [NOT_RUNNING, SUCCESS], (wrong, answers)


def test_running_server_is_never_taken_for_stopped(running: Bench) -> None:
    server = running.node.postmaster()
    for wrong in (*ANYWHERE, *HERE):
        if not wrong.parameters.get("pgdata", "").startswith("/"):
            assert running.monitoring.act("monitor", wrong.parameters).code != NOT_RUNNING, wrong
    assert running.node.postmaster() == server


def test_a_running_server_is_in_nobodys_way(running: Bench) -> None:
    answer = running.agent.act("validate-all", level=HOST_LEVEL)
    assert answer.code == SUCCESS, answer


@pytest.mark.parametrize(
    "parameters",
    [
        {"pgctl": "/nonexistent/pg_ctl"},
        {"psql": "/nonexistent/psql"},
        {"pgdba": "nonexistent"},
        {"pgport": "many"},
        {"rep_mode": "syncc"},
        {"stop_escalate_in_slave": "never"},
        {"node_list": "no/de"},
        {"config": "/nonexistent"},
        {"tmpdir": "relative"},
    ],
    ids=str,
)
def test_stop_stops_whatever_the_parameters_are(running: Bench, parameters: dict[str, str]) -> None:
    assert running.agent.act("stop", parameters).code == SUCCESS
    assert running.server == []


@pytest.mark.parametrize("pgdata", ["relative", "/with'quote"])
def test_stop_without_a_data_directory_claims_nothing(running: Bench, pgdata: str) -> None:
    for action in ("stop", "monitor"):
        assert_told(running.agent.act(action, {"pgdata": pgdata}), ARGS, ("pgdata",))
    assert running.server


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"monitor_user": "nonexistent"}, ("nonexistent",)),
        ({"pgdb": "nonexistent"}, ("nonexistent",)),
        ({"monitor_sql": "selec 1"}, ("selec",)),
        ({"monitor_sql": "select pg_sleep(60)"}, ("monitor_sql",)),
        ({"socketdir": "/nonexistent"}, ("/nonexistent",)),
        ({"pghost": "192.0.2.1"}, ("192.0.2.1",)),
    ],
    ids=str,
)
def test_monitor_that_cannot_ask_says_why(running: Bench, parameters: dict[str, str], says: tuple[str, ...]) -> None:
    answer = running.monitoring.act("monitor", parameters)
    assert answer.code != NOT_RUNNING
    assert len(answer.reasons) == 1
    assert [word for word in says if word not in answer.reasons[0]] == [], answer


# The node's state


@contextmanager
def names_set_by_alter_system(bench: Bench) -> Iterator[None]:
    """Set what the cluster has to set, in the file that outranks it."""
    path = f"{PGDATA}/postgresql.auto.conf"
    bench.node.write(path, "synchronous_standby_names = 'node2'\n", mode=0o600, owner="postgres")
    yield


@contextmanager
def port_taken(bench: Bench) -> Iterator[None]:
    """Have somebody else listen on the server's port."""
    listen = "import socket; s = socket.create_server(('', 5432)); print(flush=True); s.accept()"
    bench.node.start(("/usr/bin/python3", "-c", listen), log="/var/log/listener")
    bench.cluster.wait_for(lambda: bench.node.read("/var/log/listener"), within=30, what="a listener")
    try:
        yield
    finally:
        processes.kill(bench.node.processes("create_server"))
        bench.node.run("rm /var/log/listener").check()


@contextmanager
def pid_file_of_a_stranger(bench: Bench) -> Iterator[None]:
    """Leave a pid file, as a power loss does, whose number somebody else of the same user has by now."""
    bench.node.start("exec sleep 600", log="/dev/null", user="postgres")
    bench.cluster.wait_for(lambda: bench.node.processes("^sleep 600"), within=30, what="a stranger")
    (stranger,) = bench.node.processes("^sleep 600")
    pid = processes.pid_inside(stranger)
    text = f"{pid}\n{PGDATA}\n1\n5432\n/run/postgresql\n*\n  1  1\nready   \n"
    bench.node.write(f"{PGDATA}/postmaster.pid", text, mode=0o600, owner="postgres")
    try:
        yield
        assert processes.is_running(stranger), "a stranger was killed"
    finally:
        processes.kill([stranger])


@contextmanager
def read_only(bench: Bench) -> Iterator[None]:
    """Mount the data directory read-only, as a kernel does after an error of the disk."""
    bench.node.run(f"mount --bind {PGDATA} {PGDATA} && mount -o remount,bind,ro {PGDATA}").check()
    try:
        yield
    finally:
        bench.node.run(f"umount {PGDATA}").check()


def disk_full(bench: Bench) -> AbstractContextManager[None]:
    """Leave no space on the disk of the data directory."""
    return faults.disk_full(bench.node)


@pytest.mark.parametrize(
    ("state", "code", "says"),
    [
        (names_set_by_alter_system, ARGS, ("synchronous_standby_names", "ALTER SYSTEM RESET")),
        (port_taken, ARGS, ("port 5432 is taken", "pgport")),
        (pid_file_of_a_stranger, ARGS, ("postmaster.pid", "delete")),
        (read_only, PERM, (PGDATA, "Read-only")),
        (disk_full, PERM, (PGDATA, "No space left", "free space")),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_state_in_which_no_server_can_start(
    stopped: Bench, state: Callable[[Bench], AbstractContextManager[None]], code: int, says: tuple[str, ...]
) -> None:
    as_given = Wrong({}, code, says)
    with state(stopped):
        assert_refused(stopped, as_given, "validate-all", HOST_LEVEL)
        assert_refused(stopped, as_given, "start")
        assert stopped.agent.act("monitor").code == NOT_RUNNING
        assert stopped.agent.act("stop").code == SUCCESS


@pytest.mark.parametrize("state", [read_only, disk_full], ids=lambda state: state.__name__)
def test_stop_works_in_any_state(running: Bench, state: Callable[[Bench], AbstractContextManager[None]]) -> None:
    with state(running):
        answer = running.agent.act("stop")
        assert answer.code == SUCCESS, answer
        assert running.server == []


# A server that hangs


def test_stop_of_a_server_that_hangs_ends_it(running: Bench) -> None:
    processes.send(running.server, signal.SIGSTOP)
    answer = running.agent.act("stop")
    assert answer.code == SUCCESS, answer
    assert running.server == []


def test_stop_that_cannot_end_the_server_does_not_claim_so(running: Bench) -> None:
    """No process withstands SIGKILL, so the agent is robbed of the right to send it."""
    robbed = replace(running.agent, under=("setpriv", "--bounding-set=-kill", "--inh-caps=-kill"), timeout=5.0)
    answer = robbed.act("stop")
    assert running.server
    assert answer.code != SUCCESS
    assert len(answer.reasons) == 1


def test_stop_that_runs_out_of_time_claims_nothing(running: Bench) -> None:
    processes.send(running.server, signal.SIGSTOP)
    answer = replace(running.agent, timeout=1.0).act("stop")
    assert answer.code != SUCCESS or running.server == []


def test_stop_ends_a_server_without_a_pid_file(running: Bench) -> None:
    running.node.run(f"rm {PGDATA}/postmaster.pid").check()
    assert running.agent.act("monitor").code != NOT_RUNNING
    assert running.agent.act("stop").code == SUCCESS
    assert running.server == []


def test_stop_ends_what_a_dead_postmaster_left(running: Bench) -> None:
    processes.send([pid for pid in running.server if pid != running.node.postmaster()], signal.SIGSTOP)
    running.node.kill_postgres(whole=False)
    assert running.agent.act("monitor").code != NOT_RUNNING
    assert running.agent.act("stop").code == SUCCESS
    assert running.server == []


def test_server_started_by_hand_is_found_and_stopped(stopped: Bench) -> None:
    start_server(stopped.node)
    try:
        assert stopped.agent.act("monitor").code != NOT_RUNNING
        assert stopped.agent.act("stop").code == SUCCESS
        assert stopped.server == []
    finally:
        if stopped.server:
            stop_server(stopped.node)


# What only a cluster can tell


@pytest.fixture
def member(bench: Bench) -> Iterator[Agent]:
    """The agent as an instance of a clone in a cluster of one node."""
    bench.cluster.start()
    yield Agent(bench.node, bench.agent.parameters, {"clone_max": "3", "notify": "true", "on_node": bench.node.name})
    bench.restore()
    bench.cluster.stop()


@pytest.mark.parametrize("names", ["node1 node2 node9", "node8 node9"])
def test_node_list_with_names_that_the_cluster_does_not_know(bench: Bench, member: Agent, names: str) -> None:
    before, cib = bench.contents(), bench.node.run("cibadmin --query").check().stdout
    assert_told(member.act("start", {"node_list": names}), ARGS, ("node_list", "node9", "node1"))
    assert bench.server == []
    assert bench.contents() == before
    assert bench.node.run("cibadmin --query").check().stdout == cib


def test_node_list_without_this_node(bench: Bench, member: Agent) -> None:
    assert_told(member.act("start", {"node_list": "node9 node8"}), ARGS, ("node_list",))
    assert bench.server == []


def test_cluster_that_does_not_answer_is_not_taken_for_none(bench: Bench) -> None:
    """An instance of a clone was started by a cluster: silence means trouble, not that there is no cluster."""
    lonely = Agent(bench.node, bench.agent.parameters, {"clone_max": "3"}, timeout=5.0)
    answer = lonely.act("start")
    assert answer.code != SUCCESS
    assert len(answer.reasons) == 1
    assert "cluster" in answer.reasons[0]
    assert bench.server == []
