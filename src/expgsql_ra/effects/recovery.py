# SPDX-License-Identifier: GPL-2.0-or-later
"""What tells a server that it is a standby, and whom it follows: two generations behind one interface.

PostgreSQL 12 and newer: the file ``standby.signal`` and ordinary settings, which are kept in an include
file of our own. 10 and 11: ``recovery.conf``. Source: PostgreSQL documentation, "Standby Server
Settings" and the release notes of 12.
"""

from __future__ import annotations

import os
from typing import NamedTuple, Protocol

from expgsql_ra.effects import files
from expgsql_ra.effects.role_files import RECOVERY_CONF, STANDBY_SIGNAL, include_file

HEADER = "# Written by ocf:heartbeat:expgsql before each start; changes made here are lost.\n"
FIRST_WITH_SIGNAL = 12
RETRY = "250ms"
"""How often a standby tries to reach its primary; PostgreSQL's own 5 s would be most of the time to a new commit."""
FIRST_WITH_RELOAD = 13


class Following(NamedTuple):
    """The settings of a standby."""

    conninfo: str
    """libpq connection string; empty: replay what is here and connect to nobody."""
    slot: str
    restore_command: str
    archive_cleanup_command: str
    recovery_end_command: str


class Recovery(Protocol):
    """How one generation of PostgreSQL is told its role. Every call needs the server user's rights."""

    reloads: bool
    """Whether a running server takes a new connection string by a reload."""

    def become_standby(self, names: str, following: Following) -> None:
        """Make the next start a standby's, with these settings."""

    def become_primary(self, names: str | None) -> None:
        """Make the next start a primary's; None: with the names that are there."""

    def rename(self, names: str) -> None:
        """Change ``synchronous_standby_names``, for the next reload."""


class SignalFile:
    """PostgreSQL 12 and newer."""

    def __init__(self, pgdata: str, include: str, major: int) -> None:
        self._signal = os.path.join(pgdata, STANDBY_SIGNAL)
        self._include = include
        self.reloads = major >= FIRST_WITH_RELOAD

    def become_standby(self, names: str, following: Following) -> None:
        """Settings first: a signal file without them would make a standby that commits to anybody."""
        files.write(self._include, _include_file(names, following))
        files.write(self._signal, "")

    def become_primary(self, names: str | None) -> None:
        """The reverse order, for the same reason."""
        if names is not None:
            files.write(self._include, _include_file(names, None))
        files.remove(self._signal)

    def rename(self, names: str) -> None:
        """Rewrite the include file with other names and everything else as it is."""
        kept = [
            line
            for line in (files.read(self._include) or HEADER).splitlines(keepends=True)
            if not line.startswith("synchronous_standby_names")
        ]
        files.write(self._include, "".join([*kept, _setting("synchronous_standby_names", names)]))


class RecoveryConf:
    """PostgreSQL 10 and 11."""

    reloads = False

    def __init__(self, pgdata: str, include: str) -> None:
        self._conf = os.path.join(pgdata, RECOVERY_CONF)
        self._include = include

    def become_standby(self, names: str, following: Following) -> None:
        """The names go to the include file, all the rest to ``recovery.conf``."""
        files.write(self._include, _include_file(names, None))
        # these versions refuse an empty primary_slot_name, and know no setting that is switched off by being empty
        given = [line for line in _following(following) if not line.endswith(" = ''\n")]
        lines = [HEADER, _setting("standby_mode", "on"), *given]
        files.write(self._conf, "".join(lines))

    def become_primary(self, names: str | None) -> None:
        """Without ``recovery.conf`` a server starts as a primary."""
        if names is not None:
            files.write(self._include, _include_file(names, None))
        files.remove(self._conf)

    def rename(self, names: str) -> None:
        """The include file holds nothing else here."""
        files.write(self._include, _include_file(names, None))


def recovery_of(major: int, pgdata: str, tmpdir: str) -> Recovery:
    """The way of this PostgreSQL version."""
    include = include_file(tmpdir)
    if major >= FIRST_WITH_SIGNAL:
        return SignalFile(pgdata, include, major)
    return RecoveryConf(pgdata, include)


def names_in(content: str) -> str | None:
    """``synchronous_standby_names`` in a file that was written here; None where it is not set."""
    found = [line for line in content.splitlines() if line.startswith("synchronous_standby_names = '")]
    return found[-1].partition("'")[2][:-1].replace("''", "'").replace("\\\\", "\\") if found else None


def _include_file(names: str, following: Following | None) -> str:
    settings = [_setting("restart_after_crash", "off"), _setting("wal_retrieve_retry_interval", RETRY)]
    settings += _following(following) if following else []
    return "".join([HEADER, *settings, _setting("synchronous_standby_names", names)])


def _following(following: Following) -> list[str]:
    return [
        _setting("primary_conninfo", following.conninfo),
        _setting("primary_slot_name", following.slot if following.conninfo else ""),
        _setting("restore_command", following.restore_command),
        _setting("archive_cleanup_command", following.archive_cleanup_command),
        _setting("recovery_end_command", following.recovery_end_command),
        _setting("recovery_target_timeline", "latest"),
    ]


def _setting(name: str, value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "''")
    return f"{name} = '{escaped}'\n"


def conninfo(pairs: tuple[tuple[str, str], ...], options: str) -> str:
    """A libpq connection string: ``options`` as the administrator wrote them, then ours, which win."""
    ours = " ".join(f"{key}={_quoted(value)}" for key, value in pairs if value)
    return f"{options} {ours}".strip()


def _quoted(value: str) -> str:
    plain = value.replace("-", "").replace(".", "").replace("_", "").replace("/", "").replace(":", "")
    if plain.isalnum():
        return value
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
