"""What `make install` makes, kept in a directory: nodes get it, this machine stays as it is."""

from __future__ import annotations

import hashlib
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.lab.cache import cached, keep_newest
from tests.lab.command import run
from tests.lab.layer import Layer

REPOSITORY = Path(__file__).parents[2]
REQUIREMENTS = ("requirements/build.txt", "requirements/run.txt")
SOURCES = ("src", "agents", "tools/install.sh", "Makefile", "pyproject.toml", *REQUIREMENTS)
INSTALL_SECONDS = 600.0
# Another process may be copying an earlier installation onto its nodes right now.
KEPT = 4

# In a mount namespace of its own: an overlay that is thrown away, the checkout read-only, and the
# wheels and the destination bound into it. The root may hold another release's Python.
BUILD = """
set -eu
scratch=$1 lowerdir=$2 checkout=$3 wheels=$4 destination=$5
mount -t tmpfs scratch "$scratch"
mkdir "$scratch/upper" "$scratch/work" "$scratch/root"
root=$scratch/root
mount -t overlay overlay -o "lowerdir=$lowerdir,upperdir=$scratch/upper,workdir=$scratch/work" "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmp "$root/tmp"
mkdir "$root/tmp/checkout" "$root/tmp/wheels" "$root/tmp/destination"
mount --bind -o ro "$checkout" "$root/tmp/checkout"
mount --bind "$wheels" "$root/tmp/wheels"
mount --bind "$destination" "$root/tmp/destination"
exec chroot "$root" env -i PATH=/usr/bin:/bin:/usr/sbin:/sbin HOME=/root LC_ALL=C.UTF-8 \
    PIP_NO_INDEX=1 PIP_FIND_LINKS=/tmp/wheels PYTHONDONTWRITEBYTECODE=1 \
    make -C /tmp/checkout install DESTDIR=/tmp/destination
"""


def installed_layer(layer: Layer) -> Path:
    """Return the directory of an installation for a layer, made anew if the sources have changed."""
    place = cached(f"install-{layer.name}", _stamp(layer), lambda place: _install(layer, place))
    keep_newest(f"install-{layer.name}", KEPT)
    return place


def _stamp(layer: Layer) -> str:
    digest = hashlib.sha256(str(layer.root).encode())
    for path in files_below(SOURCES):
        digest.update(f"{path.relative_to(REPOSITORY)}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def files_below(names: Sequence[str]) -> Iterator[Path]:
    """Return the files and those in the directories of the checkout, without what tools have made of them."""
    for name in names:
        top = REPOSITORY / name
        found = sorted(top.rglob("*")) if top.is_dir() else [top]
        yield from (path for path in found if path.is_file() and not _is_made(path))


def _is_made(path: Path) -> bool:
    """Whether a tool made the file from others."""
    return any(part == "__pycache__" or part.endswith(".egg-info") for part in path.parts)


def _install(layer: Layer, place: Path) -> None:
    place.mkdir()
    place.chmod(0o755)
    with tempfile.TemporaryDirectory(prefix="expgsql-lab-") as scratch:
        directories = (scratch, str(layer.root), str(REPOSITORY), str(wheels()), str(place))
        isolation = ("unshare", "--mount", "--propagation", "private")
        run(*isolation, "sh", "-c", BUILD, "build", *directories, timeout=INSTALL_SECONDS)


def wheels() -> Path:
    """Download what the requirements lock, with this machine's own settings for pip."""
    locked = "".join((REPOSITORY / name).read_text() for name in REQUIREMENTS)
    return cached("wheels", hashlib.sha256(locked.encode()).hexdigest()[:12], _download)


def _download(place: Path) -> None:
    files = [word for name in REQUIREMENTS for word in ("-r", str(REPOSITORY / name))]
    options = ("--quiet", "--only-binary=:all:", "--require-hashes", "--dest", str(place))
    run(sys.executable, "-m", "pip", "download", *options, *files, timeout=INSTALL_SECONDS)
