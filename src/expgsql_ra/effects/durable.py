# SPDX-License-Identifier: GPL-2.0-or-later
"""What a node keeps across power losses: the highest record it has seen, and what a data directory knows of itself.

Both are small files, replaced durably. One that is damaged is never taken for one that is not there.
"""

from __future__ import annotations

import json
import os
from typing import Any

from expgsql_ra.effects import files
from expgsql_ra.effects.process import Account
from expgsql_ra.errors import CannotTell, NotPermitted
from expgsql_ra.record import NOTHING_SEEN, HighWater, Kept, Record
from expgsql_ra.values import same_node

FOLDER = "/var/lib/expgsql"
STATE = "expgsql.state"
CONTROL = os.path.join("global", "pg_control")
ID_BYTES = 16
"""As much chance as in a random UUID."""


class SeenFile:
    """The highest epoch and revision that this node has ever seen of a resource's record; root's alone."""

    def __init__(self, resource: str, folder: str = FOLDER) -> None:
        self._path = os.path.join(folder, f"{resource}.json")

    def load(self) -> HighWater:
        """What was seen; `CannotTell` if that is not known any more: then nothing may be trusted."""
        content = files.read(self._path)
        if content is None:
            return NOTHING_SEEN
        try:
            found = json.loads(content)
            seen = HighWater(_count(found["epoch"]), _count(found["revision"]))
        except (ValueError, KeyError, TypeError, RecursionError):
            raise CannotTell(
                f"{self._path} is damaged: nobody can tell which record this node has seen. Compare "
                "the record with the other nodes and their histories, then remove the file"
            ) from None
        return seen

    def saw(self, record: Record) -> HighWater:
        """Keep what is the highest after this record; returns when it is on disk."""
        known = self.load()
        highest = known.raised_by(record)
        if highest != known:
            own_folder(os.path.dirname(self._path))
            files.write(self._path, json.dumps(highest._asdict()) + "\n")
        return highest


class DirectoryFile:
    """What a data directory knows of itself, in a file inside it that belongs to the server's user.

    The file names its node and its own mark (`files.write_marked`), which no copy shares: whatever a base backup, a
    rewind or a restore brings along is void, and the directory gets a new id.
    """

    def __init__(self, pgdata: str, user: Account, node: str) -> None:
        self._pgdata = pgdata
        self._path = os.path.join(pgdata, STATE)
        self._user = user
        self._node = node

    def identity(self) -> Kept:
        """What it knows; a new id, written before this returns, where the file is missing or another's."""
        return files.as_user(self._user, self._identity)

    def known(self) -> Kept | None:
        """What it knows; None where that is nothing: this only looks."""
        return files.as_user(self._user, self._known)

    def completed(self, epoch: int, timeline: int) -> Kept:
        """Note that a promotion has completed here; returns when it is on disk."""
        return files.as_user(self._user, lambda: self._keep(Kept(self._identity().directory, epoch, timeline)))

    def strayed(self) -> Kept:
        """Note that this directory is not to be trusted until a promotion completes in it, or it is made anew."""
        return files.as_user(self._user, lambda: self._keep(self._identity()._replace(strayed=True)))

    def is_new(self) -> bool:
        """Whether it has no id of its own yet."""
        return files.as_user(self._user, lambda: self._known() is None)

    def _known(self) -> Kept | None:
        found = files.read_marked(self._path)
        return self._understood(*found) if found else None

    def _identity(self) -> Kept:
        if not os.path.lexists(os.path.join(self._pgdata, CONTROL)):
            raise CannotTell(f"{self._pgdata} holds no database; mount or create it")
        return self._known() or self._keep(Kept(os.urandom(ID_BYTES).hex(), 0, 0))

    def _understood(self, content: str, mark: str) -> Kept | None:
        """None for what was written for another directory, or by nobody of ours."""
        try:
            found = json.loads(content)
            directory, strayed = _id(found["directory"]), found.get("strayed") is True
            kept = Kept(directory, _count(found["epoch"]), _count(found["timeline"]), strayed)
            return kept if found["mark"] == mark and same_node(_text(found["node"]), self._node) else None
        except (ValueError, KeyError, TypeError, RecursionError):
            return None

    def _keep(self, kept: Kept) -> Kept:
        def content(mark: str) -> str:
            return json.dumps({**kept._asdict(), "node": self._node, "mark": mark}) + "\n"

        files.write_marked(self._path, content)
        return kept


def own_folder(path: str) -> None:
    """Make a directory for root alone, durably; `NotPermitted` if somebody else could write there."""
    try:
        if not os.path.isdir(path):
            os.makedirs(path, mode=0o700)
            files.sync_folder(os.path.dirname(path))
        found = os.stat(path)
    except OSError as problem:
        raise NotPermitted(f"cannot create {path}: {problem.strerror}") from None
    if found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise NotPermitted(f"{path} must belong to root and be writable for nobody else: correct owner and mode")


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError("no number")
    return value


def _id(value: Any) -> str:
    found = bytes.fromhex(_text(value))
    if len(found) != ID_BYTES:
        raise ValueError("no id")
    return found.hex()


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("no text")
    return value
