"""Configuring a file in place of a cluster, with the commands that `expgsql setup plan` prints."""

from __future__ import annotations

from tests.lab.cluster import Cluster
from tests.lab.configuration import setup_file
from tests.lab.node import EXPGSQL, PGDATA, Node
from tests.system.shared import SharedCluster, lab_config

FILE = "/root/expgsql.toml"
STANDBYS = "standbys"
SCRATCH = "/root/scratch.xml"


def expgsql(node: Node, words: str, *, code: int = 0, timeout: float = 180.0) -> str:
    """Run a command and return all that it said; it has to end with that code."""
    done = node.run(f"{EXPGSQL} {words}", timeout=timeout)
    assert done.rc == code, f"{words}: {done.rc}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def members_with_a_file(shared: SharedCluster) -> Cluster:
    """Members without resources; one node has nothing in its data directory, another something half."""
    built = shared.unconfigured(lab_config())
    text = setup_file(built.config, built.nodes[0].bindir).replace('"replication"', f'"{STANDBYS}"')
    for node in built.nodes:
        node.write(FILE, text, mode=0o600)
    built.node("node2").run(f"find {PGDATA} -mindepth 1 -delete").check()
    built.node("node3").run(f"rm {PGDATA}/global/pg_control").check()
    return built


def configure(node: Node, file: str, tool: str) -> None:
    """Do to the configuration in `SCRATCH` what a person would do with pcs or crmsh."""
    plan = expgsql(node, f"setup plan {file} --cib {SCRATCH} --with {tool}")
    script = plan.partition("by hand:\n")[2]
    if tool == "pcs":
        calls = [line.replace("pgsql.xml", SCRATCH) for line in script.splitlines() if line.startswith("pcs -f")]
        assert len(calls) > 10
        node.run("\n".join(["set -e", *calls]), timeout=120).check()
    else:
        node.write("/root/pgsql.crm", script)
        node.run(f"CIB_file={SCRATCH} crm -F configure load update /root/pgsql.crm", timeout=60).check()
