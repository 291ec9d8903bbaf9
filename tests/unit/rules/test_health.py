# SPDX-License-Identifier: GPL-2.0-or-later
"""What monitor reports of every state of a server: "cannot tell" is never "stopped" (R8)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.builders import a_primary, a_standby

from expgsql_ra.ocf import Code
from expgsql_ra.rules.health import WEAK_PATIENCE, Report, failure_code, report, weakened, without_role
from expgsql_ra.snapshot import Orphans, Refusing, Server, Stalled, Starting, Stopped, Unknown

STANDBY, PRIMARY = True, False


@pytest.mark.parametrize(
    ("server", "stalls", "signalled", "code"),
    [
        (a_primary(), 0, PRIMARY, 8),
        (a_primary(), 0, STANDBY, 8),
        (a_standby(), 0, STANDBY, 0),
        (a_standby(receiver=None), 0, STANDBY, 0),
        (Stopped(), 0, PRIMARY, 7),
        (Stopped(), 0, STANDBY, 7),
        (Refusing(1, STANDBY, "too many clients"), 0, STANDBY, 190),
        (Refusing(1, PRIMARY, "too many clients"), 0, PRIMARY, 191),
        (Stalled(1, STANDBY, "no answer"), 1, STANDBY, 0),
        (Stalled(1, PRIMARY, "no answer"), 1, PRIMARY, 8),
        (Stalled(1, STANDBY, "no answer"), 2, STANDBY, 1),
        (Stalled(1, PRIMARY, "no answer"), 2, PRIMARY, 9),
        (Starting(1), 1, STANDBY, 0),
        (Starting(1), 1, PRIMARY, 8),
        (Starting(1), 2, STANDBY, 1),
        (Starting(1), 2, PRIMARY, 9),
        (Orphans((7, 8)), 0, STANDBY, 1),
        (Orphans((7, 8)), 0, PRIMARY, 9),
        (Unknown("no permission"), 0, STANDBY, 1),
        (Unknown("no permission"), 0, PRIMARY, 1),
    ],
    ids=repr,
)
def test_every_state_has_its_code(server: Server, stalls: int, signalled: bool, code: int) -> None:
    assert report(server, stalls, signalled).code == code


def test_what_is_well_needs_no_reason() -> None:
    assert [report(server, 0, PRIMARY).reason for server in (a_primary(), a_standby(), Stopped())] == [None] * 3


@pytest.mark.parametrize(
    ("server", "stalls", "reason"),
    [
        (Stalled(1, PRIMARY, "no answer"), 1, "no answer; probe 1 in a row, not a failure yet"),
        (Stalled(1, PRIMARY, "no answer"), 4, "no answer; 4 probes in a row"),
        (Orphans((7, 8)), 0, "the postmaster died, 2 of its processes still run (pid 7)"),
        (Unknown("cannot read it"), 0, "cannot tell whether PostgreSQL runs: cannot read it"),
        (
            Refusing(1, PRIMARY, "too many clients"),
            0,
            "PostgreSQL answers, but not to the agent: too many clients",
        ),
    ],
    ids=repr,
)
def test_what_is_not_well_says_why(server: Server, stalls: int, reason: str) -> None:
    assert report(server, stalls, PRIMARY).reason == reason


servers = st.sampled_from(
    [a_primary(), a_standby(), Orphans((1,)), Starting(1), Stalled(1, True, "?"), Stalled(1, False, "?"), Unknown("?")]
)


@given(servers, st.integers(0, 5), st.booleans())
def test_only_a_stopped_server_is_reported_as_stopped(server: Server, stalls: int, signalled: bool) -> None:
    assert report(server, stalls, signalled).code != Code.NOT_RUNNING


@given(servers, st.integers(2, 5), st.booleans())
def test_whoever_does_not_answer_is_not_reported_as_well(server: Server, stalls: int, signalled: bool) -> None:
    answers = server in (a_primary(), a_standby())
    well = report(server, stalls, signalled).code in {Code.SUCCESS, Code.RUNNING_PROMOTED}
    assert well is answers


@pytest.mark.parametrize("times", range(1, 6))
def test_a_weakened_promise_is_reported_only_when_it_lasts(times: int) -> None:
    lasts = times > WEAK_PATIENCE
    assert weakened(a_primary(), "no standby", times) == ((191, "no standby") if lasts else (8, None))
    assert weakened(a_standby(), "no stream", times) == ((190, "no stream") if lasts else (0, None))


@pytest.mark.parametrize(("code", "plain"), [(8, 0), (191, 190), (9, 1), (0, 0), (1, 1), (7, 7), (190, 190)])
def test_a_server_of_a_mode_without_roles_is_never_promoted(code: int, plain: int) -> None:
    assert without_role(Report(code, "why")) == Report(plain, "why")


@pytest.mark.parametrize("action", ["monitor", "promote", "demote", "stop", "notify"])
@pytest.mark.parametrize("hard", [Code.ERR_ARGS, Code.ERR_PERM, Code.ERR_INSTALLED])
def test_what_goes_wrong_around_a_running_server_bans_nobody(action: str, hard: int) -> None:
    assert failure_code(action, hard) == Code.ERR_GENERIC


@pytest.mark.parametrize("action", ["start", "validate-all"])
def test_what_keeps_a_server_from_starting_says_so(action: str) -> None:
    assert failure_code(action, Code.ERR_INSTALLED) == Code.ERR_INSTALLED
    assert failure_code(action, Code.ERR_GENERIC) == Code.ERR_GENERIC


def test_a_mode_without_promotion_cannot_be_promoted() -> None:
    assert failure_code("promote", Code.ERR_UNIMPLEMENTED) == Code.ERR_UNIMPLEMENTED
