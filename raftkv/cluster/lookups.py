"""What somebody looks up in a running cluster, only while it is looked at: its keys, and the entries of a
node's log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from raftkv.client import Client
from raftkv.cluster.control import ControlClient
from raftkv.errors import RaftkvError, Unavailable, WireError, no_node
from raftkv.keys import Key
from raftkv.kv import prefix_end
from raftkv.observe import LogEntry
from raftkv.wire.status import entry_from_map

CLIENT_SECONDS = 2.0
"""For a read or a write of somebody who waits at the screen."""


class Lookups:
    """Implements ``tui.ports.Lookups``. Every call has its own sockets."""

    def __init__(
        self,
        clients: Sequence[str],
        controls: Mapping[str, str],
        node_seconds: float,
        key: Key | None = None,
    ) -> None:
        """Client endpoints, control endpoints by name (not copied: whoever changes members keeps it up to
        date), how long a node may take to answer."""
        self._clients = clients
        self._controls = controls
        self._node_seconds = node_seconds
        self._key = key

    def meet(self, controls: Mapping[str, str]) -> None:
        """The cluster's nodes are now these, by name with their control endpoints."""
        self._controls = dict(controls)

    def scan(self, prefix: str, limit: int) -> tuple[Sequence[tuple[bytes, bytes, int, int]], int]:
        start = prefix.encode("utf-8")
        with self._client() as client:
            count, revision = client.count(start, prefix_end(start))
            # As of the same revision: the rows and their number belong together.
            found = client.prefix(start, limit=limit, revision=revision) if limit > 0 and count else ()
            rows = [(each.key, each.value, each.version, each.mod_revision) for each in found]
        return rows, count

    def entries(self, node: str, first: int, count: int) -> Sequence[LogEntry]:
        found: list[LogEntry] = []
        end = first + count
        with ControlClient(self._key) as client:
            following: int | None = first
            while following is not None and following < end:
                answer = self._look(client, node, "log", first=following, count=end - following)
                found += [entry_from_map(fields) for fields in answer.get("entries", ())]
                following = answer.get("next")
        return found

    def search(self, node: str, text: str, first: int) -> int | None:
        with ControlClient(self._key) as client:
            following: int | None = first
            while following is not None:
                answer = self._look(client, node, "search", text=text, first=following)
                if answer.get("index") is not None:
                    return int(answer["index"])
                following = answer.get("next")
        return None

    def _look(
        self, client: ControlClient, node: str, verb: str, first: int, **arguments: Any
    ) -> dict[str, Any]:
        """One answer of the node, which looks at a part of its log at a time: ``next`` is where to go on."""
        self._require(node)
        answer = client.ask(self._controls[node], verb, self._node_seconds, first=first, **arguments)
        if not isinstance(answer, dict) or not _makes_sense(answer, first):
            raise WireError(f"node {node} does not answer as this version of raftkv does")
        return answer

    # -- for those who derive

    def _client(self) -> Client:
        return Client(self._clients, timeout=CLIENT_SECONDS, key=self._key)

    def _order(self, node: str, verb: str, **arguments: Any) -> None:
        """Raises ``OutcomeUnknown``, and ``Unavailable`` where nothing happened."""
        self._require(node)
        with ControlClient(self._key) as client:
            try:
                client.order(self._controls[node], verb, self._node_seconds, **arguments)
            except Unavailable:
                raise Unavailable(f"node {node} does not answer") from None

    def _require(self, node: str) -> None:
        if node not in self._controls:
            raise RaftkvError(no_node(node, self._controls))


def _makes_sense(answer: dict[str, Any], first: int) -> bool:
    """Whether a loop over such answers ends, and finds in them what it reads."""
    following, index = answer.get("next"), answer.get("index")
    return (
        (following is None or (type(following) is int and following > first))
        and (index is None or type(index) is int)
        and isinstance(answer.get("entries", ()), tuple | list)
    )
