"""Names, directories and addresses of one lab, all derived from its name.

Whatever a lab leaves on the machine carries its name, so that taking it down can find everything by
looking, even after a run that was killed half way.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

BASE = Path("/run/expgsql-lab")
NETNS_DIR = Path("/run/netns")
# On the command line of every process that holds a node or works for a lab.
MARK = "expgsql-lab-process"
SWITCH = "switch"
CLIENT = "client"
ARBITER = "arbiter"


def own_name(lab: str) -> str:
    """The name for a lab of this process's own, where pytest-xdist runs several (gw0, gw1, ...)."""
    return lab + os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw")


@dataclass(frozen=True)
class Places:
    """Where the lab of that name has its things."""

    lab: str = "expg"

    def __post_init__(self) -> None:
        """Keep names short enough for network interfaces and free of the separator."""
        if not re.fullmatch(r"[a-z][a-z0-9]{0,6}", self.lab):
            raise ValueError(f"lab name {self.lab!r}: 1 to 7 lower-case letters and digits")

    @property
    def base(self) -> Path:
        """The directory of the lab's files and mounts."""
        return BASE / self.lab

    @property
    def ssh_config(self) -> Path:
        """For `ssh -F` and testinfra's `ssh_config=`: the nodes by name."""
        return self.base / "ssh_config"

    @property
    def mark(self) -> tuple[str, str]:
        """Consecutive arguments that mark a process as this lab's."""
        return (MARK, self.lab)

    @property
    def netns_prefix(self) -> str:
        """What the names of the lab's network namespaces begin with."""
        return f"{self.lab}-"

    def netns(self, name: str) -> str:
        """Name of the network namespace of a node, the client or the switch."""
        return self.netns_prefix + name

    def netns_path(self, name: str) -> Path:
        """File that holds the network namespace."""
        return NETNS_DIR / self.netns(name)

    @property
    def host_link(self) -> str:
        """The machine's own end of its cable into the switch."""
        return f"{self.lab}-host"

    @property
    def network(self) -> str:
        """First three numbers of the lab's addresses; two labs get different ones."""
        digest = hashlib.sha256(self.lab.encode()).digest()
        return f"10.{200 + digest[0] % 50}.{digest[1]}"

    @property
    def subnet(self) -> str:
        """The lab's network, as pg_hba.conf writes it."""
        return f"{self.network}.0/24"

    @property
    def writer_ip(self) -> str:
        """The virtual address that follows the primary."""
        return f"{self.network}.100"

    @property
    def reader_ip(self) -> str:
        """The virtual address for readers."""
        return f"{self.network}.101"

    @property
    def client_ip(self) -> str:
        """Address of the client's namespace."""
        return f"{self.network}.200"

    @property
    def arbiter_ip(self) -> str:
        """Address of the machine outside the cluster that keeps the record."""
        return f"{self.network}.50"

    @property
    def host_ip(self) -> str:
        """Address of this machine in the lab's network."""
        return f"{self.network}.254"

    def node_ip(self, number: int) -> str:
        """Address of the node with that number, counted from 1."""
        return f"{self.network}.{10 + number}"
