"""Operations of several steps, written once for every kind of client.

A script is a generator: it yields what it wants done, gets the outcome sent in, and raises or returns in the
end. It knows neither threads nor event loops; ``Client``, ``AsyncClient`` and the simulator each have a few
lines that run one. An error of a step is raised where the script yielded.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

from raftkv.client.requests import RangePage, Request, range_page, to_number
from raftkv.client.types import Entry

Result = TypeVar("Result")
PAGE_KEYS = 1000


@dataclass(frozen=True, slots=True)
class Within:
    """A request that gets so many seconds at most, where the client would give it more."""

    request: Request[Any]
    seconds: float


@dataclass(frozen=True, slots=True)
class Changed:
    """Wait until something in ``start <= key < end`` has changed after a revision. The outcome is whether it
    has; False when ``seconds`` have passed first. ``puts`` and ``deletes`` say which changes count."""

    start: bytes
    end: bytes
    after: int
    seconds: float | None = None
    puts: bool = True
    deletes: bool = True


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait for so long."""

    seconds: float


class Holding(Protocol):
    """A lease of this client's."""

    @property
    def id(self) -> int: ...
    @property
    def lost(self) -> bool:
        """Whether it has ended, or cannot be said to live any more."""
        ...

    def keep(self) -> Any:
        """Keep it alive from now on."""
        ...

    def abandon(self) -> None:
        """End it without waiting for anything."""
        ...


@dataclass(frozen=True, slots=True)
class Hold:
    """Grant a lease. The outcome is a ``Holding``, which whoever gets it has to keep alive: if it is lost on
    the way to them, by an interrupt, it ends by itself."""

    ttl: float


@dataclass(frozen=True, slots=True)
class LetGo:
    """Keep it alive no longer, and revoke it: the keys that hang on it go. The outcome is how many; 0, and no
    error, if it has ended."""

    lease: Holding


@dataclass(frozen=True, slots=True)
class Now:
    """The outcome is the time, in seconds of the client's clock."""


Step = Request[Any] | Within | Changed | Pause | Hold | LetGo | Now
Script = Generator[Step, Any, Result]


class RangeReader:
    """A range page by page, all as of one revision: that of the first page, unless another is asked for."""

    def __init__(
        self,
        start: bytes,
        end: bytes,
        *,
        limit: int = 0,
        reverse: bool = False,
        keys_only: bool = False,
        revision: int = 0,
        stale: bool = False,
        target: str | None = None,
    ) -> None:
        self._start, self._end, self._left = start, end, to_number(limit, "a limit")
        self._limited = limit > 0
        self._reverse, self._keys_only, self._stale = reverse, keys_only, stale
        self._revision = revision
        self._asked = bool(revision)
        self._target = target
        self.ended = False

    def next_request(self) -> Request[RangePage]:
        return range_page(
            self._start,
            self._end,
            limit=min(self._left, PAGE_KEYS) if self._limited else PAGE_KEYS,
            reverse=self._reverse,
            keys_only=self._keys_only,
            revision=self._revision,
            stale=self._stale,
            target=self._target,
        )

    def take(self, page: RangePage) -> list[Entry]:
        """What has come; sets ``ended`` when that was all."""
        entries = page.entries
        if not self._stale:  # another node, which answers the next page, may not be there yet
            self._revision = self._revision or page.revision
            if page.revision != self._revision and not self._asked:
                # Others have written since: all entries are of the first page's moment, and whoever begins a
                # watch behind one of them must not miss what came after that.
                entries = [replace(entry, revision=self._revision) for entry in entries]
        self._left -= len(entries)
        self.ended = not page.more or not entries or (self._limited and self._left <= 0)
        if entries and self._reverse:
            self._end = entries[-1].key
        elif entries:
            self._start = entries[-1].key + b"\0"
        return entries
