# SPDX-License-Identifier: GPL-2.0-or-later
"""What an operator's procedure may do to the cluster, as small interfaces.

An action (`world`) happens on one node and is short; a procedure spans nodes and talks to a person. What a procedure
decides, it decides in `rules`; what it does goes through here, so that every step can be shown before it is taken
(``--dry-run``), and tried in tests without a cluster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Protocol, TypeVar

from expgsql_ra.deployment import Deployment, NodeFacts
from expgsql_ra.events import Kind, NodeHistory
from expgsql_ra.parameters import Parameters
from expgsql_ra.record import Missing, Past, Reading, Unreachable
from expgsql_ra.world import Clock

Found = TypeVar("Found")


class Done(Protocol):
    """How a program ended and what it printed."""

    @property
    def code(self) -> int:
        """Its exit code."""

    @property
    def out(self) -> str:
        """Its standard output."""

    @property
    def err(self) -> str:
        """Its standard error."""

    @property
    def tail(self) -> str:
        """The end of what it complained about."""


class Hosts(Protocol):
    """Programs on the nodes."""

    def run(self, node: str, words: Sequence[str], within: float, stdin: str = "") -> Done:
        """Run a program on a node, as root; its exit code is the caller's to judge (255: ssh did not get there).

        `DeadlineExceeded` if it took longer than ``within`` seconds.
        """

    def ours(self, *words: str) -> list[str]:
        """The words that run our own program, which is in the same place on all nodes."""

    def everywhere(self, nodes: Sequence[str], words: Sequence[str], within: float) -> tuple[str, ...]:
        """Run a program on several nodes at the same time; for each, in their order, why it failed, or nothing."""


class Reader(Protocol):
    """Looking."""

    def deployment(self) -> Deployment:
        """The cluster as it is now; `CannotTell` if it does not answer."""

    def writable(self, parameters: Parameters, places: Sequence[str]) -> tuple[str, ...]:
        """At which of these places, node names or addresses, a server accepts writes, asked in SQL from here."""

    def answering(self, parameters: Parameters, places: Sequence[str]) -> tuple[str, ...]:
        """At which of these places a server is there at all, also one that turns us away."""

    def facts(self, nodes: Iterable[str]) -> tuple[NodeFacts, ...]:
        """What these nodes say of their servers, asked at the same time."""


class Manager(Protocol):
    """Telling Pacemaker. Each raises `CommandFailed` with what Pacemaker said, and returns once it has accepted."""

    def cleanup(self, resource: str, node: str = "") -> None:
        """Forget failures of a resource, on one node or on all, and look again (``crm_resource --cleanup``)."""

    def refresh(self, resource: str, node: str = "") -> None:
        """Forget the whole history, and look again (``crm_resource --refresh``)."""

    def standby(self, node: str, on: bool) -> None:
        """Let a node run no resources, or again."""

    def maintenance(self, on: bool, node: str = "") -> None:
        """Leave all resources of a node alone, or of the whole cluster; or manage them again."""

    def enable(self, resource: str, on: bool) -> None:
        """Let a resource run, or not (its target-role)."""

    def ban(self, resource: str, node: str, promoted: bool) -> None:
        """Keep a resource, or its promoted role, off a node until `clear`."""

    def clear(self, resource: str) -> None:
        """Lift what `ban` and moves have laid down."""

    def move(self, resource: str, node: str, seconds: float, away_from: str = "") -> None:
        """Have the promoted role on a node, by a constraint of ours that ends by itself after ``seconds``.

        ``away_from``: the node that must not have it meanwhile, where resources stick to their places for ever.
        """

    def lift(self, constraint: str) -> None:
        """Remove a constraint that `move` has laid down; nothing to do where there is none."""

    def set_property(self, name: str, value: str) -> None:
        """Set a property of the cluster; without a value it is removed."""

    def set_attribute(self, node: str, name: str, value: str, lasting: bool) -> None:
        """Set a node attribute; without a value it is removed."""


class Console(Protocol):
    """The person, or the script."""

    def say(self, text: str) -> None:
        """One line of what happens."""

    def warn(self, text: str) -> None:
        """What somebody should look at, on standard error."""

    def confirm(self, question: str) -> None:
        """Go on only if the answer is yes; `Failure` otherwise, having changed nothing."""

    def wait(self, what: str, look: Callable[[], Found | None], within: float) -> Found | None:
        """Look until there is something, showing what is waited for; None when the time is over."""


class Records(Protocol):
    """The record of the primary and its successors, as this node reaches whoever keeps it. It is only read."""

    def read(self, seen: Deployment) -> Reading:
        """The record as it is now."""

    def history(self, seen: Deployment, newest: int) -> Past | Unreachable:
        """The newest entries of its history, the newest first."""


class NoRecords:
    """There is none."""

    def read(self, seen: Deployment) -> Reading:
        """None."""
        del seen
        return Missing("nobody keeps a record")

    def history(self, seen: Deployment, newest: int) -> Past | Unreachable:
        """Nothing."""
        del seen, newest
        return Past(())


class Journal(Protocol):
    """What happened, for people. Nothing depends on it: nothing fails where it cannot be kept or read."""

    def record(self, resource: str, kind: Kind, node: str, reason: str, timeline: int = 0) -> None:
        """Keep, on this node and durably, that it happened to ``node`` just now."""

    def gather(self, resource: str, nodes: Iterable[str]) -> tuple[NodeHistory, ...]:
        """What these nodes have kept, asked at the same time."""


class NoJournal:
    """Keeps nothing and knows nothing: a dry run, or a test."""

    def record(self, resource: str, kind: Kind, node: str, reason: str, timeline: int = 0) -> None:
        """Nothing."""

    def gather(self, resource: str, nodes: Iterable[str]) -> tuple[NodeHistory, ...]:
        """Nothing."""
        del resource, nodes
        return ()


class Site(NamedTuple):
    """Everything a procedure works with."""

    read: Reader
    hosts: Hosts
    manager: Manager
    console: Console
    clock: Clock
    dry_run: bool = False
    """`manager` then only shows what it would do; `hosts` is not to be used for changes."""
    journal: Journal = NoJournal()
    records: Records = NoRecords()
