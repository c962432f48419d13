"""Real clusters for the tests of other projects, which the tests may break.

    >>> from raftkv.testing import LocalCluster
    >>> with LocalCluster(3) as cluster:
    ...     client = cluster.client()
    ...     _ = client.put("k", "v")
    ...     cluster.kill(cluster.leader())
    ...     client.get("k").value
    b'v'

With pytest the fixtures ``raftkv_cluster`` and ``raftkv_client`` are there without being imported.
"""

from raftkv.testing.cluster import LocalCluster

__all__ = ["LocalCluster"]
