"""Taking a lab down, whatever state it is in: everything is found by looking, nothing by memory."""

from __future__ import annotations

from tests.lab import cgroups, netns, processes, storage
from tests.lab.places import BASE, Places


def take_down(places: Places) -> None:
    """Remove every process, namespace, link, mount and file of a lab."""
    doomed = set(processes.marked(*places.mark))
    doomed.update(netns.inhabitants(netns.names_of(places), places))
    processes.kill(doomed)
    cgroups.remove(places)
    netns.remove(places)
    storage.remove(places)


def leftovers(places: Places) -> list[str]:
    """Say what there is of a lab; nothing after it was taken down."""
    found = [f"process {pid}" for pid in processes.marked(*places.mark)]
    found += [f"network namespace {name}" for name in netns.names_of(places)]
    found += [f"control group {group}" for group in cgroups.groups_of(places)]
    found += [f"mount {point}" for point in storage.mounts_below(places.base)]
    found += [f"link {name}" for name in netns.links_of(places)]
    found += [f"directory {places.base}"] if places.base.exists() else []
    return found


def labs() -> list[str]:
    """Names of the labs that have files on this machine."""
    return sorted(path.name for path in BASE.iterdir()) if BASE.is_dir() else []
