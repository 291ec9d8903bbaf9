"""A computer made of namespaces: power, cable, commands and files.

It knows nothing of clusters. Power loss is the end of the namespaces: the kernel kills every process
at once, and no socket gets to say goodbye. What was on the disks comes back with the power.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from tests.lab import processes
from tests.lab.command import PATIENCE, Result, attempt, detach, run, spawn
from tests.lab.layer import Layer
from tests.lab.netns import Network
from tests.lab.places import Places
from tests.lab.storage import Disks

SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
HOMES = {"root": "/root", "postgres": "/var/lib/postgresql"}
INIT = Path(__file__).with_name("init.py")

# Done once on fresh disks: what belongs to the machine below must not look like the node's own.
FRESH_DISK = """
find /var/lib/pacemaker /var/lib/corosync /var/log -type f -delete 2>/dev/null
usermod --password '*' root
: > /etc/resolv.conf
install -d -o root -g root -m 755 /var/log/corosync
install -d -o hacluster -g haclient -m 770 /var/log/pacemaker
install -d -o postgres -g postgres -m 755 /var/log/postgresql /var/lib/pgsql
install -d -o postgres -g postgres -m 755 /var/lib/postgresql
"""

# Done at every boot: /run is empty then, and there is no systemd-tmpfiles to fill it.
BOOT = """
install -d -m 1777 /run/lock
install -d -o hacluster -g haclient -m 750 /run/crm
install -d -m 1755 /run/resource-agents
install -d -o postgres -g postgres -m 2775 /run/postgresql
install -d -m 755 /run/sshd
"""


class PowerFailure(Exception):
    """A machine did not come up."""


@dataclass
class Machine:
    """One computer of the lab."""

    name: str
    address: str
    places: Places
    layer: Layer
    # Copied onto the fresh disk: what `make install` would have put there.
    install: Path | None = None
    # A program of its own that becomes process 1.
    init: ClassVar[str] = ""
    _last_init: int | None = field(default=None, init=False, repr=False, compare=False)

    def __str__(self) -> str:
        """Return the name, as messages and the cluster spell it."""
        return self.name

    @property
    def disks(self) -> Disks:
        """What survives a power loss."""
        return Disks(self.places.base / self.name)

    @property
    def network(self) -> Network:
        """The network its cable leads to."""
        return Network(self.places)

    # Power and cable

    @property
    def init_pid(self) -> int | None:
        """Process 1 of the machine as seen from outside; None while the power is off."""
        # Asked for many times a second: all of /proc is searched only until it is found, and again when it is gone.
        init = self._last_init
        if init is None or not self._is_init(init):
            holders = processes.marked(*self.places.mark, self.name)
            self._last_init = init = next(filter(self._is_init, holders), None)
        return init

    @property
    def is_on(self) -> bool:
        """Whether the machine has power."""
        return self.init_pid is not None

    def create(self) -> None:
        """Give it empty disks and switch it on."""
        self.disks.create()
        if self.install is not None:
            run("cp", "--archive", f"{self.install}/.", str(self.disks.upper))
        self.power_on(FRESH_DISK)

    def power_on(self, first: str = "") -> None:
        """Boot from the disks as they are; no cluster software is started."""
        self.network.connect(self.name, self.address)
        self._start_init()
        self.run(f"hostname={self.name}; {first}\n{BOOT}").check()
        self._start_sshd()

    def power_off(self) -> None:
        """Lose the power: first the cable goes dead, so that dying processes tell nobody."""
        self.network.unplug(self.name)
        processes.kill(processes.marked(*self.places.mark, self.name))
        self.network.disconnect(self.name)

    def unplug(self) -> None:
        """Pull the network cable."""
        self.network.unplug(self.name)

    def plug(self) -> None:
        """Put the network cable back."""
        self.network.plug(self.name)

    @property
    def isolation(self) -> tuple[str, ...]:
        """The words that give a command namespaces of its own, besides the network's."""
        return ("unshare", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child")

    def _is_init(self, pid: int) -> bool:
        return processes.pid_inside(pid) == 1 and processes.is_marked(pid, *self.places.mark, self.name)

    def _start_init(self) -> None:
        reader, writer = os.pipe()
        order = {
            "node": self.name,
            "lowerdir": str(self.layer.root),
            "upper": str(self.disks.upper),
            "work": str(self.disks.work),
            "root": str(self.disks.root),
            "data": str(self.disks.data),
            "init": self.init,
            "ready_fd": writer,
        }
        argv = (sys.executable, "-I", str(INIT), *self.places.mark, self.name, json.dumps(order))
        with (self.places.base / f"{self.name}.init.log").open("ab") as log:
            detach(
                (*self.network.exec_prefix(self.name), *self.isolation, *argv),
                log=log.fileno(),
                pass_fds=(writer,),
            )
        os.close(writer)
        with os.fdopen(reader) as answer:
            word = answer.readline().strip()
        if word != "ready":
            raise PowerFailure(f"{self.name} did not boot: {word or 'see ' + log.name}")

    def _start_sshd(self) -> None:
        keys = self.places.base / "ssh"
        if keys.is_dir():
            self.write("/etc/ssh/lab_authorized_keys", (keys / "id.pub").read_text(), mode=0o600)
            self.write("/etc/ssh/lab_host_key", (keys / "host").read_text(), mode=0o600)
            self.write("/etc/ssh/lab_sshd_config", SSHD_CONFIG)
            # Root on each node can enter the others, as the product's seeds have it.
            self.write("/root/.ssh/lab", (keys / "id").read_text(), mode=0o600)
            self.write(
                "/root/.ssh/config", SSH_OPTIONS.format(identity="/root/.ssh/lab").replace("    ", ""), mode=0o600
            )
            self.run("/usr/sbin/sshd -f /etc/ssh/lab_sshd_config").check()

    # Commands and files

    def enter_prefix(self, user: str = "root") -> tuple[str, ...]:
        """Return the words that make a command run in the machine."""
        pid = self.init_pid
        if pid is None:
            raise PowerFailure(f"{self.name} is off")
        home = HOMES.get(user, "/tmp")
        clean = ("env", "-i", f"PATH={SEARCH_PATH}", f"HOME={home}", "LC_ALL=C.UTF-8", "TERM=dumb")
        as_user = () if user == "root" else ("setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups")
        return ("nsenter", "-t", str(pid), "-m", "-u", "-i", "-n", "-p", "-r", "-w", "--", *clean, *as_user)

    def run(
        self,
        command: str | Sequence[str],
        *,
        user: str = "root",
        timeout: float = PATIENCE,
        stdin: str = "",
    ) -> Result:
        """Run a command in the machine (a string goes to the shell) and return its answer."""
        # `timeout` inside the machine: killing nsenter from outside would leave its child running.
        bounded = ("timeout", "--signal=KILL", str(timeout), *_words(command))
        return attempt(*self.enter_prefix(user), *bounded, stdin=stdin, timeout=timeout + 10)

    def start(self, command: str | Sequence[str], *, log: str, user: str = "root") -> None:
        """Start a daemon in the machine; what it prints goes to a file there."""
        daemon = 'exec setsid --fork "$@" >>"$0" 2>&1 </dev/null'
        words = ("sh", "-c", daemon, log, *_words(command))
        attempt(*self.enter_prefix(user), *words).check()

    def popen(self, command: str | Sequence[str], *, log: int, user: str = "root") -> subprocess.Popen[bytes]:
        """Start a command in the machine and keep hold of it."""
        return spawn((*self.enter_prefix(user), *_words(command)), log=log)

    def path(self, inside: str) -> Path:
        """Return where a file of the running machine is seen from outside (no symbolic links in it)."""
        pid = self.init_pid
        if pid is None:
            raise PowerFailure(f"{self.name} is off")
        return Path(f"/proc/{pid}/root") / inside.lstrip("/")

    def write(self, inside: str, text: str, *, mode: int = 0o644, owner: str = "root") -> None:
        """Write a file in the machine."""
        script = 'mkdir -p "$(dirname "$0")" && cat > "$0" && chmod "$1" "$0" && chown "$2:" "$0"'
        self.run(("sh", "-c", script, inside, f"{mode:o}", owner), stdin=text).check()

    def read(self, inside: str) -> str:
        """Read a file of the machine; empty if there is none."""
        with suppress(FileNotFoundError):
            return self.path(inside).read_text(errors="replace")
        return ""

    # Processes

    def processes(self, pattern: str) -> list[int]:
        """Processes of the machine whose command line matches, numbered as from outside."""
        init = self.init_pid
        if init is None:
            return []
        inhabitants = processes.in_namespace("pid", processes.namespace(init, "pid") or "")
        return [pid for pid in inhabitants if pid != init and _matches(pid, pattern)]

    def signal(self, pattern: str, number: signal.Signals) -> list[int]:
        """Signal the processes that match and return them."""
        found = self.processes(pattern)
        processes.send(found, number)
        return found


def _words(command: str | Sequence[str]) -> tuple[str, ...]:
    return ("sh", "-c", command) if isinstance(command, str) else tuple(command)


def _matches(pid: int, pattern: str) -> bool:
    return re.search(pattern, " ".join(processes.arguments(pid))) is not None


def make_ssh_keys(places: Places, machines: Iterator[Machine] | Sequence[Machine]) -> None:
    """Make the lab's keys, and a client configuration that knows every machine by name."""
    keys = places.base / "ssh"
    keys.mkdir()
    for name in ("id", "host"):
        attempt("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(keys / name)).check()
    hosts = "\n".join(f"Host {each.name}\n    HostName {each.address}" for each in machines)
    places.ssh_config.write_text(f"{hosts}\nHost *\n{SSH_OPTIONS.format(identity=keys / 'id')}")


SSH_OPTIONS = """\
    User root
    IdentityFile {identity}
    IdentitiesOnly yes
    StrictHostKeyChecking no
    UserKnownHostsFile /dev/null
    LogLevel ERROR
    ConnectTimeout 5
"""

SSHD_CONFIG = """\
HostKey /etc/ssh/lab_host_key
AuthorizedKeysFile /etc/ssh/lab_authorized_keys
PidFile /run/sshd.pid
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
"""
