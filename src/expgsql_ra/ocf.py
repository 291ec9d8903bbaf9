# SPDX-License-Identifier: GPL-2.0-or-later
"""The Open Cluster Framework's side of an agent: exit codes, environment, exit reason, log.

Nothing here knows PostgreSQL. Sources: OCF Resource Agent API 1.1; Pacemaker Administration,
"OCF Resource Agents" (environment variables, return codes, clone notifications).
"""

from __future__ import annotations

import os
import sys
import syslog
from collections.abc import Mapping
from typing import NamedTuple


class Code:
    """OCF return codes (OCF Resource Agent API 1.1, "Exit status codes")."""

    SUCCESS = 0
    ERR_GENERIC = 1
    ERR_ARGS = 2
    ERR_UNIMPLEMENTED = 3
    ERR_PERM = 4
    ERR_INSTALLED = 5
    NOT_RUNNING = 7
    RUNNING_PROMOTED = 8
    FAILED_PROMOTED = 9
    DEGRADED = 190
    DEGRADED_PROMOTED = 191


# Pacemaker 2.0.5 is the first that takes 190 and 191 for success; its CRM feature set is 3.6.1.
DEGRADED_SINCE = (3, 6, 1)
# Pacemaker 2.1.6 is the first that counts one report of `crm_resource --fail` once; its CRM feature set is 3.17.4.
COUNTS_ONCE_SINCE = (3, 17)
DEFAULT_TIMEOUT = 20.0
SHORTEST_MARGIN = 0.5
# Pacemaker kills the whole process group without a warning when the time is over.
MARGIN_SHARE = 0.05


class Context(NamedTuple):
    """What Pacemaker said about this one call."""

    action: str
    resource: str
    node: str | None
    budget: float
    is_clone: bool
    is_probe: bool
    understands_degraded: bool
    counts_twice: bool
    notify: str
    environ: Mapping[str, str]
    interval: float = 0.0
    """How often the action is repeated, in seconds; 0 for one that is not."""

    def names(self, variable: str) -> tuple[str, ...]:
        """A list among the notification variables, such as ``promote_uname``."""
        return tuple(self.environ.get(f"OCF_RESKEY_CRM_meta_notify_{variable}", "").split())


def read_context(action: str, environ: Mapping[str, str]) -> Context:
    """Understand the environment of a call; whatever is absent (``ocf-tester``) has a sane default."""
    meta = {
        name.removeprefix("OCF_RESKEY_CRM_meta_"): value
        for name, value in environ.items()
        if name.startswith("OCF_RESKEY_CRM_meta_")
    }
    timeout = _milliseconds(meta.get("timeout")) or DEFAULT_TIMEOUT
    return Context(
        action=action,
        resource=environ.get("OCF_RESOURCE_INSTANCE", "pgsql").split(":")[0],
        node=meta.get("on_node"),
        budget=timeout - max(SHORTEST_MARGIN, timeout * MARGIN_SHARE),
        is_clone="clone" in meta or "clone_max" in meta,
        is_probe=action == "monitor" and meta.get("interval", "0") == "0",
        understands_degraded=_feature_set(environ) >= DEGRADED_SINCE,
        counts_twice=_feature_set(environ) < COUNTS_ONCE_SINCE,
        notify=f"{meta.get('notify_type', '')}-{meta.get('notify_operation', '')}",
        environ=environ,
        interval=_milliseconds(meta.get("interval")),
    )


def _milliseconds(text: str | None) -> float:
    try:
        return int(text or "0") / 1000
    except ValueError:
        return 0.0


def _feature_set(environ: Mapping[str, str]) -> tuple[int, ...]:
    text = environ.get("OCF_RESKEY_crm_feature_set", "")
    parts = text.split(".")
    return tuple(int(part) for part in parts) if all(part.isdigit() for part in parts) else ()


def exit_reason(text: str, environ: Mapping[str, str]) -> None:
    """Tell Pacemaker, in one line of stderr, why the action ended as it did.

    Pacemaker before 3.0.2 shows the first 128 characters only: say what is wrong first.
    """
    prefix = environ.get("OCF_EXIT_REASON_PREFIX", "ocf-exit-reason:")
    sys.stderr.write(f"{prefix}{' '.join(text.split())}\n")


class Log:
    """The log that operators read: syslog, and the cluster's own log file where it names one.

    Opened on first use, so that ``meta-data`` run by an unprivileged user touches neither.
    """

    def __init__(self, context: Context) -> None:
        self._tag = f"expgsql({context.resource})[{os.getpid()}]"
        self._facility = context.environ.get("HA_LOGFACILITY", "daemon")
        self._file = context.environ.get("HA_LOGFILE")
        self._debug = context.environ.get("HA_debug", "0") not in ("", "0")
        self._node = context.node or ""

    def info(self, text: str) -> None:
        """Record a decision or an act, with its reason."""
        self._write(syslog.LOG_INFO, "INFO", text)

    def warning(self, text: str) -> None:
        """Record what an operator should look at."""
        self._write(syslog.LOG_WARNING, "WARNING", text)

    def error(self, text: str) -> None:
        """Record a failure."""
        self._write(syslog.LOG_ERR, "ERROR", text)

    def debug(self, text: str) -> None:
        """Record what only somebody who debugs wants to see."""
        if self._debug:
            self._write(syslog.LOG_DEBUG, "DEBUG", text)

    def _write(self, priority: int, word: str, text: str) -> None:
        line = f"{word}: {' '.join(text.split())}"
        facility = getattr(syslog, f"LOG_{self._facility.upper()}", syslog.LOG_DAEMON)
        syslog.openlog(self._tag, 0, facility)
        syslog.syslog(priority, line)
        self._append(line)

    def _append(self, line: str) -> None:
        if not self._file or self._file == "/dev/null":
            return
        import time

        stamp = time.strftime("%b %d %H:%M:%S")
        try:
            with open(self._file, "a", encoding="utf-8") as stream:
                stream.write(f"{stamp} {self._node} {self._tag}: {line}\n")
        except OSError:
            return  # a full log disk must not fail a failover
