# SPDX-License-Identifier: GPL-2.0-or-later
"""One session with a PostgreSQL server that may be slow, stopped or cut off: no call outlives its deadline.

Neither libpq's connect_timeout (whole seconds, two at least, for each address anew) nor a server's
statement_timeout (nothing, if the server is stopped) bounds a call. So libpq is driven step by step, as its
documentation describes for PQconnectPoll and PQconsumeInput, and each wait takes its time from the deadline.
Importing this imports the driver, which is slow: import it inside functions.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from psycopg import Error, ProgrammingError, pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import ConnStatus, DiagnosticField, ExecStatus, PGconn, PollingStatus
from psycopg.pq.abc import PGresult

from expgsql_ra.effects.network import NoAnswer, Rejected, Until, addresses, wait
from expgsql_ra.world import Deadline

NAME = "expgsql arbiter"
SERVER_SHARE = 0.7
"""The part of the time that the server may use: it should give up first, for then we know that nothing happened."""

Settings = dict[str, str]


class Session:
    """An open connection, in autocommit unless a transaction is begun by a statement."""

    def __init__(self, connection: pq.abc.PGconn, deadline: Deadline) -> None:
        self._connection = connection
        self._deadline = deadline
        self._warnings: list[str] = []
        connection.notice_handler = self._notice

    def row(self, statement: str, *values: object) -> dict[str, Any] | None:
        """The first row of a statement that answers with one column of JSON; None without rows."""
        rows = self.rows(statement, *values)
        return rows[0] if rows else None

    def rows(self, statement: str, *values: object) -> tuple[dict[str, Any], ...]:
        """All rows of such a statement. Values are bound, never pasted; raises `NoAnswer` or `Rejected`."""
        bound = [None if value is None else str(value).encode() for value in values]
        result = self._finished(lambda: self._connection.send_query_params(statement.encode(), bound))
        return tuple(json.loads(result.get_value(number, 0) or b"{}") for number in range(result.ntuples))

    def script(self, statements: str) -> None:
        """Run several statements, which have no values and whose rows nobody wants."""
        self._finished(lambda: self._connection.send_query(statements.encode()))

    def close(self) -> None:
        """End it, at once."""
        self._connection.finish()

    def _finished(self, send: Callable[[], None]) -> PGresult:

        try:
            send()
            self._flush()
            return self._result()
        except Error as problem:
            raise NoAnswer(_plain(str(problem))) from None

    def _flush(self) -> None:
        while self._connection.flush():
            wait(self._connection.socket, Until.EITHER, self._deadline, "the server to take a statement")
            self._connection.consume_input()

    def _result(self) -> PGresult:
        """The last result of what was sent; raises `Rejected` for the first error."""

        last: PGresult | None = None
        while True:
            while self._connection.is_busy():
                wait(self._connection.socket, Until.READABLE, self._deadline, "the answer to a statement")
                self._connection.consume_input()
            result = self._connection.get_result()
            if result is None:
                break
            if result.status not in {ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK}:
                raise _rejection(self._connection, result)
            last = result
        if last is None:
            raise NoAnswer("the connection was lost")
        if self._warnings:
            raise NoAnswer(f"the server warned: {'; '.join(self._warnings)}")
        return last

    def _notice(self, notice: PGresult) -> None:
        """A warning says that less than usual was done, such as a commit whose wait for a standby was cancelled."""

        if notice.error_field(DiagnosticField.SEVERITY_NONLOCALIZED) == b"WARNING":
            self._warnings.append(_plain(notice.get_error_message()))


def connect(conninfo: str, passfile: str, deadline: Deadline, name: str = NAME) -> Session:
    """A session with the first of the named servers that answers and takes writes; raises `NoAnswer`."""
    problems: list[str] = []
    for settings, seconds in _attempts(_settings(conninfo, passfile, name), deadline, problems):
        part = deadline.within(seconds)
        try:
            return Session(_opened(settings, part), deadline)
        except NoAnswer as problem:
            problems.append(str(problem))
    raise NoAnswer("; ".join(dict.fromkeys(problems)) or "no time was left")


def user_of(conninfo: str) -> str:
    """The role that a connection string names; empty if it names none, or is none."""
    try:
        return str(conninfo_to_dict(conninfo).get("user") or "")
    except ProgrammingError:
        return ""


def _settings(conninfo: str, passfile: str, name: str) -> Settings:

    try:
        given = {name: str(value) for name, value in conninfo_to_dict(conninfo).items() if value is not None}
    except ProgrammingError:
        # libpq's own message repeats a part of the text, which may be a password.
        raise NoAnswer("distlock_conninfo is no connection string of PostgreSQL") from None
    defaults = {"passfile": passfile} if passfile else {}
    ours = {"application_name": name, "client_encoding": "UTF8"}
    # A standby of the arbiter would answer with what it knew a while ago.
    return {"target_session_attrs": "read-write", **defaults, **given, **ours}


def _attempts(settings: Settings, deadline: Deadline, problems: list[str]) -> Iterator[tuple[Settings, float]]:
    """One address at a time, and its share of the time left. libpq looks up names without a limit: we do it."""
    hosts, ports = settings.get("host", "").split(","), settings.get("port", "").split(",")
    known = settings.get("hostaddr", "").split(",")
    count = max(len(hosts), len(known))
    for number in range(count):
        host, port, address = (_item(each, number) for each in (hosts, ports, known))
        part = deadline.within(deadline.left() / (count - number))
        try:
            found = ("",) if address or not host or host[0] in "/@" else addresses(host, part)
        except NoAnswer as problem:
            problems.append(str(problem))
            continue
        for place, numeric in enumerate(found):
            given = {"host": host, "port": port, "hostaddr": address or numeric}
            yield {**settings, **given}, part.left() / (len(found) - place)


def _item(items: list[str], number: int) -> str:
    """The item for one of several hosts: one alone is for all of them (libpq's rule for ports)."""
    return items[number] if number < len(items) else items[0] if len(items) == 1 else ""


def _opened(settings: Settings, deadline: Deadline) -> pq.abc.PGconn:

    milliseconds = max(1, int(deadline.left() * 1000))
    options = {
        "statement_timeout": str(max(1, int(milliseconds * SERVER_SHARE))),
        "synchronous_commit": "on",
        "default_transaction_isolation": r"read\ committed",
    }
    given = {
        **settings,
        "tcp_user_timeout": str(milliseconds),
        "options": " ".join(
            [settings.get("options", ""), *(f"-c {name}={value}" for name, value in options.items())]
        ).strip(),
    }
    connection = PGconn.connect_start(make_conninfo(**{n: v for n, v in given.items() if v}).encode())
    until = Until.WRITABLE
    try:
        while connection.status != ConnStatus.BAD:
            wait(connection.socket, until, deadline, f"a connection to {_place(settings)}")
            match connection.connect_poll():
                case PollingStatus.OK:
                    connection.nonblocking = 1
                    return connection
                case PollingStatus.READING:
                    until = Until.READABLE
                case PollingStatus.WRITING:
                    until = Until.WRITABLE
                case _:
                    break
        raise NoAnswer(_plain(connection.get_error_message()))
    except BaseException:
        connection.finish()
        raise


def _place(settings: Mapping[str, str]) -> str:
    return f"{settings.get('host') or settings.get('hostaddr') or 'the local server'}"


def _rejection(connection: pq.abc.PGconn, result: PGresult) -> NoAnswer:

    state = (result.error_field(DiagnosticField.SQLSTATE) or b"").decode()
    text = _plain(result.get_error_message() or connection.get_error_message())
    # Without a code, or with one of class 08 or 57P: the connection ended, and nobody knows what happened before.
    return Rejected(text, state) if state and not state.startswith(("08", "57P")) else NoAnswer(text)


def _plain(text: str) -> str:
    return " ".join(text.split())
