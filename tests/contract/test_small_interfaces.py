# SPDX-License-Identifier: GPL-2.0-or-later
"""`MemoryStore` and `Clock`: the fakes and the real ones keep the same promises. No root, no server."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fakes import FakeClock, FakeMemory

from expgsql_ra.effects.clock import MonotonicClock
from expgsql_ra.effects.memory import FileMemory
from expgsql_ra.world import Clock, Memory, MemoryStore

Open = Callable[[], MemoryStore]


@pytest.fixture(params=["fake", "real"])
def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Open the store as the next run of the agent would."""
    if request.param == "real":
        return lambda: FileMemory("pgsql", str(tmp_path / "run" / "resource-agents"))
    fake = FakeMemory()
    return lambda: fake


def test_nothing_was_kept_at_first(reopen: Open) -> None:
    assert reopen().load() == Memory()


WHOLLY = Memory(
    stalls=1,
    readings=(("node1", 2, 0x5000), ("Nöde-2", 1, 2**64 - 1)),
    equal=3,
    absences=4,
    weak=5,
    rounds=6,
    waits=7,
    attested="id 2 8",
    stop_at=12345.678,
)


def test_nothing_of_it_is_forgotten(reopen: Open) -> None:
    # whatever is added must be kept, too
    assert all(value != default for value, default in zip(WHOLLY, Memory(), strict=True))
    reopen().save(WHOLLY)
    assert reopen().load() == WHOLLY


def test_the_next_run_finds_what_was_kept_last(reopen: Open) -> None:
    first = WHOLLY
    for memory in (first, Memory(), first._replace(stalls=0)):
        store = reopen()
        store.load()
        store.save(memory)
        assert store.load() == memory
        assert reopen().load() == memory


def test_what_was_not_loaded_is_replaced_all_the_same(reopen: Open) -> None:
    reopen().save(Memory(stalls=7))
    reopen().save(Memory())
    assert reopen().load() == Memory()


def test_two_resources_do_not_share_their_memory(tmp_path: Path) -> None:
    FileMemory("pgsql", str(tmp_path)).save(Memory(stalls=7))
    assert FileMemory("pgsql2", str(tmp_path)).load() == Memory()


SPOILT = ["", "{", "[]", "null", "17", '"text"', "{}", '{"stalls": "many"}', '{"stalls": [1]}', "\x00"]
WHOLE = Memory()._asdict()


@pytest.mark.parametrize(
    "content",
    [
        *SPOILT,
        *(json.dumps({**WHOLE, "readings": value}) for value in (3, [1], [["a"]], [["a", "b", "c"]], None)),
        json.dumps({**WHOLE, "stalls": float("inf")}),
    ],
)
def test_a_spoilt_memory_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "expgsql-pgsql.json").write_text(content, encoding="utf-8")
    assert FileMemory("pgsql", str(tmp_path)).load() == Memory()


@given(st.text(max_size=60))
def test_any_content_at_all_fails_nothing(tmp_path_factory: pytest.TempPathFactory, content: str) -> None:
    folder = tmp_path_factory.mktemp("memory")
    (folder / "expgsql-pgsql.json").write_bytes(content.encode(errors="surrogatepass"))
    FileMemory("pgsql", str(folder)).load()


def test_a_memory_that_cannot_be_kept_fails_nothing(tmp_path: Path) -> None:
    (tmp_path / "in the way").touch()
    store = FileMemory("pgsql", str(tmp_path / "in the way"))
    store.save(Memory(stalls=1))
    assert store.load() == Memory()


@pytest.mark.parametrize("clock", [FakeClock(), MonotonicClock()], ids=["fake", "real"])
def test_a_clock_goes_forward_at_least_as_far_as_one_waits(clock: Clock) -> None:
    before = clock.now()
    clock.pause(0.02)
    assert clock.now() - before >= 0.02
    assert clock.now() <= clock.now()
