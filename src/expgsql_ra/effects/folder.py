# SPDX-License-Identifier: GPL-2.0-or-later
"""The data directory and what a repair puts beside it: names that say how far it has come.

``PGDATA.new`` is a base backup that is being made, ``PGDATA.ready`` a complete one, ``PGDATA.old-TIME`` what it took
the place of. Each step is one rename, synced: whoever comes after a kill sees which steps were done.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from expgsql_ra.effects import files, marks
from expgsql_ra.effects.durable import FOLDER, STATE, own_folder
from expgsql_ra.effects.installation import Installation
from expgsql_ra.effects.role_files import RECOVERY_CONF, SIGNALS
from expgsql_ra.errors import NotPermitted
from expgsql_ra.repairs import Folder, Mark

Outcome = TypeVar("Outcome")
NEW, READY, OLD = ".new", ".ready", ".old-"
KEPT = (".conf", ".crt", ".key", ".pem", ".crl")
"""What belongs to the node and not to the database: configuration, and what it names of certificates."""
NOT_KEPT = frozenset({RECOVERY_CONF})
POSTGRESQL = frozenset({"base", "global", "log", "current_logfiles"})


class DataFolder:
    """`workshop.DataDirectory` of the real node."""

    def __init__(self, resource: str, installation: Installation, folder: str = FOLDER) -> None:
        self._at = installation
        self._kept = os.path.join(folder, f"{resource}.kept")

    @property
    def path(self) -> str:
        """All links resolved: a name that is a link stays one."""
        return self._at.folder

    def look(self, tablespaces: tuple[str, ...] = ()) -> Folder:
        """What lies there; ``tablespaces`` are the primary's."""
        path = self.path
        return Folder(
            path=path,
            present=os.path.isfile(os.path.join(path, "PG_VERSION")),
            empty=_is_empty(path),
            marks=marks.marks(path),
            ready=os.path.isdir(path + READY),
            olds=tuple(sorted(_olds(path))),
            is_mount_point=os.path.ismount(path),
            free=_free(os.path.dirname(path)),
            occupied=tuple(place for place in tablespaces if not _is_empty(place)),
        )

    def mark(self, mark: Mark) -> None:
        """Keep the data from being started."""
        if os.path.isdir(self.path):
            self._as_user(lambda: marks.put(self.path, mark))

    def unmark(self, mark: Mark) -> None:
        """Let it be started, as far as this mark goes."""
        if os.path.isdir(self.path):
            self._as_user(lambda: marks.remove(self.path, mark))

    # --- configuration files ---

    def keep_configuration(self) -> None:
        """Copy the node's own files out of the data directory, where ``pg_rewind`` would overwrite them."""
        own_folder(os.path.dirname(self._kept))
        for leftover in (self._kept, self._kept + NEW):
            _discard(leftover)
        self._copied(self.path, self._kept + NEW)
        os.rename(self._kept + NEW, self._kept)
        files.sync_folder(os.path.dirname(self._kept))

    def restore_configuration(self) -> None:
        """Put them back, and forget the primary's id of its data directory: the agent gives this one its own."""
        if os.path.isdir(self._kept):
            self._put_back(self._kept, self.path)
        self._as_user(lambda: files.remove(os.path.join(self.path, STATE)))

    def forget_configuration(self) -> None:
        """They are in place: nothing needs to be kept."""
        _discard(self._kept)

    def _copied(self, source: str, target: str) -> None:
        os.mkdir(target, 0o700)
        for name, text, mode in self._contents(source):
            _write(target, name, text, mode)

    def _put_back(self, source: str, target: str) -> None:
        for name, text, mode in self._contents(source):
            self._as_user(lambda name=name, text=text, mode=mode: _write(target, name, text, mode))  # type: ignore[misc]

    def _contents(self, source: str) -> tuple[tuple[str, str, int], ...]:
        """Name, text and mode of each; of what is the user's read with his rights."""

        def read() -> tuple[tuple[str, str, int], ...]:
            return tuple(_content(source, name) for name in _own_files(source))

        return read() if source == self._kept else self._as_user(read)

    # --- a new copy beside it ---

    @property
    def new(self) -> str:
        """Where the base backup goes."""
        return self.path + NEW

    def make_room(self) -> None:
        """Remove what an interrupted base backup left, and make the directory for another."""
        for one in (self.new, self.path + READY):
            self._beside(lambda one=one: _discard(one))  # type: ignore[misc]
        self._beside(lambda: os.mkdir(self.new, 0o700))
        if os.stat(self.new).st_uid != self._at.account.uid:
            os.chown(self.new, self._at.account.uid, self._at.account.gid)

    def complete(self) -> None:
        """The base backup is whole: give it the node's own files, and the name that says so."""
        for name in (STATE, *SIGNALS):
            self._as_user(lambda name=name: files.remove(os.path.join(self.new, name)))  # type: ignore[misc]
        seen = self.look()
        if os.path.isdir(self._kept) and (Mark.REWINDING in seen.marks or not seen.present):
            self._put_back(self._kept, self.new)  # of a rewind that did not end: the directory has the primary's by now
        elif seen.present:
            self._put_back(self.path, self.new)
        self._beside(lambda: _renamed(self.new, self.path + READY))

    def take_place(self) -> str:
        """Put the old directory aside, and the complete copy in its place; where the old one is now, if there was."""
        old = ""
        if os.path.lexists(self.path):
            old = f"{self.path}{OLD}{time.strftime('%Y%m%d%H%M%S', time.gmtime())}"
            self._beside(lambda: _renamed(self.path, old))
        self._beside(lambda: _renamed(self.path + READY, self.path))
        self.forget_configuration()
        return old

    def discard_old(self, old: str) -> None:
        """Remove what the copy took the place of."""
        self._beside(lambda: _discard(old))

    # --- with whose rights ---

    def _as_user(self, act: Callable[[], Outcome]) -> Outcome:
        return files.as_user(self._at.account, act)

    def _beside(self, act: Callable[[], Outcome]) -> Outcome:
        """In the parent directory: with its owner's rights, so that nobody's links lead root astray."""
        owner = os.stat(os.path.dirname(self.path)).st_uid
        try:
            return self._as_user(act) if owner == self._at.account.uid else act()
        except OSError as problem:
            raise NotPermitted(f"{problem.filename or self.path}: {problem.strerror}; correct owner or mode") from None


