"""raftkv: a durable, linearizable key-value store on its own Raft.

``raftkv.Client(raftkv.endpoints())`` talks to the cluster that ``raftkv get`` would, ``AsyncClient`` does so
from an event loop; ``raftkv.txn`` has what transactions are made of, ``raftkv.recipes`` locks, elections and
queues, ``raftkv.testing`` clusters for tests, ``raftkv.errors`` whatever is raised. ``docs/guide`` has all
of it.

The packages, from the top; each imports only what stands below it (pyproject.toml holds
the contracts, ``docs/architecture.md`` the reasons)::

    cli                      the command line
    tui                      | testing   the dashboard | clusters for other projects' tests
    cluster     | sim        launcher, supervision, chaos | a simulated world
    recipes                  locks, elections, queues, on nothing but the client's operations
    actors      | client     a node's thin shells        | the client library
    storage     | kv         the log on disk             | the state machine
    wire                     bytes <-> dataclasses
    observe     | history    what a node tells of itself | what clients did, and how it is judged
    raft                     the pure consensus core
    config, errors, types
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from raftkv import errors as errors
    from raftkv import recipes as recipes
    from raftkv import txn as txn
    from raftkv.client import AsyncClient as AsyncClient
    from raftkv.client import Client as Client
    from raftkv.cluster.discovery import endpoints as endpoints

__version__ = "0.1.0"
__all__ = ["AsyncClient", "Client", "endpoints", "errors", "recipes", "txn"]


if not TYPE_CHECKING:  # to a type checker it would say that any name is there

    def __getattr__(name: str) -> Any:
        """Those of ``__all__`` are imported when they are asked for: a node needs none of them."""
        if name in ("Client", "AsyncClient"):
            return getattr(import_module("raftkv.client"), name)
        if name == "endpoints":
            return import_module("raftkv.cluster.discovery").endpoints
        if name in __all__:
            return import_module(f"raftkv.{name}")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    hidden = {"Any", "TYPE_CHECKING", "import_module"}
    return sorted({*globals(), *__all__} - hidden)
