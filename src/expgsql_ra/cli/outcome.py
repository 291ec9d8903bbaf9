# SPDX-License-Identifier: GPL-2.0-or-later
"""How a command ended, as the commands of old said it, and the exceptions that lead there."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """The exit codes of every command."""

    DONE = 0
    ERROR = 1
    NOT_NOW = 10
    """The preconditions do not hold; nothing was changed."""
    NOT_IN_TIME = 11
    """It was tried and did not succeed in time."""
    BAD_ARGUMENTS = 100
    NO_CLUSTER = 101
    """No cluster answers on this node."""
    INCONSISTENT = 102
    """No quorum, or views of the cluster that contradict each other."""


class Failure(Exception):
    """The command failed; an error unless a subclass knows better. ``str()`` says what to do about it."""

    code = Exit.ERROR


class NotNow(Failure):
    """The preconditions do not hold; nothing was changed."""

    code = Exit.NOT_NOW


class NotInTime(Failure):
    """It was tried and did not succeed in time."""

    code = Exit.NOT_IN_TIME


class NoCluster(Failure):
    """No cluster answers on this node."""

    code = Exit.NO_CLUSTER


class Inconsistent(Failure):
    """No quorum, or views that contradict each other."""

    code = Exit.INCONSISTENT
