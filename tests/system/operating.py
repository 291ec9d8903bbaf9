"""Typing the commands on a node as its administrator does, and interrupting them."""

from __future__ import annotations

import itertools
import signal

from tests.lab.cluster import Cluster
from tests.lab.command import Result
from tests.lab.node import Node
from tests.system import story
from tests.system.story import the_primary

BIN = "/opt/expgsql/bin"
OURS = "expgsql-switchover"
PYTHON = f"{BIN}/python3"
HERE = "interrupted before: "
# Programs that change something, here or by ssh on another node; the others only look.
EFFECTS = (
    r"systemctl (start|stop)|pg_ctl|crm_resource .*--(cleanup|refresh)|crm_standby|corosync-cfgtool|crm_node"
    r"|(cibadmin|crm_attribute|attrd_updater).*--(create|modify|delete|replace|patch|update)"
)
# The same of a command that makes servers and files.
OF_SETUP = rf"{EFFECTS}|psql|pg_basebackup|^rename "
# Of one that talks with the arbiter: each statement.
OF_ARBITER = "^statement$"
# Python tells before it starts a program or renames a file (its table of audit events); the driver tells nothing.
INTERRUPTED = f"""
import os, re, signal, sys
effects, left, how = re.compile(sys.argv[1]), int(sys.argv[2]), signal.Signals(int(sys.argv[3]))
def before(what):
    global left
    if effects.search(what):
        if left == 0:
            print("{HERE}" + what, file=sys.stderr, flush=True)
            os.kill(os.getpid(), how)
        left -= 1
def look(event, details):
    if event == "subprocess.Popen":
        before(" ".join(map(str, details[1])))
    elif event == "os.rename":
        before(f"rename {{details[0]}} {{details[1]}}")
sys.addaudithook(look)
if effects.search("statement"):
    from expgsql_ra.effects.libpq import Session
    finished = Session._finished
    def interrupted(session, send):
        before("statement")
        return finished(session, send)
    Session._finished = interrupted
sys.argv = ["expgsql", *sys.argv[4:]]
from expgsql_ra.cli import main
main()
"""


def ran(node: Node, *words: str, timeout: float = 200.0) -> Result:
    """Run a command on a node as its administrator does."""
    return node.run((f"{BIN}/{words[0]}", *words[1:]), timeout=timeout)


def done(node: Node, *words: str) -> str:
    """Run a command that must succeed; what it says."""
    result = ran(node, *words)
    assert result.rc == 0, f"{words}: {result.rc}\n{result.stdout}{result.stderr}"
    return result.stdout


def refused(node: Node, code: int, *words: str) -> str:
    """Run a command that must not do anything; why."""
    result = ran(node, *words)
    assert result.rc == code, f"{words}: {result.rc}\n{result.stdout}{result.stderr}"
    return result.stderr


def ready(cluster: Cluster) -> tuple[Node, Node]:
    """The primary, and the standby that is marked as its successor."""
    cluster.wait_healthy()
    return the_primary(cluster), story.sync_standby(cluster)


def assert_nothing_left(cluster: Cluster) -> None:
    """No failure counts anywhere, and no constraint of ours is left."""
    counts = {node.name: story.fail_count(cluster, node) for node in cluster.nodes}
    assert counts == dict.fromkeys(counts, "0"), cluster.describe()
    assert story.failures(cluster) == []
    assert OURS not in cluster.nodes[0].run("cibadmin --query --scope constraints").check().stdout


def through(node: Node, *words: str, effects: str = EFFECTS) -> list[str]:
    """Call a command until it gets through, each time with one effect more than before; what it was kept from."""
    kept_from: list[str] = []
    for count in itertools.count():
        how = signal.SIGINT if count % 2 else signal.SIGKILL
        said = node.run((PYTHON, "-I", "-c", INTERRUPTED, effects, str(count), str(int(how)), *words), timeout=200)
        if HERE not in said.stderr:
            assert said.rc == 0, f"{words}: {said.rc}\n{said.stdout}{said.stderr}\nafter {kept_from}"
            assert kept_from, f"{words} has no effect that was known"
            return kept_from
        assert said.rc != 0, said
        kept_from.append(said.stderr.partition(HERE)[2].splitlines()[0])
    raise AssertionError
