# SPDX-License-Identifier: GPL-2.0-or-later
"""Which notifications concern this node, told from the environment and a look at two files.

Pacemaker goes on when the slowest node has answered: between a promotion and the address that clients write to lie
two notifications of every node. So nothing is imported before it is known that something has to be done.
"""

from __future__ import annotations

from expgsql_ra.defaults import PGDATA, TMPDIR
from expgsql_ra.effects import role_files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

META = "OCF_RESKEY_CRM_meta_notify_"


def concerns_us(environ: Mapping[str, str]) -> bool:
    """Whether the action ``notify`` has anything to do here.

    A standby that is connected looks for the new primary by itself, four times a second; its next monitor sees
    whether it has found it.
    """
    match environ.get(f"{META}type", ""), environ.get(f"{META}operation", ""):
        case "pre", "promote":
            return _given(environ, "rep_mode", "").lower() == "async"
        case "post", "stop":
            return not _is_standby(environ)
        case "post", "promote":
            return _is_standby(environ) and not _is_connected(environ)
        case _:
            return False


def _is_standby(environ: Mapping[str, str]) -> bool:
    return role_files.signals_standby(_given(environ, "pgdata", PGDATA))


def _is_connected(environ: Mapping[str, str]) -> bool:
    pgdata, tmpdir = _given(environ, "pgdata", PGDATA), _given(environ, "tmpdir", TMPDIR)
    return role_files.is_seen_connected(pgdata, tmpdir)


def _given(environ: Mapping[str, str], parameter: str, default: str) -> str:
    return environ.get(f"OCF_RESKEY_{parameter}", "").strip() or default
