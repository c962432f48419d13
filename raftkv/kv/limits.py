"""How large keys, values and the state's own tables may grow.

Constants, not configuration: every node must draw the same line at the same place in the log.
"""

from typing import Any

from raftkv.errors import InvalidRequest

KEY_BYTES_MAX = 4 << 10
VALUE_BYTES_MAX = 1 << 20
MULTI_PUT_MAX = 1024
"""Pairs in one multi-put; their bytes are bounded by the size of a request."""
RANGE_BYTES_MAX = 1 << 20
"""One answer to a range read; the client asks for the next page."""
ITEM_BYTES = 32
"""Of an item in an answer, besides its key and value: its numbers, and the work."""
SESSIONS_MAX = 10_000
"""Clients whose answers are remembered; the longest idle is forgotten first."""
SESSION_IDLE_MS = 3_600_000
"""Of log time, after which a client is forgotten although there is room."""
CLOCK_STEP_MS_MAX = 1 << 40
"""One step of log time; no leader is silent for thirty years."""
SESSION_WINDOW = 4096
"""Requests of one client that may wait for their answer at a time."""
TXN_STEPS_MAX = 1024
"""Compares and operations of one transaction, nested ones included."""
TXN_DEPTH_MAX = 8
TXN_KEYS_MAX = 100_000
"""That one transaction may go through, in ranges, in what it has written and in the past: some ten
milliseconds."""
TXN_ANSWER_BYTES_MAX = 256 << 10
"""Of what a transaction reads: its answer is remembered until its client has it."""
ANSWERS_BYTES_MAX = 1 << 20
"""Of answers with a detail that one client has not said to have; beyond, what would add to them is told to
wait."""
ANSWERS_TOTAL_BYTES_MAX = 64 << 20
"""Of those of all clients; beyond, the longest idle clients are forgotten. While nodes run these answers
share their bytes with the values, but in a snapshot, and after a restart from one, each is a copy."""
LEASES_MAX = 20_000
LEASE_TTL_MS_MIN, LEASE_TTL_MS_MAX = 100, 10 * 365 * 86_400_000
KEEP_ALIVE_MAX = 1024
"""Leases that one command keeps alive."""
KEPT_VALUE_BYTES_MAX = 1024
"""A failed compare's present value is kept for a retry up to this size; beyond, only the fact is."""


def check_key(key: bytes) -> None:
    if not key:
        raise InvalidRequest("the key is empty; a key has at least one byte")
    if len(key) > KEY_BYTES_MAX:
        raise InvalidRequest(f"the key has {len(key):,} bytes; the limit is {KEY_BYTES_MAX:,}")


def check_value(value: bytes) -> None:
    if len(value) > VALUE_BYTES_MAX:
        raise InvalidRequest(f"the value has {len(value):,} bytes; the limit is {VALUE_BYTES_MAX:,}")


def check_bytes(*values: Any) -> None:
    if not all(type(value) is bytes for value in values):
        raise InvalidRequest("keys and values are bytes")


def check_pair(key: Any, value: Any) -> None:
    if not (type(key) is type(value) is bytes):
        raise InvalidRequest("keys and values are bytes")
    if not 0 < len(key) <= KEY_BYTES_MAX or len(value) > VALUE_BYTES_MAX:
        check_key(key)  # the one that does not hold says so
        check_value(value)
