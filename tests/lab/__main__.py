"""The lab by hand: `python -m tests.lab up | down | shell NODE | status`."""

from __future__ import annotations

import argparse
import os
import sys

from tests.lab.cluster import Cluster, is_built
from tests.lab.configuration import AGENTS, Config
from tests.lab.layer import HOST, RELEASES
from tests.lab.lock_service import KINDS
from tests.lab.places import Places
from tests.lab.teardown import leftovers, take_down
from tests.lab.waiting import now

UP_TEXT = """
{name} is up: {nodes}. The writer's address is {vip}.
  enter a node     python -m tests.lab shell node1   (or: ssh -F {ssh} node1)
  look around      crm_mon -1 -A, pcs status, in a node
  take it down     python -m tests.lab down
"""


def arguments(words: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab", description=__doc__)
    parser.add_argument("--lab", default="expg", help="name of the lab; several can be up (%(default)s)")
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="build a cluster in place of what there is")
    up.add_argument("--layer", choices=(HOST, *RELEASES), default=HOST)
    up.add_argument("--agent", choices=AGENTS, default="expgsql")
    up.add_argument("--nodes", type=int, default=3)
    up.add_argument("--pg", default="", help="major version of the server (the newest there is)")
    up.add_argument("--rep-mode", default="sync")
    up.add_argument("--arbiter", choices=KINDS, default="", help="a record outside the cluster")
    up.add_argument("--lease", type=int, default=12, help="seconds of its lease")
    commands.add_parser("down", help="remove everything of the lab, whatever state it is in")
    commands.add_parser("status", help="show each node and crm_mon")
    shell = commands.add_parser("shell", help="enter a node, or run a command there")
    shell.add_argument("node")
    shell.add_argument("words", nargs="*", metavar="command")
    return parser.parse_args(words)


def up(options: argparse.Namespace) -> int:
    """Build a cluster and say how to use it."""
    started = now()
    config = Config(
        lab=options.lab,
        layer=options.layer,
        agent=options.agent,
        nodes=options.nodes,
        pg=options.pg,
        rep_mode=options.rep_mode,
        arbiter=options.arbiter,
        lease=options.lease,
    )
    cluster = Cluster.build(config)
    print(f"{now() - started:.0f} s: {len(cluster.nodes)} nodes with {config.agent} on {config.layer}")
    cluster.wait_healthy()
    print(f"{now() - started:.0f} s: healthy")
    names = ", ".join(f"{node} {node.address}" for node in cluster.machines)
    places = config.places
    print(UP_TEXT.format(name=options.lab, nodes=names, vip=places.writer_ip, ssh=places.ssh_config))
    return 0


def down(options: argparse.Namespace) -> int:
    """Remove everything and prove it."""
    places = Places(options.lab)
    take_down(places)
    remains = leftovers(places)
    print("\n".join(remains) or f"nothing of {options.lab} is left")
    return 1 if remains else 0


def status(options: argparse.Namespace) -> int:
    """Show what a person would look at."""
    cluster = Cluster.attach(options.lab)
    print(cluster.describe())
    return 0


def shell(options: argparse.Namespace) -> int:
    """Become a shell, or a command, in a node or on the arbiter's machine."""
    machine = Cluster.attach(options.lab).machine(options.node)
    words = options.words or ["bash", "-l"]
    terminal = os.environ.get("TERM", "dumb")
    # Only the shell's own words follow enter_prefix: TERM lets editors and pagers work.
    os.execvp("nsenter", [*machine.enter_prefix(), "env", f"TERM={terminal}", *words])
    return 0


def main(words: list[str]) -> int:
    """Do what the command line says."""
    options = arguments(words)
    if os.geteuid() != 0:
        print("the lab needs root: it makes namespaces, mounts and network links", file=sys.stderr)
        return 1
    if options.command in ("status", "shell") and not is_built(Places(options.lab)):
        print(f"no lab {options.lab!r} is up; 'up' builds one", file=sys.stderr)
        return 1
    return {"up": up, "down": down, "status": status, "shell": shell}[options.command](options)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
