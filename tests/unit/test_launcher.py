# SPDX-License-Identifier: GPL-2.0-or-later
"""The launcher in a checkout: it finds the interpreter that knows the package, or says what to do."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

LAUNCHER = Path(__file__).parents[2] / "agents/expgsql"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A directory that looks like a checkout, with the launcher alone in it."""
    (tmp_path / "agents").mkdir()
    shutil.copy(LAUNCHER, tmp_path / "agents")
    return tmp_path


def run(launcher: Path) -> subprocess.CompletedProcess[str]:
    """Run it with an interpreter that knows no package but the standard library."""
    command = [sys.executable, "-I", "-S", str(launcher), "monitor"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_it_changes_to_the_interpreter_of_the_checkout(checkout: Path) -> None:
    interpreter = checkout / ".venv/bin/python3"
    interpreter.parent.mkdir(parents=True)
    interpreter.write_text('#!/bin/sh\necho "$@"\nexit 7\n', encoding="utf-8")
    interpreter.chmod(0o755)
    link = checkout / "installed-by-link"
    link.symlink_to(checkout / "agents/expgsql")

    done = run(link)

    assert (done.stdout, done.returncode) == (f"-I {link} monitor\n", 7)


def test_without_the_package_it_fails_and_names_the_remedy(checkout: Path) -> None:
    done = run(checkout / "agents/expgsql")
    assert done.returncode == 1
    assert done.stderr.startswith("ocf-exit-reason:expgsql cannot run: No module named 'expgsql_ra'; ")
    assert "make install" in done.stderr


def test_it_is_short() -> None:
    # What goes wrong in here has no tests of rules and no exit reason: everything else belongs in agent.py.
    lines = LAUNCHER.read_text(encoding="utf-8").splitlines()
    assert len([line for line in lines if line.strip() and not line.lstrip().startswith("#")]) < 15
