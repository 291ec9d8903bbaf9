# SPDX-License-Identifier: GPL-2.0-or-later
"""Why an action failed: the reason an operator reads, and the code Pacemaker acts on."""

from __future__ import annotations

from expgsql_ra.ocf import Code


class AgentError(Exception):
    """An action did not succeed. ``str()`` is the exit reason: what is wrong and what to do about it."""

    code = Code.ERR_GENERIC


class CannotTell(AgentError):
    """Something could not be found out; never to be read as "stopped" or "done"."""


class NotInstalled(AgentError):
    """A program that this node needs is missing or cannot be run."""

    code = Code.ERR_INSTALLED


class NotPermitted(AgentError):
    """A file or directory belongs to somebody else or cannot be used."""

    code = Code.ERR_PERM


class BadArguments(AgentError):
    """A parameter's value is wrong, on this node at least."""

    code = Code.ERR_ARGS


class Unimplemented(AgentError):
    """The action does not exist, or not in this replication mode."""

    code = Code.ERR_UNIMPLEMENTED


class Refused(AgentError):
    """The rules do not allow it."""


class DataDiverged(Refused):
    """The data here holds what the primary never had: repair it first."""


class Inconsistent(AgentError):
    """No quorum, or views of the cluster that contradict each other: nothing is to be changed from here."""


class CommandFailed(AgentError):
    """A program ended with an error; carries the end of what it printed."""


class DeadlineExceeded(AgentError):
    """The action's time is nearly over; says what it was waiting for."""
