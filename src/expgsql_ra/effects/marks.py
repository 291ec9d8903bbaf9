# SPDX-License-Identifier: GPL-2.0-or-later
"""The marks that keep a data directory from being started while it is repaired, or half repaired.

They stand inside the directory, so that they go wherever it goes, and away with it where a new copy takes its place.
``pg_rewind`` removes every regular file that the primary does not have, and a mark has to outlast just that: so marks
are named pipes, which ``pg_rewind``, ``pg_basebackup`` and the server pass over (PostgreSQL source, ``recurse_dir``,
``sendDir``, ``walkdir``).
"""

from __future__ import annotations

import os

from expgsql_ra.effects import files
from expgsql_ra.errors import NotPermitted, Refused
from expgsql_ra.repairs import Mark


def marks(folder: str) -> tuple[Mark, ...]:
    """Those that stand in a data directory, the worst first."""
    return tuple(mark for mark in (Mark.REWINDING, Mark.REPAIRING) if os.path.lexists(os.path.join(folder, mark)))


def check(folder: str) -> None:
    """`Refused` where one stands: no server is started there."""
    found = marks(folder)
    if found:
        raise Refused(found[0].meaning)


def put(folder: str, mark: Mark) -> None:
    """Put one, durably; with the rights of the server's user (`files.as_user`)."""
    path = os.path.join(folder, mark)
    try:
        if not os.path.lexists(path):
            os.mkfifo(path, 0o600)
        files.sync_folder(folder)
    except OSError as problem:
        raise NotPermitted(f"cannot mark {folder}: {problem.strerror}; free space or correct its owner") from None


def remove(folder: str, mark: Mark) -> None:
    """Take one away, durably, as above."""
    files.remove(os.path.join(folder, mark))
