"""Process 1 of a node: builds its root, then reaps orphans and keeps its system log.

On a bare machine it makes way for systemd, once the root is there.

It runs on the machine's Python in fresh namespaces and must not import anything once the root has
changed, since the node's own Python may be another version.
"""

from __future__ import annotations

import datetime
import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
SYSLOG = "/var/log/syslog"


def mount(*arguments: str | Path) -> None:
    """Mount in the node's own mount namespace."""
    subprocess.run(["mount", *map(str, arguments)], check=True)


def build_root(spec: dict[str, Any]) -> None:
    """Stack the overlay and put fresh kernel and memory file systems on it."""
    root = Path(spec["root"])
    layers = f"lowerdir={spec['lowerdir']},upperdir={spec['upper']},workdir={spec['work']}"
    mount("-t", "overlay", "-o", layers, "overlay", root)
    mount("-t", "proc", "proc", root / "proc")
    mount("-t", "sysfs", "sysfs", root / "sys")
    mount("-t", "tmpfs", "-o", "mode=755,size=512M", "run", root / "run")
    mount("-t", "tmpfs", "-o", "mode=1777,size=512M", "tmp", root / "tmp")
    build_dev(root / "dev")
    if spec["init"]:
        restrict(root)
        return
    data = root / "var/lib/pgsql"
    data.mkdir(parents=True, exist_ok=True)
    mount("--bind", spec["data"], data)


def restrict(root: Path) -> None:
    """Keep an init system from the machine's kernel, as systemd-nspawn(1) does; its cgroups are its own."""
    for place in (root / "proc/sys", root / "proc/sysrq-trigger", root / "sys"):
        if place.exists():  # not every kernel has the second
            mount("--bind", place, place)
            mount("-o", "remount,bind,ro", place)
    # Of the machine's groups it sees its own and those below (cgroup_namespaces(7)).
    mount("-t", "cgroup2", "cgroup2", root / "sys/fs/cgroup")


def build_dev(dev: Path) -> None:
    """Make a /dev of the node's own: a socket put into the machine's would be seen by everyone."""
    mount("-t", "tmpfs", "-o", "mode=755", "dev", dev)
    for name in DEVICES:
        (dev / name).touch()
        mount("--bind", Path("/dev", name), dev / name)
    for name in ("pts", "shm"):
        (dev / name).mkdir()
    mount("-t", "devpts", "-o", "newinstance,ptmxmode=0666,mode=620,gid=5", "devpts", dev / "pts")
    mount("-t", "tmpfs", "-o", "mode=1777", "shm", dev / "shm")
    for name, target in (
        ("ptmx", "pts/ptmx"),
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ):
        (dev / name).symlink_to(target)


def enter_root(root: Path) -> None:
    """Leave the machine's mounts behind: inside, only the node's own are to be seen."""
    os.chdir(root)
    subprocess.run(["pivot_root", ".", "mnt"], check=True)
    os.chroot(".")
    os.chdir("/")
    subprocess.run(["umount", "--lazy", "/mnt"], check=True, env={"PATH": "/usr/bin:/bin:/usr/sbin:/sbin"})


def open_syslog() -> socket.socket:
    """Bind the socket that syslog(3) writes to."""
    log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    log.bind("/dev/log")
    Path("/dev/log").chmod(0o666)
    return log


def reap(*_: object) -> None:
    """Collect whatever orphan has ended."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def keep_log(log: socket.socket) -> None:
    """Write messages down for ever, with a time finer than syslog(3)'s own."""
    while True:
        message = log.recv(65536).decode(errors="replace").rstrip("\0\n")
        text = message.partition(">")[2] if message.startswith("<") else message
        stamp = datetime.datetime.now().astimezone().isoformat(timespec="milliseconds")
        # A full disk is one of the lab's faults: the log then has a hole, the node lives on.
        with suppress(OSError), Path(SYSLOG).open("a") as file:
            file.write(f"{stamp} {text}\n")


def main(spec: dict[str, Any]) -> None:
    """Become a node; the pipe named in the order tells the outside how that went."""
    with os.fdopen(spec["ready_fd"], "w") as ready:
        try:
            socket.sethostname(spec["node"])
            build_root(spec)
            enter_root(Path(spec["root"]))
            log = None if spec["init"] else open_syslog()
        except (OSError, subprocess.CalledProcessError) as problem:
            ready.write(f"{problem!r}\n")
            sys.exit(1)
        ready.write("ready\n")
    if log is None:
        # The words of the mark stay on its command line; as process 1 it takes no notice of them.
        os.execve(spec["init"], [spec["init"], *sys.argv[1:-1]], {"container": "lab", "PATH": os.environ["PATH"]})
    signal.signal(signal.SIGCHLD, reap)
    reap()
    keep_log(log)


if __name__ == "__main__":
    main(json.loads(sys.argv[-1]))
