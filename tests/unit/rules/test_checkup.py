# SPDX-License-Identifier: GPL-2.0-or-later
"""The doctor's checks: what each finds, how bad that is, and which command it names; every check has its own row."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from tests.builders import NODES, a_view
from tests.checkups import (
    ARBITER,
    SETTINGS,
    VERSIONS,
    a_deployment,
    a_node,
    configured,
    facts,
    meta,
    properties,
    settings,
    two,
)

from expgsql_ra.checkup import (
    ConfiguredOperation,
    Disk,
    Facts,
    NodeCheckup,
    Starter,
)
from expgsql_ra.cli import COMMANDS
from expgsql_ra.cli.old_names import OLD_NAMES
from expgsql_ra.deployment import ClusterNode, Companion, Deployment
from expgsql_ra.record import SUSPENDED
from expgsql_ra.rules.checkup import CHECKS, findings, worst
from expgsql_ra.rules.checkup_cluster import shows_password
from expgsql_ra.rules.findings import Severity
from expgsql_ra.values import RepMode

ERROR, WARNING, OK = Severity.ERROR, Severity.WARNING, Severity.OK


def unreachable(name: str) -> NodeCheckup:
    """A node that could not be asked."""
    return NodeCheckup(name, "no route to host")


def test_where_all_is_well_each_check_says_so() -> None:
    found = findings(facts())
    assert [one for one in found if one.severity is not OK] == []
    assert [one.check for one in found] == [check.name for check in CHECKS]
    assert worst(found) is OK


@pytest.mark.parametrize("mode", [RepMode.NONE, RepMode.ASYNC, RepMode.SLAVE])
def test_other_modes_need_less(mode: RepMode) -> None:
    deployment = a_deployment(
        mode, clone="" if mode is RepMode.NONE else "c", properties=properties(stonith_enabled="yes")
    )
    found = findings(facts(deployment=deployment, configuration=configured(fences=("ipmi",))))
    assert [one for one in found if one.severity is not OK] == []


CASES: dict[str, tuple[Callable[[], Facts], Severity, str, str, str]] = {
    # name of the case: facts, severity, check, what it says, what the remedy names
    "node off": (
        lambda: facts(
            unreachable("node3"),
            deployment=a_deployment()._replace(
                nodes=(*(ClusterNode(one, True) for one in NODES[:2]), ClusterNode("node3", False))
            ),
        ),
        *(WARNING, "nodes", "not part of the cluster", "expgsql start"),
    ),
    "node silent": (lambda: facts(unreachable("node3")), ERROR, "nodes", "no route to host", "ssh node3"),
    "versions": (
        lambda: facts(a_node("node2", versions={**VERSIONS, "expgsql": "0.2.0"})),
        *(WARNING, "versions", "expgsql differs: node1 0.1.0, node2 0.2.0", "make install"),
    ),
    "old": (
        lambda: facts(*(a_node(one, versions={**VERSIONS, "pacemaker": "2.0.3-5"}) for one in NODES)),
        *(ERROR, "versions", "2.0.3-5 is too old: 2.1", "apt install pacemaker"),
    ),
    "no quorum": (
        lambda: facts(deployment=a_deployment(view=a_view(quorate=False))),
        *(ERROR, "quorum", "no quorum", "expgsql status"),
    ),
    "two nodes stop": (
        lambda: facts(deployment=two(given=ARBITER)),
        *(ERROR, "quorum", "survives stops its server", "no-quorum-policy --update ignore"),
    ),
    "three ignore": (
        lambda: facts(deployment=a_deployment(given=ARBITER, properties=properties(no_quorum_policy="ignore"))),
        *(WARNING, "quorum", "have a quorum", "--update stop"),
    ),
    "two without arbiter": (
        lambda: facts(deployment=two()),
        *(ERROR, "authority", "two nodes and no arbiter", "expgsql arbiter init"),
    ),
    "three ignore without arbiter": (
        lambda: facts(deployment=a_deployment(view=a_view(ignores_quorum=True))),
        *(WARNING, "authority", SUSPENDED, "expgsql arbiter init"),
    ),
    "no device": (
        lambda: facts(deployment=a_deployment(properties=(("no-quorum-policy", "stop"),))),
        *(ERROR, "fencing", "starts nothing", "pcs stonith create"),
    ),
    "device unused": (
        lambda: facts(configuration=configured(fences=("ipmi1",))),
        *(WARNING, "fencing", "ipmi1", "stonith-enabled --update true"),
    ),
    "watchdog unused": (
        lambda: facts(deployment=a_deployment(properties=properties(stonith_watchdog_timeout="10s"))),
        *(WARNING, "fencing", "the watchdog", "stonith-enabled --update true"),
    ),
    "async alone": (
        lambda: facts(deployment=a_deployment(RepMode.ASYNC)),
        *(WARNING, "fencing", "beside the new primary", "pcs stonith create"),
    ),
    "short lease": (
        lambda: facts(deployment=a_deployment(given={**ARBITER, "distlock_ttl": 9})),
        *(ERROR, "lease", "distlock_ttl=9 is too short", "--set-parameter distlock_ttl --parameter-value 13"),
    ),
    "promoted unwatched": (
        lambda: facts(configuration=configured(without="monitor Promoted")),
        *(ERROR, "operations", "no monitor for the role Promoted", "interval=3s role=Promoted"),
    ),
    "unpromoted unwatched": (
        lambda: facts(configuration=configured(without="monitor")),
        *(ERROR, "operations", "no monitor for the role Unpromoted", "interval=4s role=Unpromoted"),
    ),
    "same interval": (
        lambda: facts(configuration=configured(ConfiguredOperation("monitor", "", 3.0, 60.0))),
        *(ERROR, "operations", "both monitors have the interval 3 s", "interval=4s"),
    ),
    "short stop": (
        lambda: facts(configuration=configured(ConfiguredOperation("stop", "", 0.0, 30.0))),
        *(WARNING, "operations", "stop has 30 s: give it 60 s", "op stop timeout=60s"),
    ),
    "default stop": (
        lambda: facts(configuration=configured(ConfiguredOperation("stop"))),
        *(WARNING, "operations", "stop has 20 s", "op stop timeout=60s"),
    ),
    "no stop": (
        lambda: facts(configuration=configured(without="stop")),
        *(WARNING, "operations", "stop has 20 s (it is not configured)", "op stop timeout=60s"),
    ),
    "short monitor": (
        lambda: facts(configuration=configured(ConfiguredOperation("monitor", "Promoted", 3.0, 5.0))),
        *(WARNING, "operations", "monitor has 5 s", "op monitor interval=4s timeout=15s"),
    ),
    "no clone": (
        lambda: facts(deployment=a_deployment(clone="")),
        *(ERROR, "clone", "no promotable clone", "pcs resource promotable pgsql"),
    ),
    "no notifications": (
        lambda: facts(configuration=meta(notify="")),
        *(ERROR, "clone", "notify is not true", "pcs resource meta pgsql-clone notify=true"),
    ),
    "two primaries": (
        lambda: facts(configuration=meta(promoted_max="2")),
        *(ERROR, "clone", "promoted-max=2: the agent needs 1", "promoted-max=1"),
    ),
    "few clones": (
        lambda: facts(configuration=meta(clone_max="2")),
        *(WARNING, "clone", "clone-max=2", "pcs resource meta"),
    ),
    "strict threshold": (
        lambda: facts(configuration=meta(migration_threshold="1")),
        *(WARNING, "failures", "migration-threshold=1", "migration-threshold=3"),
    ),
    "failures for ever": (
        lambda: facts(configuration=meta(failure_timeout="")),
        *(WARNING, "failures", "without failure-timeout", "failure-timeout=3600"),
    ),
    "left ban": (
        lambda: facts(configuration=configured(bans=(("cli-ban-x-on-node1", "pgsql-clone"),))),
        *(WARNING, "bans", "cli-ban-x-on-node1", "crm_resource --clear --resource pgsql-clone"),
    ),
    "maintenance": (
        lambda: facts(deployment=a_deployment(properties=properties(maintenance_mode="true"), managed=False)),
        *(WARNING, "managed", "whole cluster is in maintenance", "expgsql maintenance off"),
    ),
    "unmanaged": (
        lambda: facts(deployment=a_deployment(managed=False)),
        *(WARNING, "managed", "is unmanaged", "--delete-parameter is-managed"),
    ),
    "disabled": (
        lambda: facts(deployment=a_deployment(disabled=True)),
        *(WARNING, "managed", "is disabled", "expgsql start"),
    ),
    "node in maintenance": (
        lambda: facts(deployment=a_deployment(nodes=NODES)._replace(nodes=with_node(maintenance=True))),
        *(WARNING, "managed", "is not watched", "expgsql maintenance off node3"),
    ),
    "node in standby": (
        lambda: facts(deployment=a_deployment()._replace(nodes=with_node(standby=True))),
        *(WARNING, "managed", "it runs no server", "expgsql standby off node3"),
    ),
    "listed stranger": (
        lambda: facts(deployment=a_deployment(given={"node_list": (*NODES, "node9")})),
        *(WARNING, "node-list", "names node9", "--parameter-value 'node1 node2 node3'"),
    ),
    "unlisted": (
        lambda: facts(deployment=a_deployment(given={"node_list": NODES[:2]})),
        *(WARNING, "node-list", "not in node_list", "'node1 node2 node3'"),
    ),
    "no address": (
        lambda: facts(deployment=a_deployment(companions=())),
        *(ERROR, "address", "no address resource", "pcs resource create"),
    ),
    "address astray": (
        lambda: facts(deployment=a_deployment(companions=(Companion("vip", "x", "192.0.2.100", (), "standby"),))),
        *(ERROR, "address", "does not follow", "pcs constraint colocation add vip"),
    ),
    "monitor password": (
        lambda: facts(deployment=a_deployment(given={"monitor_password": "hush"})),
        *(WARNING, "passwords", "monitor_password", "into ~postgres/.pgpass on every node"),
    ),
    "replication password": (
        lambda: facts(deployment=a_deployment(given={"primary_conninfo_opt": "a=1 password=hush"})),
        *(WARNING, "passwords", "primary_conninfo_opt", "passfile"),
    ),
    "arbiter password": (
        lambda: facts(deployment=a_deployment(given={**ARBITER, "distlock_conninfo": "postgresql://u:hush@a/ha"})),
        *(WARNING, "passwords", "distlock_conninfo", "passfile"),
    ),
    "lock password": (
        lambda: facts(deployment=a_deployment(given={"distlock_lock_cmd": "PGPASSWORD=hush lock @owner"})),
        *(WARNING, "passwords", "distlock_lock_cmd", "PGPASSFILE=FILE"),
    ),
    "deprecated": (
        lambda: facts(deployment=a_deployment(given={"restart_on_promote": True})),
        *(WARNING, "parameters", "restart_on_promote is deprecated", "pcs resource update pgsql restart_on_promote="),
    ),
    "no start": (
        lambda: facts(a_node("node2", problems=("pgdata /x is open to other users; chmod it to 0700 or 0750",))),
        *(ERROR, "start", "is open to other users", "chmod it to 0700"),
    ),
    "no start, no remedy": (
        lambda: facts(a_node("node2", problems=("it is broken",))),
        *(ERROR, "start", "it is broken", "docs/troubleshooting.md"),
    ),
    "passfile": (
        lambda: facts(
            a_node("node2", passfile="passfile /p is open"), deployment=a_deployment(given={"passfile": "/p"})
        ),
        *(ERROR, "passfile", "passfile /p is open", "on node2: chown postgres: /p && chmod 0600 /p"),
    ),
    "no replication": (
        lambda: facts(a_node("node2", replication={"node3": "no pg_hba.conf entry"})),
        *(ERROR, "replication", "cannot replicate from node3: no pg_hba.conf entry", "ADDRESS-OF-node2"),
    ),
    "no replication by address": (
        lambda: facts(a_node("node2", replication={"192.0.2.100": "refused"})),
        *(ERROR, "replication", "cannot replicate from 192.0.2.100", "pg_hba.conf on 192.0.2.100"),
    ),
    "no fsync": (
        lambda: facts(settings(fsync="off")),
        ERROR,
        "durability",
        "fsync is off",
        "ALTER SYSTEM SET fsync = on",
    ),
    "local commits": (
        lambda: facts(settings(synchronous_commit="local")),
        *(ERROR, "durability", "a failover loses them", "SET synchronous_commit = on"),
    ),
    "remote_write": (
        lambda: facts(settings(synchronous_commit="remote_write")),
        *(WARNING, "durability", "power loss of the standby", "SET synchronous_commit = on"),
    ),
    "cold standby": (
        lambda: facts(settings(hot_standby="off")),
        *(ERROR, "standby", "hot_standby is off", "expgsql standby on node2 && expgsql standby off node2"),
    ),
    "primary deaf": (
        lambda: facts(a_node("node1", "primary", settings={**SETTINGS, "listen_addresses": ""})),
        *(ERROR, "standby", "listen_addresses", "listen_addresses = '*'\"; then expgsql switchover"),
    ),
    "minimal": (lambda: facts(settings(wal_level="minimal")), ERROR, "standby", "wal_level=minimal", "wal_level"),
    "deaf": (
        lambda: facts(settings(listen_addresses="localhost")),
        *(ERROR, "standby", "listen_addresses", "listen_addresses = '*'"),
    ),
    "no senders": (
        lambda: facts(settings(max_wal_senders="1")),
        *(ERROR, "senders", "max_wal_senders=1: 2 for the standbys, 2 more", "max_wal_senders = 4"),
    ),
    "few senders": (lambda: facts(settings(max_wal_senders="3")), WARNING, "senders", "max_wal_senders=3", "= 4"),
    "few slots": (
        lambda: facts(
            settings(max_replication_slots="1", max_slot_wal_keep_size="64"),
            deployment=a_deployment(given={"replication_slot_name": "s"}),
        ),
        *(ERROR, "senders", "max_replication_slots=1: 2 for the standbys", "max_replication_slots = 2"),
    ),
    "no hints": (
        lambda: facts(settings(wal_log_hints="off")),
        *(WARNING, "rewind", "cannot be rewound", "wal_log_hints = on"),
    ),
    "first moments": (
        lambda: facts(*(a_node(one, versions={**VERSIONS, "postgresql": "17.4"}) for one in NODES)),
        *(WARNING, "restart-waits", "PostgreSQL 17.4", "apt install --only-upgrade postgresql"),
    ),
    "smaller": (
        lambda: facts(settings(max_connections="50")),
        *(ERROR, "settings", "max_connections=50, but 100 on the primary node1", "max_connections = 100"),
    ),
    "pending": (
        lambda: facts(a_node("node2", pending=("shared_buffers",))),
        *(WARNING, "pending", "shared_buffers", "expgsql standby on node2"),
    ),
    "pending primary": (
        lambda: facts(a_node("node1", "primary", pending=("shared_buffers",))),
        *(WARNING, "pending", "shared_buffers", "expgsql switchover"),
    ),
    "endless slots": (
        lambda: facts(settings(), deployment=a_deployment(given={"replication_slot_name": "s"})),
        *(WARNING, "slots", "fills the primary's disk", "max_slot_wal_keep_size"),
    ),
    "half rewound": (
        lambda: facts(a_node("node2", "stopped", marks=("expgsql.rewinding",))),
        *(ERROR, "repairs", "expgsql.rewinding", "expgsql rebuild node2"),
    ),
    "half repaired": (
        lambda: facts(a_node("node2", "stopped", marks=("expgsql.repairing",))),
        *(ERROR, "repairs", "expgsql.repairing", "expgsql repair node2"),
    ),
    "arbiter away": (
        lambda: facts(a_node("node2", arbiter="no route"), deployment=a_deployment(given=ARBITER)),
        *(ERROR, "arbiter", "cannot read the record: no route", "on node2: expgsql arbiter show"),
    ),
    "no record": (
        lambda: facts(a_node("node2", arbiter="no row c1: run expgsql arbiter init --primary NODE")),
        *(ERROR, "arbiter", "no row c1", "on node2: expgsql arbiter init --conninfo ... --lockname ... --primary NODE"),
    ),
    "arbiter forgets": (
        lambda: facts(*(a_node(one, remarks=("fsync is off on the arbiter",)) for one in NODES)),
        *(ERROR, "arbiter-settings", "fsync is off", "on the arbiter: psql"),
    ),
    "few members": (
        lambda: facts(a_node("node2", remarks=("fewer than three etcd members",))),
        *(ERROR, "arbiter-settings", "fewer than three", "docs/arbiter.md"),
    ),
    "different tokens": (
        lambda: facts(a_node("node2", totem={"token": "3000", "consensus": "1980"})),
        *(ERROR, "corosync", "token differs", "corosync-cfgtool -R"),
    ),
    "short token": (
        lambda: facts(*(a_node(one, totem={"token": "300"}) for one in NODES)),
        *(WARNING, "corosync", "token=300 ms", "token: 1000"),
    ),
    "long token": (
        lambda: facts(*(a_node(one, totem={"token": "30000"}) for one in NODES)),
        *(WARNING, "corosync", "token=30000 ms", "token: 3000"),
    ),
    "clock ahead": (
        lambda: facts(a_node("node2", offset=7.25)),
        *(WARNING, "clocks", "7.2 s ahead", "on node2: timedatectl set-ntp true"),
    ),
    "clock behind": (lambda: facts(a_node("node2", offset=-7.25)), WARNING, "clocks", "7.2 s behind", "timedatectl"),
    "no ssh": (
        lambda: facts(a_node("node2", ssh={"node3": "Permission denied (255)"})),
        *(WARNING, "ssh", "ssh to node3 as root fails: Permission denied", "on node2: ssh-copy-id root@node3"),
    ),
    "system starts it": (
        lambda: facts(a_node("node2", starters=(Starter("postgresql.service", "/srv/pgdata", "5433"),))),
        *(
            ERROR,
            "units",
            "postgresql.service starts /srv/pgdata at boot",
            "systemctl disable postgresql.service",
        ),
    ),
    "system takes the port": (
        lambda: facts(a_node("node2", starters=(Starter("postgresql.service", "/other", "5432"),))),
        *(ERROR, "units", "beside the cluster", "systemctl disable"),
    ),
    "system starts something": (
        lambda: facts(a_node("node2", starters=(Starter("postgresql-17.service"),))),
        *(ERROR, "units", "starts a server at boot", "systemctl disable postgresql-17.service"),
    ),
    "not at boot": (
        lambda: facts(a_node("node2", units={"corosync": "disabled", "pacemaker": "enabled"})),
        *(WARNING, "units", "not started at boot: corosync", "systemctl enable corosync"),
    ),
    "disk full": (
        lambda: facts(a_node("node2", disks=(Disk("/srv/pgdata", 1 << 30, 100 << 30),))),
        *(ERROR, "disks", "/srv/pgdata: 1.0 GB free of 100.0", "du -xhd2 /srv/pgdata"),
    ),
    "disk nearly full": (
        lambda: facts(a_node("node2", disks=(Disk("/srv/pgdata", 7 << 30, 100 << 30),))),
        *(WARNING, "disks", "7.0 GB free", "du"),
    ),
}


def with_node(**changes: bool) -> tuple[ClusterNode, ...]:
    """Three nodes, of which the last is special."""
    return (*(ClusterNode(one, True) for one in NODES[:2]), ClusterNode("node3", True, **changes))


@pytest.mark.parametrize("case", CASES)
def test_what_is_wrong_is_found_and_has_a_remedy(case: str) -> None:
    made, severity, check, what, remedy = CASES[case]
    found = [one for one in findings(made()) if one.check == check]
    assert [one.severity for one in found if what in one.what and remedy in one.remedy] == [severity], found
    assert worst(found) is severity


def test_every_check_can_find_something() -> None:
    assert {check for _, _, check, _, _ in CASES.values()} == {check.name for check in CHECKS}


@pytest.mark.parametrize("case", CASES)
def test_every_trouble_has_a_remedy(case: str) -> None:
    assert [one for one in findings(CASES[case][0]()) if one.severity is not OK and not one.remedy] == []


PROGRAMS = {
    *("expgsql", "psql", "ssh", "pcs", "crm_attribute", "crm_resource", "make", "apt", "put", "copy", "see", "token:"),
    *("pg_hba.conf", "chmod", "chown", "systemctl", "timedatectl", "ssh-copy-id", "du"),
}
"""With which a remedy may begin: a program, a file, or a verb."""


@pytest.mark.parametrize("case", CASES)
def test_remedies_name_commands_that_exist(case: str) -> None:
    known = {*COMMANDS, *(words[0] for words in OLD_NAMES.values())}
    for one in findings(CASES[case][0]()):
        begins = re.sub(r"^on [^:]+: ", "", one.remedy).split(" ")[0]
        assert one.severity is OK or begins in PROGRAMS, one.remedy
        assert set(re.findall(r"expgsql ([a-z-]+)", one.remedy)) <= known, one.remedy


@pytest.mark.parametrize(
    "made",
    [
        lambda: facts(a_node("node2", replication={"node3": "refused"}), a_node("node3", "stopped")),
        lambda: facts(a_node("node2", ssh={"node3": "no route"}), deployment=offline("node3")),
        lambda: facts(a_node("node2", starters=(Starter("postgresql.service", "/other", "5433"),))),
        lambda: facts(deployment=two(given=ARBITER, properties=properties(no_quorum_policy="ignore"))),
        lambda: facts(*duo(), deployment=two(given=ARBITER)),
        lambda: facts(
            *(a_node(one, totem={"token": "1000", "device": "net"}) for one in NODES[:2]), deployment=two(given=ARBITER)
        ),
        lambda: facts(configuration=meta(migration_threshold="")),
        lambda: facts(configuration=meta(clone_max="x")),
        lambda: facts(a_node("node1", versions={})),
        lambda: facts(*(a_node(one, versions={"pacemaker": "git-snapshot"}) for one in NODES)),
        lambda: facts(*(a_node(one, "stopped", settings={}, replication={"192.0.2.100": "refused"}) for one in NODES)),
        lambda: facts(*(a_node(one, totem={}) for one in NODES)),
        lambda: facts(deployment=a_deployment(given=ARBITER), configuration=configured()),
        lambda: facts(deployment=a_deployment(given={"node_list": ()})),
    ],
)
def test_what_is_no_trouble_is_none(made: Callable[[], Facts]) -> None:
    """Consequences of something else, and what other clusters rightly have."""
    assert [one for one in findings(made()) if one.severity is not OK and one.check != "nodes"] == []


def offline(name: str) -> Deployment:
    """A cluster that lacks a node."""
    return a_deployment()._replace(nodes=tuple(ClusterNode(one, one != name) for one in NODES))


def duo() -> Iterator[NodeCheckup]:
    """Two nodes whose Corosync lets either go on alone."""
    for name in NODES[:2]:
        yield a_node(name, totem={"token": "1000", "two_node": "1"})


def test_what_is_the_same_on_several_nodes_is_told_once() -> None:
    starts = (Starter("postgresql.service", "/srv/pgdata", "5432"),)
    found = findings(facts(a_node("node2", starters=starts), a_node("node3", starters=starts)))
    assert [(one.node, one.remedy) for one in found if one.check == "units"] == [
        ("node2, node3", "on node2, node3: systemctl disable postgresql.service")
    ]


def test_a_check_can_be_left_out() -> None:
    assert "fencing" not in {one.check for one in findings(facts(), ["fencing"])}


def test_a_lease_without_its_monitor_is_no_arithmetic() -> None:
    seen = facts(
        deployment=a_deployment(given={**ARBITER, "distlock_ttl": 9}),
        configuration=configured(without="monitor Promoted"),
    )
    assert {one.severity for one in findings(seen) if one.check == "lease"} == {OK}


def test_the_worst_comes_first() -> None:
    found = findings(facts(settings(fsync="off", wal_log_hints="off")))
    assert [one.severity for one in found][:3] == [ERROR, WARNING, OK]
    assert worst(found) is ERROR
    assert worst(()) is OK


@pytest.mark.parametrize(
    ("conninfo", "shows"),
    [
        ("host=a password=b", True),
        ("host=a passfile=/b", False),
        ("postgresql://u:p@a/b", True),
        ("postgresql://u@a/b?password=p", True),
        ("postgresql://u@a/b", False),
        ("etcd://a:2379,b:2379/x", False),
        ("postgresql://[broken", False),
        ("what is this", False),
    ],
)
def test_connection_strings_with_passwords(conninfo: str, shows: bool) -> None:
    assert shows_password(conninfo) is shows
