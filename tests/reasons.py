# SPDX-License-Identifier: GPL-2.0-or-later
"""Every text of the source that may become an exit reason, found by reading the source.

A text counts by its longest piece that does not change from case to case: what people see in an exit reason and search
for. Looked at: the messages of errors, the reasons inside values and reports, and the strings that rules return.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import expgsql_ra

ROOT = Path(expgsql_ra.__file__).parent
ROOTS = ("agent", "guard", *(f"actions.{path.stem}" for path in sorted((ROOT / "actions").glob("[a-z]*.py"))))
INTERNAL = {"ValueError", "TypeError", "AttributeError", "NoAnswer", "Rejected", "Doc", "TimeoutError", "Warning"}
"""What these say comes to people with the words of whoever catches it before it, or not at all."""
WORDS = 3
"""A shorter text is a name or a value."""
XPATH = "[@"
GAP = "\0"


class Reason(NamedTuple):
    """One text and where it is."""

    place: str
    text: str

    @property
    def family(self) -> str:
        """Its longest piece that is always the same."""
        return max(self.text.split(GAP), key=len).strip(" ,;:()")


def reasons() -> Iterator[Reason]:
    """All that the agent and its guard may say; commands of operators use more, which they explain themselves."""
    for path in _used():
        yield from _in_file(path)


def _used() -> list[Path]:
    """Every module that they import, wherever in the file."""
    found: set[Path] = set()
    waiting = [_path(f"expgsql_ra.{name}") for name in ROOTS]
    while waiting:
        path = waiting.pop()
        if path is not None and path not in found:
            found.add(path)
            waiting += [_path(name) for name in _imported(path)]
    return sorted(found)


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _path(name: str) -> Path | None:
    """The file of a module of ours."""
    first, *rest = name.split(".")
    path = ROOT.joinpath(*rest).with_suffix(".py")
    return path if first == "expgsql_ra" and rest and path.is_file() else None


def _in_file(path: Path) -> Iterator[Reason]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        for text in _texts(node):
            found = Reason(f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}", text)
            if len(found.family.split()) >= WORDS and XPATH not in text:
                yield found


def _texts(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Call(func=ast.Name(id=name)) if name[:1].isupper() and name not in INTERNAL:
            for argument in (*node.args, *(each.value for each in node.keywords)):
                yield from _strings(argument)
        case ast.Return(value=value) | ast.Yield(value=value) if value is not None:
            yield from _strings(value)
        case _:
            pass


def _strings(node: ast.expr) -> Iterator[str]:
    """The texts that an expression may be."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.JoinedStr(values=values):
            yield "".join(str(one.value) if isinstance(one, ast.Constant) else GAP for one in values)
        case ast.IfExp(body=body, orelse=orelse):
            yield from _strings(body)
            yield from _strings(orelse)
        case ast.BoolOp(values=several):
            for one in several:
                yield from _strings(one)
        case _:
            pass
