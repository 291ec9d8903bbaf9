# SPDX-License-Identifier: GPL-2.0-or-later
"""What only etcd has: members that fail one by one."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.contract.authorities import IMPATIENT, LOCKNAME, SHORT, TTL, WITHIN, OnEtcd
from tests.contract.authority_servers import free_ports, wait_until
from tests.contract.test_authority import ONE, SYSTEM, TWO, accepted, created, narrowed, read, timeless, widened
from tests.contract.witness import timed

from expgsql_ra.effects.authority import authority_of
from expgsql_ra.record import Accepted, LeaseHeld, Prepared, Unreachable, first_record, promoted

pytestmark = [pytest.mark.lab, pytest.mark.timeout(120)]


@pytest.fixture(autouse=True)
def healed(on_etcd: OnEtcd) -> Iterator[None]:
    """Whatever happened to the members is over at the end."""
    yield
    on_etcd.cluster.heal()


@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_one_member_less_is_not_missed(on_etcd: OnEtcd, number: int, how: signal.Signals) -> None:
    client = on_etcd.client()
    wide = created(client, TWO)
    if how is signal.SIGKILL:
        on_etcd.cluster.kill(number)
    else:
        on_etcd.cluster.signal(number, how)
    narrow = accepted(client, narrowed(wide))
    assert isinstance(client.renew(narrow, WITHIN), Accepted)
    assert timeless(read(client)) == timeless(narrow)


def test_without_a_majority_nothing_is_answered(on_etcd: OnEtcd) -> None:
    client = on_etcd.client()
    wide = created(client, TWO)
    for number in (0, 1):
        on_etcd.cluster.kill(number)
    for call in (
        lambda: client.read(IMPATIENT),
        lambda: client.write(narrowed(wide), IMPATIENT),
        lambda: client.renew(wide, IMPATIENT),
    ):
        with timed() as took:
            assert isinstance(call(), Unreachable)
        assert took.seconds < IMPATIENT + 0.5
    on_etcd.cluster.heal()
    found = read(client)
    # What was written without an answer may have become true, or not; never anything else.
    assert found.revision in {wide.revision, wide.revision + 1}
    assert accepted(client, narrowed(found)).successors == (ONE,)


def test_a_lease_outlasts_its_leader_and_then_ends(on_etcd: OnEtcd) -> None:
    client = on_etcd.client(ttl=SHORT)
    wide = created(client, TWO)
    client.renew(wide, WITHIN)
    for number in range(3):
        on_etcd.cluster.kill(number)
        on_etcd.cluster.heal()
    on_etcd.until_the_lease_is_over()
    assert accepted(client, promoted(read(client), TWO, reason="over")).primary == "node2"


def test_a_lease_is_not_forgotten_in_a_restart_of_all_members(on_etcd: OnEtcd) -> None:
    client = on_etcd.client()
    wide = created(client, TWO)
    for number in range(3):
        on_etcd.cluster.kill(number)
    on_etcd.cluster.heal()
    assert isinstance(client.write(promoted(wide, TWO, reason="too early"), WITHIN), LeaseHeld)
    assert timeless(read(client)) == timeless(wide)


def test_another_lock_name_may_be_the_beginning_of_this_one(on_etcd: OnEtcd) -> None:
    created(on_etcd.client(), TWO)
    other = on_etcd.client(lockname=f"{LOCKNAME}/history")
    created(other)
    widened(other, read(other), TWO)
    assert read(on_etcd.client()).revision == 2


def test_a_single_member_is_remarked(on_etcd: OnEtcd) -> None:
    client = authority_of(on_etcd.where(on_etcd.port), LOCKNAME, TTL)
    answer = client.prepare(WITHIN)
    assert isinstance(answer, Prepared)
    assert "fewer than three" in answer.remarks[0]


def test_a_damaged_record_is_none(on_etcd: OnEtcd) -> None:
    client = on_etcd.client()
    client.prepare(WITHIN)
    client.create(first_record(SYSTEM, ONE, (1, 1), "operator", "first")._replace(successors=()), WITHIN)
    answer = client.read(WITHIN)
    assert isinstance(answer, Unreachable)
    assert "damaged" in answer.why


@pytest.fixture
def encrypted(tmp_path: Path) -> Iterator[str]:
    """One member that talks TLS alone, and the file of who vouches for it: ``etcds://`` up to the latter."""
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    request = ["-newkey", "rsa:2048", "-nodes", "-subj", "/CN=etcd", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = ["openssl", "req", "-x509", *request, "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    port, peer = free_ports(2)
    urls = {"client": f"https://127.0.0.1:{port}", "peer": f"http://127.0.0.1:{peer}"}
    with (tmp_path / "log").open("wb") as log:
        options = [f"--listen-{of}-urls={url}" for of, url in urls.items()]
        options += [f"--advertise-client-urls={urls['client']}", f"--initial-advertise-peer-urls={urls['peer']}"]
        options += [f"--initial-cluster=default={urls['peer']}", f"--data-dir={tmp_path / 'data'}"]
        options += [f"--cert-file={certificate}", f"--key-file={key}"]
        member = subprocess.Popen(["etcd", *options], stdout=log, stderr=log, env={"PATH": "/usr/bin:/bin"})
    yield f"etcds://127.0.0.1:{port}/x?cacert={certificate}"
    member.kill()
    member.wait()


def test_tls_with_a_known_certificate_alone(encrypted: str) -> None:
    client = authority_of(encrypted, LOCKNAME, TTL)
    wait_until(lambda: isinstance(client.prepare(2), Prepared), "etcd with TLS")
    created(client, TWO)
    for other in (encrypted.partition("?")[0], encrypted.partition("?")[0].replace("etcds", "etcd")):
        assert isinstance(authority_of(other, LOCKNAME, TTL).read(WITHIN), Unreachable)
