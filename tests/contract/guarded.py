# SPDX-License-Identifier: GPL-2.0-or-later
"""A real server with its guard, and a Pacemaker that only takes notes."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

from tests.contract.subjects import RealSubject

import expgsql_ra
from expgsql_ra.effects.control import LiveControl
from expgsql_ra.effects.watch import FileWatch
from expgsql_ra.ocf import read_context

SOURCES = Path(expgsql_ra.__file__).parents[1]
TOOLS = ("crm_resource", "cibadmin", "crm_attribute", "attrd_updater")
# Each call is noted when it begins. `hold` keeps reports waiting; the other files say what is answered.
TOOL = """#!/bin/sh
cd {folder} || exit 1
tool=$(basename "$0")
echo "$tool $*" >> calls
case $tool in
    cibadmin) exit "$(cat obstacles)" ;;
    crm_attribute) [ -e count ] || exit 105; cat count ;;
    attrd_updater) for word; do case $word in --update=*) echo "${{word#--update=}}" > count ;; esac; done ;;
    crm_resource)
        while [ -e hold ]; do sleep 0.02; done
        [ -e refuse ] && exit 1
        count=$(cat count 2>/dev/null || echo 0)
        echo $((count + $(cat counted))) > count ;;
esac
"""
# The guard as it is started, but for the directory in which it finds Pacemaker's tools.
INTERPRETER = """#!/bin/sh
shift 4
exec {python} -P -S -c '
import runpy, sys
from expgsql_ra.effects import process
process.PATH = sys.argv.pop(1) + ":" + process.PATH
runpy.run_module("expgsql_ra.guard", run_name="__main__")
' {folder} "$@"
"""


class Guarded:
    """One server, its guard, and what Pacemaker was told."""

    def __init__(self, real: RealSubject, folder: Path, feature_set: str = "3.17.4") -> None:
        self.real, self.folder = real, folder
        environ = {"OCF_RESOURCE_INSTANCE": "pgsql:0", "OCF_RESKEY_crm_feature_set": feature_set, "HA_LOGFILE": ""}
        environ["HA_LOGFILE"] = str(folder / "log")
        self.watch = FileWatch(
            read_context("monitor", environ), "node1", real.parameters.pgdata, False, str(folder / "run")
        )
        real.control = LiveControl(real.at, self.watch)
        for tool in TOOLS:
            self._program(tool, TOOL.format(folder=shlex.quote(str(folder))))
        self._program("python", INTERPRETER.format(python=sys.executable, folder=shlex.quote(str(folder))))
        self.says(obstacles="105", counted="1")

    def _program(self, name: str, text: str) -> None:
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)

    @property
    def interpreter(self) -> str:
        """What the guard is to be started with."""
        return str(self.folder / "python")

    def says(self, **answers: str) -> None:
        """What Pacemaker's tools answer from now on."""
        for name, text in answers.items():
            (self.folder / name).write_text(text, encoding="utf-8")

    def serve(self) -> int:
        """Start the server as a primary and have it guarded; its process."""
        self.real.primary()
        self.begin()
        self.wait_for_guards(1)
        return self.real.pid

    def begin(self) -> None:
        """What a monitor does that finds the server well."""
        self.watch.begin(self.real.pid)

    @property
    def is_guarded(self) -> bool:
        """Whether somebody holds the lock of a guard, from the moment of its start until it has ended."""
        folder = self.folder / "run"
        held = {one.stat().st_ino for one in folder.iterdir()} if folder.exists() else set()
        locks = Path("/proc/locks").read_text(encoding="utf-8").splitlines()
        return any(int(line.split()[5].rpartition(":")[2]) in held for line in locks if "FLOCK" in line)

    @property
    def guards(self) -> list[int]:
        """The guards that run."""
        mark = f"{self.folder}/run/".encode()
        found = [int(one.name) for one in Path("/proc").iterdir() if one.name.isdigit()]
        return [pid for pid in found if any(word.startswith(mark) for word in _words(pid))]

    def wait_for_guards(self, count: int) -> None:
        """Wait until so many run, all of them as what they are to become."""
        self.real.wait_until(
            lambda: len(self.guards) == count and all(b"-c" in _words(one) for one in self.guards), f"{count} guards"
        )

    def kill(self) -> None:
        """Kill the server, and wait until its parent has noticed, too: PostgreSQL takes a zombie for a server."""
        pid = self.real.pid
        self.real.kill_postmaster()
        self.real.wait_until(self.real.look.is_gone, "the end of the server")
        self.real.wait_until(lambda: not Path(f"/proc/{pid}").exists(), "the last of the process")

    def freeze(self, pid: int) -> None:
        """Stop a guard, so that others are faster."""
        os.kill(pid, signal.SIGSTOP)
        self.real.wait_until(lambda: _state(pid) == "T", f"process {pid} to stop")

    def by_hand(self, *words: str) -> None:
        """Run ``pg_ctl`` as an administrator would."""
        p = self.real.parameters
        account = self.real.at.account
        command = [p.pgctl, *words, "-s", "-w", "-D", p.pgdata]
        subprocess.run(command, check=True, cwd="/", user=account.uid, group=account.gid, extra_groups=[], env={})

    @property
    def calls(self) -> list[str]:
        """What was asked of Pacemaker's tools."""
        path = self.folder / "calls"
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []

    @property
    def reports(self) -> list[str]:
        """What Pacemaker was told."""
        return [call for call in self.calls if call.startswith("crm_resource")]

    @property
    def count(self) -> str:
        """The fail-count."""
        return (self.folder / "count").read_text(encoding="utf-8").strip()

    @property
    def log(self) -> str:
        """What was logged."""
        path = self.folder / "log"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def clear_away(self) -> None:
        """Leave no process behind."""
        (self.folder / "hold").unlink(missing_ok=True)
        for pid in self.guards:
            os.kill(pid, signal.SIGKILL)


def _words(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return []


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
