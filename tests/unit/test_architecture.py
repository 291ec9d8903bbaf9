# SPDX-License-Identifier: GPL-2.0-or-later
"""Who may import whom: judgement stays free of effects, and effects stay at the rim."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import expgsql_ra

ROOT = Path(expgsql_ra.__file__).parent
FACTS = {"values", "errors", "ocf", "parameters", "snapshot", "changes", "record"}
# What each part may use of ours, besides itself. A module that is not named here may use everything.
MAY_IMPORT = {
    "values": set(),
    "ocf": set(),
    "errors": {"ocf"},
    "parameter_kinds": set(),
    "parameters": {"values", "parameter_kinds"},
    "operations": set(),
    "metadata": {"parameters", "parameter_kinds", "operations"},
    "snapshot": {"values"},
    "changes": {"values", "snapshot"},
    "record": set(),
    "rules": {"values", "parameters", "snapshot", "changes", "record", "ocf"},  # of ocf: the exit codes
    "world": FACTS,
    "observe": FACTS | {"rules", "world"},
    "actions": FACTS | {"rules", "world", "observe", "operations"},
    "effects": FACTS | {"world"},
    "cli": FACTS | {"world", "observe", "rules", "effects"},
}
# Packages that only the named parts may use: reading a clock or starting a process is an effect.
RESERVED = {
    "subprocess": {"effects"},
    "time": {"effects", "ocf"},  # ocf: the time stamps of the log
    "psycopg": {"effects"},
    "click": {"cli"},
}
FILES = sorted(ROOT.rglob("*.py"))


def part(path: Path) -> str:
    """The first name below the package: a module, or the folder of several."""
    return path.relative_to(ROOT).with_suffix("").parts[0]


def imported(path: Path) -> Iterator[str]:
    """The modules a file imports, wherever in the file, by full name."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_the_allowed_way(path: Path) -> None:
    names = [name.split(".") for name in imported(path)]
    ours = {name[1] for name in names if name[0] == "expgsql_ra"} - {part(path), "__version__"}
    assert ours <= MAY_IMPORT.get(part(path), ours)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_effects_stay_at_the_rim(path: Path) -> None:
    packages = {name.split(".")[0] for name in imported(path)}
    assert not {one for one, allowed in RESERVED.items() if one in packages and part(path) not in allowed}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_environment_is_handed_down(path: Path) -> None:
    reads = [
        node.lineno
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv"}
        if isinstance(node.value, ast.Name) and node.value.id == "os"
    ]
    assert not reads or part(path) in {"agent", "cli", "effects"}
