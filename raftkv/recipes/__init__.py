"""Locks, elections, barriers, queues and counters, on nothing but the store's own operations.

Each is a set of scripts (``client.scripts``) and two thin classes that run them, one for each client. All
that a lease guards can be lost while its holder sleeps, so each has a *fencing token*: a number that grows
with every holder. What a holder does elsewhere is safe only if whoever does it refuses smaller tokens, or
if it is a transaction with ``guard()`` among its compares. ``docs/guide/recipes.md`` says what each does and
does not guarantee.
"""

from raftkv.recipes.barrier import AsyncBarrier, Barrier
from raftkv.recipes.counter import AsyncCounter, Counter
from raftkv.recipes.election import AsyncElection, Election
from raftkv.recipes.lock import AsyncLock, AsyncReadWriteLock, Lock, ReadWriteLock
from raftkv.recipes.queue import AsyncQueue, Item, Queue

__all__ = [
    "AsyncBarrier",
    "AsyncCounter",
    "AsyncElection",
    "AsyncLock",
    "AsyncQueue",
    "AsyncReadWriteLock",
    "Barrier",
    "Counter",
    "Election",
    "Item",
    "Lock",
    "Queue",
    "ReadWriteLock",
]
