# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading a set-up: both files mean the same, and whoever errs hears of everything at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from expgsql_ra.setup_files import assignments, read_setup
from expgsql_ra.setup_model import Fencing, InvalidSetup, Setup

GOLDEN = Path(__file__).parents[1] / "golden/setup"
MINIMAL = """
[cluster]
nodes = ["node1", "node2", "node3"]
[addresses]
writer = "192.0.2.10"
[postgresql]
version = 15
"""


def toml(text: str = "") -> Setup:
    """The smallest file, and something more."""
    return read_setup(MINIMAL + text, is_toml=True)


def ini(name: str, *, without: str = "", more: str = "") -> Setup:
    """One of the templates, some of its lines left out, others added."""
    lines = (GOLDEN / name).read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if not without or without not in line]
    return read_setup("\n".join([*kept, more]), is_toml=False)


def errors(text: str, *, is_toml: bool = True) -> str:
    """All that is wrong with a file."""
    with pytest.raises(InvalidSetup) as caught:
        read_setup(text, is_toml=is_toml)
    assert str(caught.value) == "\n".join(caught.value.errors)
    return str(caught.value)


def test_on_debian_the_version_says_where_everything_is() -> None:
    setup = toml()
    assert setup.agent_parameters()["pgctl"] == "/usr/lib/postgresql/15/bin/pg_ctl"
    assert setup.agent_parameters()["pgdata"] == "/var/lib/postgresql/15/main"
    assert setup.agent_parameters()["config"] == "/etc/postgresql/15/main/postgresql.conf"
    assert not setup.has_arbiter


def test_paths_can_be_given() -> None:
    setup = read_setup(
        MINIMAL.replace("version = 15", 'pgctl = "/opt/pg/bin/pg_ctl"\npgdata = "/data"\npsql = "/usr/bin/psql2"'),
        is_toml=True,
    )
    given = setup.agent_parameters()
    assert (given["pgctl"], given["psql"], given["pgdata"]) == ("/opt/pg/bin/pg_ctl", "/usr/bin/psql2", "/data")
    assert "config" not in given
    assert setup.config == "/data/postgresql.conf"
    assert toml('config = "/etc/pg.conf"').config == "/etc/pg.conf"


def test_what_is_at_the_agents_default_is_left_out() -> None:
    assert "pgport" not in toml().agent_parameters()
    assert toml("port = 5433").agent_parameters()["pgport"] == "5433"


def test_every_parameter_of_the_agent_can_be_set() -> None:
    assert toml("[parameters]\nstrict_sync = true\nxlog_check_count = 5").parameters == (
        ("strict_sync", "true"),
        ("xlog_check_count", "5"),
    )
    assert "the agent: sync_standby_count=9" in errors(MINIMAL + "[parameters]\nsync_standby_count = 9")


def test_all_errors_are_told_together_each_with_its_remedy() -> None:
    text = errors(
        """
        [cluster]
        nodes = ["node1", "node2"]
        timing = "quick"
        [addresses]
        writer = "not an address"
        netmask = 300
        [adresses]
        reader = "192.0.2.1"
        [postgresql]
        prot = 5432
        """
    )
    assert text.splitlines() == [
        "[adresses]: no such table; did you mean addresses?",
        "[postgresql] prot: no such key; did you mean port?",
        "[cluster] timing=quick: must be one of default, fast",
        "[addresses] writer=not an address: must be one word, without blanks, quotes and backslashes",
        "[addresses] netmask=300: must be from 1 to 128",
    ]
    assert "; there are: name, nodes" in errors("[cluster]\nxyzzy = 1")


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ('["node1", "node2", "node3"]', "[]", "nodes is empty"),
        ("nodes =", 'addresses = ["192.0.2.1"]\nnodes =', "1 for 3 nodes"),
        ("nodes =", 'addresses = ["no;address"]\nnodes =', "no;address is no address"),
        ("nodes =", 'never_primary = ["node9"]\nnodes =', "node9 is none of the nodes"),
        ("nodes =", 'never_primary = ["node1", "node2", "node3"]\nnodes =', "nobody is left"),
        ('writer = "192.0.2.10"', "", "writer is empty"),
        ('writer = "192.0.2.10"', 'writer = "192.0.2.10"\nreader = "192.0.2.10"', "must not be the writer's"),
        ("version = 15", "", "pgctl and pgdata: give the path"),
        ("version = 15", 'pgdata = "/data"', "[postgresql] pgctl: give the path"),
        ("version = 15", "version = 15\n[lvs]\nenabled = true", "needs an address for readers"),
        ("version = 15", "version = 15\n[operations]\nmonitor_primary = 4", "must differ"),
        ("version = 15", 'version = 15\n[arbiter]\nconninfo = "host=a"', "belong together"),
        (
            "version = 15",
            'version = 15\n[arbiter]\nconninfo = "host=a password=x"\nlockname = "l"',
            "write it as password",
        ),
        ("version = 15", 'version = 15\n[names]\nclone = "pgsql"', "have the same name"),
        ("version = 15", "version = ", "is no TOML"),
        ("[cluster]", "port = 1\n[cluster]", "port: stands outside"),
    ],
)
def test_what_does_not_go_together(old: str, new: str, why: str) -> None:
    assert why in errors(MINIMAL.replace(old, new))


