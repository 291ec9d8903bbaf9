# SPDX-License-Identifier: GPL-2.0-or-later
"""What setting up may do to the cluster's configuration and to this node's server, as small interfaces (see `site`)."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from expgsql_ra.site import Console, Hosts


class ClusterConfiguration(Protocol):
    """The cluster's configuration, as one document."""

    def text(self) -> str:
        """The CIB as it is now."""

    def push(self, before: str, after: str) -> None:
        """Apply the difference of the two as one transaction; `CommandFailed` with what Pacemaker said."""

    def complaints(self, document: str) -> str:
        """What Pacemaker would say of such a configuration (crm_verify); empty if nothing."""

    def has_agent(self, name: str) -> bool:
        """Whether this node has a resource agent."""


class Server(Protocol):
    """PostgreSQL on this node. Whatever is below a directory of the server's user is done as that user."""

    def major(self) -> int:
        """The major version of its programs."""

    def has_data(self) -> bool:
        """Whether there is anything in the data directory."""

    def hba_file(self) -> str:
        """Where pg_hba.conf is."""

    def read(self, path: str) -> str | None:
        """A file's text; None if there is none."""

    def write(self, path: str, content: str) -> None:
        """Replace a file, durably, with mode 0600."""

    def role(self) -> str:
        """``primary``, ``standby``, or ``stopped`` if nobody answers."""

    def ask(self, statement: str) -> str:
        """What the server answers to a statement of its superuser."""

    def control(self, action: str) -> None:
        """Have pg_ctl ``start``, ``restart`` or ``reload`` it, and wait until that is done."""

    def random(self) -> bytes:
        """Some random bytes."""

    def system(self) -> str:
        """The system identifier of the data directory; empty if it has none."""

    def system_of(self, host: str) -> str:
        """That of the server on another node, asked as the standbys' role."""

    def copy_from(self, host: str, within: float) -> None:
        """Make a base backup beside the data directory, whatever is there of an earlier one."""

    def put_in_place(self) -> str:
        """Make the base backup the data directory; where the old one was put, or nothing if there was none."""


class Work(NamedTuple):
    """Everything that setting up a server works with."""

    server: Server
    hosts: Hosts
    console: Console
    node: str
    """This one."""
    managed: bool
    """Whether Pacemaker runs a database here: then nobody else starts or stops it."""
    dry_run: bool = False
