"""The watch actor against an obvious twin: a list of all events."""

from __future__ import annotations

import random
from collections import deque
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raftkv.actors import watches as module
from raftkv.actors.messages import ReadServed, Tick, WatchRequest
from raftkv.actors.snapshot_messages import StateSwapped
from raftkv.actors.watches import ABANDONED_SECONDS, WatchActor
from raftkv.client.types import Event
from raftkv.client.watching import Watch
from raftkv.kv import Code, Op, Restoration, StateMachine, prefix_end
from raftkv.kv.transactions import Step
from raftkv.sim.tenants import Observer
from raftkv.wire.client import Kind, Response, WatchFlag
from tests.kv.support import Client
from tests.support.world import World

KEYS = [b"a", b"aa", b"ab", b"b", b"c"]


class Context:
    """Keeps what is sent and the timers; ``fire`` lets them go off."""

    def __init__(self) -> None:
        self.random = random.Random(1)
        self.time = 0.0
        self.replies: deque[Any] = deque()
        self.timers: list[tuple[float, Any]] = []

    def now(self) -> float:
        return self.time

    def fresh_now(self) -> float:
        return self.time

    def lease_now(self) -> float:
        return self.time

    def send(self, to: str, message: Any) -> None:
        assert to == "gateway"
        assert isinstance(message, ReadServed)
        assert message.places == 0
        self.replies.extend(message.replies)

    def true_now(self) -> float:
        return self.now()

    def set_true_timer(self, to: str, delay: float, message: Any) -> None:
        self.set_timer(to, delay, message)

    def set_timer(self, to: str, delay: float, message: Any) -> None:
        assert to == "watches"
        self.timers.append((self.time + delay, message))


class Stage:
    """One state machine, one watch actor, and clients that keep watches as the library does."""

    def __init__(self) -> None:
        self.context = Context()
        self.machine = StateMachine()
        self.writer = Client(self.machine)
        self.actor = WatchActor(self.context, lambda: self.machine)
        self.told: dict[int, list[Event]] = {}
        self.watches: dict[int, Watch] = {}
        self.compacted: dict[int, int] = {}
        self.all: list[tuple[int, bytes, bytes | None]] = []
        self.request_id = 0

    def do(self, *operation: Any) -> None:
        history = self.machine.history
        first = history.next_number
        self.writer.do(*operation)
        self.all += [
            (item.mod_revision, key, item.value if item.version else None)
            for key, item, _ in history.replay(first, 1000)
        ]

    def turn(self) -> None:
        self.actor.end_of_turn()

    def tick(self, seconds: float = 0.0) -> None:
        """Let time pass, and everything that is due by then happen."""
        self.context.time += seconds
        due = [message for when, message in self.context.timers if when <= self.context.time]
        self.context.timers = [timer for timer in self.context.timers if timer[0] > self.context.time]
        for message in due:
            self.actor.handle(message)
        self.turn()

    def begin(self, start: bytes, end: bytes, after: int, credit: int, flags: int = 0) -> int:
        self.request_id += 1
        number = self.request_id
        self.watches[number] = Watch(start, end, after, flags, lambda *_: None, lambda _: None)
        self.told[number] = []
        self.request(number, credit)
        return number

    def request(self, number: int, credit: int) -> None:
        watch = self.watches[number]
        request = (number, Kind.WATCH, watch.start, watch.end, watch.revision, watch.flags, credit)
        self.actor.handle(WatchRequest(b"me", request))

    def anew(self, number: int, credit: int) -> int:
        """As a client that has missed something: the same watch under another id."""
        self.actor.handle(WatchRequest(b"me", (0, Kind.UNWATCH, number)))
        self.request_id += 1
        again = self.request_id
        watch = self.watches[again] = self.watches.pop(number)
        self.told[again] = self.told.pop(number)
        watch.restart()
        self.request(again, credit)
        return again

    def read(self, lose: random.Random | None = None) -> set[int]:
        """Take what has arrived; the watches that have missed something."""
        missed = set()
        while self.context.replies:
            identity, reply, _ = self.context.replies.popleft()
            assert identity == b"me"
            response = Response(*reply)
            number = response.request_id
            if number not in self.watches or number in missed:
                continue
            if lose is not None and lose.random() < 0.2:
                continue
            if response.code == Code.COMPACTED:
                self.compacted[number] = response.detail
                continue
            assert response.code == Code.OK
            events = self.watches[number].take(response)
            if events is None:
                missed.add(number)
            else:
                self.told[number] += events
        return missed

    def expected(self, number: int, after: int) -> list[tuple[int, bytes, bytes | None]]:
        watch = self.watches[number]
        return [
            event
            for event in self.all
            if after < event[0] <= watch.revision
            and watch.start <= event[1]
            and (event[1] < watch.end or not watch.end)
        ]

    def heard(self, number: int) -> list[tuple[int, bytes, bytes | None]]:
        return [
            (event.mod_revision, event.key, event.value if event.version else None)
            for event in self.told[number]
        ]


