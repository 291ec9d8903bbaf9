# SPDX-License-Identifier: GPL-2.0-or-later
"""The record as one line, for places that keep a short text and nothing else: a property of the cluster.

``SYSTEM|EPOCH|REVISION|PRIMARY|NODE=DIRECTORY,...|WRITER|TIME|REASON``, in ASCII and without quotes. It has no lease.
Equal records are equal lines, so that comparing the text compares the record.
"""

from __future__ import annotations

import re

from expgsql_ra.record import NO_LEASE, Record, Successor, ordered

NAME = re.compile(r"[A-Za-z0-9_.:@+-]+")
UNSAFE = re.compile(r"[^ -~]|[|'\"<>&\\`]")
LONGEST_TEXT = 200


def as_line(record: Record) -> str:
    """The line; ValueError for a name that has no place in it. What people read is made to fit."""
    for name in (record.primary, *record.nodes):
        _require(NAME.fullmatch(name), f"the name {name!r}")
    for value in (record.system, *(successor.directory for successor in record.successors)):
        _require(not value or NAME.fullmatch(value), f"the identifier {value!r}")
    successors = ",".join(f"{node}={directory}" for node, directory in ordered(record.successors))
    fields = (record.system, str(record.epoch), str(record.revision), record.primary, successors)
    return "|".join((*fields, _plain(record.writer), _plain(record.time), _plain(record.reason)))


def from_line(text: str) -> Record:
    """Read what `as_line` made; ValueError for anything else, be it only spelled in another way."""
    fields = text.split("|")
    _require(len(fields) == len(Record._fields) - 1, f"a record of {len(fields)} fields")
    system, epoch, revision, primary, successors, *words = fields
    writer, time, reason = words
    pairs = [pair.partition("=") for pair in successors.split(",")]
    directories = tuple(Successor(node, directory) for node, _, directory in pairs)
    record = Record(system, int(epoch), int(revision), primary, directories, NO_LEASE, writer, time, reason)
    _require(as_line(record) == text, "another spelling")
    _require(primary in record.nodes and len(set(record.nodes)) == len(record.nodes), f"successors {successors!r}")
    _require(record.epoch >= 1 and record.revision >= 1, f"epoch {epoch}, revision {revision}")
    return record


def kept_as_line(record: Record) -> Record:
    """What comes back of a record that is kept as a line; ValueError for one that cannot be."""
    return from_line(as_line(record))


def _plain(text: str) -> str:
    """What people wrote, on one line, without a character that XML, XPath or a shell could take for its own."""
    return " ".join(UNSAFE.sub(" ", text).split())[:LONGEST_TEXT].rstrip()


def _require(condition: object, what: str) -> None:
    if not condition:
        raise ValueError(f"no record of ours: {what}")
