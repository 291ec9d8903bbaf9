# SPDX-License-Identifier: GPL-2.0-or-later
"""What a set-up makes of a server, by version; roles with no more rights than they need; the password file."""

from __future__ import annotations

from pathlib import Path

import pytest

from expgsql_ra.rules import setup_server as rules
from expgsql_ra.rules.setup_example import key_table
from expgsql_ra.rules.setup_membership import PROFILES, pcs_setup, pcs_update
from expgsql_ra.setup_files import read_setup
from expgsql_ra.setup_model import Setup, Timing

GOLDEN = Path(__file__).parents[2] / "golden/setup"
SALT = b"0123456789abcdef"


def a_setup(name: str = "three") -> Setup:
    """One of the examples."""
    return read_setup((GOLDEN / f"{name}.toml").read_text(encoding="utf-8"), is_toml=True)


@pytest.mark.parametrize(
    ("major", "keep"), [(10, "wal_keep_segments"), (12, "wal_keep_segments"), (13, "wal_keep_size")]
)
def test_settings_are_translated(major: int, keep: str) -> None:
    given = rules.settings(a_setup(), major)
    assert [name for name in given if name.startswith("wal_keep")] == [keep]
    assert given["max_wal_senders"] == "8"


def test_the_include_line_comes_before_the_agents() -> None:
    line = f"{rules.INCLUDE_LINE}\n"
    assert rules.with_include("a = 1\n") == f"a = 1\n{line}"
    assert rules.with_include("a = 1") == f"a = 1\n{line}"
    assert rules.with_include("") == line
    agents = "include '/var/lib/pgsql/tmp/rep_mode.conf' # added\n"
    assert rules.with_include(f"a = 1\n{agents}") == f"a = 1\n{line}{agents}"
    for text in (line, f"include = '{rules.INCLUDE}' # ours\n"):
        assert rules.with_include(f"a = 1\n{text}b = 2\n") == f"a = 1\n{text}b = 2\n"


def test_rules_of_access_are_for_our_roles_alone() -> None:
    before = "local all all peer\n"
    text = rules.with_rules(before, a_setup())
    assert text.splitlines()[1:4] == [
        "host replication replication 192.0.2.0/24 scram-sha-256",
        "host postgres replication 192.0.2.0/24 scram-sha-256",
        rules.HBA_END,
    ]
    assert text.endswith(before)
    assert rules.with_rules(text, a_setup()) == text
    other = rules.with_rules(text, a_setup("two"))
    assert other.count(rules.HBA_BEGIN) == 1
    assert "host replication replication 2001:db8::/64 scram-sha-256" in other
    assert "host postgres rewinder 192.0.2.0/24 scram-sha-256" in other
    assert other.endswith(before)


def role(name: str = "replication", **changes: object) -> rules.Role:
    """A role that is as it should be."""
    return rules.Role(name, True, False, rules.verifier("secret", SALT), True)._replace(**changes)  # type: ignore[arg-type]


def said(there: tuple[rules.Role, ...], name: str = "three") -> list[str]:
    """What would be done."""
    return [what for what, _ in rules.role_statements(a_setup(name), there, "secret", SALT)]


def test_roles_are_made_with_no_more_than_they_need() -> None:
    statements = [text for _, text in rules.role_statements(a_setup(), (), "sec'ret", SALT)]
    assert statements[0].startswith('CREATE ROLE "replication" LOGIN REPLICATION PASSWORD \'SCRAM-SHA-256$4096:')
    assert "SUPERUSER" not in statements[0]
    assert "sec" not in statements[0]
    assert statements[1].count("GRANT EXECUTE") == 4
    assert said((), "two") == [
        "create role replication",
        "create role rewinder",
        "let role rewinder read what pg_rewind needs",
    ]


def test_roles_that_are_right_are_left_alone() -> None:
    assert said((role(),)) == []
    assert said((role(rewinds=False),)) == ["let role replication read what pg_rewind needs"]
    assert said((role(replication=False),)) == ["let role replication replicate"]
    assert said((role(replication=False, rewinds=False, superuser=True),)) == []
    assert said((role(verifier="md5abc"),)) == ["set the password of role replication"]
    assert said((role(verifier=rules.verifier("other", SALT)),)) == ["set the password of role replication"]


def test_what_the_server_says_of_roles_is_read() -> None:
    query = rules.roles_query(a_setup("two"))
    assert "('replication', 'rewinder')" in query
    assert rules.roles_of("replication\tt\tf\tSCRAM\tt\n\nrewinder\tf\tf\t-\tf\n") == (
        rules.Role("replication", True, False, "SCRAM", True),
        rules.Role("rewinder", False, False, "-", False),
    )


def test_the_verifier_is_that_of_the_standard() -> None:
    # RFC 7677, section 3: user "user", password "pencil".
    import base64  # noqa: PLC0415

    made = rules.verifier("pencil", base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ=="))
    assert made == (
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$"
        "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
    )
    assert rules.fits(made, "pencil")


def test_the_password_file_keeps_what_others_wrote() -> None:
    before = "db1:*:*:replication:other\n# *:*:*:replication:no\nshort\n"
    after = rules.with_password(before, "replication", "a:b\\c")
    assert after == "*:*:*:replication:a\\:b\\\\c\n" + before
    assert rules.with_password(after, "replication", "a:b\\c") == after
    assert rules.with_password(after, "replication", "new").splitlines()[0] == "*:*:*:replication:new"
    assert "a\\:b" not in rules.with_password(after, "replication", "new")


def test_a_password_is_found() -> None:
    assert rules.password_in("*:*:*:replication:a\\:b\n", "replication") == "a:b"
    assert rules.password_in("# *:*:*:replication:x\n*:*:*:other:y\n", "replication") == ""
    assert rules.password_in("*:*:*:*:all\n", "replication") == "all"


@pytest.mark.parametrize(
    ("conninfo", "user"),
    [
        ("host=a user=expgsql dbname=b", "expgsql"),
        ("user = 'expgsql'", "expgsql"),
        ("postgresql://expgsql@a/b", "expgsql"),
        ("postgres://expgsql:x@a/b", "expgsql"),
        ("host=a", ""),
        ("etcd://a:2379/p", ""),
    ],
)
def test_the_user_of_a_connection_string(conninfo: str, user: str) -> None:
    assert rules.user_in(conninfo) == user


def test_the_fast_profile_gives_a_node_up_sooner() -> None:
    default, fast = PROFILES[Timing.DEFAULT], PROFILES[Timing.FAST]
    assert default.given_up_after(2) == 1000 + 1200
    assert default.given_up_after(3) == 1650 + 1980
    assert fast.given_up_after(3) * 3 < default.given_up_after(3)
    for nodes in (1, 2, 3, 7):
        assert fast.consensus(nodes) * 10 >= fast.run_time_token(nodes) * 12


def test_pcs_makes_the_same_membership() -> None:
    assert pcs_setup(a_setup("two"))[3:] == [
        *("pgcluster", "node1", "addr=192.0.2.1", "node2", "addr=192.0.2.2"),
        *("totem", "token=400", "token_coefficient=100", "consensus=480"),
    ]
    assert pcs_setup(a_setup())[4:8] == ["node1", "node2", "node3", "totem"]
    assert pcs_update(a_setup())[-1] == "consensus=1980"


def test_the_table_has_every_key() -> None:
    rows = key_table().splitlines()
    assert any(row.startswith("| `[cluster]` | `nodes` |") for row in rows)
    assert len(rows) > 45
