# SPDX-License-Identifier: GPL-2.0-or-later
"""Parameters: what each accepts, what it says to what it does not accept, and what it never says."""

import contextlib
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expgsql_ra.parameter_kinds import (
    PREFIX,
    InvalidParameters,
    ParameterSet,
    Problem,
    conninfo_keywords,
    number,
)
from expgsql_ra.parameters import Parameters, Rejoin, SyncMethod, unknown_parameters, warnings
from expgsql_ra.values import RepMode

NAMES = [parameter.name for parameter in Parameters.declared]


def read(**texts: str) -> Parameters:
    """What the agent makes of these texts in its environment."""
    return Parameters.from_environ({PREFIX + name: text for name, text in texts.items()})


def errors_of(**texts: str) -> tuple[str, ...]:
    """All that is wrong with these texts."""
    with pytest.raises(InvalidParameters) as caught:
        read(**texts)
    return caught.value.errors


def test_every_parameter_of_existing_configurations_is_declared() -> None:
    old = """pgctl psql pgdata pgdba pghost pgport pglibs config pgdb logfile socketdir start_opt ctl_opt
        stop_escalate stop_escalate_in_slave monitor_user monitor_password monitor_sql check_wal_receiver
        rep_mode node_list restore_command archive_cleanup_command recovery_end_command master_ip repuser
        primary_conninfo_opt restart_on_promote replication_slot_name tmpdir xlog_check_count crm_attr_timeout
        enable_distlock distlock_lock_cmd distlock_unlock_cmd distlock_lockservice_deadcheck_nodelist"""
    new = "passfile distlock_conninfo distlock_lockname distlock_ttl rejoin sync_standby_count sync_method"
    assert set(NAMES) == {*old.split(), *new.split(), "strict_sync", "maximum_lag"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("pgctl", "/usr/bin/pg_ctl"),
        ("pgdata", "/var/lib/pgsql/data"),
        ("config_file", "/var/lib/pgsql/data/postgresql.conf"),
        ("pgport", 5432),
        ("stop_escalate", 90),
        ("check_wal_receiver", False),
        ("rep_mode", RepMode.NONE),
        ("node_list", ()),
        ("maximum_lag", None),
        ("rejoin", Rejoin.MANUAL),
        ("sync_method", SyncMethod.FIRST),
        ("monitor_sql", "select now();"),
    ],
)
def test_defaults(name: str, value: object) -> None:
    assert getattr(read(), name) == value


def test_an_empty_text_is_the_default() -> None:
    assert read(**dict.fromkeys(NAMES, "")) == read() == Parameters()


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("pgport", " 15432 ", 15432),
        ("stop_escalate", "0", 0),
        ("maximum_lag", "16777216", 16777216),
        ("check_wal_receiver", "ja", True),
        ("check_wal_receiver", "ON", True),
        ("check_wal_receiver", "0", False),
        ("node_list", "node1 node2\tnode3", ("node1", "node2", "node3")),
        ("node_list", "node1,node2, Node-3.example", ("node1", "node2", "Node-3.example")),
        ("rep_mode", "SYNC", RepMode.SYNC),
        ("monitor_sql", "select 1;\nselect 2", "select 1;\nselect 2"),
        ("strict_sync", "yes", True),
        ("strict_sync", "off", False),
        ("enable_distlock", "false", False),
        ("distlock_lockname", "db-1", "db-1"),
        ("primary_conninfo_opt", r"options='-c a=\' b' sslmode = verify-full", None),
        ("replication_slot_name", "slot_1", "slot_1"),
        ("config", "/etc/postgresql/main.conf", "/etc/postgresql/main.conf"),
    ],
)
def test_accepted(name: str, text: str, value: object) -> None:
    assert getattr(read(master_ip="192.0.2.1", **{name: text}), name) == (text if value is None else value)


