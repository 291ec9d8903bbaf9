# SPDX-License-Identifier: GPL-2.0-or-later
"""Where overrides of an arbiter are kept on a node: all that were ever given, the newest last; root's alone.

The file is the history of them, since the arbiter that would keep it is gone.
"""

from __future__ import annotations

import json
import os

from expgsql_ra.effects import files
from expgsql_ra.effects.durable import FOLDER, own_folder
from expgsql_ra.errors import CannotTell
from expgsql_ra.override import Override
from expgsql_ra.record import Record

TYPES: dict[str, type] = {**dict.fromkeys(Override._fields, str), "epoch": int, "revision": int, "used": bool}


class OverrideFile:
    """The overrides of one resource on this node."""

    def __init__(self, resource: str, folder: str = FOLDER) -> None:
        self._path = os.path.join(folder, f"{resource}.override.json")

    def load(self) -> Override | None:
        """The newest, used or not; None if none was ever given or it was withdrawn; `CannotTell` if it is damaged."""
        given, withdrawn = self._load()
        return given[-1] if given and not withdrawn else None

    def history(self) -> tuple[Override, ...]:
        """All that were ever given, the oldest first."""
        return self._load()[0]

    def give(self, override: Override) -> None:
        """Add one in place of what was given before."""
        own_folder(os.path.dirname(self._path))
        self._keep((*self.history(), override._replace(used=False)), withdrawn=False)

    def withdraw(self) -> Override | None:
        """Take the newest back unless it was used; what was taken back."""
        current = self.load()
        if current is None or current.used:
            return None
        self._keep(self.history(), withdrawn=True)
        return current

    def consume(self) -> Record:
        """Claim it for a promotion, once and for all; the record that goes with it. On disk before this returns.

        `CannotTell` without an override. The caller has asked `overridden` before, and keeps the record as seen after
        it; again and again without harm.
        """
        current = self.load()
        if current is None:
            raise CannotTell("there is no override to use")
        if not current.used:
            self._keep((*self.history()[:-1], current._replace(used=True)), withdrawn=False)
        return current.record

    def _load(self) -> tuple[tuple[Override, ...], bool]:
        content = files.read(self._path)
        if content is None:
            return (), False
        try:
            found = json.loads(content)
            given = tuple(_override(one) for one in found["given"])
            withdrawn = found["withdrawn"]
            if type(withdrawn) is not bool:
                raise TypeError("withdrawn")
        except (ValueError, KeyError, TypeError, RecursionError):
            raise CannotTell(
                f"{self._path} is damaged: remove it, and give the override anew if it is needed"
            ) from None
        return given, withdrawn

    def _keep(self, given: tuple[Override, ...], *, withdrawn: bool) -> None:
        content = {"withdrawn": withdrawn, "given": [one._asdict() for one in given]}
        files.write(self._path, json.dumps(content, indent=1) + "\n")


def _override(given: dict[str, object]) -> Override:
    """TypeError or KeyError for what is none."""
    if given.keys() != TYPES.keys() or any(type(given[name]) is not kind for name, kind in TYPES.items()):
        raise TypeError("no override")
    return Override(**given)  # type: ignore[arg-type]
