"""raftkv: a durable, linearizable key-value store on its own Raft.

The packages, from the top; each imports only what stands below it (pyproject.toml holds
the contracts, ``docs/architecture.md`` the reasons)::

    cli                      the command line
    tui                      the dashboard
    cluster                  launcher, supervision, chaos
    actors      | client     a node's thin shells        | the client library
    storage     | kv         the log on disk             | the state machine
    wire                     bytes <-> dataclasses
    observe                  what a node tells the world about itself
    raft                     the pure consensus core
    config, errors, types
"""

__version__ = "0.1.0"
