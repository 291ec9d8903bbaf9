# SPDX-License-Identifier: GPL-2.0-or-later
"""The cluster as authority, beyond what all authorities have in common: quorum, waiting, and damage."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from tests.contract.authorities import WITHIN
from tests.contract.on_cluster import InCibFile, OnCluster, Words, on, resource, writes
from tests.contract.test_authority import ONE, SYSTEM, THREE, TWO, accepted, created, narrowed, read, widened
from tests.fakes import FakeClock
from tests.lab import faults
from tests.lab.node import COROSYNC, Node

from expgsql_ra.effects.cluster_record import ClusterRecord
from expgsql_ra.effects.process import Result
from expgsql_ra.record import (
    SUSPENDED,
    WEAKER,
    Accepted,
    Found,
    Missing,
    Outdated,
    Prepared,
    Proposal,
    Record,
    Successor,
    Unreachable,
    first_record,
    promoted,
    rewritten,
)

pytestmark = pytest.mark.timeout(180)

NAME = resource("pgsql cls'1")
ID = f"pgsql_replication-{NAME}_RECORD"
TIMEOUT = 3.63
"""What the made-up Corosync says: token and consensus together."""


def waited(on_file: InCibFile, proposal: Proposal, within: float = WITHIN) -> tuple[float, object]:
    """For how long a write waits, and its answer."""
    clock = FakeClock()
    begun = clock.now()
    answer = ClusterRecord(NAME, "node1", clock, on_file.programs()).write(proposal, within)
    return clock.now() - begun, answer


def meanwhile(on_file: InCibFile, proposal: Proposal, happens: Callable[[FakeClock], None]) -> object:
    """The answer to a write, where something happens while it waits."""

    class Clock(FakeClock):
        def pause(self, seconds: float) -> None:
            super().pause(seconds)
            happens(self)

    return ClusterRecord(NAME, "node1", Clock(), on_file.programs()).write(proposal, WITHIN)


def set_policy(on_file: InCibFile, policy: str) -> None:
    """Set no-quorum-policy."""
    pair = f'<nvpair id="nqp" name="no-quorum-policy" value="{policy}"/>'
    document = f'<cluster_property_set id="cib-bootstrap-options">{pair}</cluster_property_set>'
    command = ("cibadmin", "--modify", "--allow-create", "--scope", "crm_config", "--xml-text", document)
    (done,) = on_file.programs()([command], WITHIN)
    assert done.code == 0, done


# --- waiting ----------------------------------------------------------------------------------


def test_a_degrade_waits_for_a_membership_timeout(in_cib_file: InCibFile) -> None:
    wide = created(in_cib_file.client(), TWO)
    seconds, answer = waited(in_cib_file, narrowed(wide))
    assert isinstance(answer, Accepted)
    assert seconds == pytest.approx(TIMEOUT)


def test_a_degrade_that_was_interrupted_waits_again(in_cib_file: InCibFile) -> None:
    narrow = accepted(in_cib_file.client(), narrowed(created(in_cib_file.client(), TWO)))
    assert waited(in_cib_file, narrowed(narrow))[0] == pytest.approx(TIMEOUT)


def test_nothing_else_waits(in_cib_file: InCibFile) -> None:
    client = in_cib_file.client()
    record = created(client)
    proposals: list[Callable[[Record], Proposal]] = [
        lambda record: rewritten(record, (ONE, TWO, THREE), writer="node1", reason="caught up"),
        lambda record: rewritten(record, (ONE, TWO), writer="node3", reason="stopped in order"),
        lambda record: rewritten(record, (ONE, TWO), writer="node1", reason="node3 has left"),
        lambda record: promoted(record, TWO, reason="node1 is gone"),
        lambda record: rewritten(record, (TWO,), writer="node2", reason="confirmed", confirms=True),
    ]
    for proposal in proposals:
        seconds, answer = waited(in_cib_file, proposal(record))
        assert isinstance(answer, Accepted)
        assert seconds == 0
        record = answer.record


def test_a_degrade_without_time_for_the_wait_is_not_written(in_cib_file: InCibFile) -> None:
    wide = created(in_cib_file.client(), TWO)
    seconds, answer = waited(in_cib_file, narrowed(wide), within=TIMEOUT)
    assert isinstance(answer, Unreachable)
    assert "too little time" in answer.why
    assert seconds == 0
    assert read(in_cib_file.client()) == wide


def test_a_degrade_is_not_accepted_when_the_membership_changed(in_cib_file: InCibFile) -> None:
    wide = created(in_cib_file.client(), TWO)

    def flap(clock: FakeClock) -> None:  # noqa: ARG001 - the time of it does not matter
        in_cib_file.doubts += 1

    answer = meanwhile(in_cib_file, narrowed(wide), flap)
    assert isinstance(answer, Unreachable)
    assert "membership changed" in answer.why
    assert isinstance(waited(in_cib_file, narrowed(read(in_cib_file.client())))[1], Accepted)


def test_a_degrade_is_not_accepted_without_quorum_at_its_end(in_cib_file: InCibFile) -> None:
    wide = created(in_cib_file.client(), TWO)

    def lose_quorum(clock: FakeClock) -> None:  # noqa: ARG001 - the time of it does not matter
        in_cib_file.quorum = "0"

    answer = meanwhile(in_cib_file, narrowed(wide), lose_quorum)
    assert isinstance(answer, Unreachable)
    assert "no quorum" in answer.why


def test_a_degrade_is_not_accepted_by_a_node_that_was_held_up(in_cib_file: InCibFile) -> None:
    # others may have formed a membership without it, and its Corosync had no time to notice yet
    wide = created(in_cib_file.client(), TWO)
    answer = meanwhile(in_cib_file, narrowed(wide), lambda clock: FakeClock.pause(clock, 2.0))
    assert isinstance(answer, Unreachable)
    assert "held up" in answer.why


def test_a_degrade_that_was_replaced_meanwhile_is_not_accepted(in_cib_file: InCibFile) -> None:
    wide = created(in_cib_file.client(), TWO)

    def promote(clock: FakeClock) -> None:  # noqa: ARG001 - the time of it does not matter
        client = in_cib_file.client()
        accepted(client, promoted(read(client), ONE, reason="a merge brought another record"))

    answer = meanwhile(in_cib_file, narrowed(wide), promote)
    assert isinstance(answer, Outdated)
    assert answer.record.epoch == wide.epoch + 1


@pytest.mark.parametrize("times", ["", "runtime.config.totem.token (u32) = 1650\n", "Could not get key\n"])
def test_a_degrade_needs_to_know_how_long_to_wait(in_cib_file: InCibFile, times: str) -> None:
    wide = created(in_cib_file.client(), TWO)
    in_cib_file.times = times
    answer = waited(in_cib_file, narrowed(wide))[1]
    assert isinstance(answer, Unreachable)
    assert "Corosync does not tell" in answer.why
    assert read(in_cib_file.client()) == wide


# --- quorum -----------------------------------------------------------------------------------


@pytest.mark.parametrize("quorum", ["0", "", "crm_node: cannot connect", "11"])
def test_nothing_is_written_without_quorum(in_cib_file: InCibFile, quorum: str) -> None:
    wide = created(in_cib_file.client(), TWO)
    in_cib_file.quorum = quorum
    client = in_cib_file.client()
    assert isinstance(client.write(promoted(wide, TWO, reason=""), WITHIN), Unreachable)
    assert isinstance(client.create(wide, WITHIN), Unreachable)
    assert isinstance(client.prepare(WITHIN), Unreachable)
    assert read(client) == wide


def test_nothing_is_read_or_renewed_in_a_cib_without_quorum(in_cib_file: InCibFile) -> None:
    wide = created(in_cib_file.client(), TWO)
    in_cib_file.cib_quorum = "0"
    client = in_cib_file.client()
    for answer in (
        client.read(WITHIN),
        client.renew(wide, WITHIN),
        client.history(1, WITHIN),
        client.write(narrowed(wide), WITHIN),
    ):
        assert isinstance(answer, Unreachable)
        assert "no quorum" in answer.why


def test_where_quorum_is_ignored_it_works_and_says_so(in_cib_file: InCibFile) -> None:
    wide = created(in_cib_file.client(), TWO)
    client = in_cib_file.client()
    assert client.prepare(WITHIN) == Prepared((WEAKER,))
    set_policy(in_cib_file, "ignore")
    in_cib_file.quorum = in_cib_file.cib_quorum = "0"
    assert client.prepare(WITHIN) == Prepared((WEAKER, SUSPENDED))
    assert isinstance(waited(in_cib_file, narrowed(wide))[1], Accepted)


# --- damage -----------------------------------------------------------------------------------


@pytest.mark.parametrize("line", ["", "garbage", f"{SYSTEM}|1|1|node1|node1=d1|root|now|  two blanks"])
def test_a_damaged_record_is_neither_found_nor_missing(in_cib_file: InCibFile, line: str) -> None:
    client = in_cib_file.client()
    record = created(client)
    pair = f'<nvpair id="{ID}" value="{line}"/>'
    (done,) = in_cib_file.programs()([("cibadmin", "--modify", "--xml-text", pair)], WITHIN)
    assert done.code == 0, done
    for answer in (
        client.read(WITHIN),
        client.renew(record, WITHIN),
        client.write(widening(record), WITHIN),
        client.create(record, WITHIN),
    ):
        assert isinstance(answer, Unreachable)
        assert "damaged" in answer.why


def widening(record: Record) -> Proposal:
    """A write that does not wait."""
    return rewritten(record, (ONE, TWO), writer="node1", reason="caught up")


def test_names_that_do_not_fit_are_not_written(in_cib_file: InCibFile) -> None:
    client = in_cib_file.client()
    bad = first_record(SYSTEM, Successor("no'de1", "d1"), (1, 1), "operator", "")
    assert isinstance(client.create(bad, WITHIN), Unreachable)
    record = created(client)
    answer = client.write(rewritten(record, (ONE, Successor("node 2", "d")), writer="node1", reason=""), WITHIN)
    assert isinstance(answer, Unreachable)
    assert "cannot keep" in answer.why
    assert read(client) == record


@pytest.mark.parametrize("code", [1, 102, 113, 124])
def test_whatever_a_tool_says_but_yes_and_no_is_unknown(in_cib_file: InCibFile, code: int) -> None:
    record = created(in_cib_file.client())
    programs = in_cib_file.programs()

    def failing(commands: Sequence[Words], timeout: float) -> tuple[Result, ...]:
        if writes(commands):
            return (Result(code, "", "Could not connect"),)
        return programs(commands, timeout)

    answer = in_cib_file.authority(failing).write(widening(record), WITHIN)
    assert isinstance(answer, Unreachable)
    assert f"({code})" in answer.why


def test_without_the_cluster_s_tools_nothing_is_known() -> None:
    client = ClusterRecord("pgsql", "node1")
    environ = dict(os.environ)
    if subprocess.run(["sh", "-c", "crm_node -q"], env=environ, capture_output=True, check=False).returncode == 0:
        pytest.skip("this machine is in a cluster")
    never = first_record(SYSTEM, ONE, (1, 1), "operator", "")
    assert isinstance(client.read(WITHIN), Unreachable)
    assert isinstance(client.write(widening(never), WITHIN), Unreachable)


def test_a_removed_record_is_missing(in_cib_file: InCibFile) -> None:
    record = created(in_cib_file.client())
    command = ("cibadmin", "--delete", "--xml-text", f'<nvpair id="{ID}"/>')
    in_cib_file.programs()([command], WITHIN)
    client = in_cib_file.client()
    assert isinstance(client.write(widening(record), WITHIN), Missing)
    assert isinstance(client.renew(record, WITHIN), Missing)


# --- on real clusters -------------------------------------------------------------------------


@pytest.fixture(params=["pacemaker_2", "pacemaker_3"])
def on_cluster(request: pytest.FixtureRequest) -> Iterator[OnCluster]:
    """Both, one after the other; whole again afterwards."""
    found: OnCluster = request.getfixturevalue(request.param)
    yield found
    faults.heal_all(found.cluster)
    found.cluster.wait_for(found.cluster.is_complete, within=60, what="all nodes to be members again")


def at(found: OnCluster, number: int) -> ClusterRecord:
    """The client of one node."""
    return found.authority(on(found.cluster.nodes[number]))


ROUNDS = 40
RACE = """
set -u
for round in $(seq {rounds}); do
  line=$(cibadmin --query --xpath "//nvpair[@id='{id}']" | sed 's/.*value="\\([^"]*\\)".*/\\1/')
  revision=$(echo "$line" | cut -d'|' -f3)
  next=$(echo "$line" | sed "s/|$revision|node1|/|$((revision + 1))|node1|/; s/[^|]*$/{node}/")
  cibadmin --modify --xpath "//nvpair[@id='{id}' and @value='$line']" \
    --xml-text "<nvpair id='{id}' name='{name}' value='$next'/>" 2>/dev/null
  echo "$? $((revision + 1))"
