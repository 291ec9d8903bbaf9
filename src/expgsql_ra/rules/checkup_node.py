# SPDX-License-Identifier: GPL-2.0-or-later
"""Checks of what the nodes are: software, time, ways to each other and to the arbiter."""

from __future__ import annotations

from collections.abc import Iterator

from expgsql_ra.checkup import Facts, NodeCheckup, Starter
from expgsql_ra.rules.findings import Trouble, error, warning

OLDEST = {"pacemaker": (2, 1), "corosync": (3, 0), "postgresql": (10, 0)}
CLOCK_SECONDS = 2.0
"""Nothing but logs, histories and the lag in seconds goes by the nodes' clocks; the way of the answer is in it, too."""
FULL, NEARLY_FULL = 0.05, 0.10
GIGABYTE = 1 << 30
INIT = "arbiter init"
# The nodes' own role may not make tables (docs/arbiter.md).
PREPARE = "expgsql arbiter init --conninfo ... --lockname ... --primary NODE   # as the owner of its tables"
"""The remedy in the reasons of an arbiter that answers, but keeps no record."""
SHORT_TOKEN, LONG_TOKEN = 1000, 10_000
TIMING = ("token", "consensus", "token_coefficient")


def unasked(facts: Facts) -> Iterator[Trouble]:
    """A node that is off, or that this one may not ask."""
    for one in facts.nodes:
        known = facts.deployment.node(one.node)
        if one.why and known is not None and not known.online:
            yield warning("not part of the cluster now, so not looked at", f"on {one.node}: expgsql start", one.node)
        elif one.why:
            yield error(f"could not be looked at: {one.why}", f"ssh {one.node} expgsql doctor", one.node)


def versions(facts: Facts) -> Iterator[Trouble]:
    """Mixed versions are for the minutes of an upgrade."""
    for program in ("expgsql", "pacemaker", "corosync", "postgresql"):
        found = {one.node: one.versions[program] for one in facts.asked if one.versions.get(program)}
        if len(set(found.values())) > 1:
            told = ", ".join(f"{node} {version}" for node, version in found.items())
            yield warning(f"{program} differs: {told}", _upgrade(program))
        for node, version in found.items():
            if program in OLDEST and _numbers(version) < OLDEST[program]:
                oldest = ".".join(map(str, OLDEST[program]))
                yield error(f"{program} {version} is too old: {oldest} or newer is supported", _upgrade(program), node)


def _upgrade(program: str) -> str:
    return "make install   # the same version on every node" if program == "expgsql" else f"apt install {program}"


def _numbers(version: str) -> tuple[int, ...]:
    """The leading numbers: 2.1.5-1 is (2, 1, 5); of what is no version none, which counts as new enough."""
    parts = version.split("-", maxsplit=1)[0].split(".")
    return tuple(int(part) for part in parts) if all(part.isdigit() for part in parts) else (1 << 16,)


def arbiter(facts: Facts) -> Iterator[Trouble]:
    """Each node has to reach it by itself on the day on which the others are gone."""
    for one in facts.asked:
        if one.arbiter:
            remedy = PREPARE if INIT in one.arbiter else "expgsql arbiter show"
            yield error(f"cannot read the record: {one.arbiter}", f"on {one.node}: {remedy}", one.node)


def arbiter_settings(facts: Facts) -> Iterator[Trouble]:
    """The arbiter is asked by every node, but is one: each remark once."""
    for remark in dict.fromkeys(remark for one in facts.asked for remark in one.remarks):
        name = remark.partition(" ")[0]
        fix = f'on the arbiter: psql -c "ALTER SYSTEM SET {name} = on" -c "SELECT pg_reload_conf()"'
        yield error(remark, fix if "_" in name or name == "fsync" else "see docs/arbiter.md")


def corosync(facts: Facts) -> Iterator[Trouble]:
    """How long a node may be silent before it counts as lost."""
    for name in TIMING:
        found = {one.node: one.totem[name] for one in facts.asked if one.totem.get(name)}
        if len(set(found.values())) > 1:
            told = ", ".join(f"{node} {value}" for node, value in found.items())
            yield error(f"{name} differs: {told}", "copy one corosync.conf to all nodes, then: corosync-cfgtool -R")
    token = max((int(one.totem["token"]) for one in facts.asked if one.totem.get("token", "").isdigit()), default=None)
    if token is not None and token < SHORT_TOKEN:
        yield warning(
            f"token={token} ms: short pauses of a busy node count as its loss",
            "token: 1000 in corosync.conf on all nodes, then: corosync-cfgtool -R",
        )
    if token is not None and token > LONG_TOKEN:
        yield warning(
            f"token={token} ms: so long writes stand still before the loss of a node is noticed",
            "token: 3000 or less in corosync.conf on all nodes, then: corosync-cfgtool -R",
        )


def clocks(facts: Facts) -> Iterator[Trouble]:
    """By how much each differs from this node's."""
    for one in facts.asked:
        if abs(one.offset) > CLOCK_SECONDS:
            yield warning(
                f"its clock is {abs(one.offset):.1f} s {'ahead' if one.offset > 0 else 'behind'}: logs, histories and "
                "lags in seconds mislead",
                f"on {one.node}: timedatectl set-ntp true",
                one.node,
            )


def ssh(facts: Facts) -> Iterator[Trouble]:
    """The commands go through it; the agent does so only to ask an arbiter through another node."""
    for one in facts.asked:
        for node, why in one.ssh.items():
            known = facts.deployment.node(node)
            if why and known is not None and known.online:
                what = f"ssh to {node} as root fails: {why}"
                yield warning(what, f"on {one.node}: ssh-copy-id root@{node}", one.node)


def units(facts: Facts) -> Iterator[Trouble]:
    """Who starts what at boot."""
    for one in facts.asked:
        for starter in one.starters:
            if _ours(facts, starter):
                yield error(
                    f"{starter.unit} starts {starter.directory or 'a server'} at boot, beside the cluster",
                    f"on {one.node}: systemctl disable {starter.unit}",
                    one.node,
                )
        off = [name for name, state in one.units.items() if state == "disabled"]
        if off:
            yield warning(
                f"not started at boot: {', '.join(off)}: after a power loss somebody has to start the node",
                f"on {one.node}: systemctl enable {' '.join(off)}",
                one.node,
            )


def _ours(facts: Facts, starter: Starter) -> bool:
    """Whether it would be our server, or take its port; one of which nothing is known might."""
    given = facts.deployment.parameters
    return starter.directory in {"", given.pgdata.rstrip("/")} or starter.port == str(given.pgport)


def disks(facts: Facts) -> Iterator[Trouble]:
    """A full disk stops the server, and keeps the agent from writing what it must."""
    for one in facts.asked:
        yield from _full(one)


def _full(one: NodeCheckup) -> Iterator[Trouble]:
    for disk in one.disks:
        share = disk.free / disk.size if disk.size else 1.0
        if share < NEARLY_FULL:
            what = f"{disk.path}: {disk.free / GIGABYTE:.1f} GB free of {disk.size / GIGABYTE:.1f}"
            found = error if share < FULL else warning
            yield found(what, f"on {one.node}: du -xhd2 {disk.path}", one.node)
