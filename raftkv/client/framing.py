"""Requests into frames of a size that a node takes."""

from __future__ import annotations

from raftkv.wire.client import Kind, Request, encode_requests
from raftkv.wire.packing import REQUEST_BYTES_MAX

FRAME_REQUESTS_MAX = 1024
FIELDS_BYTES = 32
"""Of a request besides its byte strings, at most."""
_WRITE = Kind.WRITE.value


def bytes_in(request: Request) -> int:
    """Of its keys and values."""
    if request[1] == _WRITE:  # nearly all of them, where it matters
        return len(request[4])
    return sum([len(part) for part in request if type(part) is bytes])


def take_frame(cluster: str | None, outbox: list[Request]) -> bytes:
    """The first requests of ``outbox``, which are taken out of it."""
    count = _count_that_fits(outbox)
    frame = encode_requests(cluster, outbox[:count])
    del outbox[:count]
    return frame


def _count_that_fits(requests: list[Request]) -> int:
    """How many of the first requests one frame holds: at least one, which the server takes alone."""
    size = 0
    for count, request in enumerate(requests[:FRAME_REQUESTS_MAX]):
        size += FIELDS_BYTES + bytes_in(request)
        if count and size > REQUEST_BYTES_MAX:
            return count
    return min(len(requests), FRAME_REQUESTS_MAX)
