"""The nodes that a client knows of, by their client endpoints."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable

from raftkv.client.calls import Call
from raftkv.client.framing import Outbox
from raftkv.errors import AccessRefused, ClientError, OutcomeUnknown, Unavailable, Unreachable
from raftkv.wire.client import HelloDetail, Kind, encode_requests

GREETING = encode_requests(None, ((0, Kind.HELLO),))
"""For whoever is there: the name of a cluster would keep a node of another one from saying so."""
ENDPOINTS_MAX = 32
"""More than three clusters could have. Past this many, members that have gone are dropped."""
NAMED_MAX = 3
"""Endpoints in a message."""
SILENT_SECONDS = 1.5
"""Without a HELLO for so long, nothing that a node has said counts any more."""


class Peer:
    """What is known of one endpoint."""

    __slots__ = (
        "calls",
        "hello",
        "hello_at",
        "open_bytes",
        "outbox",
        "owing_since",
        "refusal",
        "stranger_at",
        "to_greet",
    )

    def __init__(self) -> None:
        self.hello: HelloDetail | None = None
        self.hello_at = -1.0
        self.owing_since = -1.0
        """When it was last heard, or asked what it owes."""
        self.calls: dict[int, Call] = {}
        """That it owes an answer to: those whose ``asked`` it is, in the order of their ``sent_at``."""
        self.open_bytes = 0
        """In the requests of those."""
        self.outbox = Outbox()
        self.to_greet = False
        self.stranger_at = -math.inf
        """When it last said that it is of another cluster."""
        self.refusal = ""
        """Why it takes no connection, since it last said anything else."""


class Peers(dict[str, Peer]):
    """``given`` are those that the client was told of: they stay."""

    def __init__(self, given: Iterable[str]) -> None:
        super().__init__((endpoint, Peer()) for endpoint in given)
        self._given = frozenset(self)
        self._mismatches: dict[str, str] = {}
        """By endpoint: which other version the node there speaks, of which other cluster it is, or what else
        keeps it from being asked."""
        self._alone_since: float | None = None
        """Only strangers have been heard from then on."""

    def __missing__(self, endpoint: str) -> Peer:
        peer = self[endpoint] = Peer()
        return peer

    def ask(self, endpoint: str, call: Call, size: int, now: float) -> None:
        """Send the call's request, of ``size`` bytes, there, and wait for the answer."""
        assert call.request is not None
        assert call.asked is None, "one at a time"
        peer = self[endpoint]
        if not peer.calls:
            peer.owing_since = now
        peer.calls[call.request_id] = call
        peer.outbox.put(call.request, size)
        peer.open_bytes += size
        call.asked, call.sent_at, call.size = endpoint, now, size
        if call.first_asked is None:
            call.first_asked = endpoint

    def take_back(self, call: Call) -> None:
        """Nobody's answer to it is waited for any more, though it may still come."""
        if call.asked is not None:
            peer = self[call.asked]
            del peer.calls[call.request_id]
            peer.open_bytes -= call.size
            call.asked = None

    def refuse(self, endpoint: str, why: str) -> None:
        peer = self[endpoint]
        peer.hello, peer.refusal = None, f"{endpoint} refuses the connection: {why}"

    def forget_refusals(self) -> None:
        for peer in self.values():
            peer.refusal = ""

    def refused(self) -> AccessRefused:
        """Where one has said why."""
        why = next(peer.refusal for peer in self.values() if peer.refusal)
        return AccessRefused(f"{why}; nothing happened")

    def outcome(self, call: Call, why: str = "") -> ClientError:
        """What is known of a call that ends without an answer, because of ``why`` or for want of time."""
        if call.may_have_happened:
            refused = "" if call.asked else call.why  # the last time, and not asked since
            cause = why or refused or "no answer in time"
            return OutcomeUnknown(f"{cause}: the request may or may not have happened{self.mismatch}")
        heard = any(peer.hello for peer in self.values())
        if not (why or heard) and any(peer.refusal for peer in self.values()):
            return self.refused()
        cause = why or call.why or self._silence(call)
        error = Unavailable(f"{cause}: nothing happened{self.mismatch}")
        return error if why or heard or self.mismatch else Unreachable(f"{error}; {self.asked()}")

    def _silence(self, call: Call) -> str:
        """Why nobody has said anything to that call: it waits for a leader, or for an answer."""
        heard = [peer for peer in self.values() if peer.hello_at >= call.started]
        leaders = [peer.hello.leader for peer in heard if peer.hello]
        leaderless = call.asked is None and leaders and not any(leaders)
        return "the cluster has no leader in time" if leaderless else "no node answered in time"

    def asked(self) -> str:
        """Who was, for a message."""
        more = f" and {len(self) - NAMED_MAX} more" if len(self) > NAMED_MAX else ""
        return f"asked {', '.join(list(self)[:NAMED_MAX])}{more}"

    def heard_lately(self, now: float) -> dict[str, HelloDetail]:
        """By endpoint, the last HELLO of those that are not silent."""
        return {
            endpoint: peer.hello
            for endpoint, peer in self.items()
            if peer.hello and now - peer.hello_at < SILENT_SECONDS
        }

    def hear_stranger(self, endpoint: str, cluster: str, ours: str, now: float) -> str:
        """A node of another cluster has answered. What is to be said where that one has taken the place of
        ours, as after a restore: most of those that we were told of are its, and of ours nobody is heard."""
        before = max((peer.stranger_at for peer in self.values()), default=-math.inf)
        self[endpoint].stranger_at = now
        text = f"{endpoint} is of cluster {cluster!r}, and this client was made for {ours!r}"
        self.note(endpoint, text)
        if self.heard_lately(now):
            self._alone_since = None
        elif self._alone_since is None or now - before >= SILENT_SECONDS:
            self._alone_since = now  # what ours have said may not have been read yet
        strangers = [given for given in self._given if now - self[given].stranger_at < SILENT_SECONDS]
        alone = self._alone_since is not None and now - self._alone_since >= SILENT_SECONDS
        return text if alone and 2 * len(strangers) > len(self._given) else ""

    def hear_ours(self, endpoint: str) -> None:
        self._alone_since = None
        self._mismatches.pop(endpoint, None)

    def note(self, endpoint: str, mismatch: str) -> None:
        """Why the node there is of no use; empty: no reason any more."""
        self._mismatches.pop(endpoint, None)
        if mismatch:
            self._mismatches[endpoint] = mismatch

    @property
    def mismatch(self) -> str:
        """The latest, for the end of a message."""
        return f"; {list(self._mismatches.values())[-1]}" if self._mismatches else ""

    def learn(self, endpoints: Collection[str], target: str | None) -> None:
        """A node has said who its cluster's nodes are; ``target`` is who is asked now."""
        for endpoint in endpoints:
            if endpoint not in self:
                self[endpoint] = Peer()
        if len(self) > ENDPOINTS_MAX:
            kept = self._given.union(endpoints, [target or ""])
            for endpoint, peer in list(self.items()):
                if endpoint not in kept and not peer.calls and not peer.outbox:
                    del self[endpoint]
                    self._mismatches.pop(endpoint, None)
