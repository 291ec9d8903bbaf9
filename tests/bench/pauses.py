# SPDX-License-Identifier: GPL-2.0-or-later
"""A pause that Pacemaker now and then makes by itself after the loss of a node, whatever the agent.

When the DC asks for the cluster's state while updates of its own are still under way, its controller
sleeps for one second and asks again (do_pe_invoke_callback in controld_schedulerd.c). Whether that
happens is a race inside Pacemaker, and a second is more than most agents differ by.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Sequence

from tests.lab.node import Node

LOG = "var/log/syslog"
LOST = re.compile(r"pacemaker-controld\[\d+\]: +notice: Node \S+ state is now lost")
CALCULATED = re.compile(r"pacemaker-schedulerd\[\d+\]: +notice: Calculated transition")
# Without the pause it takes some hundredths of a second on an idle machine.
PAUSE = 0.9


def has_paused(survivors: Sequence[Node], began: datetime.datetime) -> bool:
    """Whether the DC among the nodes that are left took a second to begin after it had noticed the loss."""
    took = [seconds for node in survivors if (seconds := _took(node, began)) is not None]
    return bool(took) and min(took) >= PAUSE


def _took(node: Node, began: datetime.datetime) -> float | None:
    """Return the seconds from a node's notice of the loss to its plan, None where it made none."""
    lines = list(_since(node, began))
    lost = next((moment for moment, text in lines if LOST.search(text)), None)
    plans = (moment for moment, text in lines if lost is not None and moment >= lost and CALCULATED.search(text))
    planned = next(plans, None)
    return None if lost is None or planned is None else (planned - lost).total_seconds()


def _since(node: Node, began: datetime.datetime) -> Iterator[tuple[datetime.datetime, str]]:
    """Yield the node's log from a moment on."""
    for line in (node.disks.upper / LOG).read_text(errors="replace").splitlines():
        stamp, _, text = line.partition(" ")
        try:
            moment = datetime.datetime.fromisoformat(stamp)
        except ValueError:
            # The rest of a message of several lines.
            continue
        if moment >= began:
            yield moment, text
