"""Requests into frames of a size that a node takes."""

from __future__ import annotations

from collections.abc import Iterator

from raftkv.wire.client import Kind, Request, encode_requests
from raftkv.wire.packing import REQUEST_BYTES_MAX

FRAME_REQUESTS_MAX = 1024
FIELDS_BYTES = 32
"""Of a request besides its byte strings, at most."""
_WRITE, _GET = Kind.WRITE.value, Kind.GET.value


def bytes_in(request: Request) -> int:
    """Of its keys and values."""
    kind = request[1]
    if kind == _WRITE:  # nearly all of them, where it matters
        return len(request[4])
    if kind == _GET:
        return len(request[2])
    return sum([len(part) for part in request if type(part) is bytes])


class Outbox:
    """What goes to one endpoint with its next frames."""

    __slots__ = ("_bytes", "_requests")

    def __init__(self) -> None:
        self._requests: list[Request] = []
        self._bytes = 0
        """In their keys and values."""

    def __iter__(self) -> Iterator[Request]:
        return iter(self._requests)

    def __bool__(self) -> bool:
        return bool(self._requests)

    def put(self, request: Request, size: int) -> None:
        """``size``: what ``bytes_in`` says of it."""
        self._requests.append(request)
        self._bytes += size

    def take_frame(self, cluster: str | None) -> bytes:
        """The first requests, which are taken out."""
        taken = self._requests
        if len(taken) <= FRAME_REQUESTS_MAX and self._bytes + FIELDS_BYTES * len(taken) <= REQUEST_BYTES_MAX:
            self._requests, self._bytes = [], 0
        else:
            count = self._count_that_fits()
            taken = taken[:count]
            del self._requests[:count]
            self._bytes -= sum(map(bytes_in, taken))
        return encode_requests(cluster, taken)

    def _count_that_fits(self) -> int:
        """How many of the first requests one frame holds: at least one, which the server takes alone."""
        size = 0
        for count, request in enumerate(self._requests[:FRAME_REQUESTS_MAX]):
            size += FIELDS_BYTES + bytes_in(request)
            if count and size > REQUEST_BYTES_MAX:
                return count
        return min(len(self._requests), FRAME_REQUESTS_MAX)
