# SPDX-License-Identifier: GPL-2.0-or-later
"""The metadata: every checker in use accepts it, and the rendered copies equal the code."""

import subprocess
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from expgsql_ra import metadata
from expgsql_ra.operations import OPERATIONS, method_names
from expgsql_ra.parameters import Parameters

ROOT = Path(__file__).parents[2]
RESOURCE_AGENTS = Path("/usr/share/resource-agents")
PCS_SCHEMA = Path("/usr/share/pcs/data/ocf-1.0.rng")

XML = metadata.render({})
TREE = ET.fromstring(XML)


def validate(*command: str | Path) -> None:
    """Hand the metadata to a checker."""
    done = subprocess.run(command, input=XML, cwd=RESOURCE_AGENTS, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def needs(path: Path) -> pytest.MarkDecorator:
    """Skip where the package that brings this file is not installed."""
    return pytest.mark.skipif(not path.exists(), reason=f"no {path}: run 'make deps'")


@needs(RESOURCE_AGENTS)
def test_the_dtd_that_ocf_tester_applies() -> None:
    validate("xmllint", "--noout", "--valid", "-")


@needs(RESOURCE_AGENTS)
def test_the_schema_of_resource_agents() -> None:
    validate("xmllint", "--noout", "--relaxng", RESOURCE_AGENTS / "metadata.rng", "-")


@needs(PCS_SCHEMA)
def test_the_schema_of_pcs() -> None:
    code = (
        "import sys; from lxml import etree; "
        "etree.RelaxNG(file=sys.argv[1]).assertValid(etree.fromstring(sys.stdin.buffer.read()))"
    )
    # The system's Python has the lxml that pcs itself uses.
    validate("/usr/bin/python3", "-c", code, PCS_SCHEMA)


def test_the_copy_in_the_repository_equals_the_code() -> None:
    assert (ROOT / "metadata/expgsql.xml").read_text(encoding="utf-8") == XML, "run 'make metadata'"


def test_the_readme_equals_the_code() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert metadata.with_table(readme) == readme, "run 'make metadata'"


def test_a_readme_without_marks_is_left_alone() -> None:
    with pytest.raises(ValueError, match="no lines"):
        metadata.with_table("# expgsql\n")


def test_every_parameter_is_described() -> None:
    described = {element.get("name"): element.findtext("longdesc", "").strip() for element in TREE.iter("parameter")}
    assert list(described) == [parameter.name for parameter in Parameters.declared]
    assert all(text.endswith(".") for text in described.values())


def test_integers_have_no_empty_default() -> None:
    numbers = [element for element in TREE.iter("content") if element.get("type") == "integer"]
    assert numbers
    assert all(element.get("default", "0").isdigit() for element in numbers)


def test_times_have_a_unit() -> None:
    for element in TREE.iter("action"):
        assert all(element.get(key, "0s").endswith("s") for key in ("timeout", "interval"))


def test_a_server_that_is_no_clone_is_monitored_too() -> None:
    monitors = [operation for operation in OPERATIONS if operation.name == "monitor"]
    assert [operation.role for operation in monitors] == ["Promoted", None]
    assert len({operation.interval for operation in monitors}) == 2


def test_pacemaker_2_0_reads_the_roles_by_their_old_names() -> None:
    def roles(minor: str) -> set[str]:
        return {e.get("role", "") for e in ET.fromstring(metadata.render({"OCF_RA_VERSION_MINOR": minor})).iter()}

    assert roles("0") == {"", "Master"}
    assert roles("1") == {"", "Promoted"}


def test_methods() -> None:
    assert method_names().count("monitor") == 1
    assert {"start", "stop", "monitor", "promote", "demote", "notify", "meta-data"} <= set(method_names())


def test_the_program_prints_or_renews(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    metadata.main([])
    assert capsys.readouterr().out == XML
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{metadata.TABLE_BEGIN}\nold\n{metadata.TABLE_END}\nafter\n", encoding="utf-8")
    metadata.main(["--readme", str(readme)])
    renewed = readme.read_text(encoding="utf-8")
    assert "| `pgdata` |" in renewed
    assert renewed.startswith("before\n")
    assert renewed.endswith("\nafter\n")
    assert "old" not in renewed.splitlines()