@pytest.mark.parametrize(
    ("name", "text", "remedy"),
    [
        *(
            (name, "relative/path", "must be an absolute path, beginning with /")
            for name in (
                "pgctl",
                "psql",
                "pgdata",
                "pglibs",
                "config",
                "logfile",
                "socketdir",
                "tmpdir",
                "passfile",
            )
        ),
        ("pgdata", "/srv/it's", "must be a path without quotes and backslashes"),
        ("pgdba", "post gres", "must be one word, without blanks, quotes and backslashes"),
        ("master_ip", "192.0.2.1'", "must be one word, without blanks, quotes and backslashes"),
        ("pgport", "0", "must be from 1 to 65535"),
        ("pgport", "65536", "must be from 1 to 65535"),
        ("pgport", "1" * 5000, "must be from 1 to 65535"),
        ("pgport", "postgresql", "must be a whole number, without a unit"),
        ("pgport", "5_432", "must be a whole number, without a unit"),
        ("stop_escalate", "90s", "must be a whole number, without a unit"),
        ("stop_escalate", "-1", "must be from 0 to 86400"),
        ("stop_escalate_in_slave", "1.5", "must be a whole number, without a unit"),
        ("xlog_check_count", "0", "must be from 1 to 999"),
        ("crm_attr_timeout", "0", "must be from 1 to 86400"),
        ("distlock_ttl", "soon", "must be a whole number, without a unit"),
        ("maximum_lag", "16MB", "must be a whole number, without a unit"),
        ("sync_standby_count", "0", "must be from 1 to 99"),
        ("strict_sync", "sometimes", "must be true or false"),
        ("enable_distlock", "2", "must be true or false"),
        ("distlock_ttl", "0", "must be from 1 to 86400"),
        ("distlock_lockname", "my lock", "must be one word, without blanks, quotes and backslashes"),
        ("sync_standby_count", "٣", "must be a whole number, without a unit"),
        ("check_wal_receiver", "maybe", "must be true or false"),
        ("restart_on_promote", "2", "must be true or false"),
        ("rep_mode", "asinc", "must be one of none, async, sync, slave"),
        ("rejoin", "rewnd", "must be one of manual, rewind, rebuild"),
        ("sync_method", "quorum", "must be one of first, any"),
        ("node_list", "n1 n2 N1", "names n1 more than once (case does not count)"),
        ("node_list", "n1|n2", "n1|n2 is no node name: use letters, digits, dots, hyphens and underscores"),
        ("replication_slot_name", "Slot", "must consist of lower case letters, digits and underscores"),
        ("restore_command", "cp\nrm", "must be a single line"),
        ("start_opt", "-c \udce4", "must be valid in the encoding of this system's locale"),
        ("sync_method", "any", "is not available in this version; leave it at first"),
    ],
)
def test_refused_with_a_remedy(name: str, text: str, remedy: str) -> None:
    assert errors_of(**{name: text}) == (f"{name}={text}: {remedy}",)


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("application_name=me", "must not set application_name: the agent does"),
        ("sslmode=require host=elsewhere", "must not set host: the agent does"),
        ("keepalives_idle", "must be settings such as keepalives_idle=60, separated by blanks"),
        ("a=1 =2", "must be settings such as keepalives_idle=60, separated by blanks"),
        ("password='never closed", "must close every quote that it opens"),
        ("password='never closed\\", "must close every quote that it opens"),
    ],
)
def test_connection_settings_refused(text: str, remedy: str) -> None:
    assert errors_of(primary_conninfo_opt=text) == (f"primary_conninfo_opt=***: {remedy}",)


def test_all_errors_are_reported_together() -> None:
    errors = errors_of(rep_mode="asinc", pgport="x", node_list="a a", master_ip="")
    assert [error.partition("=")[0] for error in errors] == ["pgport", "rep_mode", "node_list"]
    assert str(InvalidParameters(errors)) == "; ".join(errors)


@pytest.mark.parametrize("mode", ["async", "sync", "slave"])
def test_replication_needs_an_address(mode: str) -> None:
    assert errors_of(rep_mode=mode) == (
        f"master_ip is empty: rep_mode={mode} needs the address that standbys connect to",
    )


def test_a_bad_address_is_not_called_empty_as_well() -> None:
    assert len(errors_of(rep_mode="sync", master_ip="two words")) == 1


def test_more_synchronous_standbys_than_standbys() -> None:
    three = {"rep_mode": "sync", "master_ip": "vip", "node_list": "a b c"}
    assert read(**three, sync_standby_count="2").sync_standby_count == 2
    assert errors_of(**three, sync_standby_count="3") == (
        "sync_standby_count=3: must be less than 3, the number of nodes in node_list",
    )
    assert read(rep_mode="sync", master_ip="vip", sync_standby_count="3").node_list == ()


ARBITER = {"enable_distlock": "true", "distlock_conninfo": "host=arbiter", "distlock_lockname": "db1"}


@pytest.mark.parametrize("changes", [{}, {"distlock_conninfo": "etcd://a:2379,b:2379/db"}, {"distlock_ttl": "60"}])
def test_an_arbiter(changes: dict[str, str]) -> None:
    assert read(**{**ARBITER, **changes}).enable_distlock


def test_an_external_lock_command_needs_no_name_of_a_lock() -> None:
    assert read(enable_distlock="true", distlock_lock_cmd="lock @owner").distlock_lockname == ""


def test_what_is_there_of_a_lock_that_is_not_used_is_no_conflict() -> None:
    assert not read(**{**ARBITER, "enable_distlock": "false", "distlock_lockname": ""}).enable_distlock
    assert not read(distlock_conninfo="host=arbiter", distlock_lock_cmd="lock @owner").enable_distlock


