# SPDX-License-Identifier: GPL-2.0-or-later
"""``expgsql doctor`` on a real cluster, healthy and misconfigured; and no password anywhere but in the passfile."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import pytest
from tests.lab.cluster import Cluster
from tests.lab.configuration import CLONE, RESOURCE, Config
from tests.lab.databases import PASSFILE, REPLICATION_PASSWORD
from tests.lab.eavesdropper import overhearing
from tests.lab.lock_service import ROLE_PASSWORD
from tests.lab.machine import Machine
from tests.lab.node import PGDATA, Node
from tests.lab.waiting import wait_until
from tests.system.shared import lab_config

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

EXPGSQL = "/opt/expgsql/bin/expgsql"
HBA = f"{PGDATA}/pg_hba.conf"
SECRETS = (REPLICATION_PASSWORD, ROLE_PASSWORD)


@pytest.fixture(scope="module")
def config() -> Config:
    """Three nodes and an arbiter, all passwords in the passfile."""
    return lab_config(arbiter="postgresql")


class Found(NamedTuple):
    """One finding of the doctor."""

    severity: str
    check: str
    node: str
    what: str
    remedy: str


def doctor(node: Node, *words: str) -> tuple[int, list[Found]]:
    """Call the doctor on a node; its exit code and the troubles that it tells."""
    done = node.run((EXPGSQL, "doctor", "--json", *words), timeout=60)
    assert done.rc in {0, 1, 2}, done.stderr
    return done.rc, [Found(**one) for one in json.loads(done.stdout)["findings"]]


def errors(found: list[Found]) -> list[Found]:
    """Those that break something."""
    return [one for one in found if one.severity == "error"]


def psql(machine: Machine, *statements: str) -> None:
    """Run statements on the server there, as its administrator, and have it read its settings again."""
    words = [word for statement in (*statements, "select pg_reload_conf()") for word in ("-c", statement)]
    machine.run(("psql", "-X", "-q", "-U", "postgres", *words), user="postgres").check()


def boot_as_nodes_do(cluster: Cluster) -> None:
    """What starts at boot is what it is on the machine whose files the lab borrows; nodes start their cluster alone."""
    for node in cluster.nodes:
        node.run("systemctl disable postgresql.service").check()
        node.run("systemctl enable corosync.service pacemaker.service").check()


def test_a_healthy_cluster_has_no_errors(audited: Cluster) -> None:
    boot_as_nodes_do(audited)
    code, found = doctor(audited.nodes[0])
    assert errors(found) == []
    assert code == (1 if found else 0)
    shown = audited.nodes[1].run((EXPGSQL, "doctor", "--all"), timeout=60)
    assert shown.rc == code, shown.stdout
    assert "ok      replication" in shown.stdout
    assert len(shown.stdout.splitlines()) < 50
    # what the lab's pcs calls leave out is told, with its remedy
    assert {one.check for one in found} <= {"failures", "restart-waits"}


# --- misconfigurations ------------------------------------------------------------------------


class Mistake(NamedTuple):
    """One misconfiguration: how it is made and undone, and what the doctor has to say."""

    make: Callable[[], object]
    undo: Callable[[], object]
    check: str
    what: str
    remedy: str


def setting(machine: Machine, name: str, value: str, check: str, what: str) -> Mistake:
    """A setting of a server that is wrong."""
    return Mistake(
        lambda: psql(machine, f"alter system set {name} = {value}"),
        lambda: psql(machine, f"alter system reset {name}"),
        *(check, what, f"ALTER SYSTEM SET {name} = on"),
    )


def command(node: Node, make: str, undo: str, expected: tuple[str, str, str]) -> Mistake:
    """A mistake made by a shell command."""
    return Mistake(lambda: node.run(make).check(), lambda: node.run(undo).check(), *expected)


def mistakes(cluster: Cluster, two: Node, three: Node) -> list[Mistake]:
    """On two standbys, the cluster and the arbiter; none of them stops anything."""
    assert cluster.arbiter is not None
    reject = f"host replication all {three.address}/32 reject"
    reload = "psql -U postgres -qc 'select pg_reload_conf()'"
    passfile = ("passfile", "open to other users", "chmod 0600")
    ssh = ("ssh", f"ssh to {three.name}", "ssh-copy-id")
    return [
        setting(two, "fsync", "off", "durability", "fsync is off"),
        setting(three, "synchronous_commit", "local", "durability", "synchronous_commit=local"),
        setting(cluster.arbiter.machine, "full_page_writes", "off", "arbiter-settings", "full_page_writes is off"),
        command(
            two,
            f"sed -i '1i {reject}' {HBA} && {reload}",
            f"sed -i '1d' {HBA} && {reload}",
            ("replication", f"cannot replicate from {two.name}", f"pg_hba.conf on {two.name}"),
        ),
        command(three, f"chmod 644 {PASSFILE}", f"chmod 600 {PASSFILE}", passfile),
        command(two, "mv /root/.ssh /root/ssh", "mv /root/ssh /root/.ssh", ssh),
        command(
            two,
            "systemctl enable postgresql.service",
            "systemctl disable postgresql.service",
            ("units", "postgresql.service starts", "systemctl disable postgresql.service"),
        ),
        command(
            two,
            f"crm_resource --ban --promoted --resource {CLONE} --node {three.name}",
            f"crm_resource --clear --resource {CLONE}",
            ("bans", "cli-ban", f"crm_resource --clear --resource {CLONE}"),
        ),
        command(
            two,
            "crm_attribute --name no-quorum-policy --update ignore",
            "crm_attribute --name no-quorum-policy --delete",
            ("quorum", "no-quorum-policy=ignore", "--update stop"),
        ),
    ]


@contextmanager
def made(several: list[Mistake]) -> Iterator[None]:
    """All of them at the same time; undone whatever happens."""
    done: list[Mistake] = []
    try:
        for one in several:
            one.make()
            done.append(one)
        yield
    finally:
        for one in reversed(done):
            one.undo()


PLAIN = {"durability", "arbiter-settings", "passfile", "bans", "quorum", "units"}
"""The checks whose remedy is a command that can be typed as it stands."""


def is_told(mistake: Mistake, found: list[Found]) -> bool:
    """Whether the doctor has said it, with the right remedy."""
    return any(
        mistake.check == one.check and mistake.what in one.what and mistake.remedy in one.remedy for one in found
    )


def remedied(cluster: Cluster, here: Node, found: Found) -> None:
    """Type what the doctor says, where it says."""
    where, command = found.node or here.name, found.remedy
    if command.startswith("on "):
        where, _, command = command.removeprefix("on ").partition(": ")
    for name in where.split(", "):
        machine = cluster.machine("arbiter" if name == "the arbiter" else name)
        typed = command.replace("psql ", "psql -U postgres ") if command.startswith("psql") else command
        machine.run(("sh", "-c", typed), user="postgres" if command.startswith("psql") else "root").check()


def test_every_mistake_is_found_with_its_remedy_and_healed(audited: Cluster) -> None:
    boot_as_nodes_do(audited)
    assert audited.primary is not None
    primary = audited.primary
    two, three = audited.others(primary)
    several = mistakes(audited, two, three)
    with made(several):
        code, found = doctor(primary)
        for one in found:
            if one.check in PLAIN:
                remedied(audited, primary, one)
        left = doctor(primary)[1]
    assert [one for one in several if not is_told(one, found)] == [], found
    assert [one.check for one in several if is_told(one, left) and one.check in PLAIN] == [], left
    assert code == 2
    assert [one.node for one in found if one.check == "replication" and two.name in one.what] == [three.name]
    # a node whose password file libpq ignores reaches neither the arbiter nor the other servers
    assert [one.node for one in found if one.check == "arbiter"] == [three.name]
    wait_until(lambda: not errors(doctor(primary)[1]), within=20, what="the doctor to be content again", every=1.0)


# --- passwords --------------------------------------------------------------------------------

PLACES = "/var/log /var/lib/pacemaker /var/lib/expgsql /var/lib/pgsql/tmp /run /tmp /etc/corosync /etc/pacemaker"


def in_files(node: Node) -> list[str]:
    """The files of a node, but for the database's own and those made for passwords, in which one stands."""
    words = " ".join(f"-e {secret}" for secret in SECRETS)
    done = node.run(f"grep -rlsF {words} {PLACES}", timeout=60)
    return [f"{node}: {path}" for path in done.stdout.splitlines()]


