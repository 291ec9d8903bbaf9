"""What each agent needs on the nodes beyond its parameters, and the repair of a broken one."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from tests.lab.configuration import RESOURCE, Config
from tests.lab.databases import (
    REPLICATION_USER,
    append_conf,
    hba,
    start_server,
    stop_server,
)
from tests.lab.membership import in_parallel
from tests.lab.node import PACEMAKER_COMMAND, PGDATA, SYSTEMCTL, Node

AGENT_DIR = "/usr/lib/ocf/resource.d/heartbeat"
SHELL_FUNCTIONS = "/usr/lib/ocf/lib/heartbeat/ocf-shellfuncs"
NULL_AGENT = Path(__file__).with_name("agents") / "null"
SHIM = Path(__file__).with_name("systemctl")

# resource-agents 4.12 (Debian 12) calls `crm_attribute -p -v -INFINITY`. With Pacemaker 2.1.5 the
# option -p swallows -v and -INFINITY is read as `-I -N FINITY`, a node that does not exist, so that
# the agent pgsql can never set a score. Later releases name the resource, as this does.
BROKEN = "crm_attribute -p $@"
REPAIRED = f'crm_attribute --promotion={RESOURCE} "$(echo "$*" | sed "s/^-v /--update=/")"'

# PAF has no parameter for the server's log.
COLLECTOR = "logging_collector = on\nlog_directory = '/var/log/postgresql'\nlog_filename = 'pgsql.log'\n"


def prepare(config: Config, nodes: Sequence[Node]) -> None:
    """Make the nodes ready for the cluster's agent; the databases exist, no server runs."""
    in_parallel(_give_systemctl, nodes)
    preparations = {"pgsql": _repair_helper, "pgsqlms": _prepare_paf, "null": _prepare_null}
    if config.agent in preparations:
        in_parallel(preparations[config.agent], nodes)


def after_boot(config: Config, node: Node) -> None:
    """Start what an agent takes for granted."""
    if config.agent == "null":
        start_server(node)


def after_rebuild(config: Config, node: Node) -> None:
    """Give a node its own settings again, in place of the primary's."""
    if config.agent == "pgsqlms":
        _write_paf_settings(node)
        node.write(f"{PGDATA}/standby.signal", "", mode=0o600, owner="postgres")
    elif config.agent == "pgsql":
        # The mark of a primary that died, which makes the agent refuse to start.
        node.run("rm -f /var/lib/pgsql/tmp/PGSQL.lock")


def _give_systemctl(node: Node) -> None:
    """A node has no systemd; with this `systemctl` the commands of a real machine start and stop its cluster."""
    node.write(SYSTEMCTL, SHIM.read_text().replace("@PACEMAKER@", shlex.join(PACEMAKER_COMMAND)), mode=0o755)


def _repair_helper(node: Node) -> None:
    text = node.read(SHELL_FUNCTIONS)
    if BROKEN in text:
        node.write(SHELL_FUNCTIONS, text.replace(BROKEN, REPAIRED))


def _prepare_null(node: Node) -> None:
    """Install the agent; every node gets a server of its own that takes writes."""
    node.write(f"{AGENT_DIR}/null", NULL_AGENT.read_text(), mode=0o755)
    start_server(node)


def _prepare_paf(node: Node) -> None:
    """Follow PAF's manual: each node refuses to replicate from itself, standbys have been standbys.

    PAF tells the first primary from the standbys by the state that pg_controldata shows, so each
    copy has to have run in recovery once.
    """
    _write_paf_settings(node)
    if node.number > 1:
        node.write(f"{PGDATA}/standby.signal", "", mode=0o600, owner="postgres")
        start_server(node)
        stop_server(node)


def _write_paf_settings(node: Node) -> None:
    vip = node.places.writer_ip
    own = [f"host replication all {ip}/32 reject" for ip in (vip, node.address)]
    node.write(f"{PGDATA}/pg_hba.conf", hba(node.places, own), mode=0o600, owner="postgres")
    conninfo = f"host={vip} user={REPLICATION_USER} application_name={node.name}"
    append_conf(node, f"primary_conninfo = '{conninfo}'\nrecovery_target_timeline = 'latest'\n{COLLECTOR}")
