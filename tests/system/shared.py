"""One cluster that many tests share: building one costs more than most tests."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import psycopg
from tests.lab import audits, faults
from tests.lab.cluster import Cluster
from tests.lab.command import CommandFailed
from tests.lab.configuration import Config
from tests.lab.places import own_name
from tests.lab.waiting import Timeout

# Several can be up at the same time.
LAB = own_name(os.environ.get("EXPGSQL_LAB_NAME", "sys"))
# An installation to test in place of this checkout's, such as one that was broken on purpose.
INSTALLATION = os.environ.get("EXPGSQL_LAB_INSTALL")
FIRST_START_SECONDS = 120.0
HEALING_SECONDS = 120.0

Preparation = Callable[[Cluster], object]


def lab_config(**settings: object) -> Config:
    """Return the configuration of a cluster under test."""
    installation = Path(INSTALLATION) if INSTALLATION else None
    return Config(**{"lab": LAB, "install_layer": installation, **settings})  # type: ignore[arg-type]


class SharedCluster:
    """Holds one cluster at a time; a test that fails has spoilt it."""

    def __init__(self) -> None:
        self._cluster: Cluster | None = None
        self._wanted: Config | None = None

    def healthy(self, config: Config) -> Cluster:
        """Return a cluster of that configuration with everything in order and no failure on record."""
        cluster = self._cluster
        if cluster is None or self._wanted != config:
            return self.build(config)
        forget_failures(cluster)
        return cluster

    def build(self, config: Config, before_first_start: Preparation | None = None) -> Cluster:
        """Build a cluster and wait for its first start to be over."""
        self.discard()
        cluster = Cluster.build(config, configured=before_first_start is None)
        self._cluster, self._wanted = cluster, config
        if before_first_start is not None:
            before_first_start(cluster)
            cluster.configure()
        cluster.wait_healthy(FIRST_START_SECONDS)
        audits.audit_settled(cluster)
        return cluster

    def unconfigured(self, config: Config) -> Cluster:
        """Build members of a cluster without resources, for one module's own use.

        It takes the place of the shared one, of which nothing is left: both have the same lab.
        """
        self.discard()
        self._cluster = Cluster.build(config, configured=False)
        return self._cluster

    def settle(self) -> None:
        """After a test: without any fault left, everything must come to rest as the contract says."""
        cluster = self._cluster
        if cluster is None:
            return
        try:
            faults.heal_all(cluster)
            cluster.wait_healthy(HEALING_SECONDS)
            audits.audit_settled(cluster)
        except (Timeout, CommandFailed, AssertionError, psycopg.Error):
            self._wanted = None
            raise

    def spoil(self) -> None:
        """Have the next test begin with a new cluster."""
        self._wanted = None

    def discard(self) -> None:
        """Take the cluster down."""
        if self._cluster is not None:
            self._cluster.down()
        self._cluster = self._wanted = None


def forget_failures(cluster: Cluster) -> None:
    """Clean up what former tests left on record, and wait until Pacemaker has digested that."""
    if cluster.status().failures:
        cluster.cleanup()
        cluster.wait_for(lambda: not cluster.status().failures, within=30, what="failures to be forgotten")
        cluster.wait_healthy(HEALING_SECONDS)
