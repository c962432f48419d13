"""Everything a client decides, without I/O or clock: whom to ask, when to ask again, what it knows
of the outcome. A shell feeds it frames and the time and sends what it says.

Theory of operation. HELLO tells who leads; requests go there. A node that cannot serve says so and
the request waits for the next HELLO that names a leader. A node that falls silent while requests
are open is not waited for: the others are asked, and the open requests move to the leader they
name. Moving is safe: a write keeps its (client id, sequence) and is applied once however often it
is sent.

What is known of a write, the three outcomes: ``asked`` (sent, not answered) and ``uncertain`` (an
earlier try went unanswered, or was answered with "the leader changed", or was in the log when it was
refused) make a passed deadline *unknown*; otherwise it *did not happen*.
"""

from __future__ import annotations

import heapq
import math
import random
from collections import deque
from collections.abc import KeysView, Sequence

from raftkv.client.answers import final_error
from raftkv.client.calls import ANY_NODE, Call, Session
from raftkv.client.framing import bytes_in
from raftkv.client.keeping import Keeper
from raftkv.client.patience import Patience
from raftkv.client.peers import GREETING, Peer, Peers
from raftkv.client.watching import Watches
from raftkv.errors import (
    ClientError,
    InvalidRequest,
    Unavailable,
    VersionMismatch,
    WireError,
)
from raftkv.kv.commands import Code, encode_flat
from raftkv.kv.limits import SESSION_WINDOW
from raftkv.wire import client as wire
from raftkv.wire.client import HelloDetail, Kind, Request, Response
from raftkv.wire.packing import REQUEST_BYTES_MAX

HELLO_SECONDS_MIN, HELLO_SECONDS = 0.005, 0.05
"""Between two rounds of HELLO while no leader is known or the one asked is silent: short at first, as
a leader that hands over is followed by another within milliseconds, then twice as long each time."""
SILENCE_SECONDS = 0.15
"""Without a word while requests are open, a node counts as silent. A leader under full load answers
something every few milliseconds; the price of being wrong is one HELLO to each node."""
BUSY_SECONDS = 0.02
"""Before a request is sent again that was refused for overload."""
LOOK_SECONDS = 1e-6
"""For each open call, between two looks for those whose time is up: 10 ms with 10,000 of them."""
_OK, _WRITE = Code.OK.value, Kind.WRITE.value
"""Of every write; to name a member of an enum costs as much as a check."""


