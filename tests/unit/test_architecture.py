# SPDX-License-Identifier: GPL-2.0-or-later
"""Who may import whom: judgement stays free of effects, and effects stay at the rim."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import expgsql_ra

ROOT = Path(expgsql_ra.__file__).parent
FACTS = {
    *("values", "errors", "ocf", "parameters", "snapshot", "changes", "record", "record_line", "override"),
    *("setup_model", "deployment", "events", "overview", "checkup", "repairs"),
}
# What each part may use of ours, besides itself. A module that is not named here may use everything.
MAY_IMPORT = {
    "values": set(),
    "ocf": set(),
    "errors": {"ocf"},
    "parameter_kinds": set(),
    "defaults": set(),
    "notification": {"defaults", "effects"},
    "parameters": {"values", "parameter_kinds", "defaults"},
    "operations": set(),
    "metadata": {"parameters", "parameter_kinds", "operations"},
    "snapshot": {"values", "record"},
    "changes": {"values", "snapshot"},
    "deployment": {"values", "snapshot", "parameters", "record"},
    "overview": {"deployment", "record", "values"},
    "events": set(),
    "checkup": {"deployment"},
    "repairs": set(),
    "setup_model": {"values", "parameters", "parameter_kinds"},
    "setup_files": {"setup_model"},
    "setup_site": {"site"},
    "record": set(),
    "record_line": {"record"},
    "override": {"record"},
    # of ocf: the exit codes; of parameter_kinds: how connection strings are read
    "rules": {
        *("values", "parameters", "parameter_kinds", "snapshot", "changes", "record", "ocf"),
        *("deployment", "checkup", "overview", "events", "repairs"),
        "setup_model",
    },
    "world": FACTS,
    "actions": FACTS | {"rules", "world", "operations"},
    # of parameter_kinds: what is wrong with parameters
    "effects": FACTS | {"world", "parameter_kinds"},
    "site": {"parameters", "deployment", "events", "record", "world"},
    "workshop": {"repairs", "world"},
    "procedures": FACTS | {"setup_site", "rules", "world", "site", "workshop"},
    "cli": FACTS | {"setup_files", "setup_site", "world", "rules", "effects", "site", "workshop", "procedures"},
    "guard": FACTS | {"rules", "effects", "world"},
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


def test_every_place_that_is_named_exists() -> None:
    assert set(MAY_IMPORT) <= {part(path) for path in FILES}


def test_the_index_of_the_rules_names_every_file_of_them() -> None:
    index = (ROOT / "rules" / "__init__.py").read_text(encoding="utf-8")
    files = {path.stem for path in FILES if part(path) == "rules"} - {"__init__"}
    assert {name for name in files if f"`{name}`" not in index} == set()


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
    assert not reads or part(path) in {"agent", "cli", "effects", "guard"}
