"""A node's disks: what survives a power loss.

Each node has a disk for its system (the upper directory of its overlay) and one for its data, so
that either can be filled without touching the other or another node. They are memory by default,
where fsync costs nothing; EXPGSQL_LAB_DISK puts them into image files below a directory, for
figures that must include the disk.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.lab.command import attempt, run
from tests.lab.places import Places

SYSTEM_SIZE = "3G"
DATA_SIZE = "2G"


@dataclass(frozen=True)
class Disks:
    """The two disks of one node."""

    base: Path

    @property
    def system(self) -> Path:
        """Mount point of the disk that holds the overlay's upper directory."""
        return self.base / "system"

    @property
    def data(self) -> Path:
        """Mount point of the disk that becomes /var/lib/pgsql of the node."""
        return self.base / "data"

    @property
    def upper(self) -> Path:
        """What the node wrote, readable from outside even while the node is off."""
        return self.system / "upper"

    @property
    def work(self) -> Path:
        """The overlay's own scratch directory."""
        return self.system / "work"

    @property
    def root(self) -> Path:
        """Where the node mounts its root, seen by itself only."""
        return self.system / "root"

    def create(self) -> None:
        """Make empty disks."""
        for point, size in ((self.system, SYSTEM_SIZE), (self.data, DATA_SIZE)):
            point.mkdir(parents=True)
            _mount(point, size)
        for directory in (self.upper, self.work, self.root):
            directory.mkdir()


def _mount(point: Path, size: str) -> None:
    directory = os.environ.get("EXPGSQL_LAB_DISK")
    if directory is None:
        run("mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "expgsql-lab", str(point))
        return
    image = _image(Path(directory), point)
    image.parent.mkdir(parents=True, exist_ok=True)
    run("truncate", f"--size={size}", str(image))
    run("mkfs.ext4", "-q", "-F", "-E", "root_owner=0:0", str(image))
    run("mount", "-o", "loop", str(image), str(point))
    # The loop device keeps the file open: unlinked, it vanishes with the mount, however that ends.
    image.unlink()


def _image(directory: Path, point: Path) -> Path:
    lab, node, disk = point.parts[-3:]
    return directory / f"expgsql-lab-{lab}-{node}-{disk}.img"


def mounts_below(directory: Path) -> list[Path]:
    """Mount points of this machine below a directory, the innermost first."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    points = (Path(line.split()[4]) for line in lines)
    return [point for point in points if directory in point.parents][::-1]


def remove(places: Places) -> None:
    """Unmount and remove everything below a lab's directory."""
    for point in mounts_below(places.base):
        if not attempt("umount", str(point)).succeeded:
            # Something outside the lab, such as a shell's working directory, still holds it.
            run("umount", "--lazy", str(point))
    shutil.rmtree(places.base, ignore_errors=True)
    with suppress(OSError):  # another lab is there, or removes it just now
        places.base.parent.rmdir()
