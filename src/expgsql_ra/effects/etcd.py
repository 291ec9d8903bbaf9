# SPDX-License-Identifier: GPL-2.0-or-later
"""The record in etcd, over the HTTP/JSON gateway of its version 3 API (etcd documentation, "gRPC gateway").

Keys below ``/PREFIX/LOCKNAME/``: ``revision`` and ``term`` (what transactions compare), ``record`` (JSON),
``lease`` (its holder; bound to an etcd lease, so that etcd itself removes it when the time is over) and
``history/REVISION``. Reads are linearizable: a member without a majority behind it does not answer them.

A request is sent to the next member when one does not answer. That cannot write twice: whichever copy of a
transaction comes first raises the revision that the others compare. The caller may then learn "outdated"
for a write that was applied: never "accepted" for one that was not.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from expgsql_ra.effects.clock import MonotonicClock, utc_now
from expgsql_ra.effects.etcd_gateway import Endpoints, Gateway, NotFound
from expgsql_ra.effects.network import NoAnswer
from expgsql_ra.record import (
    NO_LEASE,
    Accepted,
    Found,
    LeaseHeld,
    Missing,
    Outdated,
    Past,
    Prepared,
    Proposal,
    Reading,
    Record,
    Renewal,
    Unreachable,
    Writing,
    as_mapping,
    from_mapping,
    objection,
)
from expgsql_ra.world import Deadline

Answer = TypeVar("Answer")
Json = dict[str, Any]


class Stored(NamedTuple):
    """What is in the keys: the record as JSON, who holds the lease, and the etcd lease that says for how long."""

    content: str
    holder: str
    lease_id: str


class Outcome(NamedTuple):
    """What a transaction did, and what is stored after it."""

    succeeded: bool
    stored: Stored | None


class Granted(NamedTuple):
    """An etcd lease, counted from before it was asked for."""

    id: str
    ttl: float
    asked: float


class EtcdAuthority:
    """The record named ``lockname``; nothing is connected before it is asked."""

    def __init__(self, endpoints: Endpoints, lockname: str, ttl: int) -> None:
        self._endpoints = endpoints
        self._ttl = ttl
        self._base = f"{endpoints.prefix}/{lockname}/"
        self._clock = MonotonicClock()

    def read(self, within: float) -> Reading:
        """The record as it is now, agreed upon by a majority."""

        def act(gateway: Gateway) -> Found | Missing:
            stored = self._transaction(gateway, [], []).stored
            return Found(_record(stored, gateway)) if stored else self._absent()

        return self._answered(act, within)

    def write(self, proposal: Proposal, within: float) -> Writing:
        """One transaction that compares and writes."""
        replaced = proposal.replaces
        system = replaced.system and proposal.system
        primary = replaced.primary if proposal.promotes else proposal.primary
        unchanged = [
            self._equals("revision", str(replaced.revision)),
            self._equals("term", _term(system, replaced.epoch, primary)),
        ]

        def act(gateway: Gateway) -> Accepted | Outdated | LeaseHeld | Missing:
            granted = self._grant(gateway) if proposal.takes_lease else None
            writes = self._writes(proposal.accepted(utc_now(), NO_LEASE), granted)
            done = Outcome(succeeded=False, stored=None)
            for condition in self._lease_conditions(proposal):
                done = self._transaction(gateway, [*unchanged, *condition], writes)
                if done.succeeded:
                    break
            if done.stored is None:
                return self._absent()
            if done.succeeded:
                return Accepted(self._written(done.stored, granted, gateway))
            stored = _record(done.stored, gateway)
            # Nothing speaks against it any more: the lease ended between two questions.
            return objection(stored, proposal) or LeaseHeld(proposal.replaces.lease.holder, 0.0)

        return self._answered(act, within)

    def renew(self, record: Record, within: float) -> Renewal:
        """The lease for another term: a new etcd lease, for the key that says who holds it."""

        def act(gateway: Gateway) -> Accepted | Outdated | Missing:
            granted = self._grant(gateway)
            held = [self._put("lease", record.primary, granted.id)]
            return self._for_primary(gateway, record, held, granted)

        return self._answered(act, within)

    def release(self, record: Record, within: float) -> Renewal:
        """The lease for nobody."""

        def act(gateway: Gateway) -> Accepted | Outdated | Missing:
            gone: Json = {"request_delete_range": {"key": _encoded(self._base + "lease")}}
            return self._for_primary(gateway, record, [gone], None)

        return self._answered(act, within)

    def prepare(self, within: float) -> Prepared | Unreachable:
        """Nothing to create: keys come with the record. A read shows whether a majority answers."""
        answer = self.read(within)
        if isinstance(answer, Unreachable):
            return answer
        few = len(self._endpoints.members) < 3
        return Prepared(("fewer than three etcd members are named: one that fails is missed",) if few else ())

    def create(self, record: Record, within: float) -> Writing:
        """Make the first record, in one transaction."""
        absent: Json = {"target": "CREATE", "key": _encoded(self._base + "record"), "create_revision": "0"}
        created = record._replace(time=utc_now(), lease=NO_LEASE)

        def act(gateway: Gateway) -> Accepted | Outdated | Missing:
            done = self._transaction(gateway, [absent], self._writes(created, None))
            if done.stored is None:
                return self._absent()
            stored = _record(done.stored, gateway)
            return Accepted(stored) if done.succeeded else Outdated(stored)

        return self._answered(act, within)

    def history(self, newest: int, within: float) -> Past | Unreachable:
        """The newest entries."""
        first = f"{self._base}history/"
        request = {
            "key": _encoded(first),
            "range_end": _encoded(first[:-1] + "0"),
            "limit": str(newest),
            "sort_order": "DESCEND",
            "sort_target": "KEY",
        }

        def act(gateway: Gateway) -> Past:
            found = gateway.post("/v3/kv/range", request).get("kvs", [])
            return Past(tuple(json.loads(_decoded(pair["value"])) for pair in found))

        return self._answered(act, within)

    # --- transactions ----------------------------------------------------------------------------

    def _transaction(self, gateway: Gateway, compare: list[Json], success: list[Json]) -> Outcome:
        """Write if all comparisons hold; either way what is stored then, of the same moment."""
        read: list[Json] = [{"request_range": {"key": _encoded(self._base + name)}} for name in ("record", "lease")]
        request: Json = {"compare": compare, "success": [*success, *read], "failure": read}
        answer = gateway.post("/v3/kv/txn", request)
        found, lease = (each.get("response_range", {}).get("kvs") for each in answer["responses"][-2:])
        if not found:
            return Outcome(bool(answer.get("succeeded", False)), None)
        held = (_decoded(lease[0]["value"]), str(lease[0].get("lease", "0"))) if lease else ("", "0")
        return Outcome(bool(answer.get("succeeded", False)), Stored(_decoded(found[0]["value"]), *held))

    def _grant(self, gateway: Gateway) -> Granted:
        """A new etcd lease. Those that no key is bound to any more end by themselves."""
        asked = self._clock.now()
        answer = gateway.post("/v3/lease/grant", {"TTL": str(self._ttl)})
        return Granted(str(answer["ID"]), float(answer["TTL"]), asked)

    def _written(self, stored: Stored, granted: Granted | None, gateway: Gateway) -> Record:
        """What an accepted write left behind: with our own new lease, or what is left of the one there is."""
        if granted is None:
            return _record(stored, gateway)
        return _as_record(stored, granted.ttl - (self._clock.now() - granted.asked))

    def _lease_conditions(self, proposal: Proposal) -> list[list[Json]]:
        """What a write asks of the lease; one of these has to hold."""
        if not proposal.promotes:
            return [[]]
        key = _encoded(self._base + "lease")
        return [
            [{"target": "CREATE", "key": key, "create_revision": "0"}],
            [self._equals("lease", proposal.primary)],
        ]

    def _writes(self, record: Record, granted: Granted | None) -> list[Json]:
        kept = {name: value for name, value in as_mapping(record).items() if name not in {"holder", "seconds_left"}}
        content = json.dumps(kept)
        lease = [self._put("lease", record.primary, granted.id)] if granted else []
        return [
            self._put("record", content),
            self._put("revision", str(record.revision)),
            self._put("term", _term(record.system, record.epoch, record.primary)),
            self._put(f"history/{record.revision:020d}", content),
            *lease,
        ]

    def _for_primary(
        self, gateway: Gateway, record: Record, writes: list[Json], granted: Granted | None
    ) -> Accepted | Outdated | Missing:
        """A change of the lease alone, if epoch and primary are still these."""
        term = self._equals("term", _term(record.system, record.epoch, record.primary))
        done = self._transaction(gateway, [term], writes)
        if done.stored is None:
            return self._absent()
        if done.succeeded:
            return Accepted(self._written(done.stored, granted, gateway))
        return Outdated(_record(done.stored, gateway))

    def _equals(self, name: str, value: str) -> Json:
        return {"target": "VALUE", "key": _encoded(self._base + name), "value": _encoded(value)}

    def _put(self, name: str, value: str, lease: str = "0") -> Json:
        return {"request_put": {"key": _encoded(self._base + name), "value": _encoded(value), "lease": lease}}

    # --- answering -------------------------------------------------------------------------------

    def _absent(self) -> Missing:
        return Missing(f"etcd has no record below {self._base}: run expgsql arbiter init --primary NODE")

    def _answered(self, act: Callable[[Gateway], Answer], within: float) -> Answer | Unreachable:
        gateway = Gateway(self._endpoints, Deadline(self._clock, within))
        try:
            return act(gateway)
        except NotFound:
            return Unreachable("etcd did not know the lease any more: it was not used in time")
        except NoAnswer as problem:
            return Unreachable(f"etcd cannot be reached: {problem}")
        except (ValueError, KeyError, TypeError, IndexError) as problem:
            return Unreachable(f"etcd's record or its answer is damaged: {problem!r}")


def _record(stored: Stored, gateway: Gateway) -> Record:
    """The record with its lease, of which etcd tells whole seconds. The least is half of one: the key was there."""
    if not stored.holder:
        return _as_record(stored, 0.0)
    try:
        left = float(gateway.post("/v3/lease/timetolive", {"ID": stored.lease_id}).get("TTL", 0))
    except NoAnswer:
        left = 0.0
    return _as_record(stored, max(left, 0.5))


def _as_record(stored: Stored, seconds_left: float) -> Record:
    return from_mapping({**json.loads(stored.content), "holder": stored.holder, "seconds_left": seconds_left})


def _term(system: str, epoch: int, primary: str) -> str:
    """What a renewal compares, in one text; as JSON, so that no name can pass for two."""
    return json.dumps([system, epoch, primary])


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _decoded(text: str) -> str:
    return base64.b64decode(text).decode()
