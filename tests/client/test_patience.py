"""A slow line between a client and its cluster: what takes long there is not asked again and again."""

from __future__ import annotations

import heapq
import random
from typing import Any

import pytest

from raftkv.client.calls import Call
from raftkv.client.core import ClientCore
from raftkv.client.patience import (
    DESERT_SECONDS,
    DESERT_SECONDS_MAX,
    RESEND_SECONDS,
    RESEND_SECONDS_MAX,
    SLOW_LINE_BYTES,
    SLOW_SECONDS,
    SLOW_SECONDS_MAX,
    Patience,
)
from raftkv.client.peers import Peer
from raftkv.kv.commands import Code, Op
from raftkv.wire.client import HelloDetail, Kind, Request, decode_requests, encode_responses

N1 = "tcp://n1:1"
NODES = {"n1": N1, "n2": "tcp://n2:1", "n3": "tcp://n3:1"}
HELLO = HelloDetail(
    "c", "n2", "follower", 1, "n1", 7, tuple((name, at, at, at) for name, at in NODES.items())
)
ROUND_TRIP = 0.02
STEP = 0.01


class Line:
    """All nodes answer at once, behind one line of so many bytes a second in each direction."""

    def __init__(self, bytes_a_second: float, value_bytes: int = 0) -> None:
        self.core = ClientCore(list(NODES.values()), random.Random(1))
        self.now = 100.0
        self.up = self.down = 0
        """Bytes that it has carried, or is about to."""
        self._rate = bytes_a_second
        self._value = b"v" * value_bytes
        self._free = {"up": self.now, "down": self.now}
        self._arrivals: list[tuple[float, int, str, bytes]] = []
        self._seen: set[tuple[str, int]] = set()

    def run(self, calls: list[Call], seconds: float) -> None:
        end = self.now + seconds
        while self.now < end and any(call.response is None for call in calls):
            self.now += STEP
            while self._arrivals and self._arrivals[0][0] <= self.now:
                _, _, endpoint, frame = heapq.heappop(self._arrivals)
                self.core.on_frame(endpoint, frame, self.now)
            self.core.on_time(self.now)
            for endpoint, frame in self.core.take_frames():
                at = self._carry("up", len(frame), self.now)
                for request in decode_requests(frame)[1]:
                    answer = encode_responses([self._answer(request)])
                    arrival = self._carry("down", len(answer), at) + ROUND_TRIP
                    heapq.heappush(self._arrivals, (arrival, len(self._arrivals), endpoint, answer))

    def _carry(self, way: str, size: int, now: float) -> float:
        self._free[way] = max(self._free[way], now) + size / self._rate
        setattr(self, way, getattr(self, way) + size)
        return self._free[way]

    def _answer(self, request: Request) -> Any:
        if request[1] == Kind.HELLO:
            return (request[0], Code.OK, 7, HELLO)
        detail = (self._value, 1, 1, 1, 0) if request[1] == Kind.GET else None
        return (request[0], Code.OK, 8, detail)


@pytest.mark.parametrize("megabits", [1, 2, 3, 5, 10])
def test_a_large_value_comes_over_a_slow_line(megabits: int) -> None:
    size = 1_000_000
    line = Line(megabits * 125_000, size)
    call = Call((Kind.GET, b"k", 0, False), line.now + 60.0, lambda _: None)
    line.core.submit(call, line.now)
    line.run([call], 60.0)
    assert call.response, call.error
    assert line.down < 6 * size


@pytest.mark.parametrize("megabits", [4, 10, 100])
def test_many_writes_go_over_a_slow_line_a_few_times_at_most(megabits: int) -> None:
    line = Line(megabits * 125_000)
    session = line.core.new_session()
    value = b"v" * 10_000
    calls = [
        Call((Op.PUT, b"k%d" % number, value), line.now + 120.0, lambda _: None, session)
        for number in range(1000)
    ]
    for call in calls:
        line.core.submit(call, line.now)
    line.run(calls, 120.0)
    assert all(call.response for call in calls)
    assert line.up < 4 * len(calls) * len(value)


def test_patience_is_short_but_for_a_while_after_answers_that_took_long() -> None:
    patience, peer, call = Patience(), Peer(), asked(100.0)
    assert (patience.desert(0, 100.0), patience.resend(call, peer, 100.0)) == (DESERT_SECONDS, RESEND_SECONDS)
    patience.answered(call, N1, 101.5)
    assert patience.desert(0, 101.5) == patience.resend(call, peer, 101.5) == SLOW_SECONDS_MAX
    patience.answered(asked(101.5), N1, 101.51)
    assert patience.resend(call, peer, 101.6) == SLOW_SECONDS_MAX, "the slowest counts"
    later = 101.5 + SLOW_SECONDS + 0.1
    assert (patience.desert(0, later), patience.resend(call, peer, later)) == (DESERT_SECONDS, RESEND_SECONDS)


def test_much_takes_longer_within_bounds() -> None:
    patience, peer = Patience(), Peer()
    peer.open_bytes = 3 * SLOW_LINE_BYTES // 2
    assert patience.desert(peer.open_bytes, 100.0) == patience.resend(asked(100.0), peer, 100.0) == 1.5
    assert patience.desert(1 << 30, 100.0) == SLOW_SECONDS_MAX


def test_what_was_waited_by_choice_makes_nobody_more_patient() -> None:
    patience, peer = Patience(), Peer()
    patience.answered(asked(100.0), "tcp://another:1", 105.0)
    assert (patience.desert(0, 105.0), patience.resend(asked(105.0), peer, 105.0)) == (0.6, 1.0)


def test_what_is_in_vain_is_tried_less_and_less_often() -> None:
    patience, peer, call = Patience(), Peer(), asked(100.0)
    waits = []
    for call.tries in range(5):
        waits.append(patience.resend(call, peer, 100.0))
    assert waits == [1.0, 2.0, 4.0, 8.0, RESEND_SECONDS_MAX]
    waits = []
    for _ in range(4):
        waits.append(patience.desert(0, 100.0))
        patience.moved()
    assert waits == pytest.approx([0.6, 1.2, 2.4, DESERT_SECONDS_MAX])
    patience.answered(call, N1, 100.0)
    assert patience.desert(0, 100.0) == DESERT_SECONDS


def test_what_a_later_question_has_overtaken_is_lost_and_asked_for_as_often_as_ever() -> None:
    patience, peer, call = Patience(), Peer(), asked(100.0)
    call.tries = 3
    peer.hello_at = 100.1
    assert patience.resend(call, peer, 100.5) == 8.0, "that one may have been sent before it"
    peer.hello_at = 100.2
    assert patience.resend(call, peer, 100.5) == RESEND_SECONDS


def test_many_open_calls_are_looked_at_now_and_then() -> None:
    patience, peer = Patience(), Peer()
    for number in range(100):
        peer.calls[number] = asked(100.0 + number / 100)
    looks = 0
    for step in range(1300):
        before = patience._overdue_at
        for call in patience.take_overdue([peer], 101.0 + step / 1000):
            del peer.calls[next(number for number, each in peer.calls.items() if each is call)]
        looks += patience._overdue_at != before
    assert not peer.calls
    assert looks <= 14


def asked(sent_at: float) -> Call:
    call = Call((), 5.0, lambda _: None)
    call.asked = call.first_asked = N1
    call.sent_at = sent_at
    return call
