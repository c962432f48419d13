"""Watches: every change to a key or a range from some revision on, once, in order, whole transactions.

Nothing is queued for a watcher. A watch is a place in the history and a *credit*: how many answers it may
still get before its client asks again. It is one of these:

- *ahead*: what it wants comes after a revision that this node has not reached;
- *behind*: it reads the history at its own pace, a bounded part each turn, and is told ``COMPACTED`` if what
  it wants next is kept no longer (PITFALLS 37);
- *synced*: it has read up to the present, and is found by key when something changes;
- *stalled*: without credit it keeps its place and is in none of the tables, until its client renews it.

An answer says what it covers: everything after ``after`` up to its revision. So a client that misses one
knows it, and asks anew from where it is, here or at another node. An answer without events (progress)
obeys the same rule, and cannot run ahead of events.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from raftkv.actors.messages import (
    ReadServed,
    Tick,
    WatchRequest,
    refusal,
)
from raftkv.actors.snapshot_messages import (
    StateSwapped,
)
from raftkv.actors.system import Context
from raftkv.actors.watched import Watch, WatchIndex
from raftkv.kv import KEY_BYTES_MAX, Code, Event, StateMachine
from raftkv.wire.client import Kind

WATCHES_MAX = 20_000
CREDIT_MAX = 256
EVENTS_A_TURN_MAX = 8192
"""Looked at in one turn, for those that keep up and again for those that do not."""
LOOKS_A_TURN_MAX = 40_000
"""An event at a watch each, of those that keep up: some ten milliseconds."""
BYTES_A_TURN_MAX = 8 << 20
PROGRESSES_A_TICK_MAX = 2000
EVENTS_A_LOOK = 1024
ANSWER_BYTES_SOFT_MAX = 256 << 10
PROGRESS_SECONDS = 5.0
PROGRESS_REVISIONS = 20_000
"""A watch that nothing happens to learns so often how far it has come, so that it may resume there."""
AHEAD_SLACK = 1024
ABANDONED_SECONDS = 60.0
"""Without a word of its client, who renews it three times as often."""

_Key = tuple[bytes, int]


class _GoOn:
    """A timer went off: a turn has left something undone."""


class WatchActor:
    def __init__(self, context: Context, machine: Callable[[], StateMachine]) -> None:
        """``machine`` gives the one of this moment: a snapshot may put another in its place."""
        self._context = context
        self._machine = machine
        self._watches: dict[_Key, Watch] = {}
        self._synced: dict[Watch, None] = {}
        self._index = WatchIndex()
        self._behind: OrderedDict[Watch, None] = OrderedDict()
        """Whose turn is next first."""
        self._ahead: list[tuple[int, int, Watch]] = []
        """(revision, order, watch): what they want lies after a revision that this node has not reached."""
        self._order = 0
        history = machine().history
        self._seen = history.next_number
        """Synced watches have been told of all events before this one."""
        self._seen_done = machine().revision
        self._going_on = False
        self._replies: list[tuple[bytes, Any, int]] = []
        self._bytes_left = BYTES_A_TURN_MAX
        context.set_timer("watches", PROGRESS_SECONDS / 5, Tick())

    def __len__(self) -> int:
        return len(self._watches)

    def handle(self, message: Any) -> None:
        match message:
            case WatchRequest():
                self._on_request(message.identity, message.request)
            case StateSwapped():
                self._on_swapped()
            case Tick():
                self._on_tick()
            case _GoOn():
                self._going_on = False
            case _:
                raise AssertionError(f"watches got {message}")

    def end_of_turn(self) -> None:
        machine = self._machine()
        self._bytes_left = BYTES_A_TURN_MAX
        if self._watches:
            self._work(machine)
        else:
            self._seen, self._seen_done = machine.history.next_number, machine.revision
        if self._replies:
            replies, self._replies = self._replies, []
            self._context.send("gateway", ReadServed(replies, 0))

    def _work(self, machine: StateMachine) -> None:
        while self._ahead and self._ahead[0][0] <= machine.revision:
            watch = heapq.heappop(self._ahead)[2]
            if self._is_held(watch):
                self._place(watch, watch.done)
        if self._seen != machine.history.next_number:
            self._tell_synced()
        self._catch_up()
        if (self._behind or self._seen != machine.history.next_number) and not self._going_on:
            self._going_on = True
            self._context.set_timer("watches", 0.0, _GoOn())

    # -- who watches

    def _on_request(self, identity: bytes, request: Any) -> None:
        if request[1] == Kind.UNWATCH:
            watch = self._watches.get((identity, request[2]))
            if watch:
                self._forget(watch)
            return
        request_id, _, start, end, after, flags, credit = request
        watch = self._watches.get((identity, request_id))
        if watch is None:
            if len(self._watches) >= WATCHES_MAX:
                self._replies.append((identity, refusal(request_id, Code.BUSY), 0))
                return
            if max(len(start), len(end)) > KEY_BYTES_MAX + 1:
                self._replies.append(
                    (identity, refusal(request_id, Code.INVALID, "a key that is too long"), 0)
                )
                return
            watch = Watch(identity, request_id, start, end, max(0, after), flags)
            self._watches[identity, request_id] = watch
            watch.credit = max(0, min(credit, CREDIT_MAX))
            watch.told_at = self._context.now()
            self._begin(watch)
        else:
            stalled = not watch.credit
            watch.credit = max(0, min(credit, CREDIT_MAX))
            if after != watch.done and watch.credit:
                # It lacks what is still on its way, or what was lost: where this watch stands tells which.
                self._tell(watch, [], 0, watch.done, watch.offset)
            if watch in self._synced:
                if not watch.credit:
                    self._fall_behind(watch, self._seen)
            elif stalled and watch.credit and watch.placed:
                self._behind[watch] = None
        watch.asked_at = self._context.now()

    def _begin(self, watch: Watch) -> None:
        watch.placed = False
        if watch.done > self._machine().revision:
            if len(self._ahead) > 2 * len(self._watches) + AHEAD_SLACK:
                self._let_go_ahead()
            self._order += 1
            heapq.heappush(self._ahead, (watch.done, self._order, watch))
        else:
            self._place(watch, watch.done)

    def _let_go_ahead(self) -> None:
        """Of watches that were given up, which would stay until what they waited for has come."""
        self._ahead = [entry for entry in self._ahead if self._is_held(entry[2])]
        heapq.heapify(self._ahead)

    def _is_held(self, watch: Watch) -> bool:
        return self._watches.get((watch.identity, watch.request_id)) is watch

    def _place(self, watch: Watch, covered: int) -> None:
        """Find its place in the history, or say that it is lost: up to ``covered`` it has missed nothing."""
        history = self._machine().history
        if covered < history.compacted:
            self._end(watch)
            return
        watch.number, watch.offset, watch.placed = history.number_after(covered), 0, True
        self._behind[watch] = None

    def _forget(self, watch: Watch) -> None:
        del self._watches[watch.identity, watch.request_id]
        if watch in self._synced:
            del self._synced[watch]
            self._index.remove(watch)
        self._behind.pop(watch, None)
        watch.credit = 0  # whoever still holds it lets go of it

    def _end(self, watch: Watch) -> None:
        reply = refusal(watch.request_id, Code.COMPACTED, self._machine().history.compacted)
        self._replies.append((watch.identity, reply, 0))
        self._forget(watch)

    def _on_swapped(self) -> None:
        """Another state, whose events are numbered anew. What a client has it has by revisions."""
        machine, synced, covered = self._machine(), self._synced, self._seen_done
        self._seen, self._seen_done = machine.history.next_number, machine.revision
        self._behind.clear()
        self._ahead.clear()
        self._synced, self._index = {}, WatchIndex()
        for watch in list(self._watches.values()):
            if watch in synced and covered <= machine.revision:
                self._place(watch, covered)
            else:
                self._begin(watch)

    def _on_tick(self) -> None:
        now, left = self._context.now(), PROGRESSES_A_TICK_MAX
        self._context.set_timer("watches", PROGRESS_SECONDS / 5, Tick())
        for watch in list(self._watches.values()):
            if now - watch.asked_at >= ABANDONED_SECONDS:
                self._forget(watch)
            elif left and watch in self._synced and watch.credit > 1 and watch.done != self._seen_done:
                revisions = self._seen_done - watch.done
                if now - watch.told_at >= PROGRESS_SECONDS or revisions >= PROGRESS_REVISIONS:
                    left -= 1
                    self._tell(watch, [], 0, self._seen_done, 0)

    # -- those that keep up

    def _tell_synced(self) -> None:
        history = self._machine().history
        touched: dict[Watch, tuple[int, list[Event]]] = {}
        events = history.replay(self._seen, EVENTS_A_TURN_MAX)
        looks = LOOKS_A_TURN_MAX
        for number, event in enumerate(events if self._synced else (), start=self._seen):
            looks -= self._index.lengths  # each is looked up, whether or not anybody is there
            for watch in self._index.find(event[0]):
                looks -= 1
                if watch.wants(event):
                    known = touched.get(watch)
                    if known is None:
                        touched[watch] = known = (number, [])
                    known[1].append(event)
            if looks <= 0:
                events = events[: number + 1 - self._seen]  # the rest is for the next turn
                break
        self._seen += len(events)
        if not events:  # forgotten before anybody here has looked: whoever was synced has lost its place
            covered = self._seen_done
            self._seen, self._seen_done = history.next_number, self._machine().revision
            for watch in list(self._synced):
                self._fall_behind(watch, self._seen)
                self._place(watch, covered)
            return
        cut = self._cut(self._seen)
        last = events[-1][1][2]
        self._seen_done = last - 1 if cut else last
        for watch, (number, found) in touched.items():
            size = sum(watch.size(event) for event in found)
            if size > ANSWER_BYTES_SOFT_MAX or cut or self._bytes_left <= 0:
                self._fall_behind(watch, number)
                self._behind[watch] = None
                continue
            self._tell(watch, found, size, self._seen_done, 0)
            if not watch.credit:
                self._fall_behind(watch, self._seen)

    def _cut(self, number: int) -> bool:
        """Whether the events before and at ``number`` are of one revision."""
        around = self._machine().history.replay(number - 1, 2)
        return len(around) == 2 and around[0][1][2] == around[1][1][2]

    def _fall_behind(self, watch: Watch, number: int) -> None:
        del self._synced[watch]
        self._index.remove(watch)
        watch.number = number

    # -- those that do not

    def _catch_up(self) -> None:
        left = EVENTS_A_TURN_MAX
        while self._behind and left > 0 and self._bytes_left > 0:
            watch, _ = self._behind.popitem(last=False)
            if watch.credit:
                looked = self._read_on(watch)
                left = 0 if looked is None else left - looked
                if watch.credit and watch not in self._synced:
                    self._behind[watch] = None

    def _read_on(self, watch: Watch) -> int | None:
        """How many events were looked at, at least one counts; None: there is nothing to read before the next
        turn."""
        history = self._machine().history
        if watch.number > self._seen:
            return None  # until those that keep up have come so far
        if watch.number == self._seen:
            if watch.offset or self._cut(self._seen):
                return None  # the rest of the revision is for the next turn
            self._synced[watch] = None
            self._index.add(watch)
            return 1
        if watch.number < history.first_number:
            self._end(watch)
            return 1
        found: list[Event] = []
        looked = size = 0
        for event in history.replay(watch.number, min(EVENTS_A_LOOK, self._seen - watch.number)):
            looked += 1
            if watch.wants(event):
                found.append(event)
                size += watch.size(event)
                if size >= ANSWER_BYTES_SOFT_MAX:
                    break
        last = history.replay(watch.number + looked - 1, 1)[0][1][2]
        watch.number += looked
        cut = self._cut(watch.number)
        if found or (watch.offset and not cut):
            offset = history.offset_in_revision(watch.number) if cut else 0
            self._tell(watch, found, size, max(watch.done, last - 1) if cut else last, offset)
        return looked

    def _tell(self, watch: Watch, events: list[Event], size: int, upto: int, offset: int) -> None:
        detail = (watch.done, watch.offset, offset, [watch.row(event) for event in events])
        self._replies.append((watch.identity, (watch.request_id, Code.OK, upto, detail), size))
        self._bytes_left -= size
        watch.done, watch.offset = upto, offset
        watch.credit -= 1
        watch.told_at = self._context.now()
