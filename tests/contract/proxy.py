# SPDX-License-Identifier: GPL-2.0-or-later
"""A line that can fail: it holds a request back to deliver it later, or swallows the reply to one."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

PATIENCE = 20.0


class Line:
    """One connection through the proxy."""

    def __init__(self, client: socket.socket, target: tuple[str, int]) -> None:
        self.client = client
        self.server = socket.create_connection(target)
        self.held = b""
        self.holding = False
        self.muted = False
        self.replied = threading.Event()

    def deliver(self) -> None:
        """Let the server have what was held back, and wait for its reply: then it has acted on it."""
        self.server.sendall(self.held)
        assert self.replied.wait(PATIENCE), "the server did not answer"

    def close(self) -> None:
        """End both sides."""
        for side in (self.client, self.server):
            with contextlib.suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)
            side.close()


class Proxy:
    """Listens on a port of its own and passes everything on, until told otherwise."""

    def __init__(self, port: int) -> None:
        self._target = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.hold_from: bytes | None = None
        self.mute_from: bytes | None = None
        self.lines: list[Line] = []
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    @property
    def held(self) -> Line:
        """The one line with something held back."""
        (line,) = (each for each in self.lines if each.held)
        return line

    def close(self) -> None:
        """End all lines, and all threads."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for line in self.lines:
            line.close()
        for thread in self._threads:
            thread.join(PATIENCE)

    def _start(self, work: object, *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                line = Line(client, self._target)
                self.lines.append(line)
                self._start(self._forth, line)
                self._start(self._back, line)

    def _forth(self, line: Line) -> None:
        with contextlib.suppress(OSError):
            while chunk := line.client.recv(65536):
                line.holding = line.holding or bool(self.hold_from and self.hold_from in chunk)
                line.muted = line.muted or bool(self.mute_from and self.mute_from in chunk)
                if line.holding:
                    line.held += chunk
                else:
                    line.server.sendall(chunk)

    def _back(self, line: Line) -> None:
        with contextlib.suppress(OSError):
            while chunk := line.server.recv(65536):
                if line.holding or line.muted:
                    line.replied.set()
                else:
                    line.client.sendall(chunk)


@contextlib.contextmanager
def proxy_to(port: int) -> Iterator[Proxy]:
    """A proxy for the time of a block."""
    proxy = Proxy(port)
    try:
        yield proxy
    finally:
        proxy.close()
