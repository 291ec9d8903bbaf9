# SPDX-License-Identifier: GPL-2.0-or-later
"""A server to hold to the contract: the fake one, and a real one in a directory of its own (marked ``lab``)."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.builders import some_parameters
from tests.contract.authorities import Authorities, InMemory, OnEtcd, OnPostgres
from tests.contract.authority_servers import EtcdCluster, PostgresServer
from tests.contract.on_cluster import InCibFile, OnCluster
from tests.contract.subjects import FakeSubject, RealSubject, Subject
from tests.lab.cluster import Cluster
from tests.lab.configuration import Config
from tests.lab.layer import layer
from tests.lab.places import own_name

from expgsql_ra.parameters import Parameters

USER = "postgres"


def a_free_port() -> int:
    """A port that nobody uses just now."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


def bindir() -> str:
    """The programs of the server to test: the newest on this machine, or another that EXPGSQL_PG_BINDIR names."""
    return os.environ.get("EXPGSQL_PG_BINDIR") or f"/usr/lib/postgresql/{layer('host').postgresql_versions[0]}/bin"


@contextmanager
def a_folder() -> Iterator[Path]:
    """A directory of the server's user. Not pytest's, which is nobody's but root's."""
    with tempfile.TemporaryDirectory(prefix="expgsql-contract-") as name:
        shutil.chown(name, USER, USER)
        yield Path(name)


@pytest.fixture(scope="session")
def passable() -> Iterator[Path]:
    """A directory that the server's user reaches. pytest's own is closed again whenever another run begins."""
    with tempfile.TemporaryDirectory(prefix="expgsql-") as name:
        Path(name).chmod(0o711)
        yield Path(name)


@pytest.fixture(scope="session")
def template() -> Iterator[Path]:
    """A data directory as initdb leaves it, made once."""
    if os.geteuid() != 0:
        pytest.skip("a real server needs root: it runs as the user postgres")
    initdb = (f"{bindir()}/initdb", "--no-sync", "-A", "trust", "-U", USER)
    with a_folder() as folder:
        owner = pwd.getpwnam(USER)
        subprocess.run(
            [*initdb, "-D", folder / "data"],
            check=True,
            cwd="/",
            stdout=subprocess.DEVNULL,
            user=owner.pw_uid,
            group=owner.pw_gid,
            extra_groups=[],
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
        )
        yield folder / "data"


@pytest.fixture
def real(template: Path) -> Iterator[RealSubject]:
    """A stopped PostgreSQL server of the newest version on this machine."""
    with a_folder() as folder:
        pgdata = folder / "pgdata"
        subprocess.run(["cp", "--archive", template, pgdata], check=True)
        subject = RealSubject(parameters_of(folder, pgdata))
        yield subject
        subject.clear_away()


def parameters_of(folder: Path, pgdata: Path) -> Parameters:
    """Parameters for a server of its own in that folder."""
    return some_parameters(
        pgctl=f"{bindir()}/pg_ctl",
        psql=f"{bindir()}/psql",
        pgdata=str(pgdata),
        pgport=a_free_port(),
        socketdir=str(folder),
        tmpdir=str(folder / "tmp"),
        logfile=str(folder / "server.log"),
        master_ip="127.0.0.1",
        start_opt="-c fsync=off -c wal_retrieve_retry_interval=200ms",
    )


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.lab)])
def subject(request: pytest.FixtureRequest) -> Subject:
    """Both, one after the other."""
    if request.param == "fake":
        return FakeSubject()
    found: RealSubject = request.getfixturevalue("real")
    return found


@pytest.fixture(scope="module")
def arbiter(template: Path, passable: Path) -> Iterator[PostgresServer]:
    """A PostgreSQL server outside of any cluster; tests that stop it let it go on."""
    folder = Path(tempfile.mkdtemp(prefix="arbiter-", dir=passable))
    subprocess.run(["cp", "--archive", template, folder / "data"], check=True)
    shutil.chown(folder, USER, USER)
    version = (folder / "data/PG_VERSION").read_text(encoding="utf-8").strip()
    server = PostgresServer(folder / "data", version)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdCluster]:
    """Three members; tests that kill some heal them."""
    cluster = EtcdCluster(tmp_path_factory.mktemp("etcd"))
    yield cluster
    cluster.stop()


@pytest.fixture
def on_postgres(arbiter: PostgresServer) -> OnPostgres:
    """A new, empty database on the arbiter."""
    return OnPostgres(arbiter)


@pytest.fixture
def on_etcd(etcd: EtcdCluster, request: pytest.FixtureRequest) -> OnEtcd:
    """A prefix of the test's own."""
    return OnEtcd(etcd, request.node.name)


@pytest.fixture
def in_cib_file(tmp_path: Path) -> InCibFile:
    """The cluster's tools on a recorded CIB."""
    if shutil.which("cibadmin") is None:
        pytest.skip("no cibadmin: run 'make deps'")
    recorded = Path(__file__).parents[1] / "golden/cib/pacemaker-2.1-first-start.xml"
    cib = tmp_path / "cib.xml"
    cib.write_text(recorded.read_text(encoding="utf-8").replace(' have-quorum="1"', ""), encoding="utf-8")
    return InCibFile(cib)


@contextmanager
def a_lab(layer_name: str) -> Iterator[Cluster]:
    """Three nodes without resources."""
    cluster = Cluster.build(
        Config(lab=own_name(f"rec{layer_name[:1]}"), layer=layer_name, agent="null"), configured=False
    )
    yield cluster
    cluster.down()


@pytest.fixture(scope="module")
def lab_2() -> Iterator[Cluster]:
    """With Pacemaker 2."""
    with a_lab("host") as cluster:
        yield cluster


@pytest.fixture(scope="module")
def lab_3() -> Iterator[Cluster]:
    """With Pacemaker 3."""
    with a_lab("trixie") as cluster:
        yield cluster


def without_record(cluster: Cluster) -> OnCluster:
    """A cluster where nothing is recorded."""
    cluster.nodes[0].run("cibadmin --delete --xml-text '<cluster_property_set id=\"pgsql_replication\"/>'").check()
    return OnCluster(cluster)


@pytest.fixture
def pacemaker_2(lab_2: Cluster) -> OnCluster:
    """Three nodes with Pacemaker 2."""
    return without_record(lab_2)


@pytest.fixture
def pacemaker_3(lab_3: Cluster) -> OnCluster:
    """Three nodes with Pacemaker 3."""
    return without_record(lab_3)


LEASING = ["memory", *(pytest.param(name, marks=pytest.mark.lab) for name in ("on_postgres", "on_etcd"))]
OF_THE_CLUSTER = [pytest.param(name, marks=pytest.mark.lab) for name in ("in_cib_file", "pacemaker_2", "pacemaker_3")]


@pytest.fixture
def memory() -> InMemory:
    """The fake one."""
    return InMemory()


@pytest.fixture(params=[*LEASING, *OF_THE_CLUSTER])
def authorities(request: pytest.FixtureRequest) -> Authorities:
    """All of them, one after the other."""
    found: Authorities = request.getfixturevalue(request.param)
    return found


@pytest.fixture(params=LEASING)
def leasing(request: pytest.FixtureRequest) -> Authorities:
    """Those that grant leases."""
    found: Authorities = request.getfixturevalue(request.param)
    return found
