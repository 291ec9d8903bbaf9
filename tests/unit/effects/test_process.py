# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs: a clean environment, no shell, a time limit, and errors that say what to do."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from expgsql_ra.effects.process import Result, account, check, follow, run, run_together
from expgsql_ra.errors import CommandFailed, DeadlineExceeded, NotInstalled


def test_children_speak_the_c_locale_and_inherit_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "LC_ALL": "de_DE.UTF-8",
        "LANG": "zh_CN.UTF-8",
        "PGPASSWORD": "hush",
        "OCF_RESKEY_x": "1",
    }.items():
        monkeypatch.setenv(name, value)
    seen = dict(line.split("=", 1) for line in run(["env"], timeout=5).out.splitlines())
    assert seen.pop("LC_ALL") == "C"
    assert set(seen) == {"PATH", "HOME"}
    assert run_together([["env"]], timeout=5)[0].out.splitlines().count("LC_ALL=C") == 1


def test_a_user_brings_home_and_name() -> None:
    seen = run(["env"], timeout=5, user=account("root"), environ={"PGAPPNAME": "x y"}).out.splitlines()
    assert {"HOME=/root", "USER=root", "LOGNAME=root", "PGAPPNAME=x y"} <= set(seen)


def test_arguments_are_never_read_by_a_shell() -> None:
    assert run(["echo", "$(id); `id`", "'"], timeout=5).out == "$(id); `id` '\n"


def test_what_a_program_prints_is_taken_as_it_is() -> None:
    code = "import sys; sys.stdout.buffer.write(b'95% \\xff'); sys.stderr.write('e'); sys.exit(3)"
    assert run([sys.executable, "-c", code], timeout=10) == Result(3, "95% \ufffd", "e")
    assert run(["cat"], timeout=5, stdin="given").out == "given"


def test_a_program_that_takes_too_long_is_ended() -> None:
    begun = time.monotonic()
    with pytest.raises(DeadlineExceeded, match=r"^sleep did not end within 0.2 s$"):
        run(["sleep", "20"], timeout=0.2)
    assert time.monotonic() - begun < 15


def test_programs_run_together_share_their_time_and_none_outlives_it(tmp_path: Path) -> None:
    begun = time.monotonic()
    slow = ["sh", "-c", f"echo $$ >> {tmp_path}/pids; exec sleep 20"]
    with pytest.raises(DeadlineExceeded):
        run_together([slow, slow, slow], timeout=5)
    assert time.monotonic() - begun < 2 * 5, "one after the other they take 15 s"
    pids = (tmp_path / "pids").read_text(encoding="utf-8").split()
    assert len(pids) == 3
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def test_programs_run_together_answer_in_their_order() -> None:
    answers = run_together([["sh", "-c", "sleep 0.2; echo slow"], ["echo", "quick"], ["false"]], timeout=5)
    assert answers == (Result(0, "slow\n", ""), Result(0, "quick\n", ""), Result(1, "", ""))


@pytest.mark.parametrize("argv", [["/no/such/program"], ["/etc/passwd"]])
def test_a_program_that_cannot_be_run_is_not_installed(argv: list[str]) -> None:
    with pytest.raises(NotInstalled, match=f"^cannot run {argv[0]}: "):
        run(argv, timeout=5)
    with pytest.raises(NotInstalled, match=f"^cannot run {argv[0]}: "):
        run_together([["sleep", "0"], argv], timeout=5)


def test_a_failure_repeats_the_end_of_what_was_said() -> None:
    assert check(Result(0, "", "a warning"), "psql") == Result(0, "", "a warning")
    with pytest.raises(CommandFailed, match=r"^psql failed \(2\): x+ last line$"):
        check(Result(2, "", "x" * 1000 + "\n last  line\n"), "psql")
    assert Result(1, "on stdout", "").tail == "on stdout"


# --- programs that take their time ------------------------------------------------------------


def test_what_a_program_prints_is_passed_on_line_by_line_also_half_ones() -> None:
    told: list[str] = []
    script = r"printf '10%%\r20%%\r'; echo done >&2; echo; printf end; exit 3"
    done = follow(["sh", "-c", script], timeout=5, line=told.append)
    assert told == ["10%", "20%", "done", "end"]
    assert (done.code, done.tail) == (3, "10% 20% done end")


def test_a_program_that_takes_too_long_is_ended_with_its_children(tmp_path: Path) -> None:
    sign = tmp_path / "sign"
    with pytest.raises(DeadlineExceeded):
        follow(["sh", "-c", f"(sleep 1; touch {sign}) & sleep 30"], timeout=0.3, line=print)
    time.sleep(1.2)
    assert not sign.exists()


def test_a_program_that_is_not_there_is_no_mystery() -> None:
    with pytest.raises(NotInstalled, match="cannot run /nowhere"):
        follow(["/nowhere"], timeout=1, line=print)


def test_an_interrupted_call_ends_its_program(tmp_path: Path) -> None:
    def interrupt(text: str) -> None:
        raise KeyboardInterrupt(text)

    sign = tmp_path / "sign"
    with pytest.raises(KeyboardInterrupt):
        follow(["sh", "-c", f"echo go; sleep 1; touch {sign}"], timeout=5, line=interrupt)
    time.sleep(1.2)
    assert not sign.exists()
