"""The agent with one of its rules switched off, for tests that must see the loss which the rule prevents."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.lab.installation import installed_layer
from tests.lab.layer import HOST, layer

# What is added to the end of a module of the installed package, by the rule that it takes away.
SWITCHES = {
    "R1": (
        "rules/succession.py",
        '''
_by_the_book = next_step

def next_step(duty):
    """PostgreSQL stops waiting, then the record is written."""
    step = _by_the_book(duty)
    nodes = tuple(one.node for one in duty.target)
    return Rename(nodes) if isinstance(step, Narrow) and duty.names != nodes else step
''',
    ),
    "R2": (
        "rules/succession.py",
        '''
_by_the_book = next_step

def next_step(duty):
    """Whoever is named is recorded, whatever has been flushed there."""
    return _by_the_book(duty._replace(passed=frozenset(one.node for one in duty.target)))
''',
    ),
    "R4": (
        "actions/in_place.py",
        '''
def narrow(world, view, record, me):
    """Others keep the right to succeed a primary that comes back without waiting for them."""
''',
    ),
}


def installation_without(rule: str, place: Path) -> Path:
    """Make a copy of the installation below ``place`` that lacks a rule, and return its directory."""
    name, switch = SWITCHES[rule]
    copy = place / f"without-{rule}"
    shutil.copytree(installed_layer(layer(HOST)), copy, symlinks=True)
    (module,) = copy.rglob(f"site-packages/expgsql_ra/{name}")
    module.write_text(module.read_text(encoding="utf-8") + switch, encoding="utf-8")
    return copy
