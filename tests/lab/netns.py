"""The lab's network: a switch in a namespace of its own, and a cable to each node.

The bridge does not live in the machine's own namespace: there the machine's packet filter could
drop what nodes say to each other, and taking the lab down would have more to find.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.lab import processes
from tests.lab.command import attempt, run
from tests.lab.places import CLIENT, SWITCH, Places
from tests.lab.waiting import wait_until

BRIDGE = "bridge0"


@dataclass(frozen=True)
class Network:
    """The switch, its cables and what hangs on them."""

    places: Places

    def create(self) -> None:
        """Make the switch and connect this machine and the client to it."""
        self._add_netns(SWITCH)
        self._in_switch(
            f"link add {BRIDGE} type bridge stp_state 0 forward_delay 0 mcast_snooping 0",
            f"link set {BRIDGE} up",
        )
        self._connect_host()
        self.connect(CLIENT, self.places.client_ip)

    def connect(self, name: str, address: str) -> None:
        """Give a node a namespace with a cable to the switch, plugged in at both ends."""
        self._add_netns(name)
        inside, switch = self.places.netns(name), self.places.netns(SWITCH)
        # An address of its own that a reboot keeps: the others still have it in their ARP tables.
        mac = ":".join(("02:00", *(f"{int(part):02x}" for part in address.split("."))))
        _ip(f"link add {name} netns {switch} type veth peer name eth0 address {mac} netns {inside}")
        self._in_switch(f"link set {name} master {BRIDGE}", f"link set {name} up")
        _ip(
            "link set lo up",
            f"addr add {address}/24 brd + dev eth0",
            "link set eth0 up",
            netns=inside,
        )

    def disconnect(self, name: str) -> None:
        """Take a node's cable and namespace away; what its sockets still had to say is lost."""
        attempt("ip", "-n", self.places.netns(SWITCH), "link", "del", name)
        attempt("ip", "netns", "del", self.places.netns(name))

    def unplug(self, name: str) -> None:
        """Pull a node's cable out of the switch: its link goes down, its addresses stay."""
        self._in_switch(f"link set {name} down")

    def plug(self, name: str) -> None:
        """Put a node's cable back."""
        self._in_switch(f"link set {name} up")

    def is_plugged(self, name: str) -> bool:
        """Whether a node's cable is in the switch."""
        link = attempt("ip", "-n", self.places.netns(SWITCH), "link", "show", "dev", name)
        return link.succeeded and "state DOWN" not in link.stdout

    def exec_prefix(self, name: str) -> tuple[str, ...]:
        """Return the words that make a command run in that network namespace."""
        return ("nsenter", f"--net={self.places.netns_path(name)}", "--")

    def _add_netns(self, name: str) -> None:
        run("ip", "netns", "add", self.places.netns(name))

    def _connect_host(self) -> None:
        link, switch = self.places.host_link, self.places.netns(SWITCH)
        _ip(f"link add host netns {switch} type veth peer name {link}")
        self._in_switch(f"link set host master {BRIDGE}", "link set host up")
        _ip(f"addr add {self.places.host_ip}/24 dev {link}", f"link set {link} up")

    def _in_switch(self, *commands: str) -> None:
        _ip(*commands, netns=self.places.netns(SWITCH))


def _ip(*commands: str, netns: str = "") -> None:
    """Give several commands to one `ip`, which is cheaper than one process each."""
    inside = ("-n", netns) if netns else ()
    run("ip", *inside, "-batch", "-", stdin="\n".join(commands) + "\n")


def names_of(places: Places) -> list[str]:
    """Return the lab's network namespaces that exist, whoever made them."""
    directory = places.netns_path("").parent
    return sorted(path.name for path in directory.glob(f"{places.netns_prefix}*"))


def inhabitants(netns: Iterable[str], places: Places) -> list[int]:
    """Processes in any of those network namespaces."""
    directory = places.netns_path("").parent
    identities = {f"net:[{(directory / name).stat().st_ino}]" for name in netns}
    return [pid for pid in processes.pids() if processes.namespace(pid, "net") in identities]


def links_of(places: Places) -> list[str]:
    """Return the lab's links in the machine's own namespace."""
    return [path.name for path in Path("/sys/class/net").glob(f"{places.lab}-*")]


def remove(places: Places) -> None:
    """Remove every namespace and link of a lab, found by name; its processes must be gone."""
    for name in names_of(places):
        run("ip", "netns", "del", name)
    for name in links_of(places):
        # The kernel may have removed it already, with the namespace its other end was in.
        attempt("ip", "link", "del", name)
    wait_until(lambda: not links_of(places), within=30, what=f"the end of {places.lab}'s links")