done
"""


@pytest.mark.lab
def test_of_many_writers_on_all_nodes_one_wins_each_revision(on_cluster: OnCluster) -> None:
    # the very command of ours in a shell's loop: a hundred times as many collisions in the same time
    client = on_cluster.client()
    first = created(client)

    def race(node: Node) -> list[list[str]]:
        script = RACE.format(rounds=ROUNDS, id=ID, name=f"{NAME}_RECORD", node=node.name)
        return [line.split() for line in node.run(script, timeout=120).check().stdout.splitlines()]

    with ThreadPoolExecutor(3) as pool:
        tries = [one for tries in pool.map(race, on_cluster.cluster.nodes) for one in tries]
    won = [revision for code, revision in tries if code == "0"]
    assert {code for code, _ in tries} == {"0", "105"}
    assert len(won) == len(set(won))
    assert read(client).revision == first.revision + len(won)


@pytest.mark.lab
def test_of_two_nodes_that_want_to_be_promoted_one_is(on_cluster: OnCluster) -> None:
    record = created(at(on_cluster, 0), TWO, THREE)
    for number in range(5):

        def promote(node: int, wide: Record = record) -> object:
            candidate = (TWO, THREE)[node - 1]
            return at(on_cluster, node).write(promoted(wide, candidate, reason="race"), WITHIN)

        with ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(promote, (1, 2)))
        winners = [answer.record for answer in answers if isinstance(answer, Accepted)]
        assert (len(winners), sum(isinstance(answer, Outdated) for answer in answers)) == (1, 1), number
        record = winners[0]


@pytest.mark.lab
def test_a_node_that_is_cut_off_writes_nothing_that_counts(on_cluster: OnCluster) -> None:
    record = created(at(on_cluster, 0), TWO)
    cut, others = on_cluster.cluster.nodes[0], at(on_cluster, 1)
    with faults.isolated(cut, on_cluster.cluster):
        answer = at(on_cluster, 0).write(narrowed(record), WITHIN)  # nobody has noticed yet
        assert isinstance(answer, Unreachable), answer
        assert isinstance(at(on_cluster, 0).read(WITHIN), Unreachable)
        on_cluster.cluster.wait_for(lambda: isinstance(others.read(WITHIN), Found), within=30, what="quorum")
        new = accepted(others, promoted(read(others), TWO, reason="node1 is gone"))
        new = accepted(others, rewritten(new, (TWO,), writer="node2", reason="confirmed", confirms=True))
    on_cluster.cluster.wait_for(on_cluster.cluster.is_complete, within=60, what="all nodes to be members again")
    all_read(on_cluster, new)


@pytest.mark.lab
def test_a_cable_that_is_back_within_the_wait_does_not_make_a_degrade_count(on_cluster: OnCluster) -> None:
    # the trace H1 of the first wording of rule R9: the record looks unchanged after a merge
    record = created(at(on_cluster, 0), TWO)
    cut, other = on_cluster.cluster.nodes[:2]
    before = memberships(other)
    with ThreadPoolExecutor(1) as pool:
        with faults.isolated(cut, on_cluster.cluster):
            answer = pool.submit(at(on_cluster, 0).write, narrowed(record), WITHIN)
            await_another(other, before)
        assert not isinstance(answer.result(), Accepted)


def all_read(on_cluster: OnCluster, record: Record) -> None:
    """Every node has the record, once whoever was away has got the others' copy of the cluster's state."""
    on_cluster.cluster.wait_for(
        lambda: [at(on_cluster, number).read(WITHIN) for number in range(3)] == [Found(record)] * 3,
        within=30,
        what="one record on all nodes",
    )


FORMED = "corosync-cmapctl -m stats -g stats.srp.operational_entered"


def memberships(node: Node) -> str:
    """How often Corosync on a node has found a membership, in its own words; asked before it has to doubt one."""
    return node.run(FORMED).check().stdout.strip()


def await_another(node: Node, before: str) -> None:
    """Wait until Corosync on a node has doubted and found a membership anew."""
    node.run(f'while [ "$({FORMED})" = "{before}" ]; do sleep 0.05; done', timeout=30).check()


@contextmanager
def stopped(node: Node, pattern: str) -> Iterator[None]:
    """Processes stand still."""
    node.signal(pattern, signal.SIGSTOP)
    try:
        yield
    finally:
        node.signal(pattern, signal.SIGCONT)


@pytest.mark.lab
def test_a_write_that_corosync_sends_late_is_refused_after_another(on_cluster: OnCluster) -> None:
    record = created(at(on_cluster, 0))
    before = memberships(on_cluster.cluster.nodes[0])
    with stopped(on_cluster.cluster.nodes[2], COROSYNC):
        late = rewritten(record, (ONE, THREE), writer="node1", reason="late")
        assert isinstance(at(on_cluster, 2).write(late, 1.0), Unreachable)
        await_another(on_cluster.cluster.nodes[0], before)
        client = at(on_cluster, 0)
        on_cluster.cluster.wait_for(lambda: isinstance(client.read(WITHIN), Found), within=30, what="quorum")
        now = widened(client, record, TWO)
    on_cluster.cluster.wait_for(on_cluster.cluster.is_complete, within=60, what="all nodes to be members again")
    all_read(on_cluster, now)


@pytest.mark.lab
def test_a_coordinator_that_dies_between_takes_no_write_with_it(on_cluster: OnCluster) -> None:
    record = created(at(on_cluster, 0))
    coordinator = on_cluster.cluster.status().dc
    node = on_cluster.cluster.node(str(coordinator))
    number = (on_cluster.cluster.nodes.index(node) + 1) % 3
    with faults.cluster_crashed(node):
        on_cluster.cluster.wait_for(
            lambda: isinstance(at(on_cluster, number).write(widening(record), 2.0), Accepted | Outdated),
            within=30,
            what="a write to be taken",
        )
        found = read(at(on_cluster, number))
    assert (found.revision, found.successors) == (record.revision + 1, (ONE, TWO))
