# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading a set-up: ``expgsql.toml``, or ``config.ini`` of the shell agent's scripts as it is.

The second is shell: ``KEY=VALUE`` lines with quotes, of which the last one of a key counts. It is read, never run.
"""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

from expgsql_ra.setup_model import InvalidSetup, Setup, setup_of

TEMPLATES = ("dual", "muti", "muti_with_lvs")
TEMPLATE_SUFFIX = ".pcs.template"

OLD_KEYS = {
    "writer_vip": ("addresses", "writer"),
    "reader_vip": ("addresses", "reader"),
    "vip_nic": ("addresses", "nic"),
    "vip_cidr_netmask": ("addresses", "netmask"),
    "pgsql_pgctl": ("postgresql", "pgctl"),
    "pgsql_psql": ("postgresql", "psql"),
    "pgsql_pgdata": ("postgresql", "pgdata"),
    "pgsql_pgport": ("postgresql", "port"),
    "pgsql_restore_command": ("replication", "restore_command"),
    "pgsql_rep_mode": ("replication", "mode"),
    "pgsql_repuser": ("replication", "user"),
    "pgsql_reppassord": ("replication", "password"),  # so it is spelled there
    "pgsql_reppassword": ("replication", "password"),
}
"""The keys that mean the same; those that do not are read below."""
READ_BELOW = frozenset(
    {
        *("pcs_template", "cluster_type", "RESOURCE_LIST", "othernodes", "enable_lvs"),
        *("pgsql_enable_distlock", "pgsql_distlock_psql_cmd", "pgsql_distlock_lockname"),
    }
)
WITHOUT_MEANING = {
    "OCF_ROOT": "make install OCF_ROOT=... says where the agent goes",
    "pha4pgsql_dir": "the commands are where make install put them",
}
NODE = re.compile(r"node(\d+)")
ASSIGNMENT = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)=(.*)")
PASSWORD = re.compile(r"(?:^|\s)password=(\S+)")
KEEPALIVES = "keepalives_idle=60 keepalives_interval=5 keepalives_count=5"
"""What all templates add to the standbys' connections."""


def read_setup(text: str, *, is_toml: bool, accept_no_arbiter: bool = False) -> Setup:
    """Understand a file's text; `InvalidSetup` with all that is wrong."""
    given, remarks = (_from_toml(text), ()) if is_toml else _from_ini(text)
    if accept_no_arbiter:
        given = {**given, "arbiter": {**given.get("arbiter", {}), "none": "true"}}
    return setup_of(given, remarks)


def _from_toml(text: str) -> dict[str, dict[str, str]]:
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as problem:
        raise InvalidSetup(
            (f"this is no TOML: {problem}; expgsql setup example prints a file to begin with",)
        ) from None
    outside = tuple(
        f"{key}: stands outside of any table; write it below one of [cluster], [addresses] and so on"
        for key, value in document.items()
        if not isinstance(value, dict)
    )
    if outside:
        raise InvalidSetup(outside)
    return {table: {key: _as_text(value) for key, value in keys.items()} for table, keys in document.items()}


def _as_text(value: Any) -> str:
    """What a person would have written into a parameter."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return " ".join(_as_text(one) for one in value)
    return str(value)


def _from_ini(text: str) -> tuple[dict[str, dict[str, str]], tuple[str, ...]]:
    given = assignments(text)
    errors = [*_strangers(given)]
    template = _template(given)
    if template not in TEMPLATES:
        errors.append(
            f"pcs_template={template}: is none of {', '.join(TEMPLATES)}; take the nearest, "
            "or write an expgsql.toml (expgsql setup example)"
        )
    tables: dict[str, dict[str, str]] = {name: {} for name in ("cluster", "names", "arbiter", "lvs")}
    for key, (table, name) in OLD_KEYS.items():
        if given.get(key):
            tables.setdefault(table, {})[name] = given[key]
    tables.setdefault("replication", {})["conninfo"] = KEEPALIVES
    tables["cluster"] |= _old_nodes(given) | {"fencing": "none"}
    tables["names"] |= _old_names(given)
    tables["lvs"]["enabled"] = "true" if template == "muti_with_lvs" or given.get("enable_lvs") == "true" else "false"
    if given.get("pgsql_enable_distlock") == "true":
        tables["arbiter"], problem = _old_arbiter(given)
        errors += [problem] if problem else []
    if errors:
        raise InvalidSetup(tuple(errors))
    return tables, (*_remarks(given),)


def assignments(text: str) -> dict[str, str]:
    """The variables of a shell file that only assigns; `InvalidSetup` for any other line."""
    found: dict[str, str] = {}
    errors: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        match = ASSIGNMENT.fullmatch(stripped)
        try:
            if match is None:
                raise ValueError("is no KEY=VALUE")
            words = shlex.split(match[2], comments=True)
            if len(words) > 1:
                raise ValueError("has more than one word: quote the value")
            found[match[1]] = "".join(words)
        except ValueError as problem:
            errors.append(f"line {number}: {stripped.partition('=')[0]} {_lower(str(problem))}")
    if errors:
        raise InvalidSetup(tuple(errors))
    return found


def _lower(problem: str) -> str:
    return problem[:1].lower() + problem[1:]


def _strangers(given: Mapping[str, str]) -> Iterator[str]:
    for key in given:
        if key not in OLD_KEYS and key not in READ_BELOW and key not in WITHOUT_MEANING and not NODE.fullmatch(key):
            yield f"{key}: no such key of config.ini; remove it"


def _template(given: Mapping[str, str]) -> str:
    return (given.get("pcs_template") or given.get("cluster_type") or "none").removesuffix(TEMPLATE_SUFFIX)


def _old_nodes(given: Mapping[str, str]) -> dict[str, str]:
    numbered = sorted((int(match[1]), value) for key, value in given.items() if (match := NODE.fullmatch(key)))
    others = given.get("othernodes", "")
    return {"nodes": " ".join([*(value for _, value in numbered), others]), "never_primary": others}


def _old_names(given: Mapping[str, str]) -> dict[str, str]:
    """``RESOURCE_LIST`` names the clone and the addresses in this order."""
    return dict(zip(("clone", "writer", "reader"), given.get("RESOURCE_LIST", "").split(), strict=False))


def _old_arbiter(given: Mapping[str, str]) -> tuple[dict[str, str], str]:
    """The connection string in the command line of psql, which was quoted for several shells."""
    command = given.get("pgsql_distlock_psql_cmd", "")
    try:
        words = shlex.split(command.replace("\\", ""))
    except ValueError:
        words = []
    conninfo = next((one for one in words[1:] if "=" in one or one.startswith("postgres")), "")
    if not conninfo:
        return {}, (
            f"pgsql_distlock_psql_cmd={command}: no connection string is in it; write "
            "'/usr/bin/psql \"host=... dbname=... user=...\"'"
        )
    found = {"lockname": given.get("pgsql_distlock_lockname", "")}
    password = PASSWORD.search(conninfo)
    if password is not None:
        conninfo = f"{conninfo[: password.start()]}{conninfo[password.end() :]}".strip()
        found["password"] = password[1]
    return found | {"conninfo": conninfo}, ""


def _remarks(given: Mapping[str, str]) -> Iterator[str]:
    yield "config.ini knows no fencing: it is taken to say that you do without (stonith-enabled=false)"
    if given.get("pgsql_reppassord") or given.get("pgsql_reppassword"):
        yield "the password goes into the password file; the cluster's configuration no longer has it"
    for key, why in WITHOUT_MEANING.items():
        if given.get(key):
            yield f"{key} has no meaning any more: {why}"