@pytest.mark.parametrize(
    ("changes", "found"),
    [({"distlock_conninfo": ""}, 0), ({"distlock_lock_cmd": "lock @owner"}, 2)],
)
def test_there_is_exactly_one_way_to_the_lock(changes: dict[str, str], found: int) -> None:
    assert errors_of(**{**ARBITER, **changes}) == (
        f"enable_distlock=true needs exactly one of distlock_conninfo and distlock_lock_cmd: {found} are set",
    )


def test_an_arbiter_is_asked_for_a_lock_by_name() -> None:
    assert errors_of(**{**ARBITER, "distlock_lockname": ""}) == (
        "distlock_lockname is empty: distlock_conninfo needs the name of the lock, another for each cluster",
    )
    # a name that is there and wrong is not called empty as well
    assert len(errors_of(**{**ARBITER, "distlock_lockname": "my lock"})) == 1


def test_slots() -> None:
    assert read().slot_of("node1") == ""
    assert read(replication_slot_name="s").slot_of("Node-1.example.com") == "s_node_1_example_com"
    assert "share a replication slot" in errors_of(replication_slot_name="s", node_list="a-b a.b")[0]
    assert "choose a shorter name" in errors_of(replication_slot_name="s" * 60, node_list="node1")[0]


SECRETS = [parameter.name for parameter in Parameters.declared if parameter.is_secret]


def test_what_may_hold_a_password_is_secret() -> None:
    assert {"monitor_password", "primary_conninfo_opt", "distlock_conninfo"} <= set(SECRETS)


@pytest.mark.parametrize("name", SECRETS)
def test_secrets_show_up_nowhere(name: str) -> None:
    assert errors_of(**{name: "password=hush\nhush"}) == (f"{name}=***: must be a single line",)
    assert "hush" not in repr(read(**{name: "password=hush"}))


def test_no_secret_is_shown_as_none() -> None:
    assert "monitor_password=''" in repr(read())


def test_parameters_do_not_change() -> None:
    parameters = read()
    with pytest.raises(AttributeError):
        parameters.pgport = 1


def test_a_changed_copy() -> None:
    changed = read().replace(pgdata="/elsewhere", rep_mode=RepMode.SYNC)
    assert (changed.config_file, changed.rep_mode) == ("/elsewhere/postgresql.conf", "sync")
    assert changed != read()
    assert len({changed, read(), Parameters()}) == 2
    with pytest.raises(TypeError, match="no such parameter: repmode"):
        changed.replace(repmode=RepMode.SYNC)


def test_the_class_shows_the_declaration() -> None:
    assert Parameters.pgport.default == "5432"
    assert Parameters.pgport.doc.short == "Port"


def test_the_password_of_a_key_is_a_password_that_everybody_may_read() -> None:
    (found,) = warnings(read(primary_conninfo_opt="sslkey=/k sslpassword=hush"))
    assert "shows sslpassword" in found
    assert "hush" not in found


def test_warnings() -> None:
    assert not list(warnings(read(primary_conninfo_opt="sslmode=require")))
    found = list(warnings(read(restart_on_promote="true", primary_conninfo_opt="password=hush")))
    assert [text.split()[0] for text in found] == ["restart_on_promote", "primary_conninfo_opt"]
    assert "hush" not in "".join(found)


def test_unknown_names_are_ignored_and_can_be_told() -> None:
    environ = {
        PREFIX + "pgprot": "1",
        PREFIX + "CRM_meta_timeout": "20000",
        PREFIX + "crm_feature_set": "3.16.1",
        PREFIX + "trace_ra": "1",
        PREFIX + "pgport": "1",
        "PATH": "/bin",
    }
    assert Parameters.from_environ(environ).pgport == 1
    assert list(unknown_parameters(environ)) == ["pgprot"]


@given(st.dictionaries(st.sampled_from(NAMES), st.text(max_size=20)))
def test_any_text_is_read_or_refused(texts: dict[str, str]) -> None:
    with contextlib.suppress(InvalidParameters):
        assert read(**texts) == read(**texts)


@given(st.text(max_size=30))
def test_any_connection_string_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(Problem):
        assert all(conninfo_keywords(text))


def test_importing_is_cheap() -> None:
    # The agent runs every few seconds on every node: what it imports is what a monitor costs.
    slow = {
        "dataclasses",
        "pathlib",
        "inspect",
        "subprocess",
        "psycopg",
        "click",
        "xml",
        "logging",
        "argparse",
    }
    code = "import sys, expgsql_ra.parameters; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert not slow & set(loaded.stdout.split())


def test_a_set_of_another_agent() -> None:
    class Small(ParameterSet):
        size = number(3, range(10), "Size", "How big.")

    assert Small.from_environ({PREFIX + "size": "4"}).size == 4
    assert Small() != read()
