"""Each recipe is there twice, for programs with threads and for those with an event loop."""

from __future__ import annotations

from typing import TypeVar

from raftkv.client import AsyncClient, Client

Kind = TypeVar("Kind")


def of_kind(kind: type[Kind], client: Kind) -> Kind:
    """The ``client``. Raises ``TypeError`` for one of the other kind: what it does would have to be awaited,
    and a coroutine that nobody awaits is as true as a lock that is held."""
    if isinstance(client, (Client, AsyncClient)) and not isinstance(client, kind):
        raise TypeError(f"this recipe works with a {kind.__name__}, and was given a {type(client).__name__}")
    return client
