# SPDX-License-Identifier: GPL-2.0-or-later
"""The servers of a set-up: the first node's settings and roles, and the other nodes' copies of its data.

Each step looks first and does nothing where all is as it should be, so that the command can be called again after
whatever has stopped it.
"""

from __future__ import annotations

import os
import secrets

from expgsql_ra.errors import DeadlineExceeded, Refused
from expgsql_ra.rules import setup_server as rules
from expgsql_ra.setup_model import Setup
from expgsql_ra.setup_site import Work

NEEDS_RESTART = (
    "select coalesce(string_agg(distinct name, ', '), '') from pg_file_settings where not applied and error is not null"
)
PASSWORD_BYTES = 18
SSH_SECONDS = 20.0


def prepare_primary(setup: Setup, work: Work) -> None:
    """Everything on the node whose data is kept; on another node, its files alone."""
    if not work.server.has_data():
        raise Refused(
            f"{setup.pgdata} is empty: make the database first (Debian: pg_createcluster VERSION main; else initdb), "
            "or, on a node that is to be a standby, call expgsql setup standby FILE"
        )
    password = _own_password(setup, work) or secrets.token_urlsafe(PASSWORD_BYTES)
    changed = [_write_passwords(setup, work, password), write_files(setup, work)]
    role = _run_server(work, any(changed))
    if role == "standby":
        work.console.say("this node is a standby: roles come with the primary's data")
    elif role == "primary":
        changed.append(_make_roles(setup, work, password))
    if not any(changed):
        work.console.say("this server is set up as the file says: nothing to do")


def _own_password(setup: Setup, work: Work) -> str:
    given = setup.replication.password
    return given or rules.password_in(work.server.read(setup.replication.passfile) or "", setup.replication.user)


def _write_passwords(setup: Setup, work: Work, password: str) -> bool:
    """The password file, with what the nodes need for the primary and for the arbiter."""
    before = work.server.read(setup.replication.passfile) or ""
    after = before
    for user in dict.fromkeys((rules.rewind_user(setup), setup.replication.user)):
        after = rules.with_password(after, user, password)
    arbiter = setup.arbiter
    if arbiter.password:
        user = rules.user_in(arbiter.conninfo)
        if user:
            after = rules.with_password(after, user, arbiter.password)
        else:
            work.console.warn("[arbiter] password: conninfo names no user, so that it is of no use")
    return _replace(work, setup.replication.passfile, before, after, "passwords")


def _replace(work: Work, path: str, before: str, after: str, what: str) -> bool:
    """Write a file if it differs; whether it does."""
    if before == after:
        return False
    work.console.say(f"{'would write' if work.dry_run else 'writing'} {path} ({what})")
    if not work.dry_run:
        work.server.write(path, after)
    return True


def write_files(setup: Setup, work: Work) -> bool:
    """Settings and rules of this node; whether anything had to be written."""
    server = work.server
    include = f"{os.path.dirname(setup.config)}/{rules.INCLUDE}"
    wanted = rules.settings_file(setup, server.major())
    changed = _replace(work, include, server.read(include) or "", wanted, "settings")
    config = server.read(setup.config)
    if config is None:
        raise Refused(f"there is no {setup.config}: correct [postgresql] config")
    changed |= _replace(work, setup.config, config, rules.with_include(config), "its include line")
    hba = server.hba_file()
    rules_before = server.read(hba) or ""
    return _replace(work, hba, rules_before, rules.with_rules(rules_before, setup), "rules for standbys") or changed


def _run_server(work: Work, changed: bool) -> str:
    """Have the server run with the settings; what it is then."""
    server, console = work.server, work.console
    role = server.role()
    if role == "stopped":
        if work.managed:
            console.say("Pacemaker keeps the server of this node stopped: it starts with these settings")
            return role
        console.say(f"{'would start' if work.dry_run else 'starting'} the server, for its roles and its copies")
        if not work.dry_run:
            server.control("start")
            return server.role()
        return role
    if changed and not work.dry_run:
        _reload(work)
        return server.role()
    return role


def _reload(work: Work) -> None:
    waiting = work.server.ask(NEEDS_RESTART).strip()
    if waiting and not work.managed:
        work.console.confirm(f"{waiting} need a restart of the server on {work.node}, which ends its sessions. Now?")
        work.console.say("restarting the server")
        work.server.control("restart")
        return
    work.console.say("the server reads its settings again")
    work.server.control("reload")
    if waiting:
        work.console.warn(
            f"{waiting}: in force after the next start here; with the cluster running, restart one node after the "
            f"other (crm_resource --restart, or expgsql standby on/off NODE), the primary last, after a switchover"
        )


def _make_roles(setup: Setup, work: Work, password: str) -> bool:
    there = rules.roles_of(work.server.ask(rules.roles_query(setup)))
    statements = rules.role_statements(setup, there, password, work.server.random())
    for what, statement in statements:
        work.console.say(f"{'would ' if work.dry_run else ''}{what}")
        if not work.dry_run:
            work.server.ask(statement)
    return bool(statements)


def make_standby(setup: Setup, work: Work, source: str, within: float) -> None:
    """This node's data directory from another node's server."""
    if work.managed:
        raise Refused(
            f"Pacemaker runs a database on {work.node}: to make its data anew, call expgsql rebuild {work.node}"
        )
    if source == work.node:
        raise Refused(f"{source} is the node whose data is kept: call this on the others, or name a source with --from")
    if work.server.has_data() and work.server.role() != "stopped":
        raise Refused(
            f"a server runs on {work.node}: stop it first, and for good (Debian: systemctl disable --now postgresql)"
        )
    changed = _write_passwords(setup, work, _password_for_copy(setup, work, source))
    changed |= _copy(setup, work, source, within)
    if not (work.dry_run and changed):
        changed |= write_files(setup, work)
    if not changed:
        work.console.say(f"{setup.pgdata} is a copy of {source}'s data, set up as the file says: nothing to do")


def _password_for_copy(setup: Setup, work: Work, source: str) -> str:
    """In the file, in the password file here, or in that of the source, which ssh leads to."""
    own = _own_password(setup, work)
    if own:
        return own
    words = ["cat", setup.replication.passfile]
    try:
        done = work.hosts.run(source, words, SSH_SECONDS)
        found = rules.password_in(done.out, setup.replication.user) if done.code == 0 else ""
        why = done.tail
    except DeadlineExceeded as problem:
        found, why = "", str(problem)
    if not found:
        raise Refused(
            f"the password of {setup.replication.user} is neither in the file, nor in {setup.replication.passfile} "
            f"here or on {source} ({why}): run expgsql setup postgres FILE on {source} first, and copy its "
            f"{setup.replication.passfile} to this node"
        )
    return found


def _copy(setup: Setup, work: Work, source: str, within: float) -> bool:
    server, console = work.server, work.console
    there, here = ("", server.system()) if work.dry_run else (server.system_of(source), server.system())
    if here and here == there:
        return False
    if work.dry_run:
        console.say(f"would copy the data of {source} to {setup.pgdata}, unless it is a copy already")
        return True
    if server.has_data():
        console.confirm(
            f"{setup.pgdata} on {work.node} holds something else (database system {here or 'none'}). Move it aside, "
            f"and put a copy of {source}'s data in its place?"
        )
    console.say(f"copying the data of {source}: this takes as long as it takes to read it")
    server.copy_from(source, within)
    kept = server.put_in_place()
    if kept:
        console.say(f"the old data is in {kept}: remove it when the cluster is healthy")
    return True
