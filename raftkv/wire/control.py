"""Frames between an operator's tool and a node's or the launcher's control socket.

Request ``[version, request id, verb, arguments (a map)]``; response
``[version, request id, ok, body]`` where ``body`` is the result, or one line of text when not ok; in a map
under ``forbidden`` where it is a question of permission.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from raftkv.wire.packing import FRAME_BYTES_MAX, REQUEST_BYTES_MAX, expect, expect_version, pack, unpack

VERSION = 1
FORBIDDEN = "forbidden"
FAULT_SECONDS_MAX = 24 * 3600
"""The longest lifetime of a fault that nodes and launchers take: beyond a day it is no experiment."""


class ControlRequest(NamedTuple):
    request_id: int
    verb: str
    arguments: dict[str, Any]


class ControlResponse(NamedTuple):
    request_id: int
    ok: bool
    body: Any


def encode_request(request: ControlRequest) -> bytes:
    return pack((VERSION, *request))


def decode_request(data: bytes) -> ControlRequest:
    request = ControlRequest(*_decode(data, REQUEST_BYTES_MAX))
    expect(type(request.verb) is str and type(request.arguments) is dict, "no control request")
    expect(all(type(name) is str for name in request.arguments), "no control request")
    return request


def encode_response(response: ControlResponse) -> bytes:
    return pack((VERSION, *response))


def decode_response(data: bytes) -> ControlResponse:
    response = ControlResponse(*_decode(data, FRAME_BYTES_MAX))
    expect(type(response.ok) is bool, "no control response")
    return response


def _decode(data: bytes, bytes_max: int) -> tuple[int, Any, Any]:
    content = unpack(data, bytes_max)
    expect(type(content) is tuple and len(content) == 4, "no control frame")
    version, request_id, third, fourth = content
    expect_version(version, VERSION, "control")
    expect(type(request_id) is int, "no control frame")
    return request_id, third, fourth
