"""A client that speaks with one node only, whoever leads: as one that is cut off together with it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from raftkv.client import Client, requests
from raftkv.client.types import Entry, PutResult

if TYPE_CHECKING:
    from concurrent.futures import Future


class NodeClient:
    """Requests end at the client's deadline. Close the client before the network is mended: a write that is
    open would be sent again."""

    def __init__(self, client: Client, endpoint: str) -> None:
        self._client = client
        self._endpoint = endpoint

    def put(self, key: str, value: str) -> Future[PutResult]:
        return self._client.submit(replace(requests.put(key, value), target=self._endpoint))

    def get(self, key: str) -> Future[Entry | None]:
        """Linearizable."""
        return self._client.submit(replace(requests.get(key), target=self._endpoint))

    def stale_get(self, key: str) -> Entry | None:
        """The node's own state."""
        request = replace(requests.get(key, stale=True), target=self._endpoint)
        return self._client.submit(request).result()