COMMANDS = (
    *(("doctor",), ("status",), ("why",), ("history",), ("master",)),
    *(("arbiter", "show"), ("arbiter", "init"), ("arbiter", "override", "--show")),
)


def test_no_password_is_seen_but_in_the_passfile(audited: Cluster) -> None:
    assert audited.primary is not None
    old = audited.primary
    with overhearing(audited.machines, SECRETS) as seen:
        assert old.run((EXPGSQL, "switchover"), timeout=120).rc == 0  # demote, promote, start as a standby, notify
        audited.wait_healthy()
        assert audited.primary is not None
        audited.primary.kill_postgres()  # start, a crash recovery, the guard's report
        audited.wait_for(lambda: bool(audited.status().failures), within=60, what="the death to be noticed")
        audited.wait_healthy()
        primary = audited.primary
        rebuild(primary, audited.others(primary)[0])  # a base backup
        audited.wait_healthy()
        for words in COMMANDS:
            assert primary.run((EXPGSQL, *words), timeout=60).rc in {0, 1}, words
        validate(primary)
    cib = primary.run("cibadmin --query").check().stdout
    reasons = primary.run("crm_mon -1 -A -r -f -n --output-as=xml").check().stdout
    assert not [secret for secret in SECRETS if secret in cib or secret in reasons]
    assert [path for node in audited.nodes for path in in_files(node)] == []
    assert seen.found == []
    assert set(seen.programs) >= {"psql", "pg_ctl", "pg_basebackup", "cibadmin"}


def rebuild(by: Node, standby: Node) -> None:
    """Make a healthy standby anew: its server has to be stopped for that."""
    by.run((EXPGSQL, "standby", "on", standby.name, "--yes"), timeout=90).check()
    standby.run((EXPGSQL, "rebuild", "--yes"), timeout=150).check()
    by.run((EXPGSQL, "standby", "off", standby.name), timeout=90).check()


def validate(node: Node) -> None:
    """validate-all as an administrator runs it."""
    node.run(f"crm_resource --validate --resource {RESOURCE}", timeout=60)


def test_a_password_in_arguments_or_environment_would_be_seen(audited: Cluster) -> None:
    """The test above can fail."""
    node = audited.nodes[0]
    with overhearing(audited.machines, SECRETS) as seen:
        node.run(("sh", "-c", f": {SECRETS[0]}; sleep 1; true"))
        node.run(("env", f"PGPASSWORD={SECRETS[1]}", "sleep", "1"))
    assert any(re.match("arguments of (sh|timeout)", one) for one in seen.found), seen
    assert any(re.match("environment of sleep", one) for one in seen.found), seen
    node.write("/var/log/left.log", f"{SECRETS[0]}\n")
    assert in_files(node) == [f"{node}: /var/log/left.log"]
    node.run("rm /var/log/left.log").check()
