# SPDX-License-Identifier: GPL-2.0-or-later
"""What one monitor remembers for the next: a small file in root's own run directory."""

from __future__ import annotations

import json
import os

from expgsql_ra.effects import files
from expgsql_ra.errors import AgentError
from expgsql_ra.world import Memory

FOLDER = "/run/resource-agents"


class FileMemory:
    """`Memory` in a file that does not survive a boot, which is right: then nothing of it holds."""

    def __init__(self, resource: str, folder: str = FOLDER) -> None:
        self._path = os.path.join(folder, f"expgsql-{resource}.json")
        self._loaded: Memory | None = None

    def load(self) -> Memory:
        """What was kept; the default if nothing was, or nothing that makes sense."""
        try:
            content = files.read(self._path)
            self._loaded = _parse(content) if content else Memory()
        except (AgentError, ValueError, TypeError, KeyError, OverflowError):
            self._loaded = Memory()
        return self._loaded

    def save(self, memory: Memory) -> None:
        """Keep it, if it differs from what was loaded.

        Where it cannot be kept (a full /run) nothing fails: then each call is the first of its kind.
        """
        if memory == self._loaded:
            return
        try:
            os.makedirs(os.path.dirname(self._path), exist_ok=True)
            files.write(self._path, json.dumps(memory._asdict()))
        except (AgentError, OSError):
            return
        self._loaded = memory


def _parse(content: str) -> Memory:
    found = json.loads(content)
    return Memory(
        stalls=int(found["stalls"]),
        readings=tuple((str(name), int(tli), int(end)) for name, tli, end in found["readings"]),
        equal=int(found["equal"]),
        absences=int(found["absences"]),
        weak=int(found["weak"]),
        rounds=int(found["rounds"]),
        waits=int(found["waits"]),
        attested=str(found["attested"]),
        stop_at=float(found["stop_at"]),
    )
