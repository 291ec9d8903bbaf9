"""The official checks, with a real server: ocf-tester, and what pcs, crmsh and Pacemaker's own tools make of us."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

import pytest
from tests.lab import configuration
from tests.lab.cluster import Cluster
from tests.lab.configuration import CLONE, RESOURCE, Config
from tests.lab.node import PGDATA, POSTGRES, Node
from tests.system.agent import AGENT
from tests.system.shared import LAB, SharedCluster, lab_config

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

TYPE = "ocf:heartbeat:expgsql"
CIB = "/root/tried.xml"


@pytest.fixture(scope="module")
def bare_config() -> Config:
    """One node; its database has never been started."""
    return lab_config(lab=f"{LAB}one", nodes=1)


@pytest.fixture(scope="module")
def node(bare_config: Config, shared: SharedCluster) -> Iterator[Node]:
    """Give a node on which no cluster runs."""
    shared.discard()  # two labs of one worker would starve each other
    built = Cluster.build(bare_config, configured=False)
    built.stop()
    yield built.nodes[0]
    built.down()


def options(config: Config, node: Node, **changes: str) -> dict[str, str]:
    """Return the resource's parameters as a user would give them, with some changed."""
    given = {**configuration.parameters(config, node.bindir), "node_list": "node1 node2 node3", **changes}
    return {name: value for name, value in given.items() if value}


def words(parameters: dict[str, str], before: str = "") -> str:
    """Return parameters as shell words."""
    return " ".join(f"{before}{shlex.quote(f'{name}={value}')}" for name, value in parameters.items())


@pytest.mark.parametrize("rep_mode", ["none", "async", "sync"])
def test_ocf_tester(node: Node, bare_config: Config, rep_mode: str) -> None:
    parameters = options(bare_config, node, rep_mode=rep_mode, node_list="")
    if rep_mode == "none":
        node.run(f"rm -f {PGDATA}/standby.signal").check()
    tested = node.run(f"ocf-tester -v -n {RESOURCE} {words(parameters, '-o ')} {AGENT}", timeout=200)
    assert tested.succeeded, f"{tested.stdout}\n{tested.stderr}"
    assert f"{AGENT} passed all tests" in tested.stdout
    assert node.processes(POSTGRES) == []


def test_metadata_for_an_unprivileged_user(node: Node) -> None:
    nobody = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups")
    told = node.run((*nobody, AGENT, "meta-data"))
    assert told.succeeded
    assert told.stderr == ""
    assert told.stdout == node.run((AGENT, "meta-data")).check().stdout


def test_metadata_is_valid_for_every_reader(node: Node) -> None:
    node.run(f"cd /usr/share/resource-agents && {AGENT} meta-data | xmllint --noout --valid -").check()
    node.run(f"{AGENT} meta-data | xmllint --noout --relaxng /usr/share/resource-agents/metadata.rng -").check()


def test_pacemakers_own_tools(node: Node, bare_config: Config) -> None:
    shown = node.run(f"crm_resource --show-metadata {TYPE}").check().stdout
    assert shown.strip() == node.run((AGENT, "meta-data")).stdout.strip()
    validate = "crm_resource --validate --class ocf --provider heartbeat --agent expgsql"
    given = words(options(bare_config, node), "--option ")
    assert node.run(f"{validate} {given}").succeeded
    wrong = node.run(f"{validate} {words(options(bare_config, node, pgport='many'), '--option ')}")
    assert not wrong.succeeded
    assert "pgport=many" in wrong.stdout + wrong.stderr


def test_pcs_describes_and_creates(node: Node, bare_config: Config) -> None:
    described = node.run(f"pcs resource describe {TYPE}").check()
    assert "rep_mode" in described.stdout
    assert described.stderr == ""
    node.run(f"cibadmin --empty > {CIB}").check()
    given = words(options(bare_config, node))
    node.run(f"pcs -f {CIB} resource create {RESOURCE} {TYPE} {given} --agent-validation").check()
    node.run(f"pcs -f {CIB} resource promotable {RESOURCE} {CLONE} meta notify=true").check()
    node.run(f"pcs -f {CIB} property set stonith-enabled=false").check()
    node.run(f"crm_verify --xml-file {CIB}").check()
    shown = node.run(f"pcs -f {CIB} resource config {CLONE}").check().stdout
    assert "promote: " in shown
    assert "notify: " in shown


def test_pcs_refuses_what_the_agent_does_not_know_or_take(node: Node, bare_config: Config) -> None:
    node.run(f"cibadmin --empty > {CIB}").check()
    create = f"pcs -f {CIB} resource create {RESOURCE} {TYPE} {words(options(bare_config, node))}"
    unknown = node.run(f"{create} pgdate=/x")
    assert not unknown.succeeded
    assert "pgdate" in unknown.stderr
    wrong = node.run(f"{create} pgport=many --agent-validation")
    assert not wrong.succeeded
    assert "pgport=many" in wrong.stderr
    assert node.run(f"pcs -f {CIB} resource config").stdout.strip() == ""


def test_crmsh_describes_the_agent(node: Node) -> None:
    told = node.run(f"crm ra info {TYPE}").check()
    for part in ("rep_mode", "promote", "notify"):
        assert part in told.stdout
