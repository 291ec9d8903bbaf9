"""What is costly to build and kept between runs: built once, by one process, and whole or not at all."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path


def cache_dir() -> Path:
    """Where it is kept; EXPGSQL_LAB_CACHE names another place."""
    return Path(os.environ.get("EXPGSQL_LAB_CACHE", "/var/cache/expgsql-lab"))


def cached(kind: str, stamp: str, make: Callable[[Path], object]) -> Path:
    """Return the directory of that kind and stamp, made first if there is none."""
    place = cache_dir() / f"{kind}-{stamp}"
    if not place.is_dir():
        place.parent.mkdir(parents=True, exist_ok=True)
        with (place.parent / f".{kind}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not place.is_dir():
                _make(place, make)
    return place


def _make(place: Path, make: Callable[[Path], object]) -> None:
    """Make it under another name: an interrupted build must not be taken for a finished one."""
    unfinished = place.with_name(f"{place.name}.part")
    shutil.rmtree(unfinished, ignore_errors=True)
    make(unfinished)
    unfinished.rename(place)


def keep_newest(kind: str, count: int) -> None:
    """Forget all but the newest directories of a kind."""
    places = sorted(cache_dir().glob(f"{kind}-*"), key=lambda path: path.stat().st_mtime)
    for old in places[:-count]:
        shutil.rmtree(old, ignore_errors=True)
