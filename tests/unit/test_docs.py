# SPDX-License-Identifier: GPL-2.0-or-later
"""The documentation: what it links to is there, and so are the tests and functions that it names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.system.manual import texts

from expgsql_ra.cli import COMMANDS
from expgsql_ra.rules.checkup import CHECKS

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SAFETY = ROOT / "docs/safety.md"
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)")
GROUP = re.compile("expgsql (setup|arbiter|completion) ")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """The places in a page that can be linked to, as GitHub spells them."""
    titles = HEADING.findall(page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def defined(folder: str) -> set[str]:
    """The names of all functions below a folder."""
    sources = (path.read_text(encoding="utf-8") for path in (ROOT / folder).rglob("*.py"))
    return {name for source in sources for name in re.findall(r"^ *(?:def|class) (\w+)", source, re.MULTILINE)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for path, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        target = (page.parent / path) if path else page
        assert target.exists(), path
        assert not anchor or anchor in anchors(target), anchor


def test_every_decision_is_listed() -> None:
    folder = ROOT / "docs/decisions"
    listed = (folder / "README.md").read_text(encoding="utf-8")
    assert [page.name for page in folder.glob("0*.md") if page.name not in listed] == []


def test_every_test_that_the_promise_rests_on_is_there() -> None:
    text = SAFETY.read_text(encoding="utf-8")
    files = {path.name for path in (ROOT / "tests").rglob("test_*.py")}
    named = set(re.findall(r"\btest_\w+(?:\.py)?", text))
    assert named
    assert named - files - defined("tests") == set()


def test_every_function_that_carries_a_rule_is_there() -> None:
    text = SAFETY.read_text(encoding="utf-8")
    sources = {path.stem: path for path in (ROOT / "src").rglob("*.py")}
    named = [(file, name.split(".")[-1]) for file, name in re.findall(r"`(\w+)\.((?:\w+\.)?\w+)`", text)]
    carried = [(file, name) for file, name in named if file in sources and name not in {"py", "md"}]
    assert len(carried) > 30
    missing = [one for one in carried if not re.search(rf"\b{one[1]}\b", sources[one[0]].read_text(encoding="utf-8"))]
    assert missing == []


@pytest.mark.parametrize(
    "source", ["docs/status.md", "src/expgsql_ra/rules/condition.py", "src/expgsql_ra/rules/explanation.py"]
)
def test_every_command_that_is_named_as_a_remedy_is_there(source: str) -> None:
    named = set(re.findall(r"expgsql ([a-z][a-z-]+)", (ROOT / source).read_text(encoding="utf-8")))
    assert len(named) >= 5
    assert named - set(COMMANDS) == set()


def test_every_story_is_linked() -> None:
    stories = {path.name for path in (ROOT / "tests/simulation/stories").glob("*.txt")}
    assert stories == set(re.findall(r"stories/([\w-]+\.txt)", SAFETY.read_text(encoding="utf-8")))


def test_every_check_of_the_doctor_is_explained() -> None:
    page = (ROOT / "docs/doctor.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `([\w-]+)` \|", page, re.MULTILINE) == [check.name for check in CHECKS]


def test_commands_that_people_are_told_to_type_are_typed_on_real_nodes() -> None:
    """With the same options, in whatever way a test writes them down; or block by block, as they stand in the page."""
    folders = (ROOT / "tests/system", ROOT / "tests/lab")
    typed = "\n".join(path.read_text(encoding="utf-8") for folder in folders for path in folder.glob("*.py"))
    for page, heading in re.findall(r'\b(?:blocks|texts)\("([^"]+)", "([^"]+)"\)', typed):
        typed += "\n".join(["", *texts(page, heading)])
    told = {
        line.partition(" # ")[0]
        for page in PAGES
        for line in re.findall(r"^ {4}(expgsql .*)", page.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert len(told) > 15
    for line in told:
        names = re.findall(r"(?<= )[a-z][a-z-]+(?= |$)", line.partition(" -")[0])[: 2 if GROUP.match(line) else 1]
        assert re.search(r"\W+".join(names), typed), line
        assert [one for one in re.findall(r"--[a-z-]+", line) if one not in typed] == [], line


def test_commands_that_people_are_told_to_type_are_there() -> None:
    known = set(COMMANDS)
    told = {
        (page.name, name)
        for page in PAGES
        for name in re.findall(r"(?:^ {4}|`)expgsql ([a-z-]+)", page.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert ("doctor.md", "doctor") in told
    assert {one for one in told if one[1] not in known} == set()
