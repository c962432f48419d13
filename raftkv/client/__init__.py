"""The client library: ``Client`` (sync, thread-safe) and ``AsyncClient`` over ``core`` (no I/O,
deterministic)."""

from typing import TYPE_CHECKING, Any

from raftkv.client.client import Client, Lease
from raftkv.client.stream import WatchStream
from raftkv.client.types import (
    CasResult,
    DeleteResult,
    Entry,
    Event,
    EventType,
    LeaseInfo,
    Page,
    PutResult,
    TxnResult,
)
from raftkv.kv import KeyValue

if TYPE_CHECKING:
    from raftkv.client.aio import AsyncClient, AsyncLease, AsyncWatchStream

__all__ = [
    "AsyncClient",
    "AsyncLease",
    "AsyncWatchStream",
    "CasResult",
    "Client",
    "DeleteResult",
    "Entry",
    "Event",
    "EventType",
    "KeyValue",
    "Lease",
    "LeaseInfo",
    "Page",
    "PutResult",
    "TxnResult",
    "WatchStream",
]


if not TYPE_CHECKING:  # to a type checker it would say that any name is there

    def __getattr__(name: str) -> Any:
        """asyncio takes as long to import as a whole ``raftkv get``: only who wants it pays for it."""
        if name.startswith("Async") and name in __all__:
            from raftkv.client import aio

            return getattr(aio, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
