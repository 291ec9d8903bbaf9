# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether the server's user can use a file or directory that a parameter names; the error says how to mend it."""

from __future__ import annotations

import os
import stat

from expgsql_ra.effects import files
from expgsql_ra.effects.process import Account
from expgsql_ra.errors import BadArguments, NotPermitted

SHARED = 0o077


def check_readable(user: Account, path: str, parameter: str, remedy: str) -> None:
    """A regular file that the user can read."""
    if not os.path.isfile(path):
        what = "is no file" if os.path.exists(path) else "does not exist"
        raise BadArguments(f"{parameter} {path} {what}; {remedy}")
    _check_access(user, path, os.R_OK, parameter, "read")


def check_private(path: str, parameter: str) -> None:
    """A file for its owner alone: libpq ignores any other (PostgreSQL documentation, "The Password File")."""
    if os.stat(path).st_mode & SHARED:
        raise NotPermitted(f"{parameter} {path} is open to other users, so it would be ignored; chmod it to 0600")


def check_folder(user: Account, path: str, parameter: str) -> None:
    """A directory in which the user can make files."""
    if not os.path.isdir(path):
        what = "is no directory" if os.path.exists(path) else "does not exist"
        raise BadArguments(f"{parameter} {path} {what}; create it or correct {parameter}")
    _check_access(user, path, os.W_OK | os.X_OK, parameter, "write")


def check_log(user: Account, path: str, parameter: str) -> None:
    """A file that the user can append to, or create."""
    if not os.path.exists(path):
        check_folder(user, os.path.dirname(path), parameter)
    elif stat.S_ISDIR(os.stat(path).st_mode):
        raise BadArguments(f"{parameter} {path} is a directory; name a file")
    else:
        _check_access(user, path, os.W_OK, parameter, "write")


def check_own_folder(user: Account, path: str, parameter: str) -> None:
    """A directory of the user's own, or a place where root can make one."""
    there = path
    while not os.path.lexists(there):
        there = os.path.dirname(there)
    if not os.path.isdir(there):
        raise BadArguments(f"{parameter} {path} cannot be used: {there} is no directory; correct {parameter}")
    if there == path and os.stat(path).st_uid != user.uid:
        raise NotPermitted(f"{parameter} {path} does not belong to {user.name}; chown it, or name another")


def _check_access(user: Account, path: str, mode: int, parameter: str, verb: str) -> None:
    if not files.as_user(user, lambda: os.access(path, mode, effective_ids=True)):
        raise NotPermitted(f"{parameter} {path}: {user.name} cannot {verb} it; chown or chmod it, or name another")
