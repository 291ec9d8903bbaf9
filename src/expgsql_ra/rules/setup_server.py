# SPDX-License-Identifier: GPL-2.0-or-later
"""What a set-up makes of a PostgreSQL server: settings by version, rules of pg_hba.conf, roles, the password file.

Sources: PostgreSQL's release notes for the settings that changed their names; its documentation of pg_rewind
("Notes") for the four rights; "The Password File"; RFC 5802 and RFC 7677 for the verifier.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from expgsql_ra.setup_model import Setup

INCLUDE = "expgsql-setup.conf"
HEADER = "# Written by expgsql setup postgres, which replaces the whole file. Your own settings: postgresql.conf.\n"
INCLUDE_LINE = f"include '{INCLUDE}'"
HBA_BEGIN = "# expgsql setup postgres: begin (rewritten by it)"
HBA_END = "# expgsql setup postgres: end"
RENAMED_KEEP = 13
"""wal_keep_segments (of 16 MB) became wal_keep_size."""
KEPT_SEGMENTS = 64
SEGMENT_MB = 16
DATABASE = "postgres"
REWIND_FUNCTIONS = (
    "pg_ls_dir(text, boolean, boolean)",
    "pg_stat_file(text, boolean)",
    "pg_read_binary_file(text)",
    "pg_read_binary_file(text, bigint, bigint, boolean)",
)
ITERATIONS = 4096
VERIFIER = re.compile(r"SCRAM-SHA-256\$(\d+):([A-Za-z0-9+/=]+)\$([A-Za-z0-9+/=]+):([A-Za-z0-9+/=]+)")


def settings(setup: Setup, major: int) -> dict[str, str]:
    """The settings for a server of this version.

    Those of the shell agent's manual; what the agent sets itself (synchronous_standby_names, primary_conninfo and
    the like) is left to it.
    """
    senders = str(len(setup.nodes) + 5)
    keep = (
        {"wal_keep_segments": str(KEPT_SEGMENTS)}
        if major < RENAMED_KEEP
        else {"wal_keep_size": f"{KEPT_SEGMENTS * SEGMENT_MB}MB"}
    )
    return {
        "listen_addresses": "*",
        "port": str(setup.postgresql.port),
        "wal_level": "replica",
        "wal_log_hints": "on",
        "synchronous_commit": "on",
        "max_wal_senders": senders,
        "max_replication_slots": senders,
        **keep,
        "hot_standby": "on",
        "hot_standby_feedback": "on",
        "wal_sender_timeout": "5s",
        "wal_receiver_status_interval": "2s",
        "wal_retrieve_retry_interval": "1s",
        "max_standby_streaming_delay": "-1",
        "max_standby_archive_delay": "-1",
        "restart_after_crash": "off",
        "password_encryption": "scram-sha-256",
    }


def settings_file(setup: Setup, major: int) -> str:
    """The include file."""
    return HEADER + "".join(f"{name} = '{value}'\n" for name, value in settings(setup, major).items())


def with_include(config: str) -> str:
    """postgresql.conf with our include line: before everything an agent appends, so that this one has the last word."""
    lines = config.splitlines(keepends=True)
    if any(line.split("#")[0].strip() in {INCLUDE_LINE, f"include = '{INCLUDE}'"} for line in lines):
        return config
    at = next((number for number, line in enumerate(lines) if "rep_mode.conf" in line), len(lines))
    before = "".join(lines[:at])
    gap = "" if not before or before.endswith("\n") else "\n"
    return f"{before}{gap}{INCLUDE_LINE}\n{''.join(lines[at:])}"


def networks(setup: Setup) -> tuple[str, ...]:
    """From where standbys connect."""
    if setup.replication.networks:
        return setup.replication.networks
    return (str(ipaddress.ip_network(f"{setup.addresses.writer}/{setup.addresses.netmask}", strict=False)),)


def with_rules(hba: str, setup: Setup) -> str:
    """pg_hba.conf with our rules first: the first one that fits counts, and ours name our roles alone."""
    rest = re.sub(rf"{re.escape(HBA_BEGIN)}.*?{re.escape(HBA_END)}\n", "", hba, flags=re.DOTALL)
    users = dict.fromkeys((setup.replication.user, rewind_user(setup)))
    rules = [f"host replication {setup.replication.user} {network} scram-sha-256" for network in networks(setup)]
    rules += [f"host {DATABASE} {user} {network} scram-sha-256" for user in users for network in networks(setup)]
    return "\n".join([HBA_BEGIN, *rules, HBA_END, rest])


def rewind_user(setup: Setup) -> str:
    """As whom pg_rewind reads the primary."""
    return setup.replication.rewind_user or setup.replication.user


class Role(NamedTuple):
    """A role as the server has it."""

    name: str
    replication: bool
    superuser: bool
    verifier: str
    rewinds: bool
    """Whether it may execute all that pg_rewind needs."""


def role_statements(setup: Setup, there: Iterable[Role], password: str, salt: bytes) -> tuple[tuple[str, str], ...]:
    """What to tell the server, each with what it is in words; nothing where all is as it should be."""
    known = {one.name: one for one in there}
    users = {setup.replication.user: True}
    users.setdefault(rewind_user(setup), False)
    statements = [
        statement
        for name, replicates in users.items()
        for statement in _for_role(name, known.get(name), password, salt, replicates=replicates)
    ]
    return (*statements, *_for_rewind(rewind_user(setup), known.get(rewind_user(setup))))


def _for_role(
    name: str, there: Role | None, password: str, salt: bytes, *, replicates: bool
) -> Iterator[tuple[str, str]]:
    option = " REPLICATION" if replicates else ""
    secret = _literal(verifier(password, salt))
    if there is None:
        yield f"create role {name}", f"CREATE ROLE {_name(name)} LOGIN{option} PASSWORD {secret}"
        return
    if replicates and not (there.replication or there.superuser):
        yield f"let role {name} replicate", f"ALTER ROLE {_name(name)} REPLICATION"
    if not fits(there.verifier, password):
        yield f"set the password of role {name}", f"ALTER ROLE {_name(name)} LOGIN PASSWORD {secret}"


def _for_rewind(name: str, there: Role | None) -> Iterator[tuple[str, str]]:
    if there is None or not (there.rewinds or there.superuser):
        grants = "; ".join(f"GRANT EXECUTE ON FUNCTION pg_catalog.{one} TO {_name(name)}" for one in REWIND_FUNCTIONS)
        yield f"let role {name} read what pg_rewind needs", grants


def roles_query(setup: Setup) -> str:
    """Asks for a `Role` a line, its fields separated by tabs."""
    wanted = ", ".join(_literal(one) for one in dict.fromkeys((setup.replication.user, rewind_user(setup))))
    rights = " and ".join(
        f"has_function_privilege(oid, 'pg_catalog.{one.replace(' ', '')}', 'execute')" for one in REWIND_FUNCTIONS
    )
    return (
        "select concat_ws(E'\\t', rolname, rolreplication, rolsuper, coalesce(rolpassword, '-'), "
        f"{rights}) from pg_authid where rolname in ({wanted})"
    )


def roles_of(answer: str) -> tuple[Role, ...]:
    """Read the answer."""
    rows = (line.split("\t") for line in answer.splitlines() if line)
    return tuple(Role(name, rep == "t", sup == "t", word, right == "t") for name, rep, sup, word, right in rows)


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def verifier(password: str, salt: bytes, iterations: int = ITERATIONS) -> str:
    """What the server keeps of a password: sent in its place, so that no log ever shows the password itself."""
    salted = hashlib.pbkdf2_hmac("sha256", _prepared(password), salt, iterations)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    parts = (base64.b64encode(one).decode() for one in (salt, stored, server))
    encoded_salt, encoded_stored, encoded_server = parts
    return f"SCRAM-SHA-256${iterations}:{encoded_salt}${encoded_stored}:{encoded_server}"


def _prepared(password: str) -> bytes:
    """As SASLprep has it for what people type; PostgreSQL takes the bytes where that does not apply."""
    return unicodedata.normalize("NFKC", password).encode()


def fits(kept: str, password: str) -> bool:
    """Whether what the server keeps is of this password."""
    match = VERIFIER.fullmatch(kept)
    if match is None:
        return False
    return hmac.compare_digest(verifier(password, base64.b64decode(match[2]), int(match[1])), kept)


# --- the password file -------------------------------------------------------------------------


def password_in(passfile: str, user: str) -> str:
    """The password of a user in a password file; empty if it has none."""
    for line in passfile.splitlines():
        fields = _fields(line)
        if len(fields) == 5 and fields[3] in {user, "*"} and not line.startswith("#"):
            return fields[4]
    return ""


def with_password(passfile: str, user: str, password: str) -> str:
    """The file with a line for this user, in the place of an earlier one of the same kind."""
    line = f"*:*:*:{_guarded(user)}:{_guarded(password)}"
    if line in passfile.splitlines():
        return passfile
    kept = [one for one in passfile.splitlines() if _fields(one)[:4] != ["*", "*", "*", user]]
    return "".join(f"{one}\n" for one in [line, *kept])


def _fields(line: str) -> list[str]:
    """Separated by colons that no backslash guards."""
    return [re.sub(r"\\(.)", r"\1", one) for one in re.split(r"(?<!\\):", line)]


def _guarded(text: str) -> str:
    return text.replace("\\", "\\\\").replace(":", "\\:")


def user_in(conninfo: str) -> str:
    """The user of a connection string or URI; empty where none is named, or it is none of PostgreSQL's."""
    if conninfo.startswith(("postgres://", "postgresql://")):
        found = re.match(r"[a-z]+://([^:@/?]+)[^@/?]*@", conninfo)
    else:
        found = re.search(r"(?:^|\s)user\s*=\s*'?([^\s']+)", conninfo)
    return found[1] if found else ""
