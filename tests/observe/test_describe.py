"""Events of faults in words."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest

from raftkv.observe import DiskFault, Event, LinkFault, describe, events
from raftkv.types import NodeId

LINK = {"to": "n2", "seconds": None}
DISK, CLOCK = {"part": "disk", "seconds": None}, {"part": "clock", "seconds": None}


@pytest.mark.parametrize(
    ("kind", "fields", "text"),
    [
        (events.LINK_FAULT_SET, LINK | asdict(LinkFault(block=True)), "link to n2: blocked"),
        (
            events.LINK_FAULT_SET,
            LINK | asdict(LinkFault(False, 0.1, 80, 20, 0.2, 0.3)) | {"seconds": 5.0},
            "link to n2: drops 10%, delayed by 80±20 ms, duplicates 20%, reorders 30% for 5 s",
        ),
        (
            events.LINK_FAULT_SET,
            LINK | {"block": False, "drop": 0.1, "delay_ms": 0.0, "jitter_ms": 0.0},
            "link to n2: drops 10%",
        ),
        (events.NODE_FAULT_SET, DISK | asdict(DiskFault(slow_ms=50)), "disk slower by 50 ms"),
        (events.NODE_FAULT_SET, DISK | asdict(DiskFault(full=True)) | {"seconds": 9}, "disk full for 9 s"),
        (events.NODE_FAULT_SET, DISK | asdict(DiskFault(fail=True)), "disk fails"),
        (events.NODE_FAULT_SET, CLOCK | {"rate": 1.1, "seconds": 30.0}, "clock ×1.1 for 30 s"),
        (events.NODE_FAULT_HEALED, {"part": "clock", "expired": False}, "clock healed"),
        (events.NODE_FAULT_HEALED, {"part": "disk", "expired": True}, "disk healed (time is up)"),
    ],
)
def test_faults_in_words(kind: str, fields: dict[str, Any], text: str) -> None:
    assert describe(Event(1, 0.0, NodeId("n1"), kind, fields)) == text
