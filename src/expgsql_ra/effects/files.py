# SPDX-License-Identifier: GPL-2.0-or-later
"""Files: read without surprises, written atomically, and under PostgreSQL's directories as PostgreSQL's user.

Root must not write where another user may plant a link: everything below a directory that the server's
user owns is created, renamed and removed with that user's rights.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import struct
import sys
from collections.abc import Callable
from typing import TypeVar

from expgsql_ra.effects.process import Account
from expgsql_ra.errors import CannotTell, NotPermitted

Outcome = TypeVar("Outcome")
READ_LIMIT = 1 << 20
BYTES = "surrogateescape"
TAIL = 4096
WORD = struct.calcsize("l")
GENERATION = 2 << 30 | WORD << 16 | ord("v") << 8 | 1  # FS_IOC_GETVERSION of linux/fs.h


def as_user(user: Account, act: Callable[[], Outcome]) -> Outcome:
    """Do ``act`` with the file rights of ``user`` (the process is single-threaded, and root again after it)."""
    if os.geteuid() != 0 or user.uid == 0:
        return act()
    groups = os.getgroups()
    os.setgroups(os.getgrouplist(user.name, user.gid))
    os.setegid(user.gid)
    os.seteuid(user.uid)
    try:
        return act()
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


def read(path: str) -> str | None:
    """The text of a small file; None if there is none; `CannotTell` if it cannot be read.

    Bytes that are not UTF-8 (an administrator's comments) come back as they were when `write` gets the text.
    """
    descriptor = _opened(path)
    if descriptor is None:
        return None
    try:
        return _content(path, descriptor)
    except OSError as problem:
        raise CannotTell(f"cannot read {path}: {problem.strerror}") from None
    finally:
        os.close(descriptor)


def _opened(path: str) -> int | None:
    try:
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as problem:
        raise CannotTell(f"cannot read {path}: {problem.strerror}") from None


def _content(path: str, descriptor: int) -> str:
    content = os.read(descriptor, READ_LIMIT)
    if len(content) == READ_LIMIT:
        raise CannotTell(f"cannot read {path}: a file of this size is not what it should be")
    return content.decode(errors=BYTES)


def tail(path: str) -> str:
    """The end of a text file that may be large; empty if it cannot be read or is not a regular file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return ""
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            return ""
        return os.pread(descriptor, TAIL, max(0, found.st_size - TAIL)).decode(errors="replace")
    finally:
        os.close(descriptor)


def write(path: str, content: str, mode: int = 0o600) -> None:
    """Replace a file by one with this content, durably: a crash leaves the old file or the new one."""
    write_marked(path, lambda _: content, mode)


def write_marked(path: str, content: Callable[[str], str], mode: int = 0o600) -> None:
    """Like `write`, with a content that is made from the new file's own mark: see `_mark`."""
    temporary = f"{path}.new"
    try:
        remove(temporary)
        _create(temporary, content, mode)
        os.replace(temporary, path)
        sync_folder(os.path.dirname(path))
    except OSError as problem:
        raise NotPermitted(f"cannot write {path}: {problem.strerror}; free space or correct its owner") from None


def _create(path: str, content: Callable[[str], str], mode: int) -> None:
    """Make a new file; what could not be written whole is taken away again: a full disk is no place for it."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, mode)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content(_mark(descriptor)).encode(errors=BYTES))
            stream.flush()
            os.fsync(stream.fileno())
    except OSError:
        os.unlink(path)
        raise


def read_marked(path: str) -> tuple[str, str] | None:
    """The text of a small file, and its mark; None if there is none; `CannotTell` if it cannot be read."""
    found = _opened(path)
    if found is None:
        return None
    try:
        return _content(path, found), _mark(found)
    except OSError as problem:
        raise CannotTell(f"cannot read {path}: {problem.strerror}") from None
    finally:
        os.close(found)


def _mark(descriptor: int) -> str:
    """What a copy of a file does not have in common with it, wherever the copy was made.

    Its inode number alone comes back when a directory is removed and copied back; the inode's generation, which
    the file system draws anew each time (ioctl_iflags(2)), does not. Some file systems have none: then 0.
    """
    generation = bytearray(WORD)
    with contextlib.suppress(OSError):
        fcntl.ioctl(descriptor, GENERATION, generation)
    return f"{os.fstat(descriptor).st_ino}.{int.from_bytes(generation, sys.byteorder)}"


def remove(path: str) -> None:
    """Remove a file if it is there, durably."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    except OSError as problem:
        raise NotPermitted(f"cannot remove {path}: {problem.strerror}") from None
    sync_folder(os.path.dirname(path))


def sync_folder(path: str) -> None:
    """Make what was renamed or removed in a directory last."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
