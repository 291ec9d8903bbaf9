# SPDX-License-Identifier: GPL-2.0-or-later
"""What happened on this node, kept for people in a file that only grows: one line of JSON an event.

Nothing depends on it, so nothing fails where it cannot be kept. A line is written at once and whole; one that a
power loss tore is passed over by the reader. Two files at most, of a bounded size each.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

from expgsql_ra.effects import files
from expgsql_ra.effects.clock import utc_now
from expgsql_ra.effects.durable import FOLDER, own_folder
from expgsql_ra.errors import AgentError
from expgsql_ra.events import Event, event_as_mapping, event_from_mapping

LARGEST = 256 * 1024
"""Bytes after which a new file is begun; the one before it is kept, what was before that goes."""
LONGEST_REASON = 500


class JournalFile:
    """The journal of one resource on this node; root's alone."""

    def __init__(self, resource: str, folder: str = FOLDER) -> None:
        self._path = os.path.join(folder, f"{resource}.history.jsonl")
        self._older = f"{self._path}.1"

    def add(self, event: Event, *, sync: bool) -> bool:
        """Keep one; whether that worked. ``sync``: returns when it is on disk."""
        try:
            own_folder(os.path.dirname(self._path))
            self._turn()
            self._append(event, sync)
        except (OSError, AgentError):
            return False
        return True

    def events(self) -> tuple[Event, ...]:
        """All that is kept, the oldest first; what cannot be read is passed over."""
        return tuple(event for path in (self._older, self._path) for event in _read(path))

    def _turn(self) -> None:
        if os.path.lexists(self._path) and os.lstat(self._path).st_size > LARGEST:
            os.replace(self._path, self._older)

    def _append(self, event: Event, sync: bool) -> None:
        told = event._replace(reason=" ".join(event.reason.split())[:LONGEST_REASON])
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        descriptor = os.open(self._path, flags, 0o600)
        try:
            line = json.dumps(event_as_mapping(told)) + "\n"
            os.write(descriptor, (_after_torn(descriptor) + line).encode())
            if sync:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)


def record_event(resource: str, event: Event, *, folder: str = FOLDER) -> bool:
    """Keep what a command did, durably, on this node; whether that worked, which no command should depend on."""
    return JournalFile(resource, folder).add(event, sync=True)


def event_of(kind: str, node: str, reason: str, timeline: int, writer: str) -> Event:
    """What happened just now."""
    return Event(utc_now(), node, kind, reason, timeline, writer)


def _after_torn(descriptor: int) -> str:
    """What ends a line that was cut short, so that it spoils no other."""
    size = os.fstat(descriptor).st_size
    return "\n" if size and os.pread(descriptor, 1, size - 1) != b"\n" else ""


def _read(path: str) -> Iterator[Event]:
    try:
        content = files.read(path) or ""
    except AgentError:
        return
    for line in content.splitlines():
        try:
            yield event_from_mapping(json.loads(line))
        except (ValueError, KeyError, TypeError, RecursionError):
            continue
