# SPDX-License-Identifier: GPL-2.0-or-later
"""Requests to the members of an etcd cluster, one after the other until one answers, within a deadline."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from expgsql_ra.effects.network import NoAnswer, addresses
from expgsql_ra.errors import BadArguments
from expgsql_ra.world import Deadline

Json = dict[str, Any]
DEFAULT_PORT = 2379
FORM = "etcd://HOST:PORT,HOST:PORT/PREFIX, or etcds:// with ?cacert=FILE&cert=FILE&key=FILE"
NOT_FOUND = 5  # google.rpc.Code
REFUSALS = {3, 5, 7, 9, 16}  # invalid argument, not found, permission, failed precondition, unauthenticated


class NotFound(NoAnswer):
    """etcd does not know what was named in the request."""


class Endpoints(NamedTuple):
    """Where the members are, and below which key the records lie."""

    members: tuple[tuple[str, int], ...]
    prefix: str
    tls: bool = False
    files: tuple[tuple[str, str], ...] = ()


def endpoints(url: str) -> Endpoints:
    """Read ``etcd://host:port,host:port/prefix``; `BadArguments` for anything else."""
    try:
        parts = urlsplit(url)
        members = tuple(_member(each) for each in parts.netloc.split(","))
        files = tuple((name, values[-1]) for name, values in parse_qs(parts.query, strict_parsing=False).items())
    except ValueError:
        raise BadArguments(f"distlock_conninfo: not {FORM}") from None
    known = {name for name, _ in files} <= {"cacert", "cert", "key"}
    if parts.scheme not in {"etcd", "etcds"} or not known or parts.fragment or (files and parts.scheme == "etcd"):
        raise BadArguments(f"distlock_conninfo: not {FORM}")
    return Endpoints(members, "/" + unquote(parts.path).strip("/"), parts.scheme == "etcds", files)


def _member(text: str) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    if not parts.hostname or parts.username is not None:
        raise ValueError
    return parts.hostname, parts.port or DEFAULT_PORT


class Gateway:
    """The members as one server. The one that answered last is asked first."""

    def __init__(self, where: Endpoints, deadline: Deadline) -> None:
        self._where = where
        self._deadline = deadline
        self._order = list(where.members)

    def post(self, path: str, request: Json) -> Json:
        """The answer of the first member that gives one; raises `NoAnswer`."""
        problems = []
        for number, member in enumerate(tuple(self._order)):
            share = self._deadline.within(self._deadline.left() / (len(self._order) - number))
            try:
                answer = self._ask(member, path, request, share)
            except Refused as problem:
                raise _refusal(problem) from None
            except (NoAnswer, OSError, http.client.HTTPException, ValueError) as problem:
                problems.append(f"{member[0]}:{member[1]}: {str(problem) or type(problem).__name__}")
                continue
            self._order.sort(key=lambda other, member=member: other != member)  # type: ignore[misc]
            return answer
        raise NoAnswer("; ".join(problems))

    def _ask(self, member: tuple[str, int], path: str, request: Json, share: Deadline) -> Json:
        host, port = member
        link = http.client.HTTPConnection(host, port)
        link.sock = self._connected(host, port, share)
        try:
            with _cut_off(link.sock, share):
                headers = {"Content-Type": "application/json", "Connection": "close"}
                link.request("POST", path, json.dumps(request), headers)
                answer = link.getresponse()
                content = json.loads(answer.read())
        finally:
            link.close()
        if answer.status != http.client.OK or not isinstance(content, dict):
            raise _problem(content)
        return content

    def _connected(self, host: str, port: int, share: Deadline) -> socket.socket:
        found = addresses(host, share)
        problem: Exception = NoAnswer("it has no address")
        for number, address in enumerate(found):
            part = share.within(share.left() / (len(found) - number))
            try:
                return self._opened(host, (address, port), part)
            except (NoAnswer, OSError) as one:
                problem = one
        raise problem

    def _opened(self, host: str, place: tuple[str, int], part: Deadline) -> socket.socket:
        link = socket.create_connection(place, timeout=_bound(part))
        try:
            link.settimeout(_bound(part))
            return _secured(link, host, self._where) if self._where.tls else link
        except BaseException:
            link.close()
            raise


class Refused(Exception):
    """A member answered that it will not do it, and no other will."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code = code


def _problem(content: Any) -> Exception:
    if not isinstance(content, dict):
        return NoAnswer("what answers there is no etcd")
    code, why = content.get("code", 0), str(content.get("message") or content.get("error") or "an error")
    return Refused(code, why) if code in REFUSALS else NoAnswer(why)


def _refusal(problem: Refused) -> NoAnswer:
    return NotFound(str(problem)) if problem.code == NOT_FOUND else NoAnswer(str(problem))


def _bound(deadline: Deadline) -> float:
    left = deadline.left()
    if left <= 0:
        raise NoAnswer("no time was left")
    return left


@contextmanager
def _cut_off(link: socket.socket, deadline: Deadline) -> Iterator[None]:
    """End a conversation at the deadline: a time limit of the socket is for each packet anew."""

    def cut() -> None:
        with suppress(OSError):
            link.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(_bound(deadline), cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _secured(link: socket.socket, host: str, where: Endpoints) -> ssl.SSLSocket:
    files = dict(where.files)
    context = ssl.create_default_context(cafile=files.get("cacert"))
    if "cert" in files:
        context.load_cert_chain(files["cert"], files.get("key"))
    return context.wrap_socket(link, server_hostname=host)
