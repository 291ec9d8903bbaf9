# SPDX-License-Identifier: GPL-2.0-or-later
"""The cluster's configuration, read and changed as one document with Pacemaker's own tools.

Sources: cibadmin(8), crm_diff(8), crm_verify(8); pcs pushes its changes in the same way.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile

from expgsql_ra.effects.deployed import NoClusterHere
from expgsql_ra.effects.process import check, run
from expgsql_ra.errors import BadArguments, CommandFailed

SHORT_COMMAND = 30.0
SAME, DIFFERENT = 0, 1
SEARCH = "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin"


class LiveConfiguration:
    """The real one."""

    def text(self) -> str:
        """The CIB as it is now."""
        done = run(["cibadmin", "--query"], timeout=SHORT_COMMAND)
        if done.code:
            raise NoClusterHere(
                f"no cluster answers on this node ({done.tail}): make and start it first "
                "(expgsql setup corosync FILE shows how)"
            )
        return done.out

    def push(self, before: str, after: str) -> None:
        """One patch: accepted whole, or not at all."""
        with tempfile.TemporaryDirectory(prefix="expgsql-setup-") as folder:
            old, new = _kept(folder, "old.xml", before), _kept(folder, "new.xml", after)
            # Without versions: what others change meanwhile, such as a node's state, does not make the patch fail.
            words = ["crm_diff", "--original", old, "--new", new, "--no-version"]
            patch = run(words, timeout=SHORT_COMMAND)
        if patch.code == SAME:
            return
        if patch.code != DIFFERENT:
            raise CommandFailed(f"crm_diff failed ({patch.code}): {patch.tail}")
        done = run(["cibadmin", "--patch", "--xml-pipe", "--sync-call"], timeout=SHORT_COMMAND, stdin=patch.out)
        check(done, "cibadmin --patch (nothing was changed; call the command again)")

    def complaints(self, document: str) -> str:
        """What crm_verify finds."""
        done = run(["crm_verify", "--xml-pipe", "--verbose"], timeout=SHORT_COMMAND, stdin=document)
        return (done.err or done.out).strip() if done.code else ""

    def has_agent(self, name: str) -> bool:
        """Whether its file is there."""
        return run(["crm_resource", "--show-metadata", name], timeout=SHORT_COMMAND).code == 0


class ConfigurationFile(LiveConfiguration):
    """A CIB in a file: to look at what a set-up would make of it, without a cluster."""

    def __init__(self, path: str) -> None:
        self._path = path

    def text(self) -> str:
        """What is in it."""
        try:
            with open(self._path, encoding="utf-8") as stream:
                return stream.read()
        except (OSError, UnicodeDecodeError) as problem:
            raise BadArguments(f"cannot read {self._path}: {problem}") from None


def _kept(folder: str, name: str, text: str) -> str:
    path = os.path.join(folder, name)
    with open(path, "w", encoding="utf-8") as stream:
        stream.write(text)
    return path


def pcs_version() -> tuple[int, ...]:
    """Of the pcs that is installed; nothing if there is none."""
    if not shutil.which("pcs", path=SEARCH):
        return ()
    found = re.match(r"(\d+)\.(\d+)", run(["pcs", "--version"], timeout=SHORT_COMMAND).out)
    return (int(found[1]), int(found[2])) if found else ()


def has_crmsh() -> bool:
    """Whether crmsh is installed."""
    return shutil.which("crm", path=SEARCH) is not None


def read_setup_file(path: str) -> tuple[str, bool]:
    """The text of a set-up, and whether others than its owner may read the file."""
    try:
        with open(path, encoding="utf-8") as stream:
            return stream.read(), bool(os.fstat(stream.fileno()).st_mode & 0o077)
    except (OSError, UnicodeDecodeError) as problem:
        raise BadArguments(f"cannot read {path}: {problem}; expgsql setup example prints one to begin with") from None