def _own_files(folder: str) -> Iterator[str]:
    """The node's own files in a data directory, and one level below it, as relative names."""
    for entry in sorted(os.scandir(folder), key=lambda one: one.name):
        if entry.is_file(follow_symlinks=False) and _is_own(entry.name):
            yield entry.name
        elif entry.is_dir(follow_symlinks=False) and entry.name not in POSTGRESQL and not entry.name.startswith("pg_"):
            below = (one.name for one in os.scandir(entry.path) if one.is_file(follow_symlinks=False))
            yield from (os.path.join(entry.name, name) for name in sorted(below) if _is_own(name))


def _is_own(name: str) -> bool:
    return name.endswith(KEPT) and name not in NOT_KEPT


def _content(folder: str, name: str) -> tuple[str, str, int]:
    path = os.path.join(folder, name)
    return name, files.read(path) or "", os.stat(path, follow_symlinks=False).st_mode & 0o777


def _write(target: str, name: str, text: str, mode: int) -> None:
    path = os.path.join(target, name)
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    files.write(path, text, mode)


def _is_empty(path: str) -> bool:
    try:
        return not os.listdir(path)
    except FileNotFoundError:
        return True
    except OSError:
        return False


def _olds(path: str) -> Iterator[str]:
    parent, name = os.path.split(path)
    if os.path.isdir(parent):
        yield from (os.path.join(parent, one) for one in os.listdir(parent) if one.startswith(f"{name}{OLD}"))


def _free(path: str) -> int:
    try:
        found = os.statvfs(path)
    except OSError:
        return 0
    return found.f_bavail * found.f_frsize


def _renamed(old: str, new: str) -> None:
    os.rename(old, new)
    files.sync_folder(os.path.dirname(new))


def _discard(path: str) -> None:
    if os.path.lexists(path):
        shutil.rmtree(path)
        files.sync_folder(os.path.dirname(path))
