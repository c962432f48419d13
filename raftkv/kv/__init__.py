"""The key-value state machine: pure, deterministic, in memory.

The same log gives the same state, the same answers and the same digest on every node: nothing in
here reads a clock, draws a random number or depends on the order of a hash table.
"""

from raftkv.kv.commands import Code, Command, Op
from raftkv.kv.history import Event, Retention
from raftkv.kv.items import KeyValue, RangeResult, Refused
from raftkv.kv.limits import KEY_BYTES_MAX, VALUE_BYTES_MAX, check_key, check_value
from raftkv.kv.machine import Applied, StateMachine
from raftkv.kv.ranges import prefix_end
from raftkv.kv.restoring import captured, move_on, restored
from raftkv.kv.sessions import Answer, SessionLimits
from raftkv.kv.snapshot import CHUNK_BYTES, Capture, Restoration

__all__ = [
    "CHUNK_BYTES",
    "KEY_BYTES_MAX",
    "VALUE_BYTES_MAX",
    "Answer",
    "Applied",
    "Capture",
    "Code",
    "Command",
    "Event",
    "KeyValue",
    "Op",
    "RangeResult",
    "Refused",
    "Restoration",
    "Retention",
    "SessionLimits",
    "StateMachine",
    "captured",
    "check_key",
    "check_value",
    "move_on",
    "prefix_end",
    "restored",
]
