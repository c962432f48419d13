"""One real cluster for all tests of the command line."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.processes import LocalCluster, local_cluster


@pytest.fixture(scope="package")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    with local_cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running
