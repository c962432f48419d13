"""A writer that was forgotten goes on as another."""

from __future__ import annotations

from random import Random

import pytest

from raftkv import clock
from raftkv.client.calls import Call
from raftkv.client.core import ClientCore
from raftkv.client.writer import Writer
from raftkv.errors import SessionExpired, Unavailable
from raftkv.kv import Op
from tests.support.processes import DEADLINE_SECONDS

FIELDS = (Op.PUT, b"k", b"v")


@pytest.fixture
def core() -> ClientCore:
    return ClientCore(["tcp://127.0.0.1:1"], Random(1))


def end(call: Call, error: SessionExpired | Unavailable) -> None:
    call.error = error
    call.done(call)


def test_what_a_forgotten_writer_asked_is_asked_by_its_successor(core: ClientCore) -> None:
    writer, ended = Writer(core), list[Call]()
    now = clock.now()
    first, second = (writer.call(FIELDS, now + DEADLINE_SECONDS, ended.append) for _ in range(2))
    for call in (first, second):
        end(call, SessionExpired("forgotten"))
    again = core.calls()
    assert ended == []
    assert [call.fields for call in again] == [FIELDS, FIELDS]
    (successor,) = {call.session for call in again}
    assert successor is not first.session
    assert writer.call(FIELDS, now, ended.append).session is successor
    end(again[0], Unavailable("no leader"))
    assert ended == [again[0]], "whoever asked hears of the one that was asked last"


def test_what_is_too_late_by_then_is_told_as_it_is(core: ClientCore) -> None:
    writer, ended = Writer(core), list[Call]()
    call = writer.call(FIELDS, clock.now(), ended.append)
    end(call, SessionExpired("forgotten"))
    assert ended == [call]
    assert core.calls() == []
