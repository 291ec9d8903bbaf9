"""`make demo`: a cluster of three nodes on this machine, set up as a user would, and what faults cost.

Run as `python -m tests.lab.demo`. Whatever happens, `make lab-down` cleans up.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

import psycopg
from tests.lab import audits
from tests.lab.cluster import Cluster, SplitBrain
from tests.lab.command import CommandFailed
from tests.lab.configuration import Config, setup_file
from tests.lab.demo_console import Console
from tests.lab.demo_steps import PATIENCE, TITLES, DemoFailed, Steps, missing
from tests.lab.installation import installed_layer
from tests.lab.layer import HOST, RELEASES, layer
from tests.lab.machine import PowerFailure
from tests.lab.node import EXPGSQL, Node
from tests.lab.waiting import Timeout, now
from tests.lab.writer import Writer

DEFAULT_LAB = "expg"
SETUP_FILE = "/root/expgsql.toml"
INTERRUPTED = 130
PROBLEMS = (
    *(AssertionError, CommandFailed, DemoFailed, PowerFailure, SplitBrain, Timeout),
    *(OSError, psycopg.Error, subprocess.TimeoutExpired),
)

INTRODUCTION = """\
Three nodes on this machine, each with network, processes and disks of its own: Corosync, Pacemaker,
PostgreSQL and the agent ocf:heartbeat:expgsql. A client writes through the virtual address of the
primary every 5 ms and counts on every commit that it was told of.
"""

FAREWELL = """
The cluster is up and stays up: {nodes}.
  enter a node     {shell}
    look around      /opt/expgsql/bin/expgsql status
                     crm_mon -Afr1
                     psql -h {vip} -U postgres postgres
                     grep 'expgsql(' /var/log/syslog
  take it down     {down}
"""


def build(config: Config, console: Console) -> Cluster:
    """Install the product for the nodes, and build them without any resources."""
    console.heading("Install and build")
    with console.busy("make install DESTDIR=... for the nodes (nothing of it on this machine)"):
        installed_layer(layer(config.layer))
    with console.busy("three nodes: disks, network, databases, Corosync and Pacemaker"):
        cluster = Cluster.build(config, configured=False)
    for node in cluster.nodes:
        console.say(f"  {node}: {node.address}, PostgreSQL {node.pg} in {node.bindir}")
    return cluster


def configure(cluster: Cluster, console: Console) -> None:
    """Type what docs/setup.md tells a user to type."""
    node = cluster.nodes[0]
    console.heading(f"Configure the cluster from one file, on {node}")
    node.write(SETUP_FILE, setup_file(cluster.config, node.bindir), mode=0o600)
    for words in (("cat", SETUP_FILE), (EXPGSQL, "setup", "apply", SETUP_FILE, "--yes")):
        console.command(f"root@{node}#", (words[0].rpartition("/")[2], *words[1:]))
        with console.busy("waiting for it"):
            result = node.run(words).check()
        console.quote(result.stdout + result.stderr)


def start(cluster: Cluster, console: Console) -> None:
    """Wait until Pacemaker has done what it was told, and show it."""
    console.heading("The first start: the nodes compare their data and choose a primary")
    console.wait("a primary and two standbys that stream", lambda: missing(cluster), within=PATIENCE)
    show(cluster.nodes[0], console)


def show(node: Node, console: Console) -> None:
    """Show what a person would look at; whatever is not well is for the screen to say."""
    words = (EXPGSQL, "status")
    console.command(f"root@{node}#", words)
    console.quote(node.run(words).stdout)


def run_steps(cluster: Cluster, console: Console) -> None:
    """Do to the cluster what the demonstration is about, while a client writes."""
    console.heading(f"A client writes through {cluster.config.places.writer_ip}")
    with console.busy("waiting for its first commits"):
        writer = Writer.begin(cluster)
    steps = Steps(cluster, writer, console)
    try:
        writer.wait_for_acks(count=200)
        console.say(f"  {len(writer.acks()):,} commits acknowledged")
        steps.kill_server()
        steps.repair(steps.lose_power())
        steps.switch_over()
        with console.busy("looking at everything once more: roles, addresses, attributes, every row"):
            audits.audit_settled(cluster)
            audits.audit(cluster, writer)
    finally:
        writer.stop()
        console.heading("What it cost")
        console.table([TITLES, *(outcome.cells() for outcome in steps.outcomes)])


def demonstrate(config: Config, console: Console) -> None:
    """Do everything."""
    started = now()
    console.say(INTRODUCTION.rstrip())
    cluster = build(config, console)
    configure(cluster, console)
    start(cluster, console)
    run_steps(cluster, console)
    console.say(f"\n  No acknowledged commit was lost. {now() - started:.0f} s in all.")
    console.say(farewell(cluster).rstrip())


def farewell(cluster: Cluster) -> str:
    """Say how to go on."""
    return FAREWELL.format(
        nodes=", ".join(f"{node} {node.address}" for node in cluster.nodes),
        vip=cluster.config.places.writer_ip,
        shell=by_hand(cluster.config.lab, "shell"),
        down=by_hand(cluster.config.lab, "down"),
    )


def by_hand(lab: str, what: str) -> str:
    """Return the command that does something with a lab."""
    if lab == DEFAULT_LAB:
        return {"shell": "make lab-shell NODE=node1", "down": "make lab-down"}[what]
    words = {"shell": "shell node1", "down": "down"}[what]
    return f".venv/bin/python -m tests.lab --lab {lab} {words}"


def arguments(words: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab.demo", description=__doc__)
    parser.add_argument("--lab", default=DEFAULT_LAB, help="name of the lab that is built anew (%(default)s)")
    parser.add_argument("--layer", choices=(HOST, *RELEASES), default=HOST, help="root of the nodes (%(default)s)")
    return parser.parse_args(words)


def main(words: list[str]) -> int:
    """Show it; say clearly what went wrong if anything did."""
    options = arguments(words)
    if os.geteuid() != 0:
        print("the demonstration needs root: it makes namespaces, mounts and network links", file=sys.stderr)
        return 1
    down = by_hand(options.lab, "down")
    try:
        demonstrate(Config(lab=options.lab, layer=options.layer), Console())
    except KeyboardInterrupt:
        print(f"\ninterrupted; '{down}' removes what is up", file=sys.stderr)
        return INTERRUPTED
    except PROBLEMS as problem:
        print(f"\nFAILED: {problem}\nThe cluster stays as it is; '{down}' removes it.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
