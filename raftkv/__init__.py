"""raftkv: a durable, linearizable key-value store on its own Raft.

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

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from raftkv.client import AsyncClient as AsyncClient
    from raftkv.client import Client as Client

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """``raftkv.Client`` and ``raftkv.AsyncClient``; imported when asked for, as a node needs neither."""
    if name in ("Client", "AsyncClient"):
        from raftkv import client

        return getattr(client, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