ranges = st.sampled_from(
    [(b"a", b"a\0"), (b"a", b"b"), (b"", b""), (b"aa", b"b"), (b"ab", b"ab\0"), (b"c", b"")]
)
actions = st.one_of(
    st.tuples(st.just("put"), st.sampled_from(KEYS)),
    st.tuples(st.just("delete"), st.sampled_from(KEYS)),
    st.tuples(st.just("txn"), st.lists(st.sampled_from(KEYS), min_size=1, max_size=5, unique=True)),
    st.tuples(st.just("turn")),
    st.tuples(st.just("read")),
    st.tuples(st.just("tick"), st.sampled_from([0.0, 1.0, 6.0])),
    st.tuples(st.just("watch"), ranges, st.integers(0, 12), st.integers(1, 3)),
    st.tuples(st.just("renew"), st.integers(1, 3)),
    st.tuples(st.just("swap")),
    st.tuples(st.just("compact"), st.integers(1, 12)),
)


beginnings = st.tuples(st.just("watch"), ranges, st.integers(0, 3), st.integers(1, 3))


@given(
    st.lists(beginnings, min_size=1, max_size=3),
    st.lists(actions, min_size=15, max_size=60),
    st.randoms(use_true_random=False),
    st.booleans(),
)
@settings(max_examples=400, deadline=None)
def test_every_event_comes_once_in_order_whatever_is_lost(
    first: list[Any], steps: list[Any], rng: random.Random, lossy: bool
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        # So small that a transaction of a few keys is cut into pieces.
        patch.setattr(module, "EVENTS_A_TURN_MAX", 4)
        patch.setattr(module, "EVENTS_A_LOOK", 2)
        patch.setattr(module, "ANSWER_BYTES_SOFT_MAX", 150)
        _play([*first, *steps], rng, lossy)


def _play(steps: list[Any], rng: random.Random, lossy: bool) -> None:
    stage = Stage()
    begun: dict[int, int] = {}
    for step in steps:
        match step:
            case ("put", key):
                stage.do(Op.PUT, key, b"v")
            case ("delete", key):
                stage.do(Op.DELETE, key)
            case ("txn", keys):
                stage.do(Op.TXN, (), [(Step.PUT, key, b"t", 0) for key in keys], ())
            case ("turn",):
                stage.turn()
            case ("tick", seconds):
                stage.tick(seconds)
            case ("read",):
                for number in stage.read(rng if lossy else None):
                    begun[stage.anew(number, 3)] = begun.pop(number)
            case ("watch", (start, end), after, credit):
                begun[stage.begin(start, end, after, credit)] = after
            case ("renew", credit):
                for number in begun:
                    stage.request(number, credit)
            case ("swap",):
                stage.machine = _copied(stage.machine)
                stage.writer.machine = stage.machine
                stage.actor.handle(StateSwapped())
            case ("compact", revision):
                if revision <= stage.machine.revision:
                    stage.do(Op.COMPACT, revision)
                    stage.machine.history.tidy()
    for _ in range(200):
        for number in stage.read():
            begun[stage.anew(number, 3)] = begun.pop(number)
        for number in begun:
            stage.request(number, 3)
        stage.tick(0.5)
    stage.read()
    for number, after in begun.items():
        if number in stage.compacted:
            assert stage.watches[number].revision < stage.compacted[number]
        elif after <= stage.machine.revision:
            told = stage.heard(number)
            assert told == stage.expected(number, after)
            assert stage.watches[number].revision == stage.machine.revision, "progress comes in the end"


def _copied(machine: StateMachine) -> StateMachine:
    other, capture, last = StateMachine(), machine.begin_capture(), False
    restoration = Restoration(other)
    while not last:
        chunk, last = capture.next_chunk()
        restoration.feed(chunk)
    return other


def test_filters_and_what_was_there_before() -> None:
    stage = Stage()
    puts = stage.begin(b"a", b"b", 0, 9, WatchFlag.NO_DELETES)
    deletes = stage.begin(b"a", b"b", 0, 9, WatchFlag.NO_PUTS | WatchFlag.BEFORE)
    for operation in ((Op.PUT, b"a", b"1"), (Op.PUT, b"a", b"2"), (Op.DELETE, b"a"), (Op.PUT, b"b", b"x")):
        stage.do(*operation)
        stage.turn()
    stage.read()
    assert [event.value for event in stage.told[puts]] == [b"1", b"2"]
    (gone,) = stage.told[deletes]
    assert gone.previous
    assert (gone.previous.value, gone.previous.version) == (b"2", 2)


def test_a_revision_that_lies_ahead_is_waited_for() -> None:
    stage = Stage()
    number = stage.begin(b"a", b"b", 2, 9)
    for value in (b"1", b"2", b"3", b"4"):
        stage.do(Op.PUT, b"a", value)
        stage.turn()
    stage.read()
    assert [event.value for event in stage.told[number]] == [b"3", b"4"]


@pytest.mark.parametrize("credit", [1, 3])
def test_without_credit_nothing_comes_and_nothing_is_missed(credit: int) -> None:
    """With 1 it never keeps up; with 3 it does from the second answer on, until it runs out."""
    stage = Stage()
    number = stage.begin(b"", b"", 0, credit)
    for turn in range(10):
        stage.do(Op.PUT, b"a", b"%d" % turn)
        stage.turn()
        stage.turn()
    assert len(stage.context.replies) == credit, "as many answers as it asked for"
    stage.read()
    stage.request(number, 5)
    stage.turn()
    assert len(stage.context.replies) == 1, "all that was missed in one answer"
    stage.read()
    assert stage.heard(number) == stage.expected(number, 0)


def test_whoever_is_too_late_is_told_so_though_nobody_else_watches() -> None:
    stage = Stage()
    for turn in range(4):
        stage.do(Op.PUT, b"a", b"%d" % turn)
    stage.do(Op.COMPACT, 3)
    number = stage.begin(b"a", b"b", 2, 9)
    stage.turn()
    stage.read()
    assert stage.compacted == {number: 3}
    assert len(stage.actor) == 0


def test_too_many_watches_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WATCHES_MAX", 1)
    stage = Stage()
    stage.begin(b"a", b"b", 0, 9)
    stage.actor.handle(WatchRequest(b"me", (7, Kind.WATCH, b"", b"", 0, 0, 9)))
    stage.turn()
    assert stage.context.replies[0][1][:2] == (7, Code.BUSY)


def test_watches_of_what_is_far_ahead_leave_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begun and given up again and again; their revision may never come."""
    monkeypatch.setattr(module, "AHEAD_SLACK", 10)
    stage = Stage()
    kept = stage.begin(b"a", b"b", 1, 9)
    for _ in range(100):
        stage.actor.handle(WatchRequest(b"me", (7, Kind.WATCH, b"", b"", 1 << 62, 0, 9)))
        stage.actor.handle(WatchRequest(b"me", (8, Kind.UNWATCH, 7)))
        stage.turn()
        assert len(stage.actor._ahead) <= 2 * 2 + 10 + 1
    stage.do(Op.PUT, b"a", b"1")
    stage.do(Op.PUT, b"a", b"2")
    stage.turn()
    stage.read()
    assert [event.value for event in stage.told[kept]] == [b"2"], "the one that is held has its place"


def test_prefixes_of_many_lengths_are_looked_up_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where nobody is found: a turn looks at so much, and the next goes on."""
    monkeypatch.setattr(module, "LOOKS_A_TURN_MAX", 50)
    stage = Stage()
    for length in range(1, 21):
        stage.begin(b"x" * length, prefix_end(b"x" * length), 0, 9)
    stage.turn()
    stage.turn()
    for number in range(10):
        stage.do(Op.PUT, b"y%d" % number, b"")
    before = stage.actor._seen
    stage.turn()
    assert stage.actor._seen - before == 3
    for _ in range(3):
        stage.turn()
    assert stage.actor._seen - before == 10


def test_a_watch_of_a_client_that_is_gone_ends() -> None:
    stage = Stage()
    stage.begin(b"a", b"b", 0, 9)
    stage.begin(prefix_end(b"a"), b"", 0, 9)
    stage.turn()
    for _ in range(int(module.ABANDONED_SECONDS) + 2):
        stage.tick(1.0)
    assert len(stage.actor) == 0
    stage.do(Op.PUT, b"a", b"1")
    stage.turn()
    assert not stage.context.replies


def test_an_unknown_message_is_a_mistake() -> None:
    with pytest.raises(AssertionError, match="watches got"):
        Stage().actor.handle(object())
    Stage().actor.handle(Tick())


@pytest.mark.parametrize("forgotten", [False, True])
def test_a_watch_ahead_of_its_node_waits_for_it_whenever_it_is_renewed(forgotten: bool) -> None:
    """Its client had read nothing for a while when it came here, and reads on before this node is there."""
    stage = Stage()
    for number in range(5):
        stage.do(Op.PUT, b"a", b"%d" % number)
    if forgotten:
        stage.machine.history.compact(4)
        stage.machine.history.tidy(spare=0)
    stage.turn()
    watch = stage.begin(b"", b"", after=8, credit=0)
    stage.turn()
    stage.request(watch, 32)
    stage.turn()
    assert not stage.read()
    assert (stage.heard(watch), stage.compacted) == ([], {})
    for number in range(5, 10):
        stage.do(Op.PUT, b"a", b"%d" % number)
    stage.turn()
    assert not stage.read()
    assert [event[0] for event in stage.heard(watch)] == [9, 10]


def test_nothing_is_told_without_credit_however_it_was_used_up() -> None:
    """The last of it by telling once more where the watch stands."""
    stage = Stage()
    stage.do(Op.PUT, b"a", b"0")
    stage.turn()
    watch = stage.begin(b"", b"", after=1, credit=1)
    stage.turn()
    stage.turn()
    stage.actor.handle(WatchRequest(b"me", (watch, Kind.WATCH, b"", b"", 0, 0, 1)))
    stage.turn()
    stage.context.replies.clear()
    for number in range(5):
        stage.do(Op.PUT, b"a", b"%d" % number)
        stage.turn()
    assert not stage.context.replies
    stage.request(watch, 8)
    stage.turn()
    stage.read()
    assert [event[0] for event in stage.heard(watch)] == [2, 3, 4, 5, 6]


def test_a_watch_that_is_renewed_again_and_again_stands_in_line_once() -> None:
    stage = Stage()
    stage.do(Op.PUT, b"a", b"1")
    number = stage.begin(b"a", b"b", 0, 9)
    for _ in range(100):
        stage.request(number, 0)
        stage.request(number, 9)
    assert len(stage.actor._behind) == 1
    stage.request(number, 9)
    stage.actor.handle(WatchRequest(b"me", (0, Kind.UNWATCH, number)))
    assert len(stage.actor._behind) == 0


def test_a_watch_outlives_a_silence_in_which_a_node_forgets_whoever_does_not_renew() -> None:
    world = World()
    world.await_leader()
    world.run(1.0)
    observer, user = Observer(world.client("observer")), world.user("w")
    for number in range(2):
        user.put("k", str(number))
        world.reach(lambda: user.core.calls_open == 0)
        world.run(2 * ABANDONED_SECONDS if not number else 60.0)
    assert [value for _, _, value in observer.events] == [b"0", b"1"]


def test_a_watch_that_moves_in_the_middle_of_a_revision_is_told_all_of_it_once() -> None:
    watch = Watch(b"", b"", 0, 0, lambda *_: None, lambda _: None)

    def row(key: bytes) -> Any:
        return key, (b"v", 1, 1, 1, 0), None

    assert watch.take(Response(1, 0, 0, (0, 0, 2, [row(b"a"), row(b"b")]))) == []
    watch.restart()
    whole = watch.take(Response(1, 0, 1, (0, 0, 0, [row(b"a"), row(b"b"), row(b"c")])))
    assert whole is not None
    assert [event.key for event in whole] == [b"a", b"b", b"c"]