class ClientCore:
    """Feed ``on_frame`` and ``on_time``; after each, send what ``take_frames`` gives."""

    def __init__(self, endpoints: Sequence[str], rng: random.Random) -> None:
        self._rng = rng
        self._peers = Peers(endpoints)
        self._calls: dict[int, Call] = {}
        self._waiting: dict[int, Call] = {}
        """Calls that wait for a HELLO: for a leader, a node, or a birth index."""
        self._held: dict[Session, deque[Call]] = {}
        """Writes too far ahead of their session's oldest open one; see SESSION_WINDOW."""
        self._now = -1.0
        self._patience = Patience()
        self._retries: list[tuple[float, int, Call]] = []
        self._overdue_at = math.inf
        """No open call's time is up before that."""
        self._last_id = 0
        self._target: str | None = None
        self._hello_due = -1.0
        """When the next round may follow."""
        self._hello_gap = HELLO_SECONDS_MIN
        self.cluster: str | None = None
        self.keeper = Keeper(self)
        self.watches = Watches(self)

    @property
    def calls_open(self) -> int:
        return len(self._calls)

    @property
    def endpoints(self) -> KeysView[str]:
        """Whoever may be sent something."""
        return self._peers.keys()

    def new_session(self) -> Session:
        return Session(self._rng.getrandbits(62), -1.0)

    def renew(self) -> Session:
        """In place of one that has expired. The HELLOs of the past told that one when it was born, and
        that lies before what the cluster has forgotten by now: only a new one will do."""
        return Session(self._rng.getrandbits(62), self._now)

    # -- what the shell feeds in

    def submit(self, call: Call, now: float) -> None:
        self._now = now
        call.request_id = self.next_id()
        call.started = now
        self._calls[call.request_id] = call
        if call.session:
            call.sequence = call.session.begin()
        if call.deadline < self._overdue_at:
            self._overdue_at = call.deadline
        self._dispatch(call, now)

    def on_frame(self, endpoint: str, data: bytes, now: float) -> None:
        peer = self._peers.get(endpoint)
        if peer is None:
            return
        try:
            responses = wire.decode_responses(data)
        except WireError as error:
            # Like silence: whoever talks like this is no node of ours.
            if isinstance(error, VersionMismatch):
                self._peers.note(endpoint, f"{endpoint} speaks {error}: install the same version of raftkv")
            return
        self._now = now
        for response in responses:
            if response.request_id == 0:
                self._on_hello(endpoint, peer, response, now)
                continue
            peer.owing_since = now
            call = self._calls.get(response.request_id)
            # An answer of a node that we have moved away from counts all the same, if it is final.
            if call is not None:
                self._on_response(call, endpoint, response, now)
            else:
                self.watches.on_response(endpoint, response, now)

    def on_refused(self, endpoint: str, why: str, now: float) -> None:
        """A node takes no connection of ours. Where none does, nobody is waited for."""
        self._now = now
        self._peers.refuse(endpoint, why)
        if endpoint == self._target:
            self._target = None  # what is asked next has not been sent there, and what was is asked again
            self._leave(endpoint, now)
        if all(peer.refusal for peer in self._peers.values()):
            self.watches.end_all(self._peers.refused())
            for call in self.calls():
                if call.request_id in self._calls and not call.may_have_happened:
                    self._expire(call)
            self._peers.forget_refusals()  # the next call asks all of them anew

    def note(self, endpoint: str, why: str) -> None:
        """Why nothing can be sent there, to be told where nobody answers; empty: it can."""
        self._peers.note(endpoint, why)

    def on_time(self, now: float) -> None:
        self._now = now
        if now >= self._overdue_at:
            self._end_overdue(now)
        while self._retries and self._retries[0][0] <= now:
            call = heapq.heappop(self._retries)[2]
            if call.request_id in self._calls and call.asked is None:
                self._dispatch(call, now)
        self._release_held(now)
        if self._seeking(now) and now >= self._hello_due:
            self._send_hellos(now)
        self._leave_silent_target(now)
        self._resend(now)
        self.keeper.on_time(now)
        self.watches.on_time(now)

    def next_timer(self, now: float) -> float:
        """When ``on_time`` is due at the latest."""
        due = min(now + (HELLO_SECONDS if self._calls else 1.0), self._overdue_at)
        if self._waiting:
            due = min(due, self._hello_due)
        if self._retries:
            due = min(due, self._retries[0][0])
        return min(due, self.keeper.next_timer(now), self.watches.next_timer(now))

    def calls(self) -> list[Call]:
        """Everything that is open."""
        return list(self._calls.values())

    def abandon(self, why: str) -> None:
        """End every open call and watch now, with what is known of it."""
        self.watches.end_all(Unavailable(why))
        for call in self.calls():
            self._expire(call, why)

    def take_frames(self) -> list[tuple[str, bytes]]:
        """(endpoint, frame) to send now."""
        frames = []
        for endpoint, peer in self._peers.items():
            if peer.to_greet:
                peer.to_greet = False
                frames.append((endpoint, GREETING))
            while peer.outbox:
                frames.append((endpoint, peer.outbox.take_frame(self.cluster)))
        return frames

    # -- what watches need

    def next_id(self) -> int:
        self._last_id += 1
        return self._last_id

    def send(self, endpoint: str, request: Request) -> None:
        self._peers[endpoint].outbox.put(request, bytes_in(request))

    def greet(self, now: float) -> None:
        self._send_hellos(now)

    @property
    def hellos(self) -> dict[str, HelloDetail]:
        """The latest HELLO of each endpoint that answered one."""
        return {endpoint: peer.hello for endpoint, peer in self._peers.items() if peer.hello}

    def heard_lately(self, now: float) -> dict[str, HelloDetail]:
        """As ``hellos``, of those that are not silent."""
        return self._peers.heard_lately(now)

    # -- whom to ask

    def _seeking(self, now: float) -> bool:
        return bool(self._waiting) or self._silent_for(now) >= SILENCE_SECONDS

    def _silent_for(self, now: float) -> float:
        """How long the target has owed an answer; 0 when it owes none."""
        if self._target is None:
            return 0.0
        peer = self._peers[self._target]
        return now - peer.owing_since if peer.calls else 0.0

    def _is_deserted(self, silent: float, now: float) -> bool:
        if self._target is None:
            return False
        return silent >= self._patience.desert(self._peers[self._target].open_bytes, now)

    def _send_hellos(self, now: float) -> None:
        self._hello_due = now + self._hello_gap
        self._hello_gap = min(2 * self._hello_gap, HELLO_SECONDS)
        for peer in self._peers.values():
            peer.to_greet = True

    def _on_hello(self, endpoint: str, peer: Peer, response: Response, now: float) -> None:
        try:
            hello = wire.decode_hello(response.detail)
        except WireError:
            return
        if self.cluster is None:
            self.cluster = hello.cluster
        elif hello.cluster != self.cluster:
            # As silent as if nobody were there: to wait for answers of ours here would be in vain.
            gone = self._peers.hear_stranger(endpoint, hello.cluster, self.cluster, now)
            if gone:
                self.watches.end_all(Unavailable(gone))
            return
        self._peers.hear_ours(endpoint)
        peer.hello, peer.hello_at, peer.owing_since, peer.refusal = hello, now, now, ""
        self.watches.on_hello(now)
        self._dispatch_anywhere(endpoint, now)
        clients = {name: client for name, client, _, _ in hello.nodes}
        self._peers.learn(clients.values(), self._target)
        leader = clients.get(hello.leader or "")
        # A term in which somebody leads is never followed by a lower one, but in a cluster that was made anew
        # where the old one was; a term that a node merely campaigns in may come to nothing.
        newest = max((other.term for other in self.heard_lately(now).values() if other.leader), default=0)
        if leader is None or hello.term < newest:
            return
        silent = self._silent_for(now)
        if self._target is None:
            self._target = leader
        elif leader != self._target and silent >= SILENCE_SECONDS:
            self._move_to(leader, now, leads=True)
        elif leader == self._target and endpoint != leader and self._is_deserted(silent, now):
            self._move_to(endpoint, now, leads=False)
        self._hello_gap = HELLO_SECONDS_MIN
        waiting, self._waiting = self._waiting, {}
        for call in waiting.values():
            self._dispatch(call, now)

    def _dispatch_anywhere(self, endpoint: str, now: float) -> None:
        """Calls that any node may answer need no leader: this one will do."""
        for call in [call for call in self._waiting.values() if call.anywhere]:
            del self._waiting[call.request_id]
            call.target = endpoint
            self._dispatch(call, now)

    def _move_to(self, endpoint: str, now: float, *, leads: bool) -> None:
        """Leave the silent target; what is open there is asked again here. Where this one does not lead, that
        is for want of patience."""
        assert self._target is not None
        left, self._target = self._target, endpoint
        if not leads:
            self._patience.moved()
        self._leave(left, now, tries=not leads)

    def _leave(self, endpoint: str, now: float, tries: int = 0) -> None:
        for call in [call for call in self._peers[endpoint].calls.values() if call.target is None]:
            call.tries += tries
            self._ask_again(call, now)

    def _leave_silent_target(self, now: float) -> None:
        """Where nobody names another leader the target stays; where nobody but us hears it, it goes."""
        if self._is_deserted(self._silent_for(now), now):
            heard_lately = [
                endpoint
                for endpoint, peer in self._peers.items()
                if endpoint != self._target and peer.hello and now - peer.hello_at < SILENCE_SECONDS
            ]
            if heard_lately:
                self._move_to(heard_lately[0], now, leads=False)

    # -- one call

    def _dispatch(self, call: Call, now: float) -> None:
        session = call.session
        if session and call.sequence >= session.oldest + SESSION_WINDOW:
            self._held.setdefault(session, deque()).append(call)
            return
        endpoint = call.target or self._target
        if endpoint is None or call.target == ANY_NODE:
            self._wait_for_hello(call, now)
            return
        request = call.request = call.request or self._make_request(call)
        if request is None:
            self._wait_for_hello(call, now)
            return
        size = bytes_in(request)
        if size <= REQUEST_BYTES_MAX:
            self._peers.ask(endpoint, call, size, now)
        else:
            why = f"the request is larger than {REQUEST_BYTES_MAX:,} bytes"
            # One that went out may be a few bytes longer now, for a higher floor.
            self._finish(call, self._peers.outcome(call, why) if call.uncertain else InvalidRequest(why))

    def _make_request(self, call: Call) -> Request | None:
        session = call.session
        if session is None:
            return (call.request_id, *call.fields)
        if session.born is None:
            known = [
                peer.hello.commit_index
                for peer in self._peers.values()
                if peer.hello and peer.hello_at > session.hello_after
            ]
            if not known:
                return None
            session.born = max(known)
        head = session.client_id, session.born, call.sequence, session.oldest
        command = encode_flat((*head, *call.fields))
        return (call.request_id, _WRITE, session.client_id, call.sequence, command)

    def _wait_for_hello(self, call: Call, now: float) -> None:
        self._peers.take_back(call)
        self._waiting[call.request_id] = call
        if now >= self._hello_due:
            self._send_hellos(now)

    def _on_response(self, call: Call, endpoint: str, response: Response, now: float) -> None:
        code = response.code
        if code == _OK or code == Code.COMPARE_FAILED:
            call.response = response
            self._patience.answered(call, endpoint, now)
            self._finish(call)
        elif error := final_error(code, response.detail):
            self._finish(call, error)
        elif code == Code.SESSION_EXPIRED:
            self._finish(call, call.expired())
        elif call.asked != endpoint:
            return  # a refusal of an earlier try
        elif code == Code.BUSY or code == Code.NO_SPACE:
            self._peers.take_back(call)
            # A second copy of what was in the log may be there, too, behind what makes room for it.
            call.uncertain = call.uncertain or response.detail is not None
            call.request = None  # anew, with what we wait for now: that may be what it was refused for
            full = "the leader's disk stayed full (NOSPACE)"
            call.why = full if code == Code.NO_SPACE else "the cluster stayed overloaded"
            if code == Code.NO_SPACE and call.target is None:
                # Whoever says so may have been the leader once: ask around who is it now.
                self._target = None
            delay = BUSY_SECONDS * (0.5 + self._rng.random())
            heapq.heappush(self._retries, (now + delay, call.request_id, call))
        else:
            call.uncertain = call.uncertain or code == Code.LEADER_CHANGED
            call.why = "the cluster has no leader in time"
            if call.anywhere:
                call.target = ANY_NODE
            elif call.target is None:
                self._target = None
            self._wait_for_hello(call, now)

    def _end_overdue(self, now: float) -> None:
        """Most calls are answered long before their time is up, so a submit only compares it, and here all
        that are open are looked at."""
        for call in self.calls():
            if call.deadline <= now and call.request_id in self._calls:
                self._expire(call)
        earliest = min([call.deadline for call in self._calls.values()], default=math.inf)
        self._overdue_at = max(earliest, now + len(self._calls) * LOOK_SECONDS)

    def _expire(self, call: Call, why: str = "") -> None:
        self._finish(call, self._peers.outcome(call, why))

    def _finish(self, call: Call, error: ClientError | None = None) -> None:
        del self._calls[call.request_id]
        self._waiting.pop(call.request_id, None)
        self._peers.take_back(call)
        if call.session:
            call.session.end(call.sequence)
        call.error = error
        call.done(call)

    def _resend(self, now: float) -> None:
        """What a node has owed for long is asked again: here or, if we have left that node, elsewhere."""
        for call in self._patience.take_overdue(self._peers.values(), now):
            if call.anywhere:
                call.target = ANY_NODE
            call.tries += 1
            self._ask_again(call, now)

    def _ask_again(self, call: Call, now: float) -> None:
        if call.request_id not in self._calls:
            return  # ended by whoever was told of another's end just now
        self._peers.take_back(call)
        call.uncertain = True
        self._dispatch(call, now)

    def _release_held(self, now: float) -> None:
        """Those that the window has come to, however many wait behind them; some may have ended meanwhile."""
        for session, held in list(self._held.items()):
            while held and held[0].sequence < session.oldest + SESSION_WINDOW:
                call = held.popleft()
                if call.request_id in self._calls:
                    self._dispatch(call, now)
            if not held:
                del self._held[session]
