# SPDX-License-Identifier: GPL-2.0-or-later
"""How a command says that it did not do what it was asked for."""

from __future__ import annotations


class Failure(Exception):
    """The command failed; an error unless a subclass knows better."""

    code = 1


class NotNow(Failure):
    """The preconditions do not hold; nothing was changed."""

    code = 10