def test_dual_has_an_arbiter_and_no_password_in_the_cluster() -> None:
    setup = ini("dual.ini")
    assert setup.nodes == ("node1", "node2")
    assert setup.cluster.fencing is Fencing.NONE
    assert setup.arbiter.conninfo == "host=node3 port=5439 dbname=postgres user=postgres connect_timeout=5"
    assert setup.arbiter.lockname == "pgsql_cls1"
    assert setup.replication.password == "replication"
    assert not any("replication" in value and name != "repuser" for name, value in setup.agent_parameters().items())
    assert [one.partition(" ")[0] for one in setup.remarks] == ["config.ini", "the", "OCF_ROOT", "pha4pgsql_dir"]


def test_the_older_name_of_the_template_is_known() -> None:
    assert ini("dual.ini", without="pcs_template", more="cluster_type=dual") == ini("dual.ini")


def test_a_password_in_the_arbiters_command_goes_to_the_password_file() -> None:
    command = "pgsql_distlock_psql_cmd='psql \"host=a password=p user=u\"'"
    setup = ini("dual.ini", without="psql_cmd", more=command)
    assert (setup.arbiter.conninfo, setup.arbiter.password) == ("host=a user=u", "p")


def test_muti_has_nodes_that_only_read() -> None:
    setup = ini("muti.ini")
    assert setup.nodes == ("node1", "node2", "node3", "node4", "node5")
    assert setup.cluster.never_primary == ("node4", "node5")
    assert setup.replication.restore_command == 'cp /archive/%f "%p"'
    assert not setup.has_arbiter
    assert not setup.lvs.enabled


def test_muti_with_lvs_balances() -> None:
    setup = ini("muti_with_lvs.ini")
    assert setup.lvs.enabled
    assert setup.cluster.never_primary == ()
    assert ini("muti.ini", more="enable_lvs=true").lvs.enabled


def test_without_a_password_nothing_is_said_of_it() -> None:
    remarks = ini("muti.ini", without="reppassord", more="OCF_ROOT=").remarks
    assert [one.partition(" ")[0] for one in remarks] == ["config.ini", "pha4pgsql_dir"]


@pytest.mark.parametrize(
    ("without", "more", "why"),
    [
        ("pcs_template", "pcs_template=three_plus_x.pcs.template", "is none of dual, muti, muti_with_lvs"),
        ("pcs_template", "", "pcs_template=none"),
        ("-", "vip_nick=eth0", "vip_nick: no such key of config.ini"),
        ("psql_cmd", "pgsql_distlock_psql_cmd='psql'", "no connection string is in it"),
        ("psql_cmd", 'pgsql_distlock_psql_cmd="psql \'host=a"', "no connection string is in it"),
        ("pgdata", "pgsql_pgdata=5432", "must be an absolute path"),
    ],
)
def test_what_cannot_be_read_of_the_old_file(without: str, more: str, why: str) -> None:
    lines = (GOLDEN / "dual.ini").read_text(encoding="utf-8").splitlines()
    text = "\n".join([*(line for line in lines if without not in line or without == "-"), more])
    assert why in errors(text, is_toml=False)


def test_it_is_shell_that_is_never_run() -> None:
    text = '# comment\n\nexport a=\'b c\'\n d="x\\"y" # more\ne=$(rm)\nf=\n'
    assert assignments(text) == {"a": "b c", "d": 'x"y', "e": "$(rm)", "f": ""}
    with pytest.raises(InvalidSetup) as caught:
        assignments("a='b\nif true\nc=d e\n")
    assert caught.value.errors == (
        "line 1: a no closing quotation",
        "line 2: if true is no KEY=VALUE",
        "line 3: c has more than one word: quote the value",
    )


def test_doing_without_an_arbiter_can_be_said_for_the_old_file() -> None:
    text = (GOLDEN / "dual.ini").read_text(encoding="utf-8").replace("distlock=true", "distlock=false")
    assert read_setup(text, is_toml=False, accept_no_arbiter=True).arbiter.none
    assert not read_setup(text, is_toml=False).arbiter.none
