"""The pytest plugin: ``raftkv_cluster`` and ``raftkv_client``.

One cluster serves a whole test session, as it takes a second to start. Each test finds it healed and empty,
and may break it. ``raftkv_nodes`` in pytest's configuration says how many nodes it has, ``raftkv_scope``
how long it lives: an idle one still takes a tenth of a core.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from raftkv.client import Client
    from raftkv.testing.cluster import LocalCluster

READY_SECONDS = 30.0
SCOPES = ("session", "package", "module")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini("raftkv_nodes", "how many nodes the cluster of the raftkv fixtures has", default="3")
    parser.addini("raftkv_scope", "how long it lives: session, package or module", default="session")


def _scope(fixture_name: str, config: pytest.Config) -> str:
    del fixture_name
    return str(config.getini("raftkv_scope"))


def pytest_configure(config: pytest.Config) -> None:
    from raftkv.config import NODES_MAX

    scope, nodes = str(config.getini("raftkv_scope")), str(config.getini("raftkv_nodes"))
    if scope not in SCOPES:
        raise pytest.UsageError(f"raftkv_scope: expected one of {', '.join(SCOPES)}, found {scope!r}")
    if not nodes.isdecimal() or not 1 <= int(nodes) <= NODES_MAX:
        raise pytest.UsageError(f"raftkv_nodes: expected a number from 1 to {NODES_MAX}, found {nodes!r}")


@pytest.fixture(scope=_scope)  # type: ignore[arg-type]  # of a narrower type than any text from a file
def raftkv_shared_cluster(request: pytest.FixtureRequest) -> Iterator[LocalCluster]:
    """The cluster as the last test has left it."""
    from raftkv.testing.cluster import LocalCluster

    with LocalCluster(int(request.config.getini("raftkv_nodes"))) as cluster:
        yield cluster


@pytest.fixture
def raftkv_cluster(raftkv_shared_cluster: LocalCluster) -> Iterator[LocalCluster]:
    """A running cluster without faults, keys or leases, which the test may break. Clients that the test has
    made with it are closed after it."""
    from raftkv.client import Client
    from raftkv.errors import LeaseNotFound

    cluster = raftkv_shared_cluster
    cluster.heal()
    cluster.wait_until_healthy()
    with Client(cluster.endpoints, READY_SECONDS) as client:
        for lease in client.leases():
            with suppress(LeaseNotFound):  # it may end by itself just now
                client.revoke(lease.id)
        client.delete_prefix("")
    of_others = cluster.clients
    yield cluster
    cluster.close_clients(but=of_others)


@pytest.fixture
def raftkv_client(raftkv_cluster: LocalCluster) -> Iterator[Client]:
    """A client of ``raftkv_cluster``, closed after the test."""
    from raftkv.client import Client

    with Client(raftkv_cluster.endpoints, READY_SECONDS) as client:
        yield client
