"""Frames between a client and a node. ``docs/protocol.md`` tells the same story for other languages.

Request frame ``[version, cluster or nil, [request, …]]``, request ``[request id, kind, …]``:

=====  ======  =======================================================================
kind   name    fields
=====  ======  =======================================================================
0      HELLO
1      WRITE   client id, sequence, command (bytes, see ``kv.commands``)
2      GET     key, revision, stale
3      RANGE   start, end, limit, reverse, keys only, count only, revision, stale
4      WATCH   start, end, after (revision), flags, credit: answered many times
5      UNWATCH request id of the watch: not answered
6      LEASES  lease id (0: all), stale
=====  ======  =======================================================================

Response frame ``[version, [response, …]]``, response ``[request id, code, revision, detail]``; codes
are ``kv.commands.Code``. Many requests may travel in one frame and their responses in others, in
any order. A watch is answered until its credit is used up, each time with ``[after, offset, next offset,
[event, …]]`` and the revision up to which that tells everything: see ``actors.watches``.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum, IntFlag
from typing import Any, NamedTuple

from raftkv.config import is_endpoint
from raftkv.errors import WireError
from raftkv.types import new
from raftkv.wire.packing import REQUEST_BYTES_MAX, expect, expect_version, pack, unpack

VERSION = 1
REQUESTS_PER_FRAME_MAX = 4096
FRAME_SLACK_BYTES = 64 << 10
"""Room for a frame's own bytes around one request of the largest size."""
RESPONSE_BYTES_MAX = 64 << 20
"""What a client accepts: a turn's worth of answers to it."""


class Kind(IntEnum):
    HELLO = 0
    WRITE = 1
    GET = 2
    RANGE = 3
    WATCH = 4
    UNWATCH = 5
    LEASES = 6


class WatchFlag(IntFlag):
    BEFORE = 1
    """Events say what was there before."""
    NO_PUTS = 2
    NO_DELETES = 4


Request = tuple[Any, ...]
"""``(request id, kind, …fields)``: a plain tuple, as tens of thousands a second are decoded."""


Reply = tuple[int, int, int, Any]
"""The fields of a ``Response`` as a node writes them: a plain tuple, for the same reason."""


class Response(NamedTuple):
    request_id: int
    code: int
    revision: int
    detail: Any


_RESPONSE_FIELDS = len(Response._fields)


class HelloDetail(NamedTuple):
    """What a node tells a client of itself and of its cluster. Terms and indexes as it knows them."""

    cluster: str
    node: str
    role: str
    term: int
    leader: str | None
    commit_index: int
    nodes: tuple[tuple[str, str, str, str], ...]
    """(name, client endpoint, control endpoint, status endpoint) of every node."""
    boot: int = 0
    """Drawn anew at every start of the node."""


_GET, _LEASES = Kind.GET.value, Kind.LEASES.value
_TYPES: dict[int, tuple[type, ...]] = {
    Kind.HELLO: (int, int),
    Kind.WRITE: (int, int, int, int, bytes),
    Kind.GET: (int, int, bytes, int, bool),
    Kind.RANGE: (int, int, bytes, bytes, int, bool, bool, bool, int, bool),
    Kind.WATCH: (int, int, bytes, bytes, int, int, int),
    Kind.UNWATCH: (int, int, int),
    Kind.LEASES: (int, int, int, bool),
}
"""By kind: the types of all fields of a request."""


PLACE_BYTES = 1024


def places_of(request: Request) -> int:
    """How many places a read takes among those that wait: one, and one for each KiB of what it names."""
    kind = request[1]
    if kind == _GET:
        return 1 + len(request[2]) // PLACE_BYTES
    return 1 if kind == _LEASES else 1 + (len(request[2]) + len(request[3])) // PLACE_BYTES


def is_stale(request: Request) -> bool:
    """Whether a read takes what the node has."""
    stale: bool = request[-1]
    return stale


def revision_of(request: Request) -> int:
    """The revision that a read is of; 0: the present one."""
    revision: int = request[-2]
    return 0 if request[1] == _LEASES else revision


def encode_requests(cluster: str | None, requests: Sequence[Request]) -> bytes:
    return pack((VERSION, cluster, requests))


def decode_requests(data: bytes) -> tuple[str | None, tuple[Request, ...]]:
    """The cluster named (or None) and the requests, each checked for shape."""
    content = unpack(data, REQUEST_BYTES_MAX + FRAME_SLACK_BYTES)
    expect(type(content) is tuple and len(content) > 0, "no request frame")
    expect_version(content[0], VERSION, "client")  # before anything that may differ between versions
    expect(len(content) == 3, "no request frame")
    _, cluster, requests = content
    expect(cluster is None or type(cluster) is str, "no request frame")
    expect(type(requests) is tuple and len(requests) <= REQUESTS_PER_FRAME_MAX, "no request frame")
    for request in requests:
        # By tens of thousands a second: no message is composed before something is wrong.
        kind = request[1] if type(request) is tuple and len(request) > 1 else None
        if type(kind) is not int or tuple(map(type, request)) != _TYPES.get(kind):
            raise WireError("no request: unknown kind or wrong fields")
    return cluster, requests


def encode_responses(responses: Sequence[Reply]) -> bytes:
    return pack((VERSION, responses))


def decode_responses(data: bytes) -> list[Response]:
    content = unpack(data, RESPONSE_BYTES_MAX)
    expect(type(content) is tuple and len(content) > 0, "no response frame")
    expect_version(content[0], VERSION, "client")
    expect(len(content) == 2, "no response frame")
    _, responses = content
    expect(type(responses) is tuple, "no response frame")
    for response in responses:
        if (
            type(response) is not tuple
            or len(response) != _RESPONSE_FIELDS
            or not type(response[0]) is type(response[1]) is int
        ):
            raise WireError("no response")
    return [new(Response, response) for response in responses]


def decode_hello(detail: Any) -> HelloDetail:
    try:
        hello = HelloDetail(*detail)
        shape = tuple(map(type, (hello.cluster, hello.term, hello.commit_index, hello.nodes, hello.boot)))
        expect(shape == (str, int, int, tuple, int), "no hello")
        expect(hello.leader is None or type(hello.leader) is str, "no hello")
        for node in hello.nodes:
            expect(tuple(map(type, node)) == (str, str, str, str), "no hello")
            expect(all(map(is_endpoint, node[1:])), "no hello")
        return hello
    except TypeError as error:
        raise WireError("no hello") from error
