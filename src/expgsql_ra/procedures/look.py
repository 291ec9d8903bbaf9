# SPDX-License-Identifier: GPL-2.0-or-later
"""Looking at everything at once: the cluster, then all servers and the record at the same time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from expgsql_ra.overview import Overview
from expgsql_ra.site import Site


def look(site: Site) -> Overview:
    """One look at everything; `CannotTell` where not even the cluster answers."""
    seen = site.read.deployment()
    with ThreadPoolExecutor(1) as beside:
        reading = beside.submit(site.records.read, seen)
        facts = site.read.facts(member.name for member in seen.view.members)
        return Overview(seen, facts, reading.result())
