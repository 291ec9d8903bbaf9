# SPDX-License-Identifier: GPL-2.0-or-later
"""What the commands of each tool, and Corosync's file, look like for a set-up: compared with files kept beside it.

After an intended change: ``python -m tests.golden.test_setup`` writes them anew; read the difference before you
commit it. That the real tools make the same of them as `apply` is shown on the lab (tests/system).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from expgsql_ra.rules.setup_commands import crm_script, pcs_script
from expgsql_ra.rules.setup_example import example, key_table
from expgsql_ra.rules.setup_membership import corosync_conf
from expgsql_ra.rules.setup_server import settings_file
from expgsql_ra.rules.setup_wanted import wanted
from expgsql_ra.setup_files import read_setup
from expgsql_ra.setup_model import Setup

FOLDER = Path(__file__).with_name("setup")
PAGE = Path(__file__).parents[2] / "docs/setup.md"
KEYS_BEGIN = "<!-- keys: written by 'python -m tests.golden.test_setup' -->"
KEYS_END = "<!-- end of keys -->"
SETUPS = ("dual.ini", "muti.ini", "muti_with_lvs.ini", "three.toml", "two.toml")
RENDERINGS: dict[str, Callable[[Setup], str]] = {
    "pcs-0.11.sh": lambda setup: pcs_script(wanted(setup), (0, 11)),
    "pcs-0.12.sh": lambda setup: pcs_script(wanted(setup), (0, 12)),
    "crm": lambda setup: crm_script(wanted(setup)),
    "corosync.conf": corosync_conf,
    "postgresql-12.conf": lambda setup: settings_file(setup, 12),
    "postgresql-17.conf": lambda setup: settings_file(setup, 17),
}


def rendered(name: str, rendering: str) -> tuple[Path, str]:
    """Where it is kept, and what it is now."""
    setup = read_setup((FOLDER / name).read_text(encoding="utf-8"), is_toml=name.endswith(".toml"))
    return FOLDER / f"{name.partition('.')[0]}.{rendering}", RENDERINGS[rendering](setup)


@pytest.mark.parametrize("rendering", RENDERINGS)
@pytest.mark.parametrize("name", SETUPS)
def test_rendered_as_before(name: str, rendering: str) -> None:
    path, now = rendered(name, rendering)
    assert now == path.read_text(encoding="utf-8")


def test_the_example_is_a_set_up() -> None:
    setup = read_setup(example(), is_toml=True)
    assert setup.nodes == ("node1", "node2", "node3")
    uncommented = "".join(
        f"{line[1:]}\n" if line.startswith("#") and " = " in line and line[1] != " " else f"{line}\n"
        for line in example().splitlines()
    )
    everything = read_setup(uncommented, is_toml=True)
    assert everything == setup


def with_keys(page: str) -> str:
    """The page with the table of today."""
    head, _, rest = page.partition(KEYS_BEGIN)
    return f"{head}{KEYS_BEGIN}\n{key_table()}\n{KEYS_END}{rest.partition(KEYS_END)[2]}"


def test_the_page_has_every_key() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert with_keys(page) == page


if __name__ == "__main__":
    for one in SETUPS:
        for kind in RENDERINGS:
            place, text = rendered(one, kind)
            place.write_text(text, encoding="utf-8")
    PAGE.write_text(with_keys(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
