# SPDX-License-Identifier: GPL-2.0-or-later
"""The files that tell a server its role, for whoever must not wait for more than a look at them.

The agent's entry asks here before it imports anything, so nothing is imported here but ``os``. Source: PostgreSQL
documentation, "Standby Server Operation" (12 and newer) and "recovery.conf" (10 and 11).
"""

from __future__ import annotations

import os

INCLUDE_FILE = "rep_mode.conf"
RECOVERY_CONF = "recovery.conf"
STANDBY_SIGNAL = "standby.signal"
STANDBY_SIGNALS = (STANDBY_SIGNAL, RECOVERY_CONF)
SIGNALS = (*STANDBY_SIGNALS, "recovery.signal")
"""All that keep a server from starting as a primary."""
READ_LIMIT = 1 << 16


def signals_standby(pgdata: str) -> bool:
    """Whether the data directory says that its server is a standby."""
    return any(os.path.exists(f"{pgdata}/{name}") for name in STANDBY_SIGNALS)


def include_file(tmpdir: str) -> str:
    """Where our settings are kept: the same place as the shell agents', so an existing include line serves."""
    return os.path.join(tmpdir, INCLUDE_FILE)


def names_primary(settings: str) -> bool:
    """Whether settings that were written here name a primary to follow."""
    lines = (line for line in settings.splitlines() if line.startswith("primary_conninfo"))
    return any(not line.endswith("''") for line in lines)


def is_seen_connected(pgdata: str, tmpdir: str) -> bool:
    """Whether a standby's settings name a primary; False also where they cannot be read."""
    return any(names_primary(_read(path)) for path in (include_file(tmpdir), f"{pgdata}/{RECOVERY_CONF}"))


def _read(path: str) -> str:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return ""
    try:
        return os.read(descriptor, READ_LIMIT).decode(errors="replace")
    except OSError:
        return ""
    finally:
        os.close(descriptor)
