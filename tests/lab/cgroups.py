"""A control group for each machine whose process 1 is systemd, which wants one to itself."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from tests.lab.places import Places

PREFIX = "expgsql-lab."


def hierarchy() -> Path | None:
    """Where this machine has mounted the unified hierarchy (cgroups(7), version 2), if anywhere."""
    mounts = (line.split()[:3] for line in Path("/proc/mounts").read_text().splitlines())
    return next((Path(point) for _, point, kind in mounts if kind == "cgroup2"), None)


def groups_of(places: Places) -> list[Path]:
    """Return those of a lab that exist, whoever made them."""
    top = hierarchy()
    return [] if top is None else sorted(top.glob(f"{PREFIX}{places.netns_prefix}*"))


def remove(places: Places) -> None:
    """Remove them with all that systemd made in them; the lab's processes must be gone."""
    for group in groups_of(places):
        for directory in sorted(group.glob("**/"), reverse=True):
            with suppress(FileNotFoundError):
                directory.rmdir()
