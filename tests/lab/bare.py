"""Machines that have only Debian: systemd is process 1, and a user's first command is `apt install`.

A machine of the lab reaches nothing but the lab. What apt and pip would fetch lies in the caches of
both; everything else is as the Debian installer leaves a server with sshd on it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from tests.lab import cgroups
from tests.lab.cache import cached, keep_newest
from tests.lab.command import run
from tests.lab.installation import REPOSITORY, SOURCES, files_below, wheels
from tests.lab.layer import BUILD_SECONDS, RELEASES, Layer, mirror
from tests.lab.machine import SSH_OPTIONS, Machine, PowerFailure, make_ssh_keys
from tests.lab.membership import in_parallel
from tests.lab.netns import Network
from tests.lab.places import ARBITER, Places
from tests.lab.teardown import take_down
from tests.lab.waiting import wait_until

PACKAGES = ("systemd-sysv", "openssh-server", "iproute2", "procps", "psmisc")
CHECKOUT = "/root/expgsql"
CHECKED_OUT = (*SOURCES, "LICENSE", "README.md", "tools")
WHEELS = "/opt/wheels"
PIP_CONF = f"[global]\nno-index = true\nfind-links = {WHEELS}\n"
# Without recommended packages: who needs one has to say so.
APT_OPTION = 'APT::Install-Recommends "false"'
ENTER_CGROUP = 'mkdir -p "$0" && echo $$ > "$0/cgroup.procs" && exec "$@"'
BOOT_SECONDS = 60.0
TELLING = (
    "crm_mon -1Arfn; corosync-quorumtool; cat /etc/corosync/corosync.conf; tail -n 300 /var/log/corosync/corosync.log; "
    "journalctl --no-pager -o short-precise -n 2000; ps -ef"
)


def bare_layer(release: str, wanted: Sequence[str]) -> Layer:
    """Return a minimal root of that release in whose caches apt finds the wanted packages."""
    if release not in RELEASES:
        raise ValueError(f"release {release!r} is none of {', '.join(RELEASES)}")
    kind = f"bare-{release}"
    stamp = hashlib.sha256(" ".join((*PACKAGES, "/", *wanted)).encode()).hexdigest()[:8]
    root = cached(kind, stamp, lambda place: _build(release, wanted, place))
    keep_newest(kind, 1)
    return Layer(kind, root)


def _build(release: str, wanted: Sequence[str], root: Path) -> None:
    run(
        "mmdebstrap",
        "--variant=minbase",
        f"--include={','.join(PACKAGES)}",
        f"--aptopt={APT_OPTION}",
        f'--customize-hook=chroot "$1" apt-get --quiet --yes --download-only install {" ".join(wanted)}',
        "--skip=cleanup/apt",
        release,
        str(root),
        f"deb {mirror()} {release} main",
        timeout=BUILD_SECONDS,
    )


@dataclass
class BareMachine(Machine):
    """One of them."""

    init: ClassVar[str] = "/lib/systemd/systemd"

    @property
    def isolation(self) -> tuple[str, ...]:
        """Besides the others a cgroup of its own, in which systemd makes its units'."""
        return ("sh", "-c", ENTER_CGROUP, str(cgroup(self.places, self.name)), *super().isolation, "--cgroup")

    def create(self) -> None:
        """Switch it on with what the installer left, the checkout, and root's keys."""
        self.disks.create()
        self._furnish()
        self.power_on()

    def power_on(self, first: str = "") -> None:
        """Boot, until systemd has started what it starts."""
        self.network.connect(self.name, self.address)
        self._start_init()
        wait_until(self._is_up, within=BOOT_SECONDS, what=f"{self} to boot")
        self.run(f"hostname={self.name}; {first}").check()

    def _is_up(self) -> bool:
        try:
            return self.run("systemctl is-system-running").stdout.strip() in {"running", "degraded"}
        except PowerFailure:  # while process 1 becomes another program, it has no name to be known by
            return False

    def _furnish(self) -> None:
        top = self.disks.upper
        for path in files_below(CHECKED_OUT):
            _copy(path, top / CHECKOUT.lstrip("/") / path.relative_to(REPOSITORY))
        for path in wheels().iterdir():
            _copy(path, top / WHEELS.lstrip("/") / path.name)
        keys = self.places.base / "ssh"
        files = {
            "etc/pip.conf": PIP_CONF,
            "etc/hostname": f"{self.name}\n",
            "root/.ssh/authorized_keys": (keys / "id.pub").read_text(),
            "root/.ssh/config": SSH_OPTIONS.format(identity="/root/.ssh/lab").replace("    ", ""),
            "root/.ssh/lab": (keys / "id").read_text(),
        }
        for name, text in files.items():
            path = top / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            path.chmod(0o600 if name.startswith("root") else 0o644)
        for directory in ("root", "root/.ssh"):
            (top / directory).chmod(0o700)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(source.read_bytes())
    target.chmod(source.stat().st_mode & 0o777)


def cgroup(places: Places, name: str) -> Path:
    """Return the group of a machine, which is made when it is switched on."""
    below = cgroups.hierarchy()
    if below is None:
        raise PowerFailure(f"{name} needs control groups of version 2: mount -t cgroup2 cgroup2 /sys/fs/cgroup")
    return below / f"{cgroups.PREFIX}{places.netns(name)}"


def keep_journals(machines: Iterable[BareMachine], place: Path) -> Path:
    """Write down what the machines that are on have to tell, for someone who looks into a failure."""
    place.mkdir(parents=True, exist_ok=True)
    for machine in machines:
        if machine.is_on:
            (place / f"{machine}.txt").write_text(machine.run(TELLING).stdout)
    return place


@contextmanager
def bare_machines(lab: str, release: str, wanted: Sequence[str], *names: str) -> Iterator[list[BareMachine]]:
    """Give machines that know each other's names; afterwards nothing is left of them."""
    places = Places(lab)
    below = bare_layer(release, wanted)
    addresses = {
        name: places.arbiter_ip if name == ARBITER else places.node_ip(number) for number, name in enumerate(names, 1)
    }
    machines = [BareMachine(name, address, places, below) for name, address in addresses.items()]
    take_down(places)
    try:
        places.base.mkdir(parents=True)
        Network(places).create()
        make_ssh_keys(places, machines)
        hosts = "127.0.0.1 localhost\n" + "".join(f"{address} {name}\n" for name, address in addresses.items())
        in_parallel(BareMachine.create, machines)
        for machine in machines:
            machine.write("/etc/hosts", hosts)
        yield machines
    finally:
        take_down(places)
