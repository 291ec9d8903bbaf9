"""Invariant I4: whoever may succeed the primary is among those whom its commits wait for.

The record and the names in force are read again and again. They belong together if the record has the same
revision before and after the names were read.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import psycopg
from tests.lab.cluster import Cluster
from tests.lab.machine import PowerFailure
from tests.lab.node import Node
from tests.lab.waiting import now

from expgsql_ra.record import Found, Record

EVERY = 0.1
NAMES = re.compile(r"(?:FIRST )?(\d+) \((.*)\)")
QUESTION = "select pg_is_in_recovery(), current_setting('synchronous_standby_names')"


@dataclass(frozen=True)
class Seen:
    """One look at the record, on the machine's monotonic clock."""

    at: float
    record: Record


@dataclass
class RecordWatch:
    """What was seen, and what was wrong with it."""

    cluster: Cluster
    # Each revision once, when it was first seen.
    revisions: list[Seen] = field(default_factory=list)
    comparisons: int = 0
    wrong: list[str] = field(default_factory=list)
    _end: threading.Event = field(default_factory=threading.Event)

    @classmethod
    @contextmanager
    def running(cls, cluster: Cluster) -> Iterator[RecordWatch]:
        """Watch for as long as the block lasts."""
        watch = cls(cluster)
        thread = threading.Thread(target=watch.run, daemon=True)
        thread.start()
        try:
            yield watch
        finally:
            watch.end()
            thread.join(timeout=20)

    def run(self) -> None:
        """Look until told to end."""
        while not self._end.wait(EVERY):
            before = self._look()
            if before is None:
                continue
            names = self._names(self.cluster.node(before.primary))
            after = self._look()
            if names is not None and after is not None and after.revision == before.revision:
                self.comparisons += 1
                self.wrong += objections(before, names, self.cluster.config.node_names)

    def end(self) -> None:
        """Have it end soon."""
        self._end.set()

    def _look(self) -> Record | None:
        arbiter = self.cluster.arbiter
        answer = None if arbiter is None else arbiter.record()
        if not isinstance(answer, Found):
            return None
        record = answer.record
        last = self.revisions[-1].record if self.revisions else None
        if last is not None and (record.revision < last.revision or record.epoch < last.epoch):
            self.wrong.append(f"the record went back: {last} -> {record}")
        if last is None or record.revision != last.revision:
            self.revisions.append(Seen(now(), record))
        return record

    def _names(self, node: Node) -> str | None:
        """Return the names in force for new sessions, None if the server is no primary or does not answer."""
        with suppress(psycopg.Error, PowerFailure, OSError):
            standby, names = node.sql(QUESTION, timeout=2)[0]
            return None if standby else str(names)
        return None


def objections(record: Record, names: str, nodes: tuple[str, ...]) -> list[str]:
    """Say which successors a primary with those names would not wait for.

    Names of which one belongs to no node cannot be satisfied: such a server acknowledges nothing (rule R13).
    """
    waits_for, count = waited_for(names)
    if not waits_for <= set(nodes):
        return []
    found = []
    if count != len(waits_for):
        found.append(f"{names!r} waits for {count} of {len(waits_for)} names")
    left_out = sorted(set(record.nodes) - {record.primary} - waits_for)
    if left_out:
        found.append(f"{record.primary} waits for {names!r}, but {', '.join(left_out)} may succeed it: {record}")
    return found


def waited_for(names: str) -> tuple[set[str], int]:
    """Read synchronous_standby_names as this project writes it: whom, and how many of them."""
    if not names:
        return set(), 0
    found = NAMES.fullmatch(names)
    if found is None:
        raise ValueError(f"synchronous_standby_names = {names!r}")
    return {name.strip().strip('"') for name in found.group(2).split(",")}, int(found.group(1))
