# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether the end of a server may be reported to Pacemaker at once, and that it is counted as one failure.

The report (``crm_resource --fail``) skips what Pacemaker asks itself before it believes a monitor, so it is asked
here: is the resource managed just now, and does the failure of its monitor mean a restart? Sources: Pacemaker
Explained, "Resource Meta-Attributes", "Cluster Options", "Operation Properties".
"""

from __future__ import annotations

from typing import NamedTuple

NO_MATCH = 105
"""What ``cibadmin`` exits with where an XPath matches nothing (``CRM_EX_NOSUCH``)."""

LOWER = "translate(@value, 'AEFLNORSTUY', 'aeflnorstuy')"
TRUE = f"contains(' true on yes y 1 ', concat(' ', {LOWER}, ' '))"
FALSE = f"contains(' false off no n 0 ', concat(' ', {LOWER}, ' '))"
UNMANAGED = f"nvpair[(@name = 'maintenance' and {TRUE}) or (@name = 'is-managed' and {FALSE})]"


class Report(NamedTuple):
    """It may be reported."""


class Leave(NamedTuple):
    """It is left to the next monitor, if there is one."""

    why: str


def unmanaged(resource: str, node: str) -> str:
    """An XPath for the cluster's configuration that matches where the resource may not be managed on that node.

    What is overridden by something else is matched as well.
    """
    me, here = f"//primitive[@id = {_literal(resource)}]", f"@uname = {_literal(node)}"
    return " | ".join(
        (
            f"//crm_config//nvpair[@name = 'maintenance-mode' and {TRUE}]",
            f"//crm_config//nvpair[@name = 'is-managed-default' and {FALSE}]",
            f"//nodes/node[{here}]//nvpair[@name = 'maintenance' and {TRUE}]",
            f"//node_state[{here}]/transient_attributes//nvpair[@name = 'maintenance' and {TRUE}]",
            f"{me}/ancestor-or-self::*/meta_attributes/{UNMANAGED}",
            f"//template[@id = {me}/@template]/meta_attributes/{UNMANAGED}",
            f"//rsc_defaults//{UNMANAGED}",
        )
    )


def obstacles(resource: str, node: str) -> str:
    """An XPath that matches whatever forbids to report; nothing where one may.

    What is overridden by something else is matched as well: then the monitor reports, as it would without us.
    """
    me = f"//primitive[@id = {_literal(resource)}]"
    return " | ".join(
        (
            unmanaged(resource, node),
            f"{me}/operations/op[@name = 'monitor' and @on-fail != 'restart']",
            f"{me}/operations/op[@name = 'monitor']//nvpair[@name = 'on-fail' and @value != 'restart']",
            "//op_defaults//nvpair[@name = 'on-fail' and @value != 'restart']",
        )
    )


def _literal(text: str) -> str:
    """A text in XPath 1.0, which knows no escapes."""
    return f'"{text}"' if "'" in text else f"'{text}'"


def may_report(code: int) -> Report | Leave:
    """What follows from the exit code with which ``cibadmin`` answered `obstacles`."""
    if code == NO_MATCH:
        return Report()
    if code:
        return Leave(f"the cluster does not say whether it manages the resource just now ({code})")
    return Leave("the resource is not managed just now, or its monitor's on-fail is not restart")


# --- counting ---------------------------------------------------------------------------------
# Pacemaker before 2.1.6 counts one such report once or twice, as it happens
# (https://github.com/ClusterLabs/pacemaker/pull/2947).


def handicap(before: int, counts_twice: bool) -> int | None:
    """The fail-count to set before the report, so that it never rises above what is right; None to leave it."""
    return before - 1 if counts_twice else None


def correction(before: int, after: int | None) -> int | None:
    """The fail-count to set when the report has been counted; None where it is right, or was cleaned up (None)."""
    right = before + 1
    return None if after in (right, None) else right
