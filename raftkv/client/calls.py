"""A client's identities and its requests, and what is known of each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from raftkv.errors import ClientError, OutcomeUnknown, SessionExpired
from raftkv.wire.client import Request, Response

ANY_NODE = "*"


class Session:
    """One writer's identity: its sequence of writes, each applied exactly once."""

    __slots__ = ("born", "client_id", "hello_after", "last_sequence", "oldest", "waiting")

    def __init__(self, client_id: int, hello_after: float) -> None:
        self.client_id = client_id
        self.hello_after = hello_after
        self.born: int | None = None
        """A commit index known before the first write; set at the first send, from a HELLO that is
        younger than ``hello_after``."""
        self.last_sequence = 0
        self.oldest = 1
        """The lowest sequence not answered yet; the next one when all are."""
        self.waiting: set[int] = set()
        """Sequences not answered yet."""

    def begin(self) -> int:
        """The sequence of the next write."""
        self.last_sequence = sequence = self.last_sequence + 1
        self.waiting.add(sequence)
        return sequence

    def end(self, sequence: int) -> None:
        """That one was answered, or given up."""
        self.waiting.discard(sequence)
        while self.oldest <= self.last_sequence and self.oldest not in self.waiting:
            self.oldest += 1


class Call:
    """One request and what is known of it. ``done`` is called once, with ``response`` or ``error`` set."""

    __slots__ = (
        "anywhere",
        "asked",
        "deadline",
        "done",
        "error",
        "fields",
        "first_asked",
        "request",
        "request_id",
        "response",
        "sent_at",
        "sequence",
        "session",
        "size",
        "started",
        "target",
        "tries",
        "uncertain",
        "why",
    )

    def __init__(
        self,
        fields: tuple[Any, ...],
        deadline: float,
        done: Callable[[Call], None],
        session: Session | None = None,
        target: str | None = None,
    ) -> None:
        """``fields``: of a write its op and arguments (with ``session``), else those of a request
        after its id. ``target`` pins a read to one endpoint, or to ``ANY_NODE`` that answers."""
        self.fields = fields
        self.deadline = deadline
        self.done = done
        self.session = session
        self.target = target
        self.anywhere = target == ANY_NODE
        self.sequence = 0
        self.request_id = 0
        self.request: Request | None = None
        self.asked: str | None = None
        """Whose answer is waited for; None: it was never sent, was refused, or waits to be sent again."""
        self.tries = 0
        """How often it was asked again, for want of an answer."""
        self.first_asked: str | None = None
        self.size = 0
        """Bytes in the request."""
        self.uncertain = False
        self.started = 0.0
        self.sent_at = 0.0
        self.why = ""
        """It is not done yet, by the last refusal; empty while nobody has refused it."""
        self.response: Response | None = None
        self.error: ClientError | None = None

    @property
    def may_have_happened(self) -> bool:
        """Whether it is a write that a node has, or may have, got."""
        return self.session is not None and (self.asked is not None or self.uncertain)

    def expired(self) -> ClientError:
        """What is known of it where the cluster has forgotten its session."""
        if self.uncertain:
            return OutcomeUnknown("the cluster forgot this client while its request was open")
        return SessionExpired("the cluster has forgotten this client; the request was not applied")
