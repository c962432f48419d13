"""Recorded histories: what clients did, and whether one order of it all explains what they saw.

Pure: no clock, no sockets, no files; the command line, the simulator and the torture run bring those.
``Recorder`` collects operations, ``read_history`` reads them back, ``check_history`` judges them.
"""

from raftkv.history.operations import (
    Key,
    Op,
    Operation,
    Result,
    Value,
    as_document,
    read_history,
    to_json_line,
)
from raftkv.history.recorder import Recorder
from raftkv.history.verdict import Outcome, Verdict, check_history

__all__ = [
    "Key",
    "Op",
    "Operation",
    "Outcome",
    "Recorder",
    "Result",
    "Value",
    "Verdict",
    "as_document",
    "check_history",
    "read_history",
    "to_json_line",
]
