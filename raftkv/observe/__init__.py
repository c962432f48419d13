"""What a node tells the world about itself: ``events`` (what happened), ``snapshot`` (how things
stand), ``describe`` (one line for either). Dashboard, CLI and tests read only these."""

from raftkv.observe.describe import (
    describe,
    describe_clock_rate,
    describe_disk_fault,
    describe_link_fault,
    describe_raw,
)
from raftkv.observe.events import Earlier, Event, from_raft
from raftkv.observe.snapshot import (
    LEADER,
    NO_LEADER,
    DiskFault,
    LinkFault,
    LinkSnapshot,
    LoadReport,
    LogEntry,
    LogTail,
    MemberSnapshot,
    Mended,
    NodeSnapshot,
    PeerSnapshot,
    ProcessSnapshot,
    leader_of,
    no_leader,
)

__all__ = [
    "LEADER",
    "NO_LEADER",
    "DiskFault",
    "Earlier",
    "Event",
    "LinkFault",
    "LinkSnapshot",
    "LoadReport",
    "LogEntry",
    "LogTail",
    "MemberSnapshot",
    "Mended",
    "NodeSnapshot",
    "PeerSnapshot",
    "ProcessSnapshot",
    "describe",
    "describe_clock_rate",
    "describe_disk_fault",
    "describe_link_fault",
    "describe_raw",
    "from_raft",
    "leader_of",
    "no_leader",
]
